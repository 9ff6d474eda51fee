/* TaintToleration: NoSchedule and NoExecute keep pods away that do not tolerate them; PreferNoSchedule costs score. */
#include "kinds/fields.h"
#include "scheduler/framework.h"
#include "scheduler/tolerate.h"

static struct view taints_of(const struct node_info *n)
{
    return view_path(object_root(n->object), F_NODE_SPEC, F_NODE_SPEC_TAINTS);
}

static bool is_tolerated(const struct cycle *c, struct view taint)
{
    return tolerates_taint(c->pod, view_str_at(taint, F_TAINT_KEY), view_str_at(taint, F_TAINT_VALUE),
                           view_str_at(taint, F_TAINT_EFFECT));
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct view_iter it = { 0 };

    while (view_next(taints_of(n), &it))
        if (!str_is(view_str_at(it.value, F_TAINT_EFFECT), "PreferNoSchedule") && !is_tolerated(c, it.value))
            return arena_printf(c->arena, "node(s) had untolerated taint {%.*s: %.*s}",
                                STR_ARG(view_str_at(it.value, F_TAINT_KEY)),
                                STR_ARG(view_str_at(it.value, F_TAINT_VALUE)))
                .p;
    return NULL;
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    struct view_iter it = { 0 };
    int64_t intolerable = 0;

    while (view_next(taints_of(n), &it))
        intolerable += str_is(view_str_at(it.value, F_TAINT_EFFECT), "PreferNoSchedule") && !is_tolerated(c, it.value);
    return intolerable;
}

static void normalize(struct cycle *c, int64_t *scores, size_t count)
{
    (void)c;
    normalize_by_max(scores, count, true);
}

const struct plugin plugin_taint_toleration = {
    .name = "TaintToleration",
    .weight = 3,
    .filter = filter,
    .score = score,
    .normalize = normalize,
};
