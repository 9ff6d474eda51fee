/* Both bodies of a call or of an exchange as a channel: exec and port forwarding over HTTP/2 and tunnels. */
#include "transport/client_internal.h"
#include "transport/exchange_internal.h"

#include <stdlib.h>

/* --- the caller's end --- */

struct call_channel {
    struct channel channel; /* first: http_call.c hands it out as a channel */
    struct http_call *call; /* NULL: the call has gone */
    struct loop_task closed_task;
    struct error error;
    bool ended;
};

static struct call_channel *of_call(const struct channel *c)
{
    return container_of(c, struct call_channel, channel);
}

static char *copy_of(struct str bytes)
{
    char *copy = xmalloc(MAX(bytes.n, (size_t)1));

    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    return copy;
}

static bool call_do_write(struct channel *c, struct str bytes, bool copy, loop_fn *release, void *owner)
{
    struct call_channel *ch = of_call(c);
    struct http_bytes piece = { bytes, release, owner };

    if (!ch->call) {
        if (release)
            release(owner);
        return false;
    }
    if (copy) {
        char *p = copy_of(bytes);

        piece = (struct http_bytes){ { p, bytes.n }, free, p };
    }
    return http_call_write(ch->call, piece);
}

static size_t call_do_queued(const struct channel *c)
{
    return of_call(c)->call ? of_call(c)->call->out.bytes : 0;
}

static void call_do_update(struct channel *c)
{
    struct call_channel *ch = of_call(c);

    if (ch->call && channel_can_read(c))
        http_call_resume(ch->call);
    else if (ch->call)
        http_call_pause(ch->call);
}

static void call_do_shutdown(struct channel *c)
{
    if (of_call(c)->call)
        http_call_end(of_call(c)->call);
}

static void call_run_closed(void *arg)
{
    struct call_channel *ch = arg;

    channel_tell_closed(&ch->channel, ch->error.code ? &ch->error : NULL);
    error_done(&ch->error);
    free(ch);
}

static void call_do_close(struct channel *c)
{
    struct call_channel *ch = of_call(c);

    if (ch->call) {
        struct http_call *call = ch->call;

        ch->call = NULL;
        call->as_channel = NULL;
        if (!call->done)
            call_forget(call); /* on_done follows */
    }
    loop_defer(c->loop, &ch->closed_task);
}

static void call_do_close_after_write(struct channel *c, int64_t timeout_ms)
{
    (void)timeout_ms;
    if (!of_call(c)->call || !of_call(c)->call->out.bytes)
        channel_close(c);
    else
        call_do_shutdown(c);
}

static const struct channel_ops call_ops = {
    .write = call_do_write,
    .queued = call_do_queued,
    .update = call_do_update,
    .shutdown = call_do_shutdown,
    .close = call_do_close,
    .close_after_write = call_do_close_after_write,
};

struct channel *http_call_channel(struct http_call *call)
{
    struct call_channel *ch = xnew(struct call_channel);

    channel_init(&ch->channel, &call_ops, call->client->loop);
    ch->call = call;
    ch->closed_task = (struct loop_task){ .fn = call_run_closed, .arg = ch };
    call->as_channel = ch;
    call->paused = true; /* until somebody sets callbacks */
    return &ch->channel;
}

void call_channel_ended(struct call_channel *ch)
{
    if (ch->ended)
        return;
    ch->ended = true;
    channel_tell_eof(&ch->channel);
}

void call_channel_done(struct call_channel *ch, const struct error *err)
{
    ch->call = NULL;
    if (err && !ch->channel.closing) {
        fail(&ch->error, err->code, "%s", error_text(err));
        channel_close(&ch->channel);
    } else if (!ch->channel.closing) {
        call_channel_ended(ch);
    }
}

/* --- the handler's end --- */

struct http_exchange_channel {
    struct channel channel;
    struct http_exchange *x; /* NULL: ended */
    struct loop_task closed_task;
    bool gone, eof_told;
};

static struct http_exchange_channel *of_exchange(const struct channel *c)
{
    return container_of(c, struct http_exchange_channel, channel);
}

static bool exchange_do_write(struct channel *c, struct str bytes, bool copy, loop_fn *release, void *owner)
{
    struct http_exchange_channel *ch = of_exchange(c);

    if (!ch->x) {
        if (release)
            release(owner);
        return false;
    }
    if (copy)
        return http_exchange_write_copy(ch->x, bytes);
    return http_exchange_write(ch->x, (struct http_bytes){ bytes, release, owner });
}

static size_t exchange_do_queued(const struct channel *c)
{
    return of_exchange(c)->x ? http_exchange_queued_bytes(of_exchange(c)->x) : 0;
}

static void exchange_do_update(struct channel *c)
{
    struct http_exchange_channel *ch = of_exchange(c);

    if (ch->x && channel_can_read(c))
        http_exchange_resume_body(ch->x);
    else if (ch->x)
        http_exchange_pause_body(ch->x);
}

static void end_exchange(struct http_exchange_channel *ch)
{
    struct http_exchange *x = ch->x;

    ch->x = NULL;
    if (x)
        http_exchange_end(x);
}

/* The answer ends; what the client still sends has no reader, so reading ends as well. */
static void exchange_do_shutdown(struct channel *c)
{
    struct http_exchange_channel *ch = of_exchange(c);

    end_exchange(ch);
    loop_defer(c->loop, &ch->closed_task);
}

static void exchange_run_closed(void *arg)
{
    struct http_exchange_channel *ch = arg;
    AUTO_ERROR struct error err = { 0 };

    if (!ch->channel.closing && !ch->gone) {
        if (!ch->eof_told) {
            ch->eof_told = true;
            channel_tell_eof(&ch->channel);
        }
        return;
    }
    if (ch->gone && !ch->channel.closing)
        fail(&err, ERR_UNAVAILABLE, "the client left");
    channel_tell_closed(&ch->channel, err.code ? &err : NULL);
    free(ch);
}

static void exchange_do_close(struct channel *c)
{
    struct http_exchange_channel *ch = of_exchange(c);

    end_exchange(ch);
    loop_defer(c->loop, &ch->closed_task);
}

static void exchange_do_close_after_write(struct channel *c, int64_t timeout_ms)
{
    (void)timeout_ms;
    channel_close(c); /* what is queued belongs to the exchange and is sent */
}

static const struct channel_ops exchange_channel_ops = {
    .write = exchange_do_write,
    .queued = exchange_do_queued,
    .update = exchange_do_update,
    .shutdown = exchange_do_shutdown,
    .close = exchange_do_close,
    .close_after_write = exchange_do_close_after_write,
};

static void on_piece(struct http_exchange *x, struct str bytes, bool end, void *arg)
{
    struct http_exchange_channel *ch = arg;

    (void)x;
    if (bytes.n)
        channel_tell_read(&ch->channel, bytes);
    if (end && !ch->eof_told) {
        ch->eof_told = true;
        channel_tell_eof(&ch->channel);
    }
}

static void on_drained(struct http_exchange *x, void *user)
{
    struct http_exchange_channel *ch = user;

    (void)x;
    channel_tell_drained(&ch->channel);
}

static void on_gone(struct http_exchange *x, void *user)
{
    struct http_exchange_channel *ch = user;

    (void)x;
    ch->gone = true;
    end_exchange(ch);
    loop_defer(ch->channel.loop, &ch->closed_task);
}

static const struct http_exchange_callbacks exchange_callbacks = { .on_drained = on_drained, .on_gone = on_gone };

struct channel *http_exchange_channel(struct http_exchange *x, const struct http_response *head)
{
    struct http_exchange_channel *ch = xnew(struct http_exchange_channel);

    channel_init(&ch->channel, &exchange_channel_ops, x->loop);
    ch->x = x;
    ch->closed_task = (struct loop_task){ .fn = exchange_run_closed, .arg = ch };
    http_exchange_set_callbacks(x, &exchange_callbacks, ch);
    http_exchange_start(x, head);
    http_exchange_pause_body(x);
    http_exchange_stream_body(x, on_piece, ch);
    return &ch->channel;
}
