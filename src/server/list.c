/*
 * List: a walk over a snapshot, written piece by piece as fast as the client reads.
 *
 * A page (limit) is gathered first, because its metadata, which comes before the items, says where the next one starts; a list
 * without a limit goes straight from the snapshot to the connection. Semantics of resourceVersion and continue:
 * kubernetes.io "Resource versions", apiserver/pkg/storage/etcd3/store.go GetList.
 */
#include "server/read.h"

#include "server/negotiate.h"
#include "server/response.h"
#include "server/server_internal.h"
#include "server/table.h"

#include "kinds/schemas.h"
#include "kinds/fields.h"
#include "object/protobuf.h"

#include <stdlib.h>

#define PAGE_MAX 100000 /* larger limits are served in pages of this size */

struct list_walk {
    struct request *request;
    struct filter filter;
    struct object_set set;
    struct object_cursor cursor;
    uint64_t revision;
    bool paged, more, started_items, ended;
    const struct object **page; /* borrowed from the set */
    size_t page_count, page_at, page_capacity;
    int64_t remaining; /* -1: not known */
    struct body_stream *body;
};

/* --- which objects ------------------------------------------------------------------------------------------------------ */

#define EXPIRED_CONTINUE                                                                                               \
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "        \
    "without "                                                                                                         \
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "    \
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "    \
    "deleted between the time the first chunk was returned and now may show up in the list."

static int snapshot_at(struct list_walk *w, uint64_t revision, const char *text, struct error *err)
{
    struct state *s = w->request->server->state;
    if (state_snapshot_at(s, w->request->kind, revision, &w->set) < 0)
        return fail(err, ERR_EXPIRED, "%s", text);
    w->revision = revision;
    return 0;
}

static int open_continue(struct list_walk *w, struct error *err)
{
    struct request *r = w->request;
    struct continue_token token;
    if (!str_empty(r->options.resource_version) && !str_is(r->options.resource_version, "0"))
        return fail(err, ERR_BAD_REQUEST, "specifying resource version is not allowed when using continue");
    if (continue_decode(&r->arena, r->options.continue_, &token, err) < 0)
        return -1;
    if (token.revision == 0) {
        w->set = state_snapshot(r->server->state, r->kind);
        w->revision = state_revision(r->server->state);
    } else if (snapshot_at(w, token.revision, EXPIRED_CONTINUE, err) < 0) {
        return -1;
    }
    object_set_seek(&w->set, token.namespace_, token.name, &w->cursor);
    /* The token names the last object of the page before: go on behind it. */
    struct object_cursor next = w->cursor;
    const struct object *o = object_cursor_next(&next);
    if (o && str_eq(object_name(o), token.name) && str_eq(object_namespace(o), token.namespace_))
        w->cursor = next;
    return 0;
}

static int open_walk(struct list_walk *w, struct error *err)
{
    struct request *r = w->request;
    uint64_t revision;
    if (read_revision(r, &revision, err) < 0)
        return -1;
    if (!str_empty(r->options.continue_))
        return open_continue(w, err);
    bool exact = r->options.revision_match == MATCH_EXACT ||
                 (r->options.revision_match == MATCH_UNSET && r->options.limit > 0 && revision > 0);
    if (exact) {
        if (snapshot_at(w, revision, "The resourceVersion for the provided list is too old.", err) < 0)
            return -1;
    } else {
        w->set = state_snapshot(r->server->state, r->kind);
        w->revision = state_revision(r->server->state);
    }
    object_set_seek(&w->set, w->filter.namespace_, filter_only_name(&w->filter), &w->cursor);
    return 0;
}

static const struct object *walk_next(struct list_walk *w)
{
    for (const struct object *o; !w->ended && (o = object_cursor_next(&w->cursor));) {
        if (!str_empty(w->filter.namespace_) && str_cmp(object_namespace(o), w->filter.namespace_) > 0)
            break;
        if (filter_matches(&w->filter, o))
            return o;
    }
    w->ended = true;
    return NULL;
}

static void gather_page(struct list_walk *w)
{
    size_t limit = (size_t)MIN(w->request->options.limit, PAGE_MAX);
    const struct object *o;
    while ((o = walk_next(w))) {
        if (w->page_count == limit) {
            w->more = true;
            break;
        }
        GROW(w->page, w->page_count, w->page_capacity);
        w->page[w->page_count++] = o;
    }
    if (!w->more || filter_has_selectors(&w->filter))
        return;
    const struct object *last = w->page[limit - 1];
    struct str ns = w->filter.namespace_;
    size_t end = str_empty(ns) ? object_set_count(&w->set)
                               : object_set_rank(&w->set, ns, STR_NONE) + object_set_count_in(&w->set, ns);
    w->remaining = (int64_t)(end - object_set_rank(&w->set, object_namespace(last), object_name(last)) - 1);
}

static const struct object *list_next(struct list_walk *w)
{
    if (!w->paged)
        return walk_next(w);
    return w->page_at < w->page_count ? w->page[w->page_at++] : NULL;
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static struct str next_token(struct list_walk *w)
{
    if (!w->more)
        return STR_NONE;
    const struct object *last = w->page[w->page_count - 1];
    struct continue_token token = { w->revision, object_namespace(last), object_name(last) };
    return continue_encode(&w->request->arena, &token);
}

static void write_metadata(struct list_walk *w, struct buf *to)
{
    buf_add_text(to, "\"metadata\":{\"resourceVersion\":\"");
    buf_add_u64(to, w->revision);
    buf_add_char(to, '"');
    if (w->more) {
        buf_add_text(to, ",\"continue\":\"");
        buf_add(to, next_token(w));
        buf_add_char(to, '"');
    }
    if (w->remaining >= 0) {
        buf_add_text(to, ",\"remainingItemCount\":");
        buf_add_i64(to, w->remaining);
    }
    buf_add_char(to, '}');
}

static void write_group_version(struct buf *to, const struct kind *k)
{
    if (k->group[0]) {
        buf_add_text(to, k->group);
        buf_add_char(to, '/');
    }
    buf_add_text(to, k->version);
}

static void write_head(struct list_walk *w, struct buf *to)
{
    const struct kind *k = w->request->kind;
    switch (w->request->answer_as) {
    case AS_TABLE:
        buf_add_text(to, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
        write_metadata(w, to);
        buf_add_char(to, ',');
        table_write_columns(to, k);
        buf_add_text(to, ",\"rows\":[");
        return;
    case AS_PARTIAL:
        buf_add_text(to, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",");
        break;
    default:
        buf_addf(to, "{\"kind\":\"%s\",\"apiVersion\":\"", k->list_kind);
        write_group_version(to, k);
        buf_add_text(to, "\",");
    }
    write_metadata(w, to);
    buf_add_text(to, ",\"items\":[");
}

/* Items of a list do not repeat apiVersion and kind, which stand first in the text (object.h). */
static struct str without_type(struct str json)
{
    struct str rest = str_from(json, 1);
    for (int i = 0; i < 2; i++) {
        if (!str_starts(rest, STR("\"apiVersion\":\"")) && !str_starts(rest, STR("\"kind\":\"")))
            break;
        ptrdiff_t comma = str_find(rest, ',');
        if (comma < 0)
            break;
        rest = str_from(rest, comma + 1);
    }
    return rest;
}

/* The message of one item, without an envelope. */
static int item_message(struct list_walk *w, struct buf *to, const struct object *stored, struct error *err)
{
    const struct kind *k = w->request->kind;
    AUTO_ARENA struct arena a = { 0 };
    AUTO_OBJECT struct object *o = alias_object(k, stored);
    struct value *tree = value_of_view(&a, object_root(o));
    if (w->request->answer_as != AS_PARTIAL)
        return protobuf_encode_message(to, k->schema, tree, err);
    struct value *partial = value_object(&a);
    value_put(&a, partial, F_POD_METADATA, value_get(tree, F_POD_METADATA));
    return protobuf_encode_message(to, &schema_meta_v1_partial_object_metadata, partial, err);
}

/* Protobuf has every length before what it measures: the list is walked twice instead of being held. */
static int write_protobuf_head(struct list_walk *w, struct buf *to, struct error *err)
{
    struct request *r = w->request;
    AUTO_BUF struct buf message = BUF_MAX(2 * OBJECT_SIZE_MAX);
    AUTO_BUF struct buf meta = BUF_MAX(8 * KIB);
    AUTO_BUF struct buf version = BUF_MAX(512);
    struct object_cursor start = w->cursor;
    uint64_t bytes = 0;
    for (const struct object *o; (o = list_next(w)); buf_clear(&message)) {
        if (item_message(w, &message, o, err) < 0)
            return -1;
        bytes += protobuf_list_item_bytes(message.n);
    }
    w->cursor = start;
    w->page_at = 0;
    w->ended = false;
    struct value *m = value_object(&r->arena);
    value_put(&r->arena, m, F_LIST_META_RESOURCE_VERSION,
              value_strf(&r->arena, "%llu", (unsigned long long)w->revision));
    if (w->more)
        value_set(&r->arena, m, F_LIST_META_CONTINUE, next_token(w));
    if (w->remaining >= 0)
        value_set_int(&r->arena, m, F_LIST_META_REMAINING_ITEM_COUNT, w->remaining);
    if (protobuf_encode_message(&meta, &schema_meta_v1_list_meta, m, err) < 0)
        return -1;
    bool partial = r->answer_as == AS_PARTIAL;
    write_group_version(&version, r->kind);
    protobuf_list_begin(to, partial ? STR("meta.k8s.io/v1") : buf_str(&version),
                        partial ? STR("PartialObjectMetadataList") : str_of(r->kind->list_kind), buf_str(&meta), bytes);
    return 0;
}

static void write_protobuf_item(struct list_walk *w, struct buf *to, const struct object *stored)
{
    AUTO_BUF struct buf message = BUF_MAX(2 * OBJECT_SIZE_MAX);
    /* It was encoded once already, so this cannot fail. */
    if (item_message(w, &message, stored, NULL) == 0)
        protobuf_list_item(to, buf_str(&message));
}

static void write_item(struct list_walk *w, struct buf *to, const struct object *stored)
{
    struct request *r = w->request;
    if (r->answer_type == MEDIA_PROTOBUF) {
        write_protobuf_item(w, to, stored);
        return;
    }
    AUTO_OBJECT struct object *o = alias_object(r->kind, stored);
    if (w->started_items)
        buf_add_char(to, ',');
    w->started_items = true;
    if (r->answer_as == AS_TABLE) {
        table_write_row(to, r->kind, o, r->options.include_object, r->wall_ms);
    } else if (r->answer_as == AS_PARTIAL) {
        partial_write(to, o);
    } else {
        buf_add_char(to, '{');
        buf_add(to, without_type(object_json(o)));
    }
}

/* --- streaming --------------------------------------------------------------------------------------------------- */

static void walk_done(struct list_walk *w)
{
    filter_done(&w->filter);
    object_set_done(&w->set);
    free(w->page);
    w->page = NULL;
}

/* True when everything is written; false when the client must read first. */
static bool pump(struct list_walk *w)
{
    struct buf *to = body_stream_buf(w->body);
    const struct object *o;
    while ((o = list_next(w))) {
        write_item(w, to, o);
        if (!body_stream_flush(w->body))
            return false;
    }
    if (w->request->answer_type == MEDIA_PROTOBUF)
        protobuf_list_end(to);
    else
        buf_add_text(to, "]}\n");
    body_stream_end(TAKE(w->body));
    walk_done(w);
    return true;
}

static void stop(struct list_walk *w)
{
    body_stream_abort(TAKE(w->body));
    http_exchange_abort(TAKE(w->request->exchange));
    walk_done(w);
    request_resume(w->request, PHASE_ANSWERED);
}

static void on_drained(struct http_exchange *x, void *user)
{
    (void)x;
    struct request *r = user;
    struct list_walk *w = r->perform;
    if (pump(w))
        request_resume(r, PHASE_ANSWERED);
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)x;
    struct request *r = user;
    r->gone = true;
    stop(r->perform);
}

static enum phase_result stream_list(struct list_walk *w)
{
    static const struct http_exchange_callbacks callbacks = { .on_drained = on_drained, .on_gone = on_gone };
    struct request *r = w->request;
    if (r->gone) {
        http_exchange_abort(TAKE(r->exchange));
        walk_done(w);
        return PHASE_ANSWERED;
    }
    w->body = body_stream_new(r, media_type_text(r->answer_type));
    if (r->answer_type != MEDIA_PROTOBUF) {
        write_head(w, body_stream_buf(w->body));
    } else if (write_protobuf_head(w, body_stream_buf(w->body), &r->err) < 0) {
        body_stream_abort(TAKE(w->body));
        walk_done(w);
        return PHASE_FAILED;
    }
    if (pump(w))
        return PHASE_ANSWERED;
    http_exchange_set_callbacks(r->exchange, &callbacks, r);
    return PHASE_WAIT;
}

/* --- the other forms, built whole ---------------------------------------------------------------------------------------- */

static int write_whole_json(struct list_walk *w, struct buf *to, struct error *err)
{
    const struct object *o;
    write_head(w, to);
    while ((o = list_next(w)) && !to->full)
        write_item(w, to, o);
    buf_add_text(to, "]}");
    return to->full ? fail(err, ERR_TOO_LARGE, "the list is too large for this format: ask for pages (limit)") : 0;
}

static enum phase_result answer_whole(struct list_walk *w)
{
    struct request *r = w->request;
    AUTO_BUF struct buf body = BUF_MAX(2 * RESPONSE_BYTES_MAX);
    AUTO_BUF struct buf json = BUF_MAX(RESPONSE_BYTES_MAX);
    int rc = write_whole_json(w, &json, &r->err);
    struct value *tree = rc == 0 ? value_parse(&r->arena, buf_str(&json), NULL, &r->err) : NULL;
    rc = tree ? response_write_tree(r, &body, NULL, tree, &r->err) : -1;
    walk_done(w);
    if (rc < 0)
        return PHASE_FAILED;
    response_send(r, 200, media_type_text(r->answer_type), &body, NULL, 0);
    return PHASE_ANSWERED;
}

/* A caller in this process gets one List object. Those who want much or often watch instead. */
static enum phase_result answer_local(struct list_walk *w)
{
    struct request *r = w->request;
    AUTO_BUF struct buf json = BUF_MAX(RESPONSE_BYTES_MAX);
    if (write_whole_json(w, &json, &r->err) == 0)
        r->result = object_parse(buf_str(&json), &r->err);
    walk_done(w);
    return r->result ? PHASE_DONE : PHASE_FAILED;
}

enum phase_result read_list(struct request *r)
{
    struct list_walk *w = arena_new(&r->arena, struct list_walk);
    *w = (struct list_walk){ .request = r, .remaining = -1, .paged = r->options.limit > 0 };
    r->perform = w;
    if (filter_parse(&w->filter, r->kind, request_namespace(r), r->options.label_selector, r->options.field_selector,
                     &r->err) < 0 ||
        open_walk(w, &r->err) < 0) {
        walk_done(w);
        return PHASE_FAILED;
    }
    if (r->source == REQUEST_LOCAL)
        return answer_local(w);
    if (w->paged)
        gather_page(w);
    if (r->answer_type == MEDIA_PROTOBUF || (r->answer_type == MEDIA_JSON && !r->options.pretty))
        return stream_list(w);
    return answer_whole(w);
}
