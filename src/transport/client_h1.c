/* The client's HTTP/1.1: one call at a time. */
#include "transport/client_internal.h"

static struct http_call *current(struct client_connection *cc)
{
    return list_first(&cc->calls, struct http_call, link);
}

static void send_body(struct client_connection *cc, struct http_call *call)
{
    AUTO_BUF struct buf chunk = BUF_MAX(64);

    while (call->out.bytes && !cc->blocked) {
        struct chunk *first = call->out.first;
        bool more;

        if (call->out_streamed) {
            http1_write_chunk_head(&chunk, first->n);
            channel_write(cc->channel, buf_str(&chunk));
            buf_clear(&chunk);
        }
        more = channel_write(cc->channel, (struct str){ first->p, first->n });
        chunk_queue_drop(&call->out, first->n);
        if (call->out_streamed)
            more = channel_write(cc->channel, HTTP1_CHUNK_END);
        cc->blocked = !more;
    }
    if (call->out_streamed && call->out_ended && !call->out.bytes && !cc->request_sent) {
        cc->request_sent = true;
        channel_write(cc->channel, HTTP1_CHUNK_LAST);
    }
    call_drained(call);
}

static void do_flush(struct http_call *call)
{
    send_body(call->connection, call);
}

/* HTTP/1.1 cannot take a request back: the connection goes with it. */
static void do_cancel(struct http_call *call)
{
    struct client_connection *cc = call->connection;

    client_connection_call_done(cc, call);
    client_connection_close(cc, NULL);
}

static void update_reading(struct client_connection *cc, struct http_call *call)
{
    if (call && call->in.n >= 256 * KIB)
        channel_pause(cc->channel);
    else if (channel_is_paused(cc->channel))
        channel_resume(cc->channel);
}

static void do_consumed(struct http_call *call, size_t n)
{
    (void)n;
    update_reading(call->connection, call);
}

static const struct call_ops ops = { .flush = do_flush, .cancel = do_cancel, .consumed = do_consumed };

static void on_response(void *arg, const struct http_response *r)
{
    struct client_connection *cc = arg;
    struct http_call *call = current(cc);

    if (call)
        call_head(call, r);
}

static void on_body(void *arg, struct str bytes)
{
    struct client_connection *cc = arg;
    struct http_call *call = current(cc);

    if (call)
        call_body(call, bytes);
}

/* The bytes after 101 belong to whoever asked for the upgrade. */
static void hand_over(struct client_connection *cc, struct http_call *call)
{
    struct channel *channel = cc->channel;

    client_connection_call_done(cc, call);
    channel_set_callbacks(channel, NULL, NULL);
    call_upgraded(call, channel);
    cc->channel = NULL;
    cc->closing = true;
}

static void on_end(void *arg)
{
    struct client_connection *cc = arg;
    struct http_call *call = current(cc);

    if (!call)
        return;
    if (call->head.status == 101 && call->head_arrived) {
        hand_over(cc, call);
        return;
    }
    /* An answer before the end of the request: what is not sent yet would be taken for the next request. */
    if (!http1_keep_alive(cc->http1) || call->out.bytes || channel_queued_bytes(cc->channel) ||
        (call->out_streamed && !cc->request_sent) || call->request.upgrade)
        cc->going = true;
    client_connection_call_done(cc, call);
    call_ended(call);
}

static const struct http1_callbacks callbacks = { .on_response = on_response, .on_body = on_body, .on_end = on_end };

void client_h1_begin(struct client_connection *cc)
{
    cc->http1 = http1_new(HTTP1_CLIENT, &cc->client->options.limits, &callbacks, cc);
}

void client_h1_start(struct client_connection *cc, struct http_call *call)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);

    call->ops = &ops;
    cc->request_sent = false;
    http1_expect(cc->http1, call->request.method);
    http1_write_request(&text, &call->request, call->out_streamed);
    channel_write(cc->channel, buf_str(&text));
    send_body(cc, call);
}

static void run_free(void *arg)
{
    client_connection_detached(arg);
}

void client_h1_read(struct client_connection *cc, struct str bytes)
{
    AUTO_ERROR struct error err = { 0 };
    struct channel *channel = cc->channel;
    size_t used = 0;

    if (http1_feed(cc->http1, bytes, &used, &err) < 0) {
        err.code = ERR_INTERNAL;
        client_connection_close(cc, &err);
        return;
    }
    if (!cc->channel) {
        if (used < bytes.n)
            channel_unread(channel, str_from(bytes, used));
        cc->flush_task = (struct loop_task){ .fn = run_free, .arg = cc };
        loop_defer(cc->client->loop, &cc->flush_task);
        return;
    }
    /* Bytes nobody asked for: whatever this is, it is no answer to a later request. */
    if (used < bytes.n && !cc->closing)
        client_connection_close(cc, NULL);
    if (!cc->closing)
        update_reading(cc, current(cc));
}

void client_h1_eof(struct client_connection *cc)
{
    AUTO_ERROR struct error err = { 0 };

    if (http1_finish(cc->http1, &err) < 0)
        client_connection_close(cc, &err);
}

void client_h1_drained(struct client_connection *cc)
{
    struct http_call *call = current(cc);

    cc->blocked = false;
    if (call)
        send_body(cc, call);
}
