/* PersistentVolume: its phase, and what becomes of it when its claim is gone. */
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "controllers/volumes.h"
#include "kinds/fields.h"

#define PROTECTION_FINALIZER "kubernetes.io/pv-protection"

enum claim_state { CLAIM_NONE, CLAIM_THERE, CLAIM_ELSEWHERE, CLAIM_GONE, CLAIM_UNSURE };

static enum claim_state claim_of(struct reconcile *r)
{
    struct view ref = view_path(object_root(r->object), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    struct str namespace_ = view_str_at(ref, F_OBJECT_REFERENCE_NAMESPACE),
               name = view_str_at(ref, F_OBJECT_REFERENCE_NAME);
    struct str uid = view_str_at(ref, F_OBJECT_REFERENCE_UID), live_uid = STR_NONE;
    const struct object *claim = name.n ? reconcile_get(r, &kind_persistentvolumeclaim, namespace_, name) : NULL;
    enum live live;

    if (!uid.n)
        return CLAIM_NONE; /* free, or reserved for a claim to come */
    if (claim && str_eq(object_uid(claim), uid)) {
        struct str volume =
            view_str_at(object_root(claim), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);

        return !volume.n ? CLAIM_NONE : str_eq(volume, r->name) ? CLAIM_THERE : CLAIM_ELSEWHERE;
    }
    live = reconcile_live(r, &kind_persistentvolumeclaim, namespace_, name, &live_uid);
    if (live == LIVE_UNKNOWN)
        plan_live_read(r, &kind_persistentvolumeclaim, namespace_, name);
    return live == LIVE_UNKNOWN                            ? CLAIM_UNSURE
           : live == LIVE_PRESENT && str_eq(live_uid, uid) ? CLAIM_UNSURE
                                                           : CLAIM_GONE;
}

static void set_phase(struct reconcile *r, const char *phase, const char *message)
{
    struct arena *a = r->arena;
    struct view old = view_get(object_root(r->object), F_PERSISTENT_VOLUME_STATUS);
    struct value *tree, *status;

    if (str_is(view_str_at(old, F_PERSISTENT_VOLUME_STATUS_PHASE), phase) &&
        str_is(view_str_at(old, F_PERSISTENT_VOLUME_STATUS_MESSAGE), message))
        return;
    tree = value_of_view(a, object_root(r->object));
    status = value_make_object(a, tree, F_PERSISTENT_VOLUME_STATUS);
    value_set_text(a, status, F_PERSISTENT_VOLUME_STATUS_PHASE, phase);
    value_put(a, status, F_PERSISTENT_VOLUME_STATUS_MESSAGE, message[0] ? value_text(a, message) : NULL);
    plan_update(r, &kind_persistentvolume, r->object, tree, "status");
}

static bool is_phase(const struct object *volume, const char *phase)
{
    return str_is(view_str_at(object_root(volume), F_PERSISTENT_VOLUME_STATUS, F_PERSISTENT_VOLUME_STATUS_PHASE),
                  phase);
}

static void fail_volume(struct reconcile *r, const char *reason, const char *message)
{
    if (!is_phase(r->object, "Failed"))
        plan_event(r, &kind_persistentvolume, r->object, "Warning", reason, "%s", message);
    set_phase(r, "Failed", message);
}

static void reclaim(struct reconcile *r)
{
    struct str policy = view_str_at(object_root(r->object), F_PERSISTENT_VOLUME_SPEC,
                                    F_PERSISTENT_VOLUME_SPEC_PERSISTENT_VOLUME_RECLAIM_POLICY);
    struct str by = view_str(volume_annotation(r->object, VOLUME_PROVISIONER_ANNOTATION));

    if (str_is(policy, "Recycle")) {
        fail_volume(r, "VolumeFailedRecycle",
                    "Recycle is not supported: empty the volume yourself and remove spec.claimRef to offer it again");
    } else if (str_is(policy, "Delete") && str_is(by, VOLUME_PROVISIONER)) {
        set_phase(r, "Released", "");
        plan_delete(r, &kind_persistentvolume, r->object, NULL,
                    -1); /* the node removes the folder, then the object goes */
    } else if (str_is(policy, "Delete") && !by.n) {
        fail_volume(
            r, "VolumeFailedDelete",
            "klein deletes only volumes it has made: remove what this one stands for, then the PersistentVolume");
    } else {
        set_phase(r, "Released", "");
    }
}

/* --- deletion ------------------------------------------------------------------------------------------------------ */

static void drop_finalizer(struct reconcile *r, const char *name)
{
    struct arena *a = r->arena;
    struct value *patch = value_object(a), *metadata = value_make_object(a, patch, F_POD_METADATA);
    struct value *list = value_array(a);
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(r->object), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        if (!str_is(view_str(it.value), name))
            value_append(a, list, value_str(a, view_str(it.value)));
    value_put(a, metadata, F_OBJECT_META_FINALIZERS, list->items_count ? list : value_null(a));
    value_set(a, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(a, "%llu", (unsigned long long)object_revision(r->object)));
    plan_patch(r, &kind_persistentvolume, r->object, patch, "");
}

static bool has_finalizer(const struct object *o, const char *name)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        if (str_is(view_str(it.value), name))
            return true;
    return false;
}

/* Is the node gone for good? Then nobody is left who could remove the folder, and no folder either. */
static bool node_is_gone(struct reconcile *r)
{
    struct str node = volume_node(object_root(r->object));
    enum live live;

    if (node.n && reconcile_get(r, &kind_node, STR_NONE, node))
        return false;
    live = node.n ? reconcile_live(r, &kind_node, STR_NONE, node, NULL) : LIVE_ABSENT;
    if (live == LIVE_UNKNOWN)
        plan_live_read(r, &kind_node, STR_NONE, node);
    return live == LIVE_ABSENT;
}

static void end(struct reconcile *r, bool in_use)
{
    if (in_use)
        return;
    if (has_finalizer(r->object, PROTECTION_FINALIZER))
        drop_finalizer(r, PROTECTION_FINALIZER);
    else if (has_finalizer(r->object, VOLUME_FOLDER_FINALIZER) && node_is_gone(r))
        drop_finalizer(r, VOLUME_FOLDER_FINALIZER);
}

/* --- the pass ------------------------------------------------------------------------------------------------------ */

/* The claim has taken another volume. */
static void let_go(struct reconcile *r)
{
    struct arena *a = r->arena;
    struct value *tree;

    if (volume_node(object_root(r->object)).n) {
        reclaim(r);
    } else if (view_present(volume_annotation(r->object, ANNOTATION_BOUND_BY_CONTROLLER))) {
        tree = value_of_view(a, object_root(r->object));
        value_del(value_get(tree, F_PERSISTENT_VOLUME_SPEC), F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
        value_del_str(value_path(tree, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), STR(ANNOTATION_BOUND_BY_CONTROLLER));
        plan_update(r, &kind_persistentvolume, r->object, tree, "");
    }
}

static int reconcile(struct reconcile *r, struct error *err)
{
    enum claim_state claim;

    (void)err;
    if (!r->object)
        return 0;
    claim = claim_of(r);
    if (claim == CLAIM_UNSURE)
        return 0; /* looked up; asked again then */
    if (pod_is_terminating(r->object)) {
        end(r, claim == CLAIM_THERE);
        return 0;
    }
    switch (claim) {
    case CLAIM_NONE:
        set_phase(r, "Available", "");
        break;
    case CLAIM_THERE:
        set_phase(r, "Bound", "");
        break;
    case CLAIM_ELSEWHERE:
        let_go(r);
        break;
    default:
        reclaim(r);
    }
    return 0;
}

static void volumes_of_claim(struct cluster *cluster, const struct object *claim, trigger_emit_fn *emit, void *arg)
{
    struct objects all = cache_all(cluster_cache(cluster, &kind_persistentvolume));

    for (size_t i = 0; i < all.count; i++)
        if (volume_is_reserved(all.items[i]) &&
            str_eq(object_uid(claim), view_str_at(object_root(all.items[i]), F_PERSISTENT_VOLUME_SPEC,
                                                  F_PERSISTENT_VOLUME_SPEC_CLAIM_REF, F_OBJECT_REFERENCE_UID)))
            emit(arg, STR_NONE, object_name(all.items[i]));
}

static void volumes_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects all = cache_all(cluster_cache(cluster, &kind_persistentvolume));

    if (cache_get(cluster_cache(cluster, &kind_node), STR_NONE, object_name(node)))
        return; /* only that it is gone matters */
    for (size_t i = 0; i < all.count; i++)
        if (str_eq(volume_node(object_root(all.items[i])), object_name(node)))
            emit(arg, STR_NONE, object_name(all.items[i]));
}

const struct controller controller_persistentvolume = {
    .name = "persistentvolume",
    .kind = &kind_persistentvolume,
    .triggers = { { &kind_persistentvolumeclaim, BY_FUNCTION, volumes_of_claim },
                  { &kind_node, BY_FUNCTION, volumes_of_node } },
    .reconcile = reconcile,
};
