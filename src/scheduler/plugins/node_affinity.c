/* NodeAffinity: spec.nodeSelector and node affinity, required and preferred. */
#include "kinds/fields.h"
#include "scheduler/framework.h"

#define PREFERRED_MAX 64

struct state {
    struct label_selector selector; /* spec.nodeSelector */
    struct node_selector required;
    bool has_required;
    struct node_selector preferred[PREFERRED_MAX];
    int64_t weights[PREFERRED_MAX];
    int preferred_count;
};

static int prefilter(struct cycle *c, struct error *err)
{
    struct view spec = view_get(object_root(c->pod->object), F_POD_SPEC);
    struct view affinity = view_path(spec, F_POD_SPEC_AFFINITY, F_AFFINITY_NODE_AFFINITY);
    struct view required = view_get(affinity, F_NODE_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct view preferred = view_get(affinity, F_NODE_AFFINITY_PREFERRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct state *s = arena_new(c->arena, struct state);
    struct view_iter it = { 0 };

    cycle_state(c) = s;
    if (label_selector_of_map(&s->selector, view_get(spec, F_POD_SPEC_NODE_SELECTOR), err) < 0)
        return -1;
    s->has_required = view_present(required);
    if (s->has_required && node_selector_of_view(&s->required, required, err) < 0)
        return -1;
    while (view_next(preferred, &it) && s->preferred_count < PREFERRED_MAX) {
        int i = s->preferred_count++;
        s->weights[i] = view_int_at(it.value, 0, F_PREFERRED_SCHEDULING_TERM_WEIGHT);
        if (node_selector_of_term(&s->preferred[i], view_get(it.value, F_PREFERRED_SCHEDULING_TERM_PREFERENCE), err) <
            0)
            return -1;
    }
    return 0;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    struct view root = object_root(n->object);

    if (!label_selector_matches(&s->selector, view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS)) ||
        (s->has_required && !node_selector_matches(&s->required, root)))
        return "node(s) didn't match Pod's node affinity/selector";
    return NULL;
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    int64_t sum = 0;

    for (int i = 0; i < s->preferred_count; i++)
        if (node_selector_matches(&s->preferred[i], object_root(n->object)))
            sum += s->weights[i];
    return sum;
}

static void normalize(struct cycle *c, int64_t *scores, size_t count)
{
    (void)c;
    normalize_by_max(scores, count, false);
}

static void done(struct cycle *c)
{
    struct state *s = cycle_state(c);

    if (!s)
        return;
    label_selector_done(&s->selector);
    node_selector_done(&s->required);
    for (int i = 0; i < s->preferred_count; i++)
        node_selector_done(&s->preferred[i]);
}

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .weight = 2,
    .prefilter = prefilter,
    .filter = filter,
    .score = score,
    .normalize = normalize,
    .done = done,
};
