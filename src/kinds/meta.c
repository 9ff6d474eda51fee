/* Rules for metadata: names, labels, annotations, owners, finalizers, and what an update may not touch. */
#include "kinds/meta.h"

#include "kinds/check_format.h"
#include "object/validate.h"

#define MANAGER_BYTES_MAX 128

static void check_names(struct check *k, const struct kind *kind, const struct at *at, struct view metadata)
{
    const char *(*check)(struct str, bool) = kind->name_check ? kind->name_check : name_is_dns_subdomain;
    struct str name = view_str_at(metadata, F_OBJECT_META_NAME);
    struct str prefix = view_str_at(metadata, F_OBJECT_META_GENERATE_NAME);
    const char *problem;

    if (prefix.n && (problem = check(prefix, true)))
        check_invalid_str(k, AT(at, "generateName"), prefix, problem);
    if (!name.n)
        check_required(k, AT(at, "name"), "name or generateName is required");
    else if ((problem = check(name, false)))
        check_invalid_str(k, AT(at, "name"), name, problem);
}

static void check_namespace(struct check *k, const struct kind *kind, const struct at *at, struct view metadata)
{
    struct str namespace_ = view_str_at(metadata, F_OBJECT_META_NAMESPACE);

    if (!kind->namespaced && namespace_.n)
        check_forbidden(k, AT(at, "namespace"), "not allowed on this type");
    else if (kind->namespaced && !namespace_.n)
        check_required(k, AT(at, "namespace"), "");
    else if (kind->namespaced)
        check_dns_label(k, AT(at, "namespace"), namespace_);
}

void meta_check_annotations(struct check *k, const struct at *at, struct view annotations)
{
    struct view_iter it = { 0 };
    size_t total = 0;

    while (view_next(annotations, &it)) {
        check_annotation_key(k, at, it.key);
        total += it.key.n + view_str(it.value).n;
    }
    if (total > VALIDATE_ANNOTATIONS_MAX_BYTES)
        check_too_long(k, at, VALIDATE_ANNOTATIONS_MAX_BYTES);
}

static void check_owner(struct check *k, const struct at *at, struct view owner)
{
    struct str api_version = view_str_at(owner, F_OWNER_REFERENCE_API_VERSION);
    struct str kind = view_str_at(owner, F_OWNER_REFERENCE_KIND);

    if (!api_version.n || str_ends(api_version, STR("/")))
        check_invalid_str(k, AT(at, "apiVersion"), api_version, "version must not be empty");
    if (!kind.n)
        check_invalid_str(k, AT(at, "kind"), STR_NONE, "kind must not be empty");
    if (!view_str_at(owner, F_OWNER_REFERENCE_NAME).n)
        check_invalid_str(k, AT(at, "name"), STR_NONE, "name must not be empty");
    if (!view_str_at(owner, F_OWNER_REFERENCE_UID).n)
        check_invalid_str(k, AT(at, "uid"), STR_NONE, "uid must not be empty");
    if (str_is(api_version, "v1") && str_is(kind, "Event"))
        check_invalid(k, at, owner, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct check *k, const struct at *at, struct view owners)
{
    struct view_iter it = { 0 };
    struct str controller = STR_NONE;

    for (size_t i = 0; view_next(owners, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_OWNER_REFERENCE_NAME);

        check_owner(k, AT_INDEX(at, i), it.value);
        if (!view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            continue;
        if (controller.p) {
            struct str detail = arena_printf(k->arena,
                                             "Only one reference can have Controller set to true. Found \"true\" in "
                                             "references for %.*s and %.*s",
                                             STR_ARG(controller), STR_ARG(name));

            check_invalid(k, at, owners, detail.p);
        } else {
            controller = name.p ? name : STR("");
        }
    }
}

void meta_check_finalizer(struct check *k, const struct at *at, struct str finalizer)
{
    static const char *const standard[] = { "kubernetes", "orphan", "foregroundDeletion", NULL };

    check_qualified_name(k, at, finalizer);
    if (str_find(finalizer, '/') < 0 && !str_in(finalizer, standard))
        check_invalid_str(k, at, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
}

static void check_finalizers(struct check *k, const struct at *at, struct view finalizers)
{
    struct view_iter it = { 0 };
    bool orphan = false, foreground = false;

    for (size_t i = 0; view_next(finalizers, &it) && !check_full(k); i++) {
        struct str finalizer = view_str(it.value);

        meta_check_finalizer(k, AT_INDEX(at, i), finalizer);
        orphan |= str_is(finalizer, "orphan");
        foreground |= str_is(finalizer, "foregroundDeletion");
    }
    if (orphan && foreground)
        check_invalid(k, at, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_managed_fields(struct check *k, const struct at *at, struct view entries)
{
    static const char *const operations[] = { "Apply", "Update", NULL };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(entries, &it) && !check_full(k); i++) {
        const struct at *entry = AT_INDEX(at, i);
        struct str operation = view_str_at(it.value, F_MANAGED_FIELDS_ENTRY_OPERATION);
        struct str type = view_str_at(it.value, F_MANAGED_FIELDS_ENTRY_FIELDS_TYPE);

        if (!str_in(operation, operations))
            check_invalid_str(k, AT(entry, "operation"), operation, "must be `Apply` or `Update`");
        if (type.n && !str_is(type, "FieldsV1"))
            check_invalid_str(k, AT(entry, "fieldsType"), type, "must be `FieldsV1`");
        if (view_str_at(it.value, F_MANAGED_FIELDS_ENTRY_MANAGER).n > MANAGER_BYTES_MAX)
            check_too_long(k, AT(entry, "manager"), MANAGER_BYTES_MAX);
    }
}

/* While an object is being deleted its finalizers can only go, else it could be kept for ever by anyone who may update it. */
static void check_no_new_finalizers(struct check *k, const struct at *at, struct view metadata, struct view old)
{
    AUTO_BUF struct buf added = BUF_MAX(4 * KIB);
    struct view_iter it = { 0 };

    while (view_next(view_get(metadata, F_OBJECT_META_FINALIZERS), &it)) {
        struct view_iter before = { 0 };
        bool found = false;

        while (!found && view_next(view_get(old, F_OBJECT_META_FINALIZERS), &before))
            found = view_equal(it.value, before.value);
        if (!found)
            buf_addf(&added, "%s\"%.*s\"", added.n ? ", " : "", STR_ARG(view_str(it.value)));
    }
    if (!added.n)
        return;
    check_forbidden(k, AT(at, "finalizers"),
                    arena_printf(k->arena,
                                 "no new finalizers can be added if the object is being deleted, found new finalizers "
                                 "[]string{%.*s}",
                                 STR_ARG(buf_str(&added)))
                        .p);
}

static void check_update(struct check *k, const struct at *at, struct view metadata, struct view old)
{
    static const struct {
        name_id name;
        struct str text;
    } immutable[] = {
        { F_OBJECT_META_NAME, STR_INIT("name") },
        { F_OBJECT_META_NAMESPACE, STR_INIT("namespace") },
        { F_OBJECT_META_UID, STR_INIT("uid") },
        { F_OBJECT_META_CREATION_TIMESTAMP, STR_INIT("creationTimestamp") },
        { F_OBJECT_META_DELETION_TIMESTAMP, STR_INIT("deletionTimestamp") },
        { F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS, STR_INIT("deletionGracePeriodSeconds") },
    };
    int64_t generation = view_int_at(metadata, 0, F_OBJECT_META_GENERATION);

    if (view_str_at(old, F_OBJECT_META_DELETION_TIMESTAMP).n)
        check_no_new_finalizers(k, at, metadata, old);
    if (generation < view_int_at(old, 0, F_OBJECT_META_GENERATION))
        check_invalid_int(k, AT(at, "generation"), generation, "must not be decremented");
    for (size_t i = 0; i < ARRAY_SIZE(immutable); i++)
        check_immutable(k, AT_STR(at, immutable[i].text), view_get(metadata, immutable[i].name),
                        view_get(old, immutable[i].name));
}

void meta_validate(struct check *k, const struct kind *kind, const struct at *at, struct view metadata, struct view old)
{
    if (view_present(old)) {
        check_update(k, at, metadata, old);
    } else {
        check_names(k, kind, at, metadata);
        check_namespace(k, kind, at, metadata);
        check_not_negative(k, AT(at, "generation"), view_int_at(metadata, 0, F_OBJECT_META_GENERATION));
    }
    check_labels(k, AT(at, "labels"), view_get(metadata, F_OBJECT_META_LABELS));
    meta_check_annotations(k, AT(at, "annotations"), view_get(metadata, F_OBJECT_META_ANNOTATIONS));
    check_owners(k, AT(at, "ownerReferences"), view_get(metadata, F_OBJECT_META_OWNER_REFERENCES));
    check_finalizers(k, AT(at, "finalizers"), view_get(metadata, F_OBJECT_META_FINALIZERS));
    check_managed_fields(k, AT(at, "managedFields"), view_get(metadata, F_OBJECT_META_MANAGED_FIELDS));
}
