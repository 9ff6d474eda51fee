/* Phase decode: is it served at all, and the body as a tree, a patch or delete options. */
#include "server/local.h"
#include "server/negotiate.h"
#include "server/request_options.h"
#include "server/server_internal.h"

#include "kinds/fields.h"
#include "kinds/schemas.h"
#include "object/protobuf.h"
#include "object/yaml.h"

static uint16_t verb_bit(struct str verb)
{
    static const struct {
        const char *name;
        uint16_t bit;
    } rows[] = {
        { "get", VERB_GET },       { "list", VERB_LIST },
        { "watch", VERB_WATCH },   { "create", VERB_CREATE },
        { "update", VERB_UPDATE }, { "patch", VERB_PATCH },
        { "delete", VERB_DELETE }, { "deletecollection", VERB_DELETECOLLECTION },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_is(verb, rows[i].name))
            return rows[i].bit;
    return 0;
}

static int check_served(struct request *r, struct error *err)
{
    if (!r->kind)
        return fail(err, ERR_NOT_FOUND, "the server could not find the requested resource");
    uint16_t bit = verb_bit(r->info.verb), verbs = r->sub ? r->sub->verbs : r->kind->verbs;
    bool all_namespaces = r->kind->namespaced && str_empty(r->info.namespace_);
    bool needs_namespace = bit & (VERB_CREATE | VERB_DELETECOLLECTION);
    if (!(verbs & bit) || (all_namespaces && needs_namespace))
        return fail(err, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
    return 0;
}

/* The schema of what a subresource reads and writes: its own kind's (Scale, Binding, Eviction), else the object's. */
static void find_body_schema(struct request *r)
{
    const struct schema *own = r->sub ? schema_of_kind(subresource_kind(r->kind, r->sub)) : NULL;
    if (own)
        r->body_schema = own;
}

/* --- bytes to trees --------------------------------------------------------------------------------------------------- */

struct decoded {
    struct value *tree;
    struct value *duplicates;
    bool normalized;
};

static int decode_bytes(struct request *r, const struct schema *schema, struct decoded *ret, struct error *err)
{
    ret->duplicates = value_array(&r->arena);
    if (r->body_type == MEDIA_PROTOBUF) {
        struct protobuf_envelope envelope;
        if (protobuf_open(r->body, &envelope, err) < 0)
            return -1;
        if (str_is(envelope.content_type, "application/json")) {
            ret->tree = value_parse(&r->arena, envelope.raw, ret->duplicates, err);
        } else {
            ret->tree = protobuf_decode(&r->arena, schema, &envelope, err);
            ret->normalized = true;
        }
    } else if (r->body_type == MEDIA_YAML) {
        ret->tree = yaml_parse(&r->arena, r->body, ret->duplicates, err);
    } else {
        ret->tree = value_parse(&r->arena, r->body, ret->duplicates, err);
    }
    if (!ret->tree)
        return -1;
    if (value_type(ret->tree) == VALUE_OBJECT)
        return 0;
    return fail(err, ERR_BAD_REQUEST,
                "the object provided is unrecognized (must be of type %s): couldn't get version/kind; "
                "json parse error: the body is not an object",
                schema->kind ? schema->kind : "object");
}

static int check_group_version(struct request *r, const struct schema *schema, const struct value *tree,
                               struct error *err)
{
    struct str kind = value_to_str(value_get(tree, F_POD_KIND)),
               version = value_to_str(value_get(tree, F_POD_API_VERSION));
    struct str wanted =
        schema->group[0] ? arena_printf(&r->arena, "%s/%s", schema->group, schema->version) : str_of(schema->version);
    /* Upstream fills in what is absent from the path's own kind. */
    if ((str_empty(kind) || str_is(kind, schema->kind)) && (str_empty(version) || str_eq(version, wanted)))
        return 0;
    struct str group = STR_NONE, short_version = version;
    if (str_find(version, '/') >= 0)
        str_cut(&short_version, '/', &group);
    /* policy/v1beta1 Eviction of older clients is policy/v1's. */
    if (r->sub && str_is(kind, schema->kind) && str_is(group, schema->group))
        return 0;
    if (str_empty(kind))
        kind = str_of(schema->kind);
    if (str_empty(version))
        version = wanted;
    const char *expected = wanted.p;
    if (!kind_find(group, short_version, kind) && !str_is(kind, schema->kind))
        return fail(err, ERR_BAD_REQUEST, "no kind \"%.*s\" is registered for version \"%.*s\" in scheme \"klein\"",
                    STR_ARG(kind), STR_ARG(version));
    return fail(err, ERR_BAD_REQUEST,
                "the API version in the data (%.*s) does not match the expected API version (%.*s)%s", STR_ARG(version),
                (int)wanted.n, expected, str_eq(version, wanted) ? ", or the kind does not" : "");
}

static void put_first(struct request *r, const struct schema *schema, struct value *tree)
{
    value_set(&r->arena, tree, F_POD_KIND, str_of(schema->kind));
    value_set(&r->arena, tree, F_POD_API_VERSION,
              schema->group[0] ? arena_printf(&r->arena, "%s/%s", schema->group, schema->version)
                               : str_of(schema->version));
}

static int normalize(struct request *r, const struct schema *schema, struct decoded *d, struct error *err)
{
    if (!r->warnings)
        r->warnings = value_array(&r->arena);
    struct schema_options options = {
        .style = SCHEMA_DECODE,
        .validation = r->options.validation,
        .duplicates = d->duplicates,
        .warnings = r->warnings,
    };
    return schema_normalize(&r->arena, schema, d->tree, &options, err);
}

static int decode_object(struct request *r, struct error *err)
{
    struct decoded d = { 0 };
    if (r->source == REQUEST_LOCAL) {
        if (!r->tree)
            return fail(err, ERR_BAD_REQUEST, "the call has no body");
        /* Begun again: the tree of before has been changed. */
        d.tree = r->creating ? local_body_tree(r) : r->tree;
    } else if (decode_bytes(r, r->body_schema, &d, err) < 0) {
        return -1;
    }
    if (check_group_version(r, r->body_schema, d.tree, err) < 0)
        return -1;
    put_first(r, r->body_schema, d.tree);
    if (!d.normalized && normalize(r, r->body_schema, &d, err) < 0)
        return -1;
    r->tree = d.tree;
    return 0;
}

static int decode_patch(struct request *r, struct error *err)
{
    struct value *duplicates = value_array(&r->arena);
    r->patch = r->body_type == MEDIA_YAML ? yaml_parse(&r->arena, r->body, duplicates, err)
                                          : value_parse(&r->arena, r->body, duplicates, err);
    if (!r->patch)
        return -1;
    if (r->patch_type == PATCH_JSON)
        return 0; /* an array of operations, checked when applied */
    if (value_type(r->patch) != VALUE_OBJECT)
        return fail(err, ERR_BAD_REQUEST, "the patch must be an object");
    if (r->patch_type != PATCH_APPLY)
        return 0;
    /* An apply configuration is an object of the kind, decoded but not filled up. */
    for (uint32_t i = 0; i < duplicates->items_count; i++) {
        struct str path = value_to_str(duplicates->items[i]);
        if (r->options.validation == FIELD_VALIDATION_STRICT)
            return fail(err, ERR_BAD_REQUEST, "error decoding YAML: duplicate field \"%.*s\"", STR_ARG(path));
        if (r->options.validation == FIELD_VALIDATION_WARN)
            request_warn(r, "duplicate field \"%.*s\"", STR_ARG(path));
    }
    return 0;
}

static void options_of_tree(struct request *r, const struct value *t)
{
    struct delete_options *o = &r->delete_options;
    const struct value *conditions = value_get(t, F_DELETE_OPTIONS_PRECONDITIONS);
    const struct value *grace = value_get(t, F_DELETE_OPTIONS_GRACE_PERIOD_SECONDS);
    const struct value *orphan = value_get(t, F_DELETE_OPTIONS_ORPHAN_DEPENDENTS);
    if (value_type(grace) == VALUE_INT)
        o->grace_s = value_to_int(grace, -1);
    if (value_get(t, F_DELETE_OPTIONS_PROPAGATION_POLICY))
        o->propagation = value_to_str(value_get(t, F_DELETE_OPTIONS_PROPAGATION_POLICY));
    if (value_type(orphan) == VALUE_BOOL) {
        o->orphan_dependents_set = true;
        o->orphan_dependents = value_to_bool(orphan, false);
    }
    o->uid = value_to_str(value_get(conditions, F_OBJECT_META_UID));
    o->resource_version = value_to_str(value_get(conditions, F_OBJECT_META_RESOURCE_VERSION));
}

static int decode_delete_options(struct request *r, struct error *err)
{
    if (r->source == REQUEST_LOCAL || str_empty(str_trim(r->body)))
        return 0;
    struct decoded d = { 0 };
    const struct schema *schema = &schema_meta_v1_delete_options;
    if (decode_bytes(r, schema, &d, err) < 0)
        return -1;
    struct str kind = value_to_str(value_get(d.tree, F_DELETE_OPTIONS_KIND));
    if (!str_empty(kind) && !str_is(kind, "DeleteOptions"))
        return fail(err, ERR_BAD_REQUEST, "decoded object cannot be converted to DeleteOptions");
    if (!d.normalized && schema_normalize(&r->arena, schema, d.tree, NULL, err) < 0)
        return -1;
    options_of_tree(r, d.tree);
    const struct value *dry_run = value_get(d.tree, F_DELETE_OPTIONS_DRY_RUN);
    for (uint32_t i = 0; value_type(dry_run) == VALUE_ARRAY && i < dry_run->items_count; i++)
        if (options_check_dry_run(value_to_str(dry_run->items[i]), &r->options.dry_run, err) < 0)
            return -1;
    return options_check_delete(&r->delete_options, err);
}

static int decode(struct request *r, struct error *err)
{
    if (!r->info.is_resource)
        return 0;
    if (str_is(r->info.verb, "delete") || str_is(r->info.verb, "deletecollection"))
        return decode_delete_options(r, err);
    if (str_is(r->info.verb, "patch"))
        return decode_patch(r, err);
    return decode_object(r, err);
}

/* --- the body from the wire ------------------------------------------------------------------------------------------- */

static void on_body(struct http_exchange *x, struct str body, const struct error *err, void *arg)
{
    (void)x;
    struct request *r = arg;
    r->core.collected = true;
    r->body = body;
    enum phase_result result = PHASE_DONE;
    if (err) {
        enum error_code code = err->code;
        result = request_fail(r, code, "%s",
                              code == ERR_TOO_LARGE ? "Request entity too large: limit is 3145728" : error_text(err));
    } else if (decode(r, &r->err) < 0) {
        result = PHASE_FAILED;
    }
    if (!r->core.collecting)
        request_resume(r, result);
    else if (result == PHASE_FAILED)
        r->core.body_failed = true;
}

static bool wants_body(const struct request *r)
{
    struct str verb = r->info.verb;
    if (r->exchange && r->exchange->request->upgrade)
        return false;
    if (!r->info.is_resource)
        return str_is(verb, "post") || str_is(verb, "put");
    if (request_is_long_running(r))
        return false;
    return !str_is(verb, "get") && !str_is(verb, "list") && !str_is(verb, "watch");
}

enum phase_result phase_decode(struct request *r)
{
    if (r->info.is_resource) {
        if (check_served(r, &r->err) < 0)
            return PHASE_FAILED;
        find_body_schema(r);
    }
    if (!wants_body(r))
        return PHASE_DONE;
    if (r->source == REQUEST_LOCAL || r->core.collected)
        return decode(r, &r->err) < 0 ? PHASE_FAILED : PHASE_DONE;
    r->core.collecting = true;
    http_exchange_collect(r->exchange, OBJECT_SIZE_MAX, on_body, r);
    r->core.collecting = false;
    if (!r->core.collected)
        return PHASE_WAIT;
    return r->core.body_failed ? PHASE_FAILED : PHASE_DONE;
}
