/*
 * A bound claim may ask for more only when its class can give it. Source: plugin/pkg/admission/storage/persistentvolume/resize.
 */
#include "kinds/claim.h"
#include "kinds/fields.h"
#include "object/quantity.h"
#include "server/admission.h"

static bool applies(const struct request *r)
{
    return admission_is_update(r, &kind_persistentvolumeclaim);
}

static struct quantity storage_of(struct view claim)
{
    struct view requests = view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES,
                                     F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS);
    struct quantity q = { 0 };

    quantity_parse(view_str(view_get_str(requests, STR("storage"))), &q, NULL);
    return q;
}

static enum phase_result validate(struct request *r, struct view claim, struct view old)
{
    struct str name = storage_class_of(claim);
    const struct object *class;

    if (quantity_cmp(storage_of(claim), storage_of(old)) <= 0)
        return PHASE_DONE;
    if (!str_is(view_str_at(old, F_PERSISTENT_VOLUME_CLAIM_STATUS, F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE), "Bound"))
        return admission_forbid(r, "Only bound persistent volume claims can be expanded");
    class = name.n ? state_get(server_state(r->server), &kind_storageclass, STR_NONE, name) : NULL;
    if (class && view_bool_at(object_root(class), false, F_STORAGE_CLASS_ALLOW_VOLUME_EXPANSION))
        return PHASE_DONE;
    return admission_forbid(r, "only dynamically provisioned pvc can be resized and the storageclass that provisions "
                               "the pvc must support resize");
}

const struct admission_step admission_claim_resize = {
    .name = "PersistentVolumeClaimResize",
    .applies = applies,
    .validate = validate,
};
