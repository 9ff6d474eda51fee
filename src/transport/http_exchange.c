/* Exchanges: the handler's side, the same for every transport. */
#include "transport/exchange_internal.h"

#include <stdlib.h>

#define UNREAD_MAX_BYTES (16 * MIB) /* the backends stop far earlier, at BODY_HELD_BYTES */

static struct exchange *of(struct http_exchange *x)
{
    return container_of(x, struct exchange, pub);
}

/* --- peers --- */

struct peer_box *peer_box_new(void)
{
    struct peer_box *p = xnew(struct peer_box);

    p->references = 1;
    return p;
}

struct peer_box *peer_box_ref(struct peer_box *p)
{
    p->references++;
    return p;
}

void peer_box_unref(struct peer_box *p)
{
    if (!p || --p->references)
        return;
    arena_done(&p->arena);
    free(p);
}

struct peer_box *peer_box_copy(const struct http_peer *peer)
{
    struct peer_box *p = peer_box_new();
    struct str *organizations;

    if (!peer)
        return p;
    p->peer = *peer;
    organizations = arena_alloc_array(&p->arena, MAX(peer->organizations_count, (size_t)1), sizeof(*organizations));
    for (size_t i = 0; i < peer->organizations_count; i++)
        organizations[i] = arena_str(&p->arena, peer->organizations[i]);
    p->peer.organizations = organizations;
    p->peer.common_name = arena_str(&p->arena, peer->common_name);
    p->peer.certificate_der_sha256 = arena_str(&p->arena, peer->certificate_der_sha256);
    return p;
}

/* --- life --- */

static void exchange_free(struct exchange *x)
{
    loop_defer_cancel(&x->task);
    loop_timer_stop(&x->body_timer);
    chunk_queue_clear(&x->out);
    buf_done(&x->in);
    peer_box_unref(x->peer);
    arena_done(&x->arena);
    free(x);
}

static void tell_collected(struct exchange *x)
{
    AUTO_ERROR struct error err = { 0 };
    http_body_collected *fn = x->collected;

    x->in_told = true;
    loop_timer_stop(&x->body_timer);
    if (x->in_error == ERR_TOO_LARGE)
        fail(&err, ERR_TOO_LARGE, "the body is longer than %zu bytes", x->in_max);
    else if (x->in_error == ERR_TIMEOUT)
        fail(&err, ERR_TIMEOUT, "the body did not arrive in time");
    else if (x->in_error)
        fail(&err, x->in_error, "the client left before the end of the body");
    fn(&x->pub, err.code ? STR_NONE : buf_str(&x->in), err.code ? &err : NULL, x->body_arg);
}

static void deliver_body(struct exchange *x)
{
    if (x->mode == BODY_COLLECT && !x->in_told && (x->in_ended || x->in_error)) {
        tell_collected(x);
    } else if (x->mode == BODY_PIECES && !x->in_paused && !x->in_told && (x->in.n || x->in_ended)) {
        struct buf held = x->in;
        bool end = x->in_ended;

        x->in = (struct buf)BUF_MAX(UNREAD_MAX_BYTES);
        x->in_told = end;
        x->piece(&x->pub, buf_str(&held), end, x->body_arg);
        if (x->backend && held.n)
            x->ops->consumed(x, held.n);
        buf_done(&held);
    }
}

static void run(void *arg)
{
    struct exchange *x = arg;

    if (!x->ended)
        deliver_body(x);
    if (x->pending_drained && !x->ended && !x->gone) {
        x->pending_drained = false;
        if (x->cb && x->cb->on_drained)
            x->cb->on_drained(&x->pub, x->pub.user);
    }
    if (x->pending_gone && !x->ended && !x->gone_told) {
        x->pending_gone = false;
        x->gone_told = true;
        if (x->cb && x->cb->on_gone)
            x->cb->on_gone(&x->pub, x->pub.user);
    }
    if (x->ended && x->transport_done && !x->held)
        exchange_free(x);
}

static void later(struct exchange *x)
{
    loop_defer(x->pub.loop, &x->task);
}

static void on_body_timeout(void *arg)
{
    struct exchange *x = arg;

    if (x->in_ended)
        return;
    x->in_error = ERR_TIMEOUT;
    later(x);
}

void exchange_init(struct exchange *x, const struct exchange_ops *ops, void *backend, struct loop *loop,
                   const struct http_request *request, struct peer_box *peer)
{
    x->ops = ops;
    x->backend = backend;
    x->peer = peer_box_ref(peer);
    x->in.max = UNREAD_MAX_BYTES;
    x->high_bytes = BODY_HELD_BYTES;
    x->max_bytes = 64 * MIB;
    x->task = (struct loop_task){ .fn = run, .arg = x };
    loop_timer_init(&x->body_timer, loop, on_body_timeout, x);
    x->pub.loop = loop;
    x->pub.arena = &x->arena;
    x->pub.request = http_request_copy(&x->arena, request);
    x->pub.peer = &x->peer->peer;
}

void exchange_transport_done(struct exchange *x)
{
    if (x->transport_done)
        return;
    x->transport_done = true;
    x->backend = NULL;
    chunk_queue_clear(&x->out);
    later(x);
}

void exchange_gone(struct exchange *x)
{
    if (!x->handled)
        x->ended = true; /* gone before any handler saw it: nobody else will end it */
    if (!x->ended && !x->gone) {
        x->gone = true;
        x->pending_gone = true;
        if (!x->in_ended && !x->in_error)
            x->in_error = ERR_UNAVAILABLE;
    }
    exchange_transport_done(x);
}

void exchange_drained(struct exchange *x)
{
    if (!x->want_drained)
        return;
    x->want_drained = false;
    x->pending_drained = true;
    later(x);
}

void http_exchange_hold(struct http_exchange *x)
{
    of(x)->held = true;
}

void http_exchange_release(struct http_exchange *x)
{
    if (!x)
        return;
    of(x)->held = false;
    later(of(x));
}

/* --- request body --- */

size_t exchange_held_bytes(const struct exchange *x)
{
    return x->mode == BODY_UNREAD || x->mode == BODY_PIECES ? x->in.n : 0;
}

static void body_progress(struct exchange *x)
{
    if (x->mode == BODY_COLLECT && x->body_idle_ms && !x->in_ended)
        loop_timer_start(&x->body_timer, x->body_idle_ms);
}

static void collect(struct exchange *x, struct str bytes)
{
    if (x->in_error)
        return;
    if (x->in.n + bytes.n > x->in_max) {
        x->in_error = ERR_TOO_LARGE;
        buf_done(&x->in);
        later(x);
        return;
    }
    buf_add(&x->in, bytes);
    body_progress(x);
}

void exchange_body_arrived(struct exchange *x, struct str bytes)
{
    bool consumed = true;

    if (x->ended || x->mode == BODY_DROP) {
        ;
    } else if (x->mode == BODY_COLLECT) {
        collect(x, bytes);
    } else if (x->mode == BODY_PIECES && !x->in_paused && !x->in.n && !x->task.link.next) {
        x->piece(&x->pub, bytes, false, x->body_arg);
    } else {
        buf_add(&x->in, bytes);
        consumed = false;
        if (x->mode == BODY_PIECES)
            later(x);
    }
    if (consumed && x->backend)
        x->ops->consumed(x, bytes.n);
}

void exchange_body_ended(struct exchange *x)
{
    x->in_ended = true;
    later(x);
}

static void choose_mode(struct exchange *x, enum body_mode mode, void *arg)
{
    assert(x->mode == BODY_UNREAD && !x->ended);
    x->mode = mode;
    x->body_arg = arg;
    if (x->backend && !x->in_ended && !x->in_error)
        x->ops->want_body(x);
    later(x);
}

void http_exchange_collect(struct http_exchange *pub, size_t max_bytes, http_body_collected *fn, void *arg)
{
    struct exchange *x = of(pub);
    struct buf early = x->in;

    x->collected = fn;
    x->in_max = max_bytes;
    x->in = (struct buf)BUF_MAX(max_bytes + 1);
    if (pub->request->content_length > (int64_t)max_bytes)
        x->in_error = ERR_TOO_LARGE;
    choose_mode(x, BODY_COLLECT, arg);
    if (early.n && !x->in_error)
        collect(x, buf_str(&early));
    if (early.n && x->backend)
        x->ops->consumed(x, early.n);
    buf_done(&early);
    body_progress(x);
}

void http_exchange_stream_body(struct http_exchange *pub, http_body_piece *fn, void *arg)
{
    struct exchange *x = of(pub);

    x->piece = fn;
    choose_mode(x, BODY_PIECES, arg);
}

void http_exchange_pause_body(struct http_exchange *pub)
{
    of(pub)->in_paused = true;
}

void http_exchange_resume_body(struct http_exchange *pub)
{
    of(pub)->in_paused = false;
    later(of(pub));
}

/* --- response --- */

void http_exchange_set_callbacks(struct http_exchange *pub, const struct http_exchange_callbacks *cb, void *user)
{
    of(pub)->cb = cb;
    pub->user = user;
}

bool http_exchange_is_gone(const struct http_exchange *pub)
{
    return container_of(pub, const struct exchange, pub)->gone;
}

size_t http_exchange_queued_bytes(const struct http_exchange *pub)
{
    const struct exchange *x = container_of(pub, const struct exchange, pub);

    return x->backend ? x->ops->queued(x) : 0;
}

static void drop(struct http_bytes piece)
{
    if (piece.release)
        piece.release(piece.owner);
}

/* The handler is done with it. */
static void finish(struct exchange *x)
{
    x->ended = true;
    loop_timer_stop(&x->body_timer);
    if (exchange_held_bytes(x) && x->backend)
        x->ops->consumed(x, x->in.n);
    x->mode = BODY_DROP;
    later(x);
}

static void start(struct exchange *x, const struct http_response *head, int64_t length)
{
    struct http_response r = *head;

    assert(!x->started && !x->ended);
    x->started = true;
    r.content_length = length;
    x->no_body = !http_status_has_body(head->status, x->pub.request->method);
    if (x->backend)
        x->ops->start(x, &r, x->no_body || length == 0);
}

void http_exchange_start(struct http_exchange *pub, const struct http_response *head)
{
    start(of(pub), head, NO_LENGTH);
}

static bool write_piece(struct exchange *x, struct http_bytes piece)
{
    assert(x->started && !x->ended);
    if (!x->backend || x->no_body || !piece.bytes.n) {
        drop(piece);
        return x->backend != NULL;
    }
    if (x->ops->queued(x) + piece.bytes.n > MAX(x->max_bytes, piece.bytes.n + x->high_bytes)) {
        drop(piece);
        x->gone = x->pending_gone = true;
        x->ops->abort(x);
        later(x);
        return false;
    }
    if (x->ops->write(x, piece))
        return true;
    x->want_drained = true;
    return false;
}

bool http_exchange_write(struct http_exchange *pub, struct http_bytes piece)
{
    return write_piece(of(pub), piece);
}

static struct http_bytes heap_copy(struct str bytes)
{
    char *copy = xmalloc(MAX(bytes.n, (size_t)1));

    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    return (struct http_bytes){ .bytes = { copy, bytes.n }, .release = free, .owner = copy };
}

bool http_exchange_write_copy(struct http_exchange *pub, struct str piece)
{
    return write_piece(of(pub), heap_copy(piece));
}

void http_exchange_end(struct http_exchange *pub)
{
    struct exchange *x = of(pub);

    assert(!x->ended);
    finish(x);
    if (!x->backend)
        return;
    if (x->started)
        x->ops->end(x);
    else
        x->ops->abort(x);
}

void http_exchange_abort(struct http_exchange *pub)
{
    struct exchange *x = of(pub);

    assert(!x->ended);
    finish(x);
    if (x->backend)
        x->ops->abort(x);
}

void http_exchange_respond(struct http_exchange *pub, const struct http_response *head, struct http_bytes body)
{
    struct exchange *x = of(pub);

    start(x, head, (int64_t)body.bytes.n);
    write_piece(x, body);
    if (!x->ended)
        http_exchange_end(pub);
}

void http_exchange_respond_bytes(struct http_exchange *pub, int status, struct str content_type, struct str body)
{
    struct http_header header = { STR("content-type"), content_type };

    http_exchange_respond(
        pub, &(struct http_response){ .status = status, .headers = &header, .headers_count = content_type.n > 0 },
        heap_copy(body));
}

struct channel *http_exchange_upgrade(struct http_exchange *pub, struct str protocol, const struct http_header *headers,
                                      size_t headers_count)
{
    struct exchange *x = of(pub);
    struct channel *c;

    if (!x->backend || !x->ops->upgrade || !pub->request->upgrade)
        return NULL;
    assert(!x->started && !x->ended);
    x->started = true;
    c = x->ops->upgrade(x, protocol, headers, headers_count);
    finish(x);
    return c;
}
