/* Calls: one request of the client and its answer, the same for every way it travels. */
#include "transport/client_internal.h"

#include <stdlib.h>

#define HEAD_TIMEOUT_MS 30000
#define PAUSED_MAX      (64 * MIB) /* windows stop the sender far earlier */
#define OUT_HIGH_BYTES  (64 * KIB)

void call_free(struct http_call *call)
{
    struct http_client *c = call->client;

    loop_defer_cancel(&call->task);
    loop_timer_stop(&call->head_timer);
    loop_timer_stop(&call->total_timer);
    list_del(&call->link);
    chunk_queue_clear(&call->out);
    buf_done(&call->in);
    error_done(&call->error);
    arena_done(&call->head_arena);
    arena_done(&call->arena);
    free(call);
    c->calls_count--;
    client_maybe_freed(c);
}

static void later(struct http_call *call)
{
    loop_defer(call->client->loop, &call->task);
}

static bool tell_head(struct http_call *call)
{
    call->head_told = true;
    if (call->upgraded && call->cb->on_upgraded) {
        struct channel *channel = call->upgraded;

        call->upgraded = NULL;
        call->cb->on_upgraded(call, &call->head, channel, call->arg);
    } else if (call->cb->on_head) {
        call->cb->on_head(call, &call->head, call->arg);
    }
    return call->cb != NULL;
}

static void tell_body(struct http_call *call, struct str bytes)
{
    if (call->as_channel)
        channel_tell_read((struct channel *)call->as_channel, bytes);
    else if (call->cb->on_body)
        call->cb->on_body(call, bytes, call->arg);
    if (call->ops)
        call->ops->consumed(call, bytes.n);
}

static void tell_done(struct http_call *call)
{
    const struct error *err = call->error.code ? &call->error : NULL;

    if (call->upgraded)
        channel_close(call->upgraded); /* nobody wanted it */
    if (call->as_channel)
        call_channel_done(call->as_channel, err);
    call->cb->on_done(call, err, call->arg);
    call->cb = NULL;
}

/* cb NULL: cancelled or done. */
static void run(void *arg)
{
    struct http_call *call = arg;

    if (call->cb && call->head_arrived && !call->head_told && tell_head(call) && call->local)
        call->ops->consumed(call, 0); /* the body waited for its head */
    if (call->cb && call->in.n && !call->paused) {
        struct buf held = call->in;

        call->in = (struct buf)BUF_MAX(PAUSED_MAX);
        tell_body(call, buf_str(&held));
        buf_done(&held);
    }
    if (call->cb && call->want_drained && call->out.bytes < OUT_HIGH_BYTES / 2) {
        call->want_drained = false;
        if (call->as_channel)
            channel_tell_drained((struct channel *)call->as_channel);
        else if (call->cb->on_drained)
            call->cb->on_drained(call, call->arg);
    }
    if (call->cb && call->in_ended && !call->in.n && call->as_channel)
        call_channel_ended(call->as_channel);
    if (call->cb && call->done && (!call->in.n || call->error.code))
        tell_done(call);
    if (!call->cb)
        call_free(call);
}

/* --- what the backend tells --- */

void call_head(struct http_call *call, const struct http_response *head)
{
    if (!call->cb || call->head_arrived)
        return;
    call->head = *head;
    call->head.headers = http_headers_copy(&call->head_arena, head->headers, head->headers_count);
    call->head_arrived = true;
    loop_timer_stop(&call->head_timer);
    if (call->local || head->status == 101)
        later(call);
    else
        tell_head(call);
}

void call_body(struct http_call *call, struct str bytes)
{
    if (!call->cb || !bytes.n)
        return;
    if (!call->paused && !call->in.n && call->head_told) {
        tell_body(call, bytes);
        return;
    }
    buf_add(&call->in, bytes);
    later(call);
}

void call_trailers(struct http_call *call, const struct http_header *headers, size_t count)
{
    if (!call->cb || call->trailers)
        return;
    call->trailers = http_headers_copy(&call->head_arena, headers, count);
    call->trailers_count = count;
}

const struct http_header *http_call_trailers(const struct http_call *call, size_t *ret_count)
{
    *ret_count = call->trailers_count;
    return call->trailers;
}

bool http_call_was_sent(const struct http_call *call)
{
    return call->sent;
}

static void let_go(struct http_call *call)
{
    if (call->request.upgrade)
        client_forget_waiting(call);
    loop_timer_stop(&call->head_timer);
    loop_timer_stop(&call->total_timer);
    list_del(&call->link);
    call->ops = NULL;
    call->connection = NULL;
    call->local = NULL;
    call->done = true;
    later(call);
}

void call_ended(struct http_call *call)
{
    if (call->done)
        return;
    call->in_ended = true;
    let_go(call);
}

void call_failed(struct http_call *call, const struct error *err)
{
    if (call->done)
        return;
    fail(&call->error, err && err->code ? err->code : ERR_UNAVAILABLE, "%s",
         err && err->code ? error_text(err) : "the connection was closed");
    let_go(call);
}

void call_upgraded(struct http_call *call, struct channel *channel)
{
    call->upgraded = channel;
    let_go(call);
}

void call_drained(struct http_call *call)
{
    if (call->want_drained && call->out.bytes < OUT_HIGH_BYTES / 2)
        later(call);
}

void call_retry(struct http_call *call, const struct error *err)
{
    if (++call->tries > CALL_TRIES_MAX || call->out_streamed || call->client->freed || call->client->is_tunnel) {
        call_failed(call, err);
        return;
    }
    call->ops = NULL;
    call->connection = NULL;
    list_del(&call->link);
    list_add_tail(&call->client->waiting, &call->link);
    client_later(call->client);
}

/* --- deadlines --- */

static void on_timeout(struct http_call *call, int64_t ms)
{
    AUTO_ERROR struct error err = { 0 };

    if (call->done)
        return;
    fail(&err, ERR_TIMEOUT, "no %s after %lld ms", call->head_arrived ? "end of the answer" : "answer", (long long)ms);
    if (call->ops)
        call->ops->cancel(call);
    list_del(&call->link);
    call_failed(call, &err);
}

static void on_head_timeout(void *arg)
{
    struct http_call *call = arg;

    on_timeout(call, call->timeout_ms);
}

static void on_total_timeout(void *arg)
{
    struct http_call *call = arg;

    on_timeout(call, call->total_timeout_ms);
}

/* --- the caller's side --- */

static void copy_request(struct http_call *call, const struct http_call_request *r)
{
    struct arena *a = &call->arena;
    struct http_header *headers = arena_alloc_array(a, r->headers_count + 3, sizeof(*headers));
    size_t n = 0;

    for (size_t i = 0; i < r->headers_count; i++)
        headers[n++] = (struct http_header){ arena_str(a, r->headers[i].name), arena_str(a, r->headers[i].value) };
    if (r->bearer && r->bearer->n) {
        struct str token = secret_reveal(r->bearer);

        headers[n++] = (struct http_header){ STR("authorization"), arena_printf(a, "Bearer %.*s", STR_ARG(token)) };
    }
    if (r->upgrade.n) {
        headers[n++] = (struct http_header){ STR("connection"), STR("Upgrade") };
        headers[n++] = (struct http_header){ STR("upgrade"), arena_str(a, r->upgrade) };
    }
    call->request.method = arena_str(a, r->method);
    http_request_set_target(&call->request, arena_str(a, r->target));
    call->request.headers = headers;
    call->request.headers_count = n;
    call->request.upgrade = r->upgrade.n > 0;
    call->request.version = HTTP_1_1;
    call->request.content_length = r->stream_body ? -1 : (int64_t)r->body.n;
    call->body = arena_str(a, r->body);
    call->idempotent = str_is(r->method, "GET") || str_is(r->method, "HEAD");
}

static const struct error too_many = { .code = ERR_TOO_MANY_REQUESTS,
                                       .message = (char *)(uintptr_t) "too many open calls" };

struct http_call *http_client_call(struct http_client *c, const struct http_call_request *r,
                                   const struct http_call_callbacks *cb, void *arg)
{
    struct http_call *call = xnew(struct http_call);

    call->client = c;
    call->cb = cb;
    call->arg = arg;
    call->in.max = PAUSED_MAX;
    call->out_streamed = r->stream_body;
    call->timeout_ms = r->timeout_ms ? r->timeout_ms : HEAD_TIMEOUT_MS;
    call->total_timeout_ms = r->total_timeout_ms;
    call->task = (struct loop_task){ .fn = run, .arg = call };
    loop_timer_init(&call->head_timer, c->loop, on_head_timeout, call);
    loop_timer_init(&call->total_timer, c->loop, on_total_timeout, call);
    copy_request(call, r);
    if (c->calls_count++ >= c->options.calls_max) {
        call_failed(call, &too_many);
        return call;
    }
    loop_timer_start(&call->head_timer, call->timeout_ms);
    if (call->total_timeout_ms)
        loop_timer_start(&call->total_timer, call->total_timeout_ms);
    list_add_tail(&c->waiting, &call->link);
    client_later(c);
    return call;
}

void call_forget(struct http_call *call)
{
    if (call->ops)
        call->ops->cancel(call);
    let_go(call);
    list_del(&call->link);
}

void http_call_cancel(struct http_call *call)
{
    if (!call)
        return;
    call_forget(call);
    if (call->upgraded)
        channel_close(call->upgraded);
    call->upgraded = NULL;
    call->cb = NULL;
    if (call->on_cancelled)
        call->on_cancelled(call->arg);
}

bool http_call_write(struct http_call *call, struct http_bytes piece)
{
    if (call->done || call->out_ended) {
        if (piece.release)
            piece.release(piece.owner);
        return false;
    }
    chunk_queue_add_owned(&call->out, piece.bytes, piece.release, piece.owner);
    if (call->ops)
        call->ops->flush(call);
    if (call->out.bytes < OUT_HIGH_BYTES)
        return true;
    call->want_drained = true;
    return false;
}

void http_call_end(struct http_call *call)
{
    if (call->done || call->out_ended)
        return;
    call->out_ended = true;
    if (call->ops)
        call->ops->flush(call);
}

void http_call_pause(struct http_call *call)
{
    call->paused = true;
}

void http_call_resume(struct http_call *call)
{
    call->paused = false;
    later(call);
    if (call->local && call->ops)
        call->ops->consumed(call, 0);
}
