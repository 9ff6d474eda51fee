/* The server's HTTP/1.1: one exchange at a time, pipelined bytes wait. */
#include "transport/server_internal.h"

#define PIPELINED_MAX_BYTES (64 * KIB)
#define DRAINED_MAX_BYTES   (16 * MIB) /* of a body nobody wanted: read so much, then close */

static void next_message(struct connection *c);

static void update_reading(struct connection *c)
{
    bool full =
        c->pipelined.n >= PIPELINED_MAX_BYTES || (c->current && exchange_held_bytes(c->current) >= BODY_HELD_BYTES);

    if (c->closing)
        return;
    if (full)
        channel_pause(c->channel);
    else
        channel_resume(c->channel);
}

/* Both the request and the response are complete. */
static void exchange_over(struct connection *c)
{
    if (c->close_after || c->server->stopping) {
        connection_close(c);
        return;
    }
    c->message_ended = false;
    c->drained_bytes = 0;
    connection_wait(c, channel_queued_bytes(c->channel) ? WAIT_EXCHANGE : WAIT_REQUEST);
    next_message(c);
}

static void response_over(struct connection *c, struct exchange *x)
{
    connection_exchange_done(c, x);
    c->current = NULL;
    exchange_transport_done(x);
    if (c->message_ended) {
        exchange_over(c);
        return;
    }
    connection_wait(c, WAIT_HEAD);
    update_reading(c); /* the rest of the body is read and dropped, so that the client sees the answer */
}

/* --- what the exchange asks for --- */

static void x_start(struct exchange *x, const struct http_response *head, bool no_body)
{
    struct connection *c = x->backend;
    bool old = x->pub.request->version == HTTP_1_0;
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    struct http_header headers[130];
    struct http_response r = *head;
    size_t n = MIN(head->headers_count, ARRAY_SIZE(headers) - 1);

    (void)no_body;
    for (size_t i = 0; i < n; i++)
        headers[i] = head->headers[i];
    headers[n++] = (struct http_header){ STR("date"), http_server_date(c->server) };
    r.headers = headers;
    r.headers_count = n;
    x->chunked = head->content_length < 0 && !old && !x->no_body;
    if (!http1_keep_alive(c->http1) || c->server->stopping || c->server->draining || (head->content_length < 0 && old))
        c->close_after = true;
    http1_write_response(&text, &r, x->chunked, c->close_after);
    channel_write(c->channel, buf_str(&text));
}

static bool x_write(struct exchange *x, struct http_bytes piece)
{
    struct connection *c = x->backend;
    AUTO_BUF struct buf chunk = BUF_MAX(64);
    bool more;

    c->server->stats.bytes_out += piece.bytes.n;
    if (x->chunked) {
        http1_write_chunk_head(&chunk, piece.bytes.n);
        channel_write(c->channel, buf_str(&chunk));
    }
    more = channel_write_owned(c->channel, piece.bytes, piece.release, piece.owner);
    if (x->chunked)
        more = channel_write(c->channel, HTTP1_CHUNK_END);
    return more;
}

static void x_end(struct exchange *x)
{
    struct connection *c = x->backend;

    if (x->chunked)
        channel_write(c->channel, HTTP1_CHUNK_LAST);
    response_over(c, x);
}

/* HTTP/1.1 can only say "broken" by closing before the end. */
static void x_abort(struct exchange *x)
{
    struct connection *c = x->backend;

    connection_exchange_done(c, x);
    c->current = NULL;
    exchange_transport_done(x);
    connection_close(c);
}

static size_t x_queued(const struct exchange *x)
{
    const struct connection *c = x->backend;

    return channel_queued_bytes(c->channel);
}

static void x_want_body(struct exchange *x)
{
    struct connection *c = x->backend;

    if (x->pub.request->expect_continue && !x->in.n)
        channel_write(c->channel, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void x_consumed(struct exchange *x, size_t n)
{
    (void)n;
    update_reading(x->backend);
}

static struct channel *x_upgrade(struct exchange *x, struct str protocol, const struct http_header *headers,
                                 size_t count)
{
    struct connection *c = x->backend;
    struct channel *channel = c->channel;
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB), early = c->pipelined;
    struct http_header all[32];
    size_t n = 0;

    all[n++] = (struct http_header){ STR("connection"), STR("Upgrade") };
    all[n++] = (struct http_header){ STR("upgrade"), protocol };
    for (size_t i = 0; i < count && n < ARRAY_SIZE(all); i++)
        all[n++] = headers[i];
    http1_write_response(
        &text, &(struct http_response){ .status = 101, .headers = all, .headers_count = n, .content_length = -1 },
        false, false);
    channel_write(channel, buf_str(&text));
    c->pipelined = (struct buf){ 0 };
    connection_exchange_done(c, x);
    c->current = NULL;
    exchange_transport_done(x);
    connection_detach(c);
    if (channel_is_paused(channel))
        channel_resume(channel);
    if (early.n)
        channel_unread(channel, buf_str(&early));
    return channel;
}

static const struct exchange_ops ops = {
    .start = x_start,
    .write = x_write,
    .end = x_end,
    .abort = x_abort,
    .queued = x_queued,
    .want_body = x_want_body,
    .consumed = x_consumed,
    .upgrade = x_upgrade,
};

/* --- what the parser tells --- */

static void on_request(void *arg, const struct http_request *r)
{
    struct connection *c = arg;

    c->current = connection_exchange_new(c, &ops, r);
    connection_wait(c, WAIT_EXCHANGE);
}

static void on_body(void *arg, struct str bytes)
{
    struct connection *c = arg;

    if (c->current)
        exchange_body_arrived(c->current, bytes);
    else
        c->drained_bytes += bytes.n;
}

static void on_end(void *arg)
{
    struct connection *c = arg;

    c->message_ended = true;
    if (c->current)
        exchange_body_ended(c->current);
}

static const struct http1_callbacks callbacks = { .on_request = on_request, .on_body = on_body, .on_end = on_end };

void h1_begin(struct connection *c)
{
    c->http1 = http1_new(HTTP1_SERVER, &c->server->options.limits, &callbacks, c);
}

void h1_free(struct connection *c)
{
    http1_free(c->http1);
    c->http1 = NULL;
}

/* A request that cannot be read is answered as text: there is no exchange for it. */
static void refuse(struct connection *c, const struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(4096), body = BUF_MAX(1024);
    struct http_header header = { STR("content-type"), STR("text/plain; charset=utf-8") };
    int status = err->code == ERR_TOO_LARGE ? 431 : 400;

    if (!c->current || !c->current->started) {
        buf_addf(&body, "%d %s: %s\n", status, http_status_text(status), error_text(err));
        http1_write_response(
            &text,
            &(struct http_response){
                .status = status, .headers = &header, .headers_count = 1, .content_length = (int64_t)body.n },
            false, true);
        buf_add(&text, buf_str(&body));
        channel_write(c->channel, buf_str(&text));
    }
    if (c->current) {
        struct exchange *x = c->current;

        connection_exchange_done(c, x);
        c->current = NULL;
        exchange_gone(x);
    }
    connection_fail(c, err);
}

/* Feeds until one message has ended; returns how much was used. */
static size_t feed(struct connection *c, struct str bytes)
{
    AUTO_ERROR struct error err = { 0 };
    size_t used = 0;

    if (http1_feed(c->http1, bytes, &used, &err) < 0) {
        refuse(c, &err);
        return bytes.n;
    }
    if (!c->current && !c->message_ended && http1_in_head(c->http1) && c->waiting != WAIT_HEAD)
        connection_wait(c, WAIT_HEAD);
    if (c->drained_bytes > DRAINED_MAX_BYTES)
        connection_close(c);
    return used;
}

static void take(struct connection *c, struct str bytes)
{
    size_t used = feed(c, bytes);

    if (c->closing)
        return;
    /* Before the handler runs: it may take the channel away, and these bytes with it. */
    if (used < bytes.n)
        buf_add(&c->pipelined, str_from(bytes, used));
    if (!list_empty(&c->fresh)) {
        connection_run_fresh(c); /* an upgrade takes the connection away: it must not be touched now */
        return;
    }
    if (c->message_ended && !c->current)
        exchange_over(c);
    else
        update_reading(c);
}

void h1_read(struct connection *c, struct str bytes)
{
    /* Behind what waits: bytes that overtake others would make another request of them. */
    if (c->message_ended || c->pipelined.n) {
        buf_add(&c->pipelined, bytes);
        update_reading(c);
        return;
    }
    take(c, bytes);
}

static void run_next(void *arg)
{
    struct connection *c = arg;
    struct buf bytes = c->pipelined;

    if (c->closing || c->message_ended || c->current)
        return;
    c->pipelined = (struct buf){ .max = bytes.max };
    update_reading(c);
    if (bytes.n)
        take(c, buf_str(&bytes));
    buf_done(&bytes);
}

/* In a later round, so that a client that pipelines a thousand requests does not nest a thousand calls. */
static void next_message(struct connection *c)
{
    c->flush_task = (struct loop_task){ .fn = run_next, .arg = c, .link = c->flush_task.link };
    if (c->pipelined.n)
        loop_defer(c->server->loop, &c->flush_task);
    else
        update_reading(c);
}

void h1_drained(struct connection *c)
{
    if (c->current)
        exchange_drained(c->current);
}

void h1_shutdown(struct connection *c)
{
    c->close_after = true;
    if (!c->current && !c->pipelined.n && (!c->http1 || !http1_in_message(c->http1)))
        connection_close(c);
}
