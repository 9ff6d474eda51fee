/* Update: what the client may not change comes from the old object. Source: registry/rest/update.go BeforeUpdate. */
#include "server/write.h"

#include "kinds/fields.h"
#include "object/managed.h"

static struct str meta_str(const struct value *meta, name_id name)
{
    return value_to_str(value_get(meta, name));
}

static int check_names(struct request *r, struct value *meta, struct error *err)
{
    struct str name = meta_str(meta, F_OBJECT_META_NAME), namespace_ = meta_str(meta, F_OBJECT_META_NAMESPACE);
    if (str_empty(name))
        return fail(err, ERR_BAD_REQUEST,
                    "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
                    STR_ARG(r->info.name));
    if (!str_eq(name, r->info.name))
        return fail(err, ERR_BAD_REQUEST, "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                    STR_ARG(name), STR_ARG(r->info.name));
    if (r->kind->namespaced && !str_empty(namespace_) && !str_eq(namespace_, r->info.namespace_))
        return fail(err, ERR_BAD_REQUEST,
                    "the namespace of the object (%.*s) does not match the namespace on the request (%.*s)",
                    STR_ARG(namespace_), STR_ARG(r->info.namespace_));
    if (r->kind->namespaced)
        value_set(&r->arena, meta, F_OBJECT_META_NAMESPACE, r->info.namespace_);
    return 0;
}

static int check_version(struct request *r, struct value *meta, struct error *err)
{
    struct str given = meta_str(meta, F_OBJECT_META_RESOURCE_VERSION), uid = meta_str(meta, F_OBJECT_META_UID);
    uint64_t revision = 0;
    if (!str_empty(given) && !str_to_u64(given, &revision))
        return fail(err, ERR_BAD_REQUEST, "resourceVersion: invalid value \"%.*s\"", STR_ARG(given));
    if (revision == 0 && str_is(r->info.verb, "update") && r->kind->update_needs_revision) {
        fail(err, ERR_INVALID,
             "%s.%s \"%.*s\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
             r->kind->kind, r->kind->group, STR_ARG(r->info.name));
        error_set_details(err, str_of(r->kind->group), str_of(r->kind->kind), r->info.name);
        error_add_cause(err, "FieldValueInvalid", STR("metadata.resourceVersion"),
                        "Invalid value: 0x0: must be specified for an update");
        return -1;
    }
    /* An update names the object it means by its uid; a patch that changes the uid is judged by validation. */
    if (str_is(r->info.verb, "update") && !str_empty(uid) && !str_eq(uid, object_uid(r->old)))
        return fail_conflict(r, r->kind, r->info.name, err,
                             "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s", STR_ARG(uid),
                             STR_ARG(object_uid(r->old)));
    if (revision && revision != object_revision(r->old))
        return fail_conflict(r, r->kind, r->info.name, err, MODIFIED_TEXT);
    return 0;
}

static bool is_unset(const struct value *v)
{
    return !v || value_type(v) == VALUE_NULL || (value_type(v) == VALUE_STRING && str_empty(value_to_str(v)));
}

/* Source: apimachinery/pkg/api/validation/objectmeta.go ValidateObjectMetaAccessorUpdate: what is left out is filled in, what is
 * changed is refused there. */
static void carry_over(struct request *r, struct value *meta, const struct value *old_meta)
{
    static const struct {
        name_id name;
        bool always; /* else only when the client left it out */
    } rows[] = {
        { F_OBJECT_META_UID, false },
        { F_OBJECT_META_CREATION_TIMESTAMP, false },
        { F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS, false },
        { F_OBJECT_META_GENERATE_NAME, false },
        { F_OBJECT_META_GENERATION, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].always || is_unset(value_get(meta, rows[i].name)))
            value_put(&r->arena, meta, rows[i].name, value_get(old_meta, rows[i].name));
    if (value_get(old_meta, F_OBJECT_META_DELETION_TIMESTAMP))
        value_put(&r->arena, meta, F_OBJECT_META_DELETION_TIMESTAMP,
                  value_get(old_meta, F_OBJECT_META_DELETION_TIMESTAMP));
    value_del(meta, F_OBJECT_META_RESOURCE_VERSION);
    value_del(meta, F_OBJECT_META_SELF_LINK);
}

static bool is_outside_generation(name_id id)
{
    return id == F_POD_METADATA || id == F_POD_STATUS || id == F_POD_API_VERSION || id == F_POD_KIND;
}

/* Does anything but metadata and status differ? */
static bool spec_changed(const struct value *old, const struct value *new)
{
    for (uint32_t i = 0; i < new->members_count; i++) {
        const struct member *m = &new->members[i];
        if (!is_outside_generation(m->id) && !value_equal(m->value, value_get_str(old, m->name)))
            return true;
    }
    for (uint32_t i = 0; i < old->members_count; i++) {
        const struct member *m = &old->members[i];
        if (!is_outside_generation(m->id) && !value_get_str(new, m->name))
            return true;
    }
    return false;
}

int write_finish_update(struct request *r, struct value *tree, struct error *err)
{
    struct arena *a = &r->arena;
    struct value *live = value_of_view(a, object_root(r->old)), *meta = value_make_object(a, tree, F_POD_METADATA);
    struct value *old_meta = value_get(live, F_POD_METADATA);
    if (check_names(r, meta, err) < 0 || check_version(r, meta, err) < 0)
        return -1;
    carry_over(r, meta, old_meta);
    value_del(old_meta, F_OBJECT_META_RESOURCE_VERSION);
    struct kind_context context = request_kind_context(r);
    kind_run_default(r->kind, &context, tree);
    if (r->patch_type != PATCH_APPLY) {
        struct managed_call call = {
            .schema = r->kind->schema,
            .manager = r->options.field_manager,
            .subresource = str_of(context.subresource),
            .now_ms = r->wall_ms,
        };
        managed_update(a, &call, live, tree);
    }
    kind_run_prepare(r->kind, &context, tree, object_root(r->old));
    if (r->kind->has_generation && spec_changed(live, tree))
        value_set_int(a, meta, F_OBJECT_META_GENERATION,
                      value_to_int(value_get(old_meta, F_OBJECT_META_GENERATION), 0) + 1);
    r->tree = tree;
    return 0;
}

int write_update(struct request *r, struct error *err)
{
    /* A restart begins with what the client sent, not with what the last attempt made of it. */
    if (!r->perform)
        r->perform = r->tree;
    return write_finish_update(r, value_copy(&r->arena, r->perform), err);
}
