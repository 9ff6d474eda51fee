/* HTTP/2 over nghttp2. */
#include "wire/http2.h"
#include "base/list.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define DATA_FRAME_BYTES (16384 - 9) /* with its frame header exactly one TLS record */
#define NV_MAX           128

struct h2_stream {
    struct list link;
    int32_t id;
    void *user;
    struct arena arena; /* the head while it arrives */
    struct http_header *headers;
    size_t headers_count, headers_capacity, head_bytes;
    struct http_request request;
    int status;
    bool told; /* on_request or on_response was called, or we opened it */
    bool too_large;
};

struct http2 {
    nghttp2_session *session;
    enum http2_role role;
    struct http_limits limits;
    const struct http2_callbacks *cb;
    void *arg;
    struct list streams;
    size_t streams_count;
    int64_t budget; /* thousandths of a flood token */
    int64_t budget_max, refill_per_ms, now_ms;
    bool flooded, plain;
    int32_t replying; /* the stream being opened by http2_request() */
};

static struct h2_stream *find(struct http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static struct h2_stream *stream_new(struct http2 *h, int32_t id)
{
    struct h2_stream *s = xnew(struct h2_stream);

    s->id = id;
    list_add_tail(&h->streams, &s->link);
    h->streams_count++;
    return s;
}

static void forget_head(struct h2_stream *s)
{
    arena_done(&s->arena);
    free(s->headers);
    s->headers = NULL;
    s->headers_count = s->headers_capacity = s->head_bytes = 0;
}

static void stream_free(struct http2 *h, struct h2_stream *s)
{
    list_del(&s->link);
    h->streams_count--;
    forget_head(s);
    free(s);
}

static void spend(struct http2 *h)
{
    h->budget -= 1000;
    if (h->budget < 0)
        h->flooded = true;
}

/* --- heads --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    struct h2_stream *s;

    if (frame->hd.type != NGHTTP2_HEADERS || h->role != HTTP2_SERVER || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    s = stream_new(h, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static void take_pseudo(struct h2_stream *s, struct str name, struct str value)
{
    struct str copy = arena_str(&s->arena, value);
    int64_t status;

    if (str_is(name, ":method"))
        s->request.method = copy;
    else if (str_is(name, ":path"))
        http_request_set_target(&s->request, copy);
    else if (str_is(name, ":authority"))
        s->request.host = copy;
    else if (str_is(name, ":status") && str_to_i64(value, &status))
        s->status = (int)status;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct http2 *h = user;
    struct h2_stream *s = find(h, frame->hd.stream_id);
    struct str n = { (const char *)name, name_n }, v = { (const char *)value, value_n };

    (void)session, (void)flags;
    if (!s || s->too_large || (s->told && h->role == HTTP2_SERVER))
        return 0;                           /* trailers */
    s->head_bytes += name_n + value_n + 32; /* RFC 9113, 6.5.2 */
    if (s->head_bytes > h->limits.head_max_bytes || s->headers_count >= h->limits.headers_max ||
        (str_is(n, ":path") && value_n > h->limits.target_max_bytes)) {
        s->too_large = true;
        return 0;
    }
    if (name_n && name[0] == ':') {
        take_pseudo(s, n, v);
    } else if (str_is(n, "host")) {
        if (!s->request.host.n)
            s->request.host = arena_str(&s->arena, v);
    } else {
        GROW(s->headers, s->headers_count, s->headers_capacity);
        s->headers[s->headers_count++] = (struct http_header){ arena_str(&s->arena, n), arena_str(&s->arena, v) };
    }
    return 0;
}

static int64_t content_length(const struct h2_stream *s, bool end)
{
    int64_t n;

    if (end)
        return 0;
    return str_to_i64(http_header_get(s->headers, s->headers_count, STR("content-length")), &n) ? n : -1;
}

static void tell_request(struct http2 *h, struct h2_stream *s, bool end)
{
    struct http_request *r = &s->request;

    if (s->too_large) {
        http2_respond(h, s->id, &(struct http_response){ .status = 431 }, true);
        return;
    }
    if (!r->target.n || (r->target.p[0] != '/' && !str_is(r->target, "*")) || str_find(r->target, '#') >= 0) {
        http2_respond(h, s->id, &(struct http_response){ .status = 400 }, true);
        return;
    }
    r->headers = s->headers;
    r->headers_count = s->headers_count;
    r->version = HTTP_2;
    r->content_length = content_length(s, end);
    s->told = true;
    h->cb->on_request(h->arg, s->id, r, end);
}

static void tell_response(struct http2 *h, struct h2_stream *s, bool end)
{
    struct http_response r = { .status = s->status, .headers = s->headers, .headers_count = s->headers_count };

    if (s->too_large) {
        nghttp2_submit_rst_stream(h->session, 0, s->id, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    r.content_length = content_length(s, end);
    h->cb->on_response(h->arg, s->id, s->user, &r, end);
}

static void head_arrived(struct http2 *h, const nghttp2_frame *frame, bool end)
{
    struct h2_stream *s = find(h, frame->hd.stream_id);

    if (!s)
        return;
    if (h->role == HTTP2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        tell_request(h, s, end);
    else if (h->role == HTTP2_CLIENT && frame->headers.cat == NGHTTP2_HCAT_RESPONSE && s->status >= 200)
        tell_response(h, s, end);
    else if (h->role == HTTP2_CLIENT && frame->headers.cat == NGHTTP2_HCAT_HEADERS && s->status >= 200 && s->headers)
        tell_response(h, s, end); /* after a 1xx head */
    else if (h->role == HTTP2_CLIENT && frame->headers.cat == NGHTTP2_HCAT_HEADERS && !s->status && h->cb->on_trailers)
        h->cb->on_trailers(h->arg, s->id, s->user, s->headers, s->headers_count);
    /* Callbacks may reset the stream, but nghttp2 closes it later: `s` is still good. */
    forget_head(s);
    s->status = 0; /* trailers have none */
}

/* --- frames --- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    uint64_t payload;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        head_arrived(h, frame, end);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length == 0 && !end)
            spend(h);
        break;
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_PRIORITY:
        spend(h);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            spend(h);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
            memcpy(&payload, frame->ping.opaque_data, sizeof(payload));
            if (h->cb->on_pong)
                h->cb->on_pong(h->arg, payload);
        } else {
            spend(h);
        }
        break;
    case NGHTTP2_GOAWAY:
        if (h->cb->on_goaway)
            h->cb->on_goaway(h->arg, frame->goaway.last_stream_id, frame->goaway.error_code);
        break;
    default:
        break;
    }
    if (end && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)) {
        struct h2_stream *s = find(h, frame->hd.stream_id);

        if (s && s->told)
            h->cb->on_end(h->arg, s->id, s->user);
    }
    return h->flooded ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    struct http2 *h = user;
    struct h2_stream *s = find(h, id);

    (void)flags;
    nghttp2_session_consume_connection(session, n);
    if (s && s->told)
        h->cb->on_data(h->arg, id, s->user, (struct str){ (const char *)p, n });
    else
        nghttp2_session_consume_stream(session, id, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2 *h = user;
    struct h2_stream *s = find(h, id);

    (void)session;
    if (!s)
        return 0;
    if (s->told)
        h->cb->on_closed(h->arg, id, s->user, code);
    nghttp2_session_set_stream_user_data(session, id, NULL);
    stream_free(h, s);
    return 0;
}

/* A request that never left (GOAWAY came first, or it was reset) has no stream that could close: tell it here. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    struct http2 *h = user;

    (void)code;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    list_each (&h->streams, struct h2_stream, link, s) {
        if (s->id != frame->hd.stream_id)
            continue;
        nghttp2_session_set_stream_user_data(session, s->id, NULL);
        h->cb->on_closed(h->arg, s->id, s->user, NGHTTP2_REFUSED_STREAM);
        stream_free(h, s);
        break;
    }
    return 0;
}

static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
                            int32_t stream_window, uint32_t frame_max, void *user)
{
    (void)session, (void)type, (void)id, (void)user;
    return MIN(MIN(session_window, stream_window), MIN((int32_t)frame_max, DATA_FRAME_BYTES));
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct h2_stream *s = find(h, id);
    bool end = false;
    size_t got = h->cb->read_body(h->arg, id, s ? s->user : NULL, (char *)to, n, &end);

    (void)session, (void)source;
    if (end)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return got || end ? (ssize_t)got : NGHTTP2_ERR_DEFERRED;
}

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *c;

    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, frame_length);
    return c;
}

struct http2 *http2_new(enum http2_role role, const struct http2_options *o, const struct http2_callbacks *cb,
                        void *arg)
{
    static const struct http2_options defaults;
    struct http2 *h = xnew(struct http2);
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option;
    uint32_t stream_window, connection_window;

    o = o ? o : &defaults;
    stream_window = o->stream_window_bytes ? o->stream_window_bytes : 64 * 1024;
    connection_window = o->connection_window_bytes ? o->connection_window_bytes : 1024 * 1024;
    h->role = role;
    h->limits = http_limits_or_default(&o->limits);
    h->cb = cb;
    h->arg = arg;
    list_init(&h->streams);
    h->budget_max = 1000 * (int64_t)(o->flood_burst ? o->flood_burst : 1000);
    h->refill_per_ms = o->flood_per_s ? o->flood_per_s : 100;
    h->budget = h->budget_max;
    h->plain = o->plain;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX); /* spend() counts, by our clock */
    if (role == HTTP2_SERVER)
        nghttp2_session_server_new2(&h->session, callbacks, h, option);
    else
        nghttp2_session_client_new2(&h->session, callbacks, h, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);

    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max ? o->streams_max : 250 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->limits.head_max_bytes },
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
    };

    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                            ARRAY_SIZE(settings) - (role == HTTP2_SERVER ? 1 : 0));
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)connection_window);
    return h;
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    nghttp2_session_del(h->session);
    list_each (&h->streams, struct h2_stream, link, s)
        stream_free(h, s);
    free(h);
}

int http2_feed(struct http2 *h, struct str bytes, int64_t now_ms, struct error *err)
{
    ssize_t n;

    if (h->now_ms)
        h->budget = MIN(h->budget_max, h->budget + (now_ms - h->now_ms) * h->refill_per_ms);
    h->now_ms = now_ms;
    n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    if (h->flooded) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
        return fail(err, ERR_TOO_MANY_REQUESTS, "HTTP/2: too many resets or control frames");
    }
    if (n == NGHTTP2_ERR_FLOODED)
        return fail(err, ERR_TOO_MANY_REQUESTS, "HTTP/2: too many unanswered acknowledgements");
    if (n < 0) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_PROTOCOL_ERROR);
        return fail(err, ERR_BAD_REQUEST, "HTTP/2: %s", nghttp2_strerror((int)n));
    }
    return 0;
}

int http2_pull(struct http2 *h, struct str *ret, struct error *err)
{
    const uint8_t *p = NULL;
    ssize_t n = nghttp2_session_mem_send(h->session, &p);

    if (n < 0)
        return fail(err, ERR_INTERNAL, "HTTP/2: %s", nghttp2_strerror((int)n));
    *ret = (struct str){ (const char *)p, (size_t)n };
    return 0;
}

bool http2_wants_close(const struct http2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

/* --- writing --- */

static void add_nv(nghttp2_nv *nv, size_t *n, struct str name, struct str value)
{
    nv[(*n)++] = (nghttp2_nv){ (uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n, NGHTTP2_NV_FLAG_NONE };
}

void http2_continue(struct http2 *h, int32_t id)
{
    nghttp2_nv nv[1];
    size_t n = 0;

    add_nv(nv, &n, STR(":status"), STR("100"));
    nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, nv, n, NULL);
}

/* Headers of one connection do not exist in HTTP/2: RFC 9113, 8.2.2. */
static bool is_hop_by_hop(struct str name)
{
    static const char *const names[] = { "connection", "keep-alive", "proxy-connection", "transfer-encoding",
                                         "upgrade",    "host",       "content-length" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static void add_headers(nghttp2_nv *nv, size_t *n, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count && *n < NV_MAX - 1; i++)
        if (!is_hop_by_hop(headers[i].name) && http_is_token(headers[i].name) && http_is_field_value(headers[i].value))
            add_nv(nv, n, headers[i].name, headers[i].value);
}

static struct str number_text(char text[24], int64_t number)
{
    struct buf b = { .p = text, .capacity = 24, .max = 23 };

    buf_add_i64(&b, number);
    return buf_str(&b);
}

int http2_respond(struct http2 *h, int32_t id, const struct http_response *head, bool end)
{
    nghttp2_nv nv[NV_MAX];
    nghttp2_data_provider body = { .read_callback = on_read_body };
    char status[24], length[24];
    size_t n = 0;

    add_nv(nv, &n, STR(":status"), number_text(status, head->status));
    add_headers(nv, &n, head->headers, head->headers_count);
    if (head->content_length >= 0 && head->status >= 200 && head->status != 204 && head->status != 304)
        add_nv(nv, &n, STR("content-length"), number_text(length, head->content_length));
    return nghttp2_submit_response(h->session, id, nv, n, end ? NULL : &body);
}

int32_t http2_request(struct http2 *h, const struct http_request *r, bool end, void *user)
{
    nghttp2_nv nv[NV_MAX];
    nghttp2_data_provider body = { .read_callback = on_read_body };
    char length[24];
    size_t n = 0;
    struct h2_stream *s = stream_new(h, 0);

    add_nv(nv, &n, STR(":method"), r->method);
    add_nv(nv, &n, STR(":scheme"), h->plain ? STR("http") : STR("https"));
    add_nv(nv, &n, STR(":authority"), r->host);
    add_nv(nv, &n, STR(":path"), r->target);
    add_headers(nv, &n, r->headers, r->headers_count);
    if (r->content_length >= 0 && !end)
        add_nv(nv, &n, STR("content-length"), number_text(length, r->content_length));
    s->told = true;
    s->user = user;
    s->id = nghttp2_submit_request(h->session, NULL, nv, n, end ? NULL : &body, s);
    if (s->id < 0) {
        stream_free(h, s);
        return -1;
    }
    return s->id;
}

void http2_resume(struct http2 *h, int32_t id)
{
    nghttp2_session_resume_data(h->session, id);
}

void http2_reset(struct http2 *h, int32_t id, uint32_t code)
{
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code);
}

void http2_forget(struct http2 *h, int32_t id)
{
    list_each (&h->streams, struct h2_stream, link, s)
        if (s->id == id)
            s->user = NULL;
    http2_reset(h, id, HTTP2_CANCEL);
}

void http2_consume(struct http2 *h, int32_t id, size_t n)
{
    nghttp2_session_consume_stream(h->session, id, n);
}

void http2_ping(struct http2 *h, uint64_t payload)
{
    uint8_t bytes[8];

    memcpy(bytes, &payload, sizeof(bytes));
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, bytes);
}

void http2_goaway(struct http2 *h)
{
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

void http2_set_user(struct http2 *h, int32_t id, void *user)
{
    struct h2_stream *s = find(h, id);

    if (s)
        s->user = user;
}

size_t http2_streams_count(const struct http2 *h)
{
    return h->streams_count;
}

uint32_t http2_peer_streams_max(const struct http2 *h)
{
    return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}
