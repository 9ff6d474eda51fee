/* Phase encode: the result or the error becomes an answer in the form that was negotiated. */
#include "server/local.h"
#include "server/negotiate.h"
#include "server/response.h"
#include "server/server_internal.h"
#include "server/table.h"

#include "kinds/fields.h"
#include "kinds/schemas.h"
#include "object/protobuf.h"
#include "object/yaml.h"

int response_write_tree(struct request *r, struct buf *to, const struct schema *schema, const struct value *tree,
                        struct error *err)
{
    switch (r->answer_type) {
    case MEDIA_PROTOBUF:
        return protobuf_encode(to, schema, tree, err);
    case MEDIA_YAML:
        yaml_write(to, tree);
        break;
    default:
        if (r->options.pretty)
            value_write_pretty(to, tree, 2);
        else
            value_write(to, tree);
        buf_add_char(to, '\n');
    }
    return to->full ? fail(err, ERR_TOO_LARGE, "the answer is too large") : 0;
}

/* JSON text that was written directly, in the form asked for. */
static int write_json(struct request *r, struct buf *to, struct str json, struct error *err)
{
    if (r->answer_type == MEDIA_JSON && !r->options.pretty) {
        buf_add(to, json);
        buf_add_char(to, '\n');
        return 0;
    }
    struct value *tree = value_parse(&r->arena, json, NULL, err);
    return tree ? response_write_tree(r, to, NULL, tree, err) : -1;
}

static int write_partial_protobuf(struct request *r, struct buf *to, const struct object *o, struct error *err)
{
    struct value *tree = value_object(&r->arena);
    value_set_text(&r->arena, tree, F_POD_KIND, "PartialObjectMetadata");
    value_set_text(&r->arena, tree, F_POD_API_VERSION, "meta.k8s.io/v1");
    value_put(&r->arena, tree, F_POD_METADATA, value_of_view(&r->arena, view_get(object_root(o), F_POD_METADATA)));
    return protobuf_encode(to, &schema_meta_v1_partial_object_metadata, tree, err);
}

static const struct schema *schema_of_object(struct request *r, const struct object *o)
{
    struct str version = view_str_at(object_root(o), F_POD_API_VERSION), kind = view_str_at(object_root(o), F_POD_KIND);
    struct str group = STR_NONE, rest = version;
    if (str_find(version, '/') >= 0) {
        str_cut(&rest, '/', &group);
        version = rest;
    }
    if (r->kind && str_is(kind, r->kind->kind) && str_is(group, r->kind->group))
        return r->kind->schema;
    struct arena *a = &r->arena;
    return schema_of_kind(
        (struct group_version_kind){ arena_strdup(a, group), arena_strdup(a, version), arena_strdup(a, kind) });
}

int response_write_object(struct request *r, struct buf *to, const struct object *o, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(RESPONSE_BYTES_MAX);
    if (r->answer_as == AS_TABLE && r->kind && r->answer_type != MEDIA_PROTOBUF) {
        table_write_one(&text, r->kind, o, r->options.include_object, r->wall_ms, true);
        return write_json(r, to, buf_str(&text), err);
    }
    if (r->answer_as == AS_PARTIAL) {
        if (r->answer_type == MEDIA_PROTOBUF)
            return write_partial_protobuf(r, to, o, err);
        partial_write(&text, o);
        return write_json(r, to, buf_str(&text), err);
    }
    if (r->answer_type != MEDIA_PROTOBUF)
        return write_json(r, to, object_json(o), err);
    const struct schema *schema = schema_of_object(r, o);
    if (!schema)
        return fail(err, ERR_NOT_ACCEPTABLE, "this kind has no protobuf form");
    return protobuf_encode_object(to, schema, o, err);
}

static void answer_error(struct request *r)
{
    AUTO_BUF struct buf body = BUF_MAX(RESPONSE_BYTES_MAX);
    AUTO_ERROR struct error ignored = { 0 };
    struct value *status = status_of_error(&r->arena, &r->err);
    if (response_write_tree(r, &body, &schema_meta_v1_status, status, &ignored) < 0) {
        r->answer_type = MEDIA_JSON;
        buf_clear(&body);
        response_write_tree(r, &body, &schema_meta_v1_status, status, NULL);
    }
    struct http_header retry = { STR("retry-after"), arena_printf(&r->arena, "%d", r->err.retry_after_s) };
    response_send(r, error_http_status(r->err.code), media_type_text(r->answer_type), &body, &retry,
                  r->err.retry_after_s ? 1 : 0);
}

static void answer_result(struct request *r)
{
    AUTO_BUF struct buf body = BUF_MAX(RESPONSE_BYTES_MAX);
    int rc;
    if (r->result_is_status || !r->result)
        rc = response_write_tree(r, &body, &schema_meta_v1_status, status_of_success(r, r->result), &r->err);
    else
        rc = response_write_object(r, &body, r->result, &r->err);
    if (rc < 0) {
        answer_error(r);
        return;
    }
    int status = r->status ? r->status : r->created ? 201 : 200;
    response_send(r, status, media_type_text(r->answer_type), &body, NULL, 0);
}

void encode_late(struct request *r)
{
    if (r->source == REQUEST_LOCAL)
        local_answer(r);
    else if (r->exchange && !r->core.response_started) {
        r->core.answered_exchange = r->exchange;
        http_exchange_hold(r->exchange);
        answer_error(r);
    }
}

enum phase_result phase_encode(struct request *r)
{
    key_unlock(r->server->state, &r->core.lock);
    if (r->source == REQUEST_LOCAL)
        local_answer(r);
    else if (!r->exchange)
        return PHASE_DONE; /* answered already, or handed over */
    else if (r->gone || r->core.response_started)
        http_exchange_abort(TAKE(r->exchange));
    else if (r->err.code != ERR_NONE)
        answer_error(r);
    else
        answer_result(r);
    return PHASE_DONE;
}

enum phase_result request_answer(struct request *r, int status, struct str content_type, struct str body)
{
    if (!r->exchange)
        return request_fail(r, ERR_METHOD_NOT_ALLOWED, "this path answers only over HTTP");
    AUTO_BUF struct buf copy = BUF_MAX(RESPONSE_BYTES_MAX);
    buf_add(&copy, body);
    response_send(r, status, content_type, &copy, NULL, 0);
    return PHASE_ANSWERED;
}

enum phase_result request_answer_tree(struct request *r, int status, const struct value *tree)
{
    object_unref(r->result);
    r->result = object_new(tree, &r->err);
    r->status = status;
    return r->result ? PHASE_DONE : PHASE_FAILED;
}
