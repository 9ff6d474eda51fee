/* Calls that go straight to a handler in this process: an exchange on one side, a call on the other, no bytes copied. */
#include "transport/client_internal.h"
#include "transport/exchange_internal.h"

#include <stdlib.h>

struct local {
    struct loop *loop;
    struct http_call *call; /* NULL: cancelled or done */
    struct exchange *x;     /* NULL: the handler has ended it, or it was told to be gone */
    struct chunk_queue answer;
    bool answer_ended, broken, request_end_told;
    bool delivering; /* the caller has a piece of `answer` in its hands, and may cancel while it does */
    struct loop_task task;
};

static void later(struct local *l)
{
    loop_defer(l->loop, &l->task);
}

static void push_request(struct local *l)
{
    struct http_call *call = l->call;

    while (call && l->x && call->out.bytes && exchange_held_bytes(l->x) < BODY_HELD_BYTES) {
        struct str piece = { call->out.first->p, call->out.first->n };

        exchange_body_arrived(l->x, piece);
        chunk_queue_drop(&call->out, piece.n);
    }
    if (!call || !l->x)
        return;
    call_drained(call);
    if (call->out_ended && !call->out.bytes && !l->request_end_told) {
        l->request_end_told = true;
        exchange_body_ended(l->x);
    }
}

static void push_answer(struct local *l)
{
    while (l->call && l->call->head_told && !l->call->paused && l->answer.bytes) {
        struct str piece = { l->answer.first->p, l->answer.first->n };

        l->delivering = true;
        call_body(l->call, piece);
        l->delivering = false;
        if (!l->call) { /* cancelled inside: nobody wants the rest */
            chunk_queue_clear(&l->answer);
            return;
        }
        chunk_queue_drop(&l->answer, piece.n);
    }
    if (l->x && l->answer.bytes < l->x->high_bytes / 2)
        exchange_drained(l->x);
}

static void finish_when_over(struct local *l)
{
    static const struct error broken = { .code = ERR_UNAVAILABLE,
                                         .message = (char *)(uintptr_t) "the answer was broken off" };
    struct http_call *call = l->call;

    if (call && l->broken) {
        l->call = NULL;
        call_failed(call, &broken);
    } else if (call && l->answer_ended && !l->answer.bytes) {
        l->call = NULL;
        call_ended(call);
    }
    if (l->call || l->x)
        return;
    loop_defer_cancel(&l->task);
    chunk_queue_clear(&l->answer);
    free(l);
}

static void run(void *arg)
{
    struct local *l = arg;

    push_request(l);
    push_answer(l);
    finish_when_over(l);
}

/* --- the handler's side --- */

static void drop_exchange(struct local *l)
{
    struct exchange *x = l->x;

    l->x = NULL;
    exchange_transport_done(x);
    later(l);
}

static void x_start(struct exchange *x, const struct http_response *head, bool no_body)
{
    struct local *l = x->backend;

    (void)no_body;
    if (l->call)
        call_head(l->call, head);
    later(l);
}

static bool x_write(struct exchange *x, struct http_bytes piece)
{
    struct local *l = x->backend;

    chunk_queue_add_owned(&l->answer, piece.bytes, piece.release, piece.owner);
    later(l);
    return l->answer.bytes < x->high_bytes;
}

static void x_end(struct exchange *x)
{
    struct local *l = x->backend;

    l->answer_ended = true;
    drop_exchange(l);
}

static void x_abort(struct exchange *x)
{
    struct local *l = x->backend;

    l->broken = true;
    drop_exchange(l);
}

static size_t x_queued(const struct exchange *x)
{
    const struct local *l = x->backend;

    return l->answer.bytes;
}

static void x_want_body(struct exchange *x)
{
    later(x->backend);
}

static void x_consumed(struct exchange *x, size_t n)
{
    (void)n;
    later(x->backend);
}

static struct channel *x_upgrade(struct exchange *x, struct str protocol, const struct http_header *headers,
                                 size_t count)
{
    struct local *l = x->backend;
    struct channel *ends[2];
    struct http_header all[32] = { { STR("connection"), STR("Upgrade") }, { STR("upgrade"), protocol } };
    struct http_response head = { .status = 101, .headers = all, .headers_count = 2 };
    struct http_call *call = l->call;

    for (size_t i = 0; i < count && head.headers_count < ARRAY_SIZE(all); i++)
        all[head.headers_count++] = headers[i];
    channel_pair(l->loop, ends);
    l->call = NULL;
    if (call) {
        call_head(call, &head);
        call_upgraded(call, ends[1]);
    } else {
        channel_close(ends[1]);
    }
    drop_exchange(l);
    return ends[0];
}

static const struct exchange_ops exchange_ops = {
    .start = x_start,
    .write = x_write,
    .end = x_end,
    .abort = x_abort,
    .queued = x_queued,
    .want_body = x_want_body,
    .consumed = x_consumed,
    .upgrade = x_upgrade,
};

/* --- the caller's side --- */

static void do_flush(struct http_call *call)
{
    later(call->local);
}

static void do_cancel(struct http_call *call)
{
    struct local *l = call->local;

    l->call = NULL;
    list_del(&call->link);
    if (!l->delivering)
        chunk_queue_clear(&l->answer);
    if (l->x) {
        struct exchange *x = l->x;

        l->x = NULL;
        exchange_gone(x);
    }
    later(l);
}

static void do_consumed(struct http_call *call, size_t n)
{
    (void)n;
    later(call->local);
}

static const struct call_ops call_ops = { .flush = do_flush, .cancel = do_cancel, .consumed = do_consumed };

void call_local_start(struct http_call *call)
{
    struct http_client *c = call->client;
    struct local *l = xnew(struct local);
    struct exchange *x = xnew(struct exchange);
    struct peer_box *peer = peer_box_copy(&c->peer);

    l->loop = c->loop;
    l->call = call;
    l->x = x;
    l->task = (struct loop_task){ .fn = run, .arg = l };
    call->local = l;
    call->ops = &call_ops;
    call->request.host = STR("local");
    if (!call->out_streamed) {
        if (call->body.n)
            chunk_queue_add_owned(&call->out, call->body, NULL, NULL);
        call->out_ended = true;
    }
    exchange_init(x, &exchange_ops, l, c->loop, &call->request, peer);
    peer_box_unref(peer);
    x->handled = true;
    if (call->out_ended && !call->out.bytes) {
        l->request_end_told = true;
        exchange_body_ended(x);
    }
    later(l);
    c->handler(&x->pub, c->handler_arg);
}
