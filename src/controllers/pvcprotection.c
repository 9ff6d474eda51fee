/* A deleted claim stays while a pod uses it. Source: pkg/controller/volume/pvcprotection. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/claim.h"

#define FINALIZER "kubernetes.io/pvc-protection"
#define SEE_MS    (2 * SECOND_MS)

static bool uses(const struct object *pod, struct str name, struct arena *a)
{
    struct view root = object_root(pod);
    struct view_iter it = { 0 };

    while (view_next(view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES), &it))
        if (str_eq(pod_claim_name(root, it.value, a), name))
            return true;
    return false;
}

static bool is_used(struct reconcile *r)
{
    struct objects pods = reconcile_by(r, &kind_pod, CACHE_BY_NAMESPACE, r->namespace_);

    for (size_t i = 0; i < pods.count; i++)
        if (view_str_at(object_root(pods.items[i]), F_POD_SPEC, F_POD_SPEC_NODE_NAME)
                .n && /* else no node has seen it */
            uses(pods.items[i], r->name, r->arena))
            return true;
    return false;
}

/* A pod that was bound before the claim was deleted must be among those we see. Where nothing happens to pods their revision stands still. */
static bool sees_all_pods(const struct reconcile *r)
{
    int64_t deleted_ms = 0;

    time_parse(view_str_at(object_root(r->object), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP), &deleted_ms);
    return cache_revision(cluster_cache(r->cluster, &kind_pod)) >= object_revision(r->object) ||
           r->now_ms - deleted_ms >= SEE_MS;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct view finalizers = view_path(object_root(r->object), F_POD_METADATA, F_OBJECT_META_FINALIZERS);
    struct value *patch, *metadata, *list;
    struct view_iter it = { 0 };
    bool has = false;

    (void)err;
    if (!r->object || !pod_is_terminating(r->object))
        return 0;
    patch = value_object(r->arena);
    metadata = value_make_object(r->arena, patch, F_POD_METADATA);
    list = value_array(r->arena);
    while (view_next(finalizers, &it)) {
        if (str_is(view_str(it.value), FINALIZER))
            has = true;
        else
            value_append(r->arena, list, value_str(r->arena, view_str(it.value)));
    }
    if (!has || is_used(r))
        return 0;
    if (!sees_all_pods(r)) {
        plan_wake(r, SEE_MS / 4);
        return 0;
    }
    value_put(r->arena, metadata, F_OBJECT_META_FINALIZERS, list->items_count ? list : value_null(r->arena));
    value_set(r->arena, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(r->arena, "%llu", (unsigned long long)object_revision(r->object)));
    plan_patch(r, &kind_persistentvolumeclaim, r->object, patch, "");
    return 0;
}

static void claims_of_pod(struct cluster *cluster, const struct object *pod, trigger_emit_fn *emit, void *arg)
{
    AUTO_ARENA struct arena a = { 0 };
    struct view root = object_root(pod);
    struct view_iter it = { 0 };

    (void)cluster;
    while (view_next(view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES), &it)) {
        struct str name = pod_claim_name(root, it.value, &a);

        if (name.n)
            emit(arg, object_namespace(pod), name);
    }
}

const struct controller controller_pvcprotection = {
    .name = "pvcprotection",
    .kind = &kind_persistentvolumeclaim,
    .triggers = { { &kind_pod, BY_FUNCTION, claims_of_pod } },
    .reconcile = reconcile,
};
