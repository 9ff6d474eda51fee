/* Generic ephemeral volumes: a claim that a pod has for its own life. Source: pkg/controller/volume/ephemeral. */
#include "controllers/controllers.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/claim.h"

static struct value *claim_tree(struct reconcile *r, struct view template, struct str name)
{
    struct arena *a = r->arena;
    struct view from = view_get(template, F_PERSISTENT_VOLUME_CLAIM_TEMPLATE_METADATA);
    struct value *tree = value_object(a), *metadata = value_make_object(a, tree, F_POD_METADATA);

    value_set_text(a, tree, F_POD_API_VERSION, "v1");
    value_set_text(a, tree, F_POD_KIND, "PersistentVolumeClaim");
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, r->namespace_);
    value_put(a, metadata, F_OBJECT_META_LABELS, value_of_view(a, view_get(from, F_OBJECT_META_LABELS)));
    value_put(a, metadata, F_OBJECT_META_ANNOTATIONS, value_of_view(a, view_get(from, F_OBJECT_META_ANNOTATIONS)));
    own_set_controller(a, tree, &kind_pod, r->object);
    value_put(a, tree, F_POD_SPEC, value_of_view(a, view_get(template, F_PERSISTENT_VOLUME_CLAIM_TEMPLATE_SPEC)));
    return tree;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct view_iter it = { 0 };

    (void)err;
    if (!r->object || pod_is_terminating(r->object) || pod_is_finished(r->object))
        return 0;
    while (view_next(view_path(object_root(r->object), F_POD_SPEC, F_POD_SPEC_VOLUMES), &it)) {
        struct view template = view_path(it.value, F_VOLUME_EPHEMERAL, F_EPHEMERAL_VOLUME_SOURCE_VOLUME_CLAIM_TEMPLATE);
        struct str name = pod_claim_name(object_root(r->object), it.value, r->arena);
        const struct object *claim;

        if (!view_present(template))
            continue;
        claim = reconcile_get(r, &kind_persistentvolumeclaim, r->namespace_, name);
        if (!claim)
            plan_create(r, &kind_persistentvolumeclaim, r->namespace_, claim_tree(r, template, name));
        else if (!own_is_controlled_by(claim, r->object))
            plan_event(r, &kind_pod, r->object, "Warning", "EphemeralClaimConflict",
                       "PVC %.*s/%.*s was not created for pod %.*s/%.*s (pod is not owner)", STR_ARG(r->namespace_),
                       STR_ARG(name), STR_ARG(r->namespace_), STR_ARG(r->name));
    }
    return 0;
}

const struct controller controller_ephemeralvolume = {
    .name = "ephemeralvolume",
    .kind = &kind_pod,
    .triggers = { { &kind_persistentvolumeclaim, BY_CONTROLLER } },
    .reconcile = reconcile,
};
