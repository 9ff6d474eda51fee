/* Patch: the newest object, changed as the client says, then treated like an update. Source: endpoints/handlers/patch.go. */
#include "server/write.h"

#include "kinds/fields.h"
#include "object/jsonpatch.h"
#include "object/managed.h"
#include "object/mergepatch.h"
#include "object/strategic.h"
#include "server/seams.h"

static int normalize(struct request *r, struct value *tree, const struct value *quoted, bool as_go, struct error *err)
{
    if (!r->warnings)
        r->warnings = value_array(&r->arena);
    AUTO_ERROR struct error inner = { 0 };
    struct schema_options options = {
        .style = as_go ? SCHEMA_CONVERT : SCHEMA_DECODE_PLAIN,
        .validation = r->options.validation,
        .warnings = r->warnings,
    };
    if (schema_normalize(&r->arena, r->kind->schema, tree, &options, &inner) == 0)
        return 0;
    /* Unknown fields too, when validation is strict: upstream answers both with 422. */
    error_move(err, &inner);
    return patch_invalid(quoted, as_go, err);
}

static struct value *patched(struct request *r, struct value *live, struct error *err)
{
    struct arena *a = &r->arena;
    struct value *out;
    switch (r->patch_type) {
    case PATCH_JSON:
        out = json_patch_apply(a, live, r->patch, err);
        break;
    case PATCH_MERGE:
        out = merge_patch_apply(a, live, r->patch);
        break;
    default:
        out = strategic_merge(a, r->kind->schema, live, r->patch, err);
        break;
    }
    if (!out)
        return NULL;
    out = value_copy(a, out); /* the patch and the old tree are needed again when the write loses a race */
    bool strategic = r->patch_type == PATCH_STRATEGIC;
    return normalize(r, out, strategic ? r->patch : out, strategic, err) < 0 ? NULL : out;
}

/* Creating by apply needs the right to create. Source: patch.go withAuthorization. */
static int may_create(struct request *r, struct error *err)
{
    struct authz_attributes attributes = {
        .identity = &r->identity,
        .is_resource = true,
        .verb = STR("create"),
        .group = r->info.group,
        .version = r->info.version,
        .resource = r->info.resource,
        .namespace_ = r->info.namespace_,
        .name = r->info.name,
    };
    struct str reason = STR_NONE;
    if (server_config(r->server)->allow_all || authz_allows(r->server, &r->arena, &attributes, &reason))
        return 0;
    return authz_forbid(&attributes, reason, err);
}

static int apply(struct request *r, struct error *err)
{
    struct arena *a = &r->arena;
    struct value *config = value_copy(a, r->patch), *live = NULL, *out = NULL;
    struct managed_call call = {
        .schema = r->kind->schema,
        .manager = r->options.field_manager,
        .subresource = r->sub ? str_of(r->sub->name) : STR_NONE,
        .now_ms = r->wall_ms,
    };
    struct value *meta = value_get(config, F_POD_METADATA);
    if (meta && str_empty(value_to_str(value_get(meta, F_OBJECT_META_NAME))))
        value_set(a, meta, F_OBJECT_META_NAME, r->info.name);
    if (r->old) {
        live = value_of_view(a, object_root(r->old));
    } else if (r->sub) {
        return fail_not_found(r, r->kind, r->info.name, err);
    } else if (may_create(r, err) < 0) {
        return -1;
    }
    if (managed_apply(a, &call, live, config, r->options.force, &out, NULL, err) < 0)
        return -1;
    if (r->old)
        return write_finish_update(r, out, err);
    meta = value_make_object(a, out, F_POD_METADATA);
    struct str name = value_to_str(value_get(meta, F_OBJECT_META_NAME));
    if (!str_eq(name, r->info.name))
        return fail(err, ERR_BAD_REQUEST, "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                    STR_ARG(name), STR_ARG(r->info.name));
    if (!str_empty(value_to_str(value_get(meta, F_OBJECT_META_UID))))
        return fail_conflict(r, r->kind, r->info.name, err,
                             "uid mismatch: the provided object specified uid %.*s, and no existing object was found",
                             STR_ARG(value_to_str(value_get(meta, F_OBJECT_META_UID))));
    return write_finish_create(r, out, true, err);
}

int write_patch(struct request *r, struct error *err)
{
    if (r->patch_type == PATCH_APPLY)
        return apply(r, err);
    struct value *out = patched(r, value_of_view(&r->arena, object_root(r->old)), err);
    return out ? write_finish_update(r, out, err) : -1;
}
