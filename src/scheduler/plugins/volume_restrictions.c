/* VolumeRestrictions: a claim of mode ReadWriteOncePod belongs to one pod in the whole cluster. */
#include "kinds/claim.h"
#include "scheduler/framework.h"

static bool is_for_one_pod(struct view claim)
{
    struct view_iter it = { 0 };

    while (
        view_next(view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_ACCESS_MODES), &it))
        if (str_is(view_str(it.value), "ReadWriteOncePod"))
            return true;
    return false;
}

static bool is_used(struct cycle *c, struct str namespace_, struct str claim)
{
    size_t i = 0;
    struct str uid;
    void *value;

    while (map_next(&c->view->pods, &i, &uid, &value)) {
        const struct pod_info *pod = value;
        struct view root = object_root(pod->object);
        struct view_iter it = { 0 };

        if (!str_eq(object_namespace(pod->object), namespace_) || str_eq(uid, object_uid(c->pod->object)))
            continue;
        while (view_next(view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES), &it))
            if (str_eq(pod_claim_name(root, it.value, c->arena), claim))
                return true;
    }
    return false;
}

static int prefilter(struct cycle *c, struct error *err)
{
    struct view root = object_root(c->pod->object);
    struct str namespace_ = object_namespace(c->pod->object);
    struct view_iter it = { 0 };

    while (view_next(view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES), &it)) {
        struct str name = pod_claim_name(root, it.value, c->arena);
        const struct object *claim =
            name.n && c->view->storage.get
                ? c->view->storage.get(c->view->storage.arg, &kind_persistentvolumeclaim, namespace_, name)
                : NULL;

        if (claim && is_for_one_pod(object_root(claim)) && is_used(c, namespace_, name))
            return fail(err, ERR_INVALID,
                        "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode");
    }
    return 0;
}

const struct plugin plugin_volume_restrictions = {
    .name = "VolumeRestrictions",
    .prefilter = prefilter,
};
