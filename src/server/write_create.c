/* Create: system fields, generated names, defaults, ownership, strategy. Source: registry/rest/create.go BeforeCreate. */
#include "server/write.h"

#include "base/time.h"
#include "kinds/fields.h"
#include "object/managed.h"
#include "server/server_internal.h"

#define SUFFIX_LENGTH 5
#define NAME_BASE_MAX (63 - SUFFIX_LENGTH) /* upstream: names/generate.go maxGeneratedNameLength */

static void generate_name(struct request *r, struct value *meta)
{
    struct str base = value_to_str(value_get(meta, F_OBJECT_META_GENERATE_NAME));
    char suffix[SUFFIX_LENGTH + 1];
    env_random_suffix(r->server->env, suffix, SUFFIX_LENGTH);
    base.n = MIN(base.n, (size_t)NAME_BASE_MAX);
    r->info.name = arena_printf(&r->arena, "%.*s%s", STR_ARG(base), suffix);
    value_set(&r->arena, meta, F_OBJECT_META_NAME, r->info.name);
    r->core.generate_name = true;
}

static int place(struct request *r, struct value *meta, struct error *err)
{
    struct str wanted = request_namespace(r), given = value_to_str(value_get(meta, F_OBJECT_META_NAMESPACE));
    if (r->kind->namespaced && !str_empty(given) && !str_eq(given, wanted))
        return fail(err, ERR_BAD_REQUEST,
                    "the namespace of the provided object does not match the namespace sent on the request");
    if (r->kind->namespaced)
        value_set(&r->arena, meta, F_OBJECT_META_NAMESPACE, wanted);
    else
        value_del(meta, F_OBJECT_META_NAMESPACE);
    return 0;
}

static void system_fields(struct request *r, struct value *meta)
{
    struct arena *a = &r->arena;
    char uid[UUID_TEXT_SIZE], now[TIME_TEXT_SIZE];
    value_set(a, meta, F_OBJECT_META_UID, arena_str(a, str_of(env_uuid(r->server->env, uid))));
    value_set(a, meta, F_OBJECT_META_CREATION_TIMESTAMP, arena_str(a, str_of(time_format(r->wall_ms, now))));
    value_del(meta, F_OBJECT_META_DELETION_TIMESTAMP);
    value_del(meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS);
    value_del(meta, F_OBJECT_META_SELF_LINK);
    value_del(meta, F_OBJECT_META_RESOURCE_VERSION);
    value_del(meta, F_OBJECT_META_GENERATION);
    if (r->kind->has_generation)
        value_set_int(a, meta, F_OBJECT_META_GENERATION, 1);
}

int write_finish_create(struct request *r, struct value *tree, bool owned, struct error *err)
{
    struct arena *a = &r->arena;
    struct value *meta = value_make_object(a, tree, F_POD_METADATA);
    if (place(r, meta, err) < 0)
        return -1;
    r->creating = true;
    system_fields(r, meta);
    struct kind_context context = request_kind_context(r);
    kind_run_default(r->kind, &context, tree);
    if (!owned) {
        struct managed_call call = {
            .schema = r->kind->schema,
            .manager = r->options.field_manager,
            .subresource = str_of(context.subresource),
            .now_ms = r->wall_ms,
        };
        managed_update(a, &call, NULL, tree);
    }
    kind_run_prepare(r->kind, &context, tree, VIEW_ABSENT);
    r->tree = tree;
    return 0;
}

int write_create(struct request *r, struct error *err)
{
    struct value *meta = value_make_object(&r->arena, r->tree, F_POD_METADATA);
    /* Judged by the store upstream, hence after validation and not in a dry run. */
    r->core.revision_given = !str_empty(value_to_str(value_get(meta, F_OBJECT_META_RESOURCE_VERSION)));
    struct str name = value_to_str(value_get(meta, F_OBJECT_META_NAME));
    if (!str_empty(name))
        r->info.name = arena_str(&r->arena, name);
    else if (!str_empty(value_to_str(value_get(meta, F_OBJECT_META_GENERATE_NAME))))
        generate_name(r, meta);
    return write_finish_create(r, r->tree, false, err);
}
