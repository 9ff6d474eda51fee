/* Pod garbage collection: pods bound to a node that does not exist. Source: k8s.io/kubernetes/pkg/controller/podgc. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#define FINISHED_MAX 12500 /* upstream's --terminated-pod-gc-threshold */

static bool has_too_many_finished(const struct reconcile *r)
{
    struct objects all = reconcile_all(r, &kind_pod);
    size_t finished = 0;

    if (all.count <= FINISHED_MAX)
        return false;
    for (size_t i = 0; i < all.count; i++)
        finished += pod_is_finished(all.items[i]);
    return finished > FINISHED_MAX;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct str node = view_str_at(object_root(r->object), F_POD_SPEC, F_POD_SPEC_NODE_NAME);

    (void)err;
    if (!r->object)
        return 0;
    if (pod_is_finished(r->object) && has_too_many_finished(r)) {
        plan_delete(r, &kind_pod, r->object, NULL, 0);
        return 0;
    }
    if (!node.n || reconcile_get(r, &kind_node, STR_NONE, node))
        return 0;
    switch (reconcile_live(r, &kind_node, STR_NONE, node, NULL)) {
    case LIVE_UNKNOWN:
        plan_live_read(r, &kind_node, STR_NONE, node);
        break;
    case LIVE_ABSENT:
        plan_event(r, &kind_pod, r->object, "Normal", "PodGC",
                   "Deleting Pod bound to the node %.*s, which does not exist", STR_ARG(node));
        plan_delete(r, &kind_pod, r->object, NULL, 0);
        break;
    case LIVE_PRESENT:
        plan_wake(r, SECOND_MS); /* the cache is late */
        break;
    }
    return 0;
}

static void pods_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects pods = cache_by(cluster_cache(cluster, &kind_pod), CACHE_BY_NODE, object_name(node));

    if (cache_get(cluster_cache(cluster, &kind_node), STR_NONE, object_name(node)))
        return;
    for (size_t i = 0; i < pods.count; i++)
        emit(arg, object_namespace(pods.items[i]), object_name(pods.items[i]));
}

static bool ignores(const struct object *old, const struct object *now)
{
    return str_eq(view_str_at(object_root(old), F_POD_SPEC, F_POD_SPEC_NODE_NAME),
                  view_str_at(object_root(now), F_POD_SPEC, F_POD_SPEC_NODE_NAME)) &&
           pod_is_finished(old) == pod_is_finished(now);
}

const struct controller controller_podgc = {
    .name = "pod-garbage-collector",
    .kind = &kind_pod,
    .triggers = { { &kind_node, BY_FUNCTION, pods_of_node } },
    .ignores = ignores,
    .reconcile = reconcile,
};
