/* The client's HTTP/2: many calls on one connection. */
#include "transport/client_internal.h"

#define STAGE_BYTES             (16 * KIB)
#define STREAM_WINDOW_BYTES     (2 * 1024 * 1024) /* a LIST of megabytes must not wait for window updates */
#define CONNECTION_WINDOW_BYTES (16 * 1024 * 1024)

static void later(struct client_connection *cc)
{
    loop_defer(cc->client->loop, &cc->flush_task);
}

static void do_flush(struct http_call *call)
{
    http2_resume(call->connection->http2, call->id);
    later(call->connection);
}

static void do_cancel(struct http_call *call)
{
    struct client_connection *cc = call->connection;

    http2_forget(cc->http2, call->id);
    client_connection_call_done(cc, call);
    later(cc);
}

static void do_consumed(struct http_call *call, size_t n)
{
    http2_consume(call->connection->http2, call->id, n);
    later(call->connection);
}

static const struct call_ops ops = { .flush = do_flush, .cancel = do_cancel, .consumed = do_consumed };

static void on_response(void *arg, int32_t id, void *user, const struct http_response *r, bool end)
{
    (void)arg, (void)id, (void)end;
    if (user)
        call_head(user, r);
}

static void on_data(void *arg, int32_t id, void *user, struct str bytes)
{
    struct client_connection *cc = arg;

    if (user)
        call_body(user, bytes);
    else
        http2_consume(cc->http2, id, bytes.n);
}

static void on_trailers(void *arg, int32_t id, void *user, const struct http_header *headers, size_t count)
{
    (void)arg, (void)id;
    if (user)
        call_trailers(user, headers, count);
}

static void on_end(void *arg, int32_t id, void *user)
{
    struct http_call *call = user;

    (void)arg, (void)id;
    if (!call)
        return;
    call->in_ended = true;
    if (call->as_channel)
        loop_defer(call->client->loop, &call->task);
}

static void on_closed(void *arg, int32_t id, void *user, uint32_t code)
{
    struct client_connection *cc = arg;
    struct http_call *call = user;
    AUTO_ERROR struct error err = { 0 };

    (void)id;
    if (!call)
        return;
    client_connection_call_done(cc, call);
    if (call->in_ended && call->head_arrived) {
        call_ended(call); /* NO_ERROR or not: the answer is whole */
        return;
    }
    fail(&err, ERR_UNAVAILABLE, "the server broke off the answer (HTTP/2 error %u)", code);
    if (code == HTTP2_REFUSED_STREAM)
        call_retry(call, &err);
    else
        call_failed(call, &err);
}

static void on_goaway(void *arg, int32_t last_id, uint32_t code)
{
    struct client_connection *cc = arg;

    (void)last_id, (void)code;
    cc->going = true;
    if (!cc->calls_count)
        client_connection_idle(cc);
}

static void on_pong(void *arg, uint64_t payload)
{
    struct client_connection *cc = arg;

    if (cc->on_pong)
        cc->on_pong(cc->tunnel, payload);
}

static size_t read_body(void *arg, int32_t id, void *user, char *to, size_t n, bool *ret_end)
{
    struct http_call *call = user;
    size_t got;

    (void)arg, (void)id;
    if (!call) {
        *ret_end = true;
        return 0;
    }
    got = chunk_queue_read(&call->out, to, n);
    call_drained(call);
    *ret_end = call->out_ended && !call->out.bytes;
    return got;
}

static const struct http2_callbacks callbacks = { .on_response = on_response,
                                                  .on_data = on_data,
                                                  .on_trailers = on_trailers,
                                                  .on_end = on_end,
                                                  .on_closed = on_closed,
                                                  .on_goaway = on_goaway,
                                                  .on_pong = on_pong,
                                                  .read_body = read_body };

static void flush(void *arg)
{
    struct client_connection *cc = arg;
    char stage[STAGE_BYTES];
    size_t n = 0;
    struct str bytes;
    bool more = true;
    AUTO_ERROR struct error err = { 0 };

    if (cc->closing || cc->blocked)
        return;
    while (more) {
        if (http2_pull(cc->http2, &bytes, &err) < 0) {
            client_connection_close(cc, &err);
            return;
        }
        if (n && (!bytes.n || n + bytes.n > sizeof(stage))) {
            more = channel_write(cc->channel, (struct str){ stage, n });
            n = 0;
        }
        if (!bytes.n)
            break;
        if (bytes.n > sizeof(stage)) {
            more = channel_write(cc->channel, bytes);
        } else {
            memcpy(stage + n, bytes.p, bytes.n);
            n += bytes.n;
        }
    }
    if (n)
        more = channel_write(cc->channel, (struct str){ stage, n });
    cc->blocked = !more;
    if (!cc->closing && http2_wants_close(cc->http2))
        client_connection_close(cc, NULL);
}

void client_h2_begin(struct client_connection *cc)
{
    struct http2_options o = { .limits = cc->client->options.limits,
                               .stream_window_bytes = STREAM_WINDOW_BYTES,
                               .connection_window_bytes = CONNECTION_WINDOW_BYTES,
                               .flood_per_s = cc->client->options.flood_per_s,
                               .flood_burst = cc->client->options.flood_per_s,
                               .plain = !cc->tls && !cc->client->is_tunnel };

    cc->http2 = http2_new(HTTP2_CLIENT, &o, &callbacks, cc);
    cc->flush_task = (struct loop_task){ .fn = flush, .arg = cc };
    later(cc);
}

void client_h2_start(struct client_connection *cc, struct http_call *call)
{
    static const struct error no_stream = { .code = ERR_UNAVAILABLE,
                                            .message = (char *)(uintptr_t) "no HTTP/2 stream left" };
    int32_t id = http2_request(cc->http2, &call->request, !call->out_streamed && !call->out.bytes, call);

    if (id < 0) {
        cc->going = true;
        client_connection_call_done(cc, call);
        call_retry(call, &no_stream);
        return;
    }
    call->ops = &ops;
    call->id = id;
    later(cc);
}

void client_h2_read(struct client_connection *cc, struct str bytes)
{
    AUTO_ERROR struct error err = { 0 };

    if (http2_feed(cc->http2, bytes, loop_now_ms(cc->client->loop), &err) < 0) {
        flush(cc);
        client_connection_close(cc, &err);
        return;
    }
    later(cc);
}

void client_h2_drained(struct client_connection *cc)
{
    cc->blocked = false;
    later(cc);
}

void client_h2_ping(struct client_connection *cc, uint64_t payload)
{
    http2_ping(cc->http2, payload);
    flush(cc);
}
