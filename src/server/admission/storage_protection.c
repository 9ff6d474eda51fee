/*
 * Claims and volumes get a finalizer, so that one in use is not gone before its user is.
 * Source: plugin/pkg/admission/storage/storageobjectinuseprotection.
 */
#include "kinds/fields.h"
#include "server/admission.h"

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_persistentvolumeclaim) || admission_is_create(r, &kind_persistentvolume);
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    const char *name =
        r->kind == &kind_persistentvolume ? "kubernetes.io/pv-protection" : "kubernetes.io/pvc-protection";
    struct value *metadata = value_make_object(&r->arena, tree, F_POD_METADATA);
    struct value *finalizers = value_make_array(&r->arena, metadata, F_OBJECT_META_FINALIZERS);

    for (uint32_t i = 0; i < finalizers->items_count; i++)
        if (str_is(value_to_str(finalizers->items[i]), name))
            return PHASE_DONE;
    value_append(&r->arena, finalizers, value_text(&r->arena, name));
    return PHASE_DONE;
}

const struct admission_step admission_storage_protection = {
    .name = "StorageObjectInUseProtection",
    .applies = applies,
    .mutate = mutate,
};
