/*
 * Taint eviction: pods leave a node whose NoExecute taints they do not tolerate, or no longer.
 *
 * A pod that must be one (client/must_be_one.h) stays on a node that is not heard until the node cannot write any more: it is fenced (client/facts.h), or somebody
 * who knows has set the taint node.kubernetes.io/out-of-service. Then it is deleted without grace, for nobody is there to end it.
 * Source: k8s.io/kubernetes/pkg/controller/tainteviction; tolerations: k8s.io/api/core/v1 ToleratesTaint.
 */
#include "base/time.h"
#include "client/must_be_one.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

static bool tolerates(struct view toleration, struct view taint)
{
    struct str effect = view_str_at(toleration, F_TOLERATION_EFFECT), key = view_str_at(toleration, F_TOLERATION_KEY);
    struct str operator= view_str_at(toleration, F_TOLERATION_OPERATOR);

    if (effect.n && !str_eq(effect, view_str_at(taint, F_TAINT_EFFECT)))
        return false;
    if (key.n && !str_eq(key, view_str_at(taint, F_TAINT_KEY)))
        return false;
    if (str_is(operator, "Exists"))
        return true;
    return key.n && str_eq(view_str_at(toleration, F_TOLERATION_VALUE), view_str_at(taint, F_TAINT_VALUE));
}

/*
 * When the pod must leave because of this taint, as wall time: 0 now, INT64_MAX never. Of several tolerations the shortest limit
 * counts.
 */
static int64_t leaves_at(const struct reconcile *r, const struct object *pod, struct view taint)
{
    struct view_iter it = { 0 };
    int64_t added_ms = r->now_ms, shortest = INT64_MAX;
    bool tolerated = false;

    while (view_next(view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_TOLERATIONS), &it)) {
        struct view seconds = view_get(it.value, F_TOLERATION_TOLERATION_SECONDS);
        if (!tolerates(it.value, taint))
            continue;
        tolerated = true;
        if (view_present(seconds))
            shortest = MIN(shortest, MAX(view_int(seconds, 0), 0));
    }
    if (!tolerated)
        return 0;
    if (shortest == INT64_MAX)
        return INT64_MAX;
    time_parse(view_str_at(taint, F_TAINT_TIME_ADDED), &added_ms);
    return shortest > INT64_MAX / 2000 ? INT64_MAX : added_ms + shortest * SECOND_MS;
}

static void judge(struct reconcile *r, const struct object *pod, struct view taints)
{
    struct view_iter it = { 0 };
    int64_t at = INT64_MAX;

    while (view_next(taints, &it))
        if (str_is(view_str_at(it.value, F_TAINT_EFFECT), "NoExecute"))
            at = MIN(at, leaves_at(r, pod, it.value));
    if (at == INT64_MAX)
        return;
    if (at > r->now_ms) {
        plan_wake(r, at - r->now_ms);
        return;
    }
    plan_event(r, &kind_pod, pod, "Normal", "TaintManagerEviction", "Marking for deletion Pod %.*s/%.*s",
               STR_ARG(object_namespace(pod)), STR_ARG(object_name(pod)));
    plan_delete(r, &kind_pod, pod, NULL, -1);
}

/* Nobody on that node writes any more, though the node cannot say so. */
static const char *why_gone(const struct reconcile *r, struct view taints)
{
    struct view_iter it = { 0 };

    if (facts_silent_ms(r->facts, r->name) == 0)
        return NULL;
    while (view_next(taints, &it))
        if (str_is(view_str_at(it.value, F_TAINT_KEY), "node.kubernetes.io/out-of-service"))
            return "is out of service";
    return facts_fenced(r->facts, r->name) ? "is fenced: it has stopped the pod itself" : NULL;
}

static bool has_evicting_taint(struct view taints, const char *key)
{
    struct view_iter it = { 0 };

    while (view_next(taints, &it))
        if (str_is(view_str_at(it.value, F_TAINT_EFFECT), "NoExecute") &&
            (!key || str_is(view_str_at(it.value, F_TAINT_KEY), key)))
            return true;
    return false;
}

static void judge_single(struct reconcile *r, const struct object *pod, struct view taints)
{
    const char *gone = why_gone(r, taints);

    if (!gone && !has_evicting_taint(taints, "node.kubernetes.io/unreachable")) {
        if (!pod_is_terminating(pod))
            judge(r, pod, taints);
        return;
    }
    if (!gone || !has_evicting_taint(taints, NULL))
        return;
    plan_event(r, &kind_pod, pod, "Warning", "NodeGone", "Deleting Pod %.*s/%.*s at once: node %.*s %s",
               STR_ARG(object_namespace(pod)), STR_ARG(object_name(pod)), STR_ARG(r->name), gone);
    plan_delete(r, &kind_pod, pod, NULL, 0);
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct view taints = view_path(object_root(r->object), F_NODE_SPEC, F_NODE_SPEC_TAINTS);
    struct objects pods = reconcile_by(r, &kind_pod, CACHE_BY_NODE, r->name);

    (void)err;
    if (!r->object || view_count(taints) == 0)
        return 0;
    for (size_t i = 0; i < pods.count; i++) {
        const struct object *pod = pods.items[i];
        if (pod_is_finished(pod))
            continue;
        if (pod_must_be_one(pod))
            judge_single(r, pod, taints);
        else if (!pod_is_terminating(pod))
            judge(r, pod, taints);
    }
    return 0;
}

static void node_of_pod(struct cluster *cluster, const struct object *pod, trigger_emit_fn *emit, void *arg)
{
    struct str name = view_str_at(object_root(pod), F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    const struct object *node = name.n ? cache_get(cluster_cache(cluster, &kind_node), STR_NONE, name) : NULL;

    if (view_count(view_path(object_root(node), F_NODE_SPEC, F_NODE_SPEC_TAINTS)))
        emit(arg, STR_NONE, name);
}

const struct controller controller_tainteviction = {
    .name = "taint-eviction",
    .kind = &kind_node,
    .triggers = { { &kind_pod, BY_FUNCTION, node_of_pod } },
    .node_facts = true,
    .reconcile = reconcile,
};
