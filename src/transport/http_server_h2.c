/* The server's HTTP/2: many exchanges on one connection. */
#include "transport/server_internal.h"

#define STAGE_BYTES (16 * KIB) /* small frames are gathered into one TLS record */

static void later(struct connection *c)
{
    loop_defer(c->server->loop, &c->flush_task);
}

static void exchange_over(struct connection *c, struct exchange *x)
{
    connection_exchange_done(c, x);
    if (!c->exchanges_count)
        connection_wait(c, WAIT_REQUEST);
    later(c);
}

/* --- what the exchange asks for --- */

static void x_start(struct exchange *x, const struct http_response *head, bool no_body)
{
    struct connection *c = x->backend;
    struct http_header headers[120];
    struct http_response r = *head;
    size_t n = MIN(head->headers_count, ARRAY_SIZE(headers) - 1);

    for (size_t i = 0; i < n; i++)
        headers[i] = head->headers[i];
    headers[n++] = (struct http_header){ STR("date"), http_server_date(c->server) };
    r.headers = headers;
    r.headers_count = n;
    http2_respond(c->http2, x->id, &r, no_body);
    x->no_body = no_body;
    later(c);
}

static bool x_write(struct exchange *x, struct http_bytes piece)
{
    struct connection *c = x->backend;

    c->server->stats.bytes_out += piece.bytes.n;
    chunk_queue_add_owned(&x->out, piece.bytes, piece.release, piece.owner);
    http2_resume(c->http2, x->id);
    later(c);
    return x->out.bytes < x->high_bytes;
}

static void x_end(struct exchange *x)
{
    struct connection *c = x->backend;

    if (!x->no_body)
        http2_resume(c->http2, x->id);
    later(c);
}

static void x_abort(struct exchange *x)
{
    struct connection *c = x->backend;

    chunk_queue_clear(&x->out);
    http2_reset(c->http2, x->id, HTTP2_INTERNAL_ERROR);
    later(c);
}

static size_t x_queued(const struct exchange *x)
{
    return x->out.bytes;
}

static void x_want_body(struct exchange *x)
{
    struct connection *c = x->backend;

    if (x->pub.request->expect_continue && !x->in.n)
        http2_continue(c->http2, x->id);
    later(c);
}

static void x_consumed(struct exchange *x, size_t n)
{
    struct connection *c = x->backend;

    http2_consume(c->http2, x->id, n);
    later(c);
}

static const struct exchange_ops ops = {
    .start = x_start,
    .write = x_write,
    .end = x_end,
    .abort = x_abort,
    .queued = x_queued,
    .want_body = x_want_body,
    .consumed = x_consumed,
};

/* --- what the session tells --- */

static void on_request(void *arg, int32_t id, const struct http_request *r, bool end)
{
    struct connection *c = arg;
    struct exchange *x = connection_exchange_new(c, &ops, r);

    x->id = id;
    http2_set_user(c->http2, id, x);
    if (end)
        exchange_body_ended(x);
    if (c->waiting != WAIT_EXCHANGE)
        connection_wait(c, WAIT_EXCHANGE);
}

static void on_data(void *arg, int32_t id, void *user, struct str bytes)
{
    (void)arg, (void)id;
    exchange_body_arrived(user, bytes);
}

static void on_end(void *arg, int32_t id, void *user)
{
    struct exchange *x = user;

    (void)arg, (void)id;
    if (!x->in_ended)
        exchange_body_ended(x);
}

static void on_closed(void *arg, int32_t id, void *user, uint32_t code)
{
    struct connection *c = arg;
    struct exchange *x = user;

    (void)id;
    if (code)
        c->server->stats.resets++;
    exchange_over(c, x);
    exchange_gone(x); /* when the handler has ended it, this only says that the transport is done */
}

static size_t read_body(void *arg, int32_t id, void *user, char *to, size_t n, bool *ret_end)
{
    struct exchange *x = user;
    size_t got;

    (void)arg, (void)id;
    got = chunk_queue_read(&x->out, to, n);
    if (x->out.bytes < x->high_bytes / 2)
        exchange_drained(x);
    *ret_end = x->ended && !x->out.bytes;
    return got;
}

static void on_pong(void *arg, uint64_t payload)
{
    struct connection *c = arg;

    if (c->on_pong)
        c->on_pong(c->on_pong_arg, payload);
}

static const struct http2_callbacks callbacks = { .on_pong = on_pong,
                                                  .on_request = on_request,
                                                  .on_data = on_data,
                                                  .on_end = on_end,
                                                  .on_closed = on_closed,
                                                  .read_body = read_body };

/* --- bytes --- */

/* The answer is complete but the request is not: nobody reads its rest (RFC 9113, 8.1). */
static bool stop_requests(struct connection *c)
{
    bool any = false;

    list_each (&c->exchanges, struct exchange, link, x) {
        if (!x->ended || x->in_ended || x->out.bytes || !x->started)
            continue;
        x->in_ended = true;
        http2_reset(c->http2, x->id, HTTP2_NO_ERROR);
        any = true;
    }
    return any;
}

static void pull_all(struct connection *c)
{
    char stage[STAGE_BYTES];
    size_t n = 0;
    struct str bytes;
    bool more = true; /* false: the channel tells when it has drained */
    AUTO_ERROR struct error err = { 0 };

    while (more) {
        if (http2_pull(c->http2, &bytes, &err) < 0) {
            connection_fail(c, &err);
            return;
        }
        if (n && (!bytes.n || n + bytes.n > sizeof(stage))) {
            more = channel_write(c->channel, (struct str){ stage, n });
            n = 0;
        }
        if (!bytes.n)
            return;
        if (bytes.n > sizeof(stage)) {
            more = channel_write(c->channel, bytes);
        } else {
            memcpy(stage + n, bytes.p, bytes.n);
            n += bytes.n;
        }
    }
    if (n)
        channel_write(c->channel, (struct str){ stage, n });
    c->blocked = true;
}

void h2_flush_now(struct connection *c)
{
    if (c->closing || c->blocked)
        return;
    pull_all(c);
    if (!c->closing && c->exchanges_count && stop_requests(c))
        pull_all(c);
    if (!c->closing && (http2_wants_close(c->http2) || (c->goaway_sent && !http2_streams_count(c->http2))))
        connection_close(c);
}

static void run_flush(void *arg)
{
    h2_flush_now(arg);
}

void h2_ping(struct connection *c, uint64_t payload)
{
    http2_ping(c->http2, payload);
    later(c);
}

void h2_begin(struct connection *c)
{
    const struct http_server_options *o = &c->server->options;

    c->http2 =
        http2_new(HTTP2_SERVER, &(struct http2_options){ .limits = o->limits, .streams_max = (uint32_t)o->streams_max },
                  &callbacks, c);
    c->flush_task = (struct loop_task){ .fn = run_flush, .arg = c };
    later(c);
}

void h2_free(struct connection *c)
{
    http2_free(c->http2);
    c->http2 = NULL;
}

void h2_read(struct connection *c, struct str bytes)
{
    AUTO_ERROR struct error err = { 0 };
    int r = http2_feed(c->http2, bytes, loop_now_ms(c->server->loop), &err);

    connection_run_fresh(c);
    if (r < 0) {
        h2_flush_now(c);
        connection_fail(c, &err);
        return;
    }
    later(c);
}

void h2_drained(struct connection *c)
{
    c->blocked = false;
    later(c);
}

void h2_shutdown(struct connection *c)
{
    if (c->goaway_sent)
        return;
    c->goaway_sent = true;
    http2_goaway(c->http2);
    later(c);
}
