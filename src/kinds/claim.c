/* Rules of claims wherever they stand. */
#include "kinds/claim.h"

#include "kinds/workload.h"
#include "object/quantity.h"

static const char *const access_modes[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod",
                                            NULL };
static const char *const volume_modes[] = { "Block", "Filesystem", NULL };

void claim_spec_default(struct arena *a, struct value *claim_spec)
{
    if (value_type(claim_spec) == VALUE_OBJECT)
        default_text(a, claim_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE, "Filesystem");
}

void claim_default(struct arena *a, struct value *claim)
{
    claim_spec_default(a, value_make_object(a, claim, F_PERSISTENT_VOLUME_CLAIM_SPEC));
    default_text(a, value_make_object(a, claim, F_PERSISTENT_VOLUME_CLAIM_STATUS),
                 F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE, "Pending");
}

void claim_normalize_sources(struct arena *a, struct value *claim_spec)
{
    struct value *source = value_get(claim_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE);
    struct value *ref = value_get(claim_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE_REF), *copy;

    if (!value_unset(source) && value_unset(ref)) {
        value_put(a, claim_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE_REF, value_copy(a, source));
    } else if (value_unset(source) && !value_unset(ref) &&
               value_empty(value_get(ref, F_TYPED_OBJECT_REFERENCE_NAMESPACE))) {
        copy = value_copy(a, ref);
        value_del(copy, F_TYPED_OBJECT_REFERENCE_NAMESPACE);
        value_put(a, claim_spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE, copy);
    }
}

void check_access_modes(struct check *k, const struct at *at, struct view modes, const char *detail)
{
    bool alone = false, others = false;
    struct view_iter it = { 0 };

    if (!view_count(modes))
        check_required(k, at, detail);
    while (view_next(modes, &it) && !check_full(k)) {
        bool once_pod = str_is(view_str(it.value), "ReadWriteOncePod");

        if (!str_in(view_str(it.value), access_modes))
            check_not_supported(k, at, view_str(it.value), access_modes);
        alone |= once_pod;
        others |= !once_pod;
    }
    if (alone && others)
        check_forbidden(k, at, "may not use ReadWriteOncePod with other access modes");
}

void check_volume_mode(struct check *k, const struct at *at, struct view mode)
{
    if (view_present(mode) && !str_in(view_str(mode), volume_modes))
        check_not_supported(k, at, view_str(mode), volume_modes);
}

void check_positive_quantity(struct check *k, const struct at *at, struct view quantity)
{
    struct quantity q = { 0 };

    quantity_parse(view_str(quantity), &q, NULL);
    if (quantity_sign(q) <= 0)
        check_invalid(k, at, quantity, "must be greater than zero");
}

static void check_source(struct check *k, const struct at *at, struct view source)
{
    struct str group = view_str_at(source, F_TYPED_OBJECT_REFERENCE_API_GROUP);
    struct str kind = view_str_at(source, F_TYPED_OBJECT_REFERENCE_KIND);

    if (!view_str_at(source, F_TYPED_OBJECT_REFERENCE_NAME).n)
        check_required(k, AT(at, "name"), "");
    if (!kind.n)
        check_required(k, AT(at, "kind"), "");
    if (!group.n && !str_is(kind, "PersistentVolumeClaim"))
        check_invalid_str(k, at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (group.n)
        check_dns_subdomain(k, AT(at, "apiGroup"), group);
}

static void check_sources(struct check *k, const struct at *at, struct view spec)
{
    struct view source = view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE);
    struct view ref = view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE_REF);
    struct str namespace_ = view_str_at(ref, F_TYPED_OBJECT_REFERENCE_NAMESPACE);

    if (view_present(source))
        check_source(k, AT(at, "dataSource"), source);
    if (view_present(ref))
        check_source(k, AT(at, "dataSourceRef"), ref);
    if (namespace_.n)
        check_dns_label(k, AT(AT(at, "dataSourceRef"), "namespace"), namespace_);
    if (!view_present(source) || !view_present(ref))
        return;
    if (namespace_.n)
        check_invalid(k, at, source, "may not be specified when dataSourceRef.namespace is specified");
    else if (!str_eq(view_str_at(source, F_TYPED_OBJECT_REFERENCE_NAME),
                     view_str_at(ref, F_TYPED_OBJECT_REFERENCE_NAME)) ||
             !str_eq(view_str_at(source, F_TYPED_OBJECT_REFERENCE_KIND),
                     view_str_at(ref, F_TYPED_OBJECT_REFERENCE_KIND)) ||
             !str_eq(view_str_at(source, F_TYPED_OBJECT_REFERENCE_API_GROUP),
                     view_str_at(ref, F_TYPED_OBJECT_REFERENCE_API_GROUP)))
        check_invalid(k, at, source, "must match dataSourceRef");
}

void claim_spec_validate(struct check *k, const struct at *at, struct view spec)
{
    struct view selector = view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_SELECTOR);
    struct view storage =
        view_get_str(view_path(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES, F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS),
                     STR("storage"));
    struct str class = view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME);
    struct str attributes = view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_ATTRIBUTES_CLASS_NAME);

    check_access_modes(k, AT(at, "accessModes"), view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_ACCESS_MODES),
                       "at least 1 access mode is required");
    if (view_present(selector))
        check_label_selector(k, AT(at, "selector"), selector);
    if (!view_present(storage))
        check_required(k, AT_KEY(AT(at, "resources"), STR("storage")), "");
    else
        check_positive_quantity(k, AT_KEY(AT(at, "resources"), STR("storage")), storage);
    if (class.n)
        check_dns_subdomain(k, AT(at, "storageClassName"), class);
    check_volume_mode(k, AT(at, "volumeMode"), view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE));
    check_sources(k, at, spec);
    if (attributes.n)
        check_dns_subdomain(k, AT(at, "volumeAttributesClassName"), attributes);
}

struct str text_access_modes(struct arena *a, struct view modes)
{
    static const struct {
        const char *mode, *text;
    } texts[] = {
        /* in the order of upstream's printer */
        { "ReadWriteOnce", "RWO" },
        { "ReadOnlyMany", "ROX" },
        { "ReadWriteMany", "RWX" },
        { "ReadWriteOncePod", "RWOP" },
    };
    AUTO_BUF struct buf text = BUF_MAX(64);

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct view_iter it = { 0 };
        bool has = false;

        while (view_next(modes, &it))
            has |= str_is(view_str(it.value), texts[i].mode);
        if (has)
            buf_addf(&text, "%s%s", text.n ? "," : "", texts[i].text);
    }
    return arena_str(a, buf_str(&text));
}

struct str storage_class_of(struct view o)
{
    struct view old =
        view_get_str(view_path(o, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), STR(CLAIM_CLASS_ANNOTATION));

    return view_present(old)
               ? view_str(old)
               : view_str_at(o, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME);
}

struct str volume_node(struct view volume)
{
    struct view metadata = view_get(volume, F_POD_METADATA);
    struct view by = view_get_str(view_get(metadata, F_OBJECT_META_ANNOTATIONS), STR(VOLUME_PROVISIONER_ANNOTATION));

    return str_is(view_str(by), VOLUME_PROVISIONER)
               ? view_str(view_get_str(view_get(metadata, F_OBJECT_META_LABELS), STR(VOLUME_NODE_LABEL)))
               : STR_NONE;
}

/* --- fitting ------------------------------------------------------------------------------------------------------- */

static struct quantity storage(struct view list)
{
    struct quantity q = { 0 };

    quantity_parse(view_str(view_get_str(list, STR("storage"))), &q, NULL);
    return q;
}

struct quantity volume_capacity(struct view volume)
{
    return storage(view_path(volume, F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CAPACITY));
}

static struct str mode_of(struct view o)
{
    struct str mode = view_str_at(o, F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE);

    return mode.n ? mode : STR("Filesystem");
}

static bool has_modes(struct view offered, struct view wanted)
{
    struct view_iter it = { 0 }, have;

    while (view_next(wanted, &it)) {
        bool found = false;

        have = (struct view_iter){ 0 };
        while (view_next(offered, &have))
            found |= str_eq(view_str(have.value), view_str(it.value));
        if (!found)
            return false;
    }
    return true;
}

const char *claim_mismatch(struct view claim, struct view volume)
{
    struct view spec = view_get(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC);
    struct view requests =
        view_path(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES, F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS);

    if (quantity_cmp(volume_capacity(volume), storage(requests)) < 0)
        return "requested PV is too small";
    if (!str_eq(storage_class_of(volume), storage_class_of(claim)))
        return "storageClassName does not match";
    if (!str_eq(mode_of(volume), mode_of(claim)))
        return "incompatible volumeMode";
    if (!has_modes(view_path(volume, F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_ACCESS_MODES),
                   view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_ACCESS_MODES)))
        return "incompatible accessMode";
    return NULL;
}

bool claim_selects(struct view claim, struct view volume)
{
    struct view selector = view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_SELECTOR);

    return !view_present(selector) ||
           selector_matches(selector, view_path(volume, F_POD_METADATA, F_OBJECT_META_LABELS));
}

bool claim_is_bound(struct view claim)
{
    struct view annotations = view_path(claim, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);

    return view_str_at(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME).n &&
           view_present(view_get_str(annotations, STR(CLAIM_BIND_COMPLETED)));
}

struct str pod_claim_name(struct view pod, struct view volume, struct arena *a)
{
    struct view claim = view_get(volume, F_VOLUME_PERSISTENT_VOLUME_CLAIM);

    if (view_present(claim))
        return view_str_at(claim, F_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE_CLAIM_NAME);
    return view_present(view_get(volume, F_VOLUME_EPHEMERAL))
               ? arena_printf(a, "%.*s-%.*s", STR_ARG(view_str_at(pod, F_POD_METADATA, F_OBJECT_META_NAME)),
                              STR_ARG(view_str_at(volume, F_VOLUME_NAME)))
               : STR_NONE;
}
