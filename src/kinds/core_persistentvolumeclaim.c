/* PersistentVolumeClaim: a wish for storage, and the volume that fulfils it. Source: pkg/apis/core. */
#include "kinds/cells.h"
#include "kinds/claim.h"
#include "kinds/schemas.h"
#include "object/quantity.h"

static void default_(struct kind_context *c, struct value *claim)
{
    claim_default(c->arena, claim);
}

static void prepare(struct kind_context *c, struct value *claim, struct view old)
{
    struct value *spec = value_make_object(c->arena, claim, F_PERSISTENT_VOLUME_CLAIM_SPEC);

    strategy_spec_and_status(c, claim, old);
    if (c->create)
        value_set_text(c->arena, value_make_object(c->arena, claim, F_PERSISTENT_VOLUME_CLAIM_STATUS),
                       F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE, "Pending");
    if (!context_is(c, "status"))
        claim_normalize_sources(c->arena, spec);
}

/* --- rules ------------------------------------------------------------------------------------------------------- */

static struct view storage_of(struct view claim)
{
    return view_get_str(view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES,
                                  F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS),
                        STR("storage"));
}

static struct view class_annotation(struct view claim)
{
    return view_get_str(view_path(claim, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), STR(CLAIM_CLASS_ANNOTATION));
}

/* The class may move from the annotation to the field, and be set where there was none (retroactive default). */
static bool class_may_become(struct view claim, struct view old)
{
    struct view now =
        view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME);
    struct view before =
        view_path(old, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME);
    struct view annotated = class_annotation(old);

    if (view_present(before) || !view_present(now))
        return false;
    return view_present(annotated) ? str_eq(view_str(annotated), view_str(now)) : true;
}

/* The spec with what may change made the same as in `old`. */
static bool spec_changed(struct kind_context *c, struct view claim, struct view old)
{
    struct arena *a = c->arena;
    struct view old_spec = view_get(old, F_PERSISTENT_VOLUME_CLAIM_SPEC);
    struct value *now = value_of_view(a, view_get(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC));
    struct value *was = value_of_view(a, old_spec), *requests;
    bool bound =
        str_is(view_str_at(claim, F_PERSISTENT_VOLUME_CLAIM_STATUS, F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE), "Bound");

    if (!view_str_at(old_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME).n)
        value_put(a, was, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME,
                  value_get(now, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME));
    if (class_may_become(claim, old))
        value_del(now, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME);
    requests = value_path(now, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES, F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS);
    if (bound && value_type(requests) == VALUE_OBJECT)
        value_put_str(a, requests, STR("storage"), value_of_view(a, storage_of(old)));
    value_put(a, now, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_ATTRIBUTES_CLASS_NAME,
              value_get(was, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_ATTRIBUTES_CLASS_NAME));
    return !value_equal(now, was);
}

static struct quantity quantity_of_view(struct view v)
{
    struct quantity q = { 0 };

    quantity_parse(view_str(v), &q, NULL);
    return q;
}

static void validate_update(struct check *k, struct view claim, struct view old)
{
    struct view now = class_annotation(claim), was = class_annotation(old);
    const struct at *spec = AT(AT_ROOT, "spec");
    struct view held = view_get_str(
        view_path(old, F_PERSISTENT_VOLUME_CLAIM_STATUS, F_PERSISTENT_VOLUME_CLAIM_STATUS_CAPACITY), STR("storage"));

    if (!class_may_become(claim, old) && !str_eq(view_str(now), view_str(was)))
        check_invalid_str(k, AT(AT(AT(AT_ROOT, "metadata"), "annotations"), CLAIM_CLASS_ANNOTATION), view_str(now),
                          "field is immutable");
    if (spec_changed(k->context, claim, old))
        check_forbidden(k, spec,
                        "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
                        "bound claims");
    if (quantity_cmp(quantity_of_view(storage_of(claim)), quantity_of_view(storage_of(old))) < 0 &&
        quantity_cmp(quantity_of_view(storage_of(claim)), quantity_of_view(held)) <= 0)
        check_forbidden(k, AT(AT(AT(spec, "resources"), "requests"), "storage"),
                        "field can not be less than status.capacity");
    check_immutable(k, AT(AT_ROOT, "volumeMode"),
                    view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE),
                    view_path(old, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE));
}

static void validate(struct kind_context *c, struct view claim, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);
    struct view_iter it = { 0 };

    if (context_is(c, "status")) {
        while (view_next(view_path(claim, F_PERSISTENT_VOLUME_CLAIM_STATUS, F_PERSISTENT_VOLUME_CLAIM_STATUS_CAPACITY),
                         &it))
            if (quantity_sign(quantity_of_view(it.value)) < 0)
                check_invalid(k, AT_KEY(AT(AT(AT_ROOT, "status"), "capacity"), it.key), it.value,
                              "must be greater than or equal to 0");
        return;
    }
    claim_spec_validate(k, AT(AT_ROOT, "spec"), view_get(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC));
    if (!c->create)
        validate_update(k, claim, old);
}

/* --- kubectl get ------------------------------------------------------------------------------------------------- */

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", "Pending, Bound, or Lost when its volume is gone.", 0 },
    { "Volume", "string", "", "The volume it is bound to.", 0 },
    { "Capacity", "string", "", "Size of that volume.", 0 },
    { "Access Modes", "string", "", "How that volume may be mounted.", 0 },
    { "StorageClass", "string", "", "The class it asks for.", 0 },
    { "VolumeAttributesClass", "string", "", "The attributes class it asks for.", 0 },
    COLUMN_AGE,
    { "VolumeMode", "string", "", "Filesystem or Block.", 1 },
    { NULL },
};

static void row(struct arena *a, struct view claim, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC);
    struct view status = view_get(claim, F_PERSISTENT_VOLUME_CLAIM_STATUS);
    struct str volume = view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);
    bool terminating = view_present(view_path(claim, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
    struct view capacity = view_get_str(view_get(status, F_PERSISTENT_VOLUME_CLAIM_STATUS_CAPACITY), STR("storage"));

    cell_name(a, cells, claim);
    cell_str(a, cells, terminating ? STR("Terminating") : view_str_at(status, F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE));
    cell_str(a, cells, volume);
    cell_str(a, cells, volume.n ? view_str(capacity) : STR_NONE);
    cell_str(a, cells,
             volume.n ? text_access_modes(a, view_get(status, F_PERSISTENT_VOLUME_CLAIM_STATUS_ACCESS_MODES))
                      : STR_NONE);
    cell_str(a, cells, storage_class_of(claim));
    cell_or(a, cells, view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_ATTRIBUTES_CLASS_NAME), CELL_UNSET);
    cell_age(a, cells, claim, now_ms);
    cell_or(a, cells, view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE), CELL_UNSET);
}

static const struct kind_subresource subresources[] = {
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_persistentvolumeclaim = {
    .group = "",
    .version = "v1",
    .kind = "PersistentVolumeClaim",
    .list_kind = "PersistentVolumeClaimList",
    .plural = "persistentvolumeclaims",
    .singular = "persistentvolumeclaim",
    .short_names = (const char *const[]){ "pvc", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .delete_returns_object = true,
    .schema = &schema_core_v1_persistent_volume_claim,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .prepare = prepare,
    .validate = validate,
};
