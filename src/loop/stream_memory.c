/* Streams in memory: the two ends of stream_pair(), and every connection of a simulation. */
#include "loop/stream_internal.h"

#include <stdlib.h>

#define DELIVERY_MAX_BYTES (64 * KIB) /* in one go, as from a socket */

static void fail_reset(struct stream *s, const char *what)
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_UNAVAILABLE, "%s", what);
    stream_fail(s, &err);
}

static bool can_deliver(const struct stream *s)
{
    const struct stream *to = s->other;

    return to && s->open && to->open && to->cb && !to->paused && !to->closing && (s->queue.bytes || s->shutdown) &&
           !s->end_sent;
}

static void schedule(struct stream *s)
{
    if (can_deliver(s) && !loop_timer_running(&s->delivery))
        loop_timer_start(&s->delivery, sim_delay_ms(s->loop));
}

/* A copy in flight would outlive both ends; instead the reader sees the writer's queue itself. */
static void deliver_bytes(struct stream *s)
{
    size_t left = DELIVERY_MAX_BYTES;

    while (left && s->queue.bytes && !s->closing && can_deliver(s)) {
        size_t n = MIN(left, s->queue.first->n);

        s->other->cb->on_read(s->other, (struct str){ s->queue.first->p, n }, s->other->arg);
        if (s->closing)
            return;
        stream_wrote(s, n);
        left -= n;
    }
}

static void on_delivery(void *arg)
{
    struct stream *s = arg;

    if (!can_deliver(s) || sim_is_cut(s->loop, s, s->other))
        return;
    deliver_bytes(s);
    if (s->closing || !s->other)
        return;
    if (!s->queue.bytes && s->shutdown && !s->end_sent) {
        s->end_sent = true;
        stream_got_end(s->other);
        return;
    }
    schedule(s);
}

static void do_flush(struct stream *s)
{
    if (!s->other) {
        fail_reset(s, "connection reset by peer");
        return;
    }
    schedule(s);
}

static void do_update(struct stream *s)
{
    if (s->other)
        schedule(s->other);
}

static void on_other_gone(void *arg)
{
    struct stream *s = arg;

    if (s->reset)
        fail_reset(s, "connection reset by peer");
    else
        stream_got_end(s);
}

/* Our queue is dropped; the other end reads an end (a reset when bytes were lost), one round later. */
static void do_release(struct stream *s)
{
    struct stream *other = s->other;

    loop_timer_stop(&s->delivery);
    s->other = NULL;
    if (!other)
        return;
    other->other = NULL;
    other->reset = s->queue.bytes > 0 || other->queue.bytes > 0;
    other->delivery.fn = on_other_gone;
    loop_timer_start(&other->delivery, sim_delay_ms(s->loop));
}

const struct stream_ops stream_memory_ops = { .flush = do_flush, .update = do_update, .release = do_release };

static void join(struct stream *a, struct stream *b)
{
    a->other = b;
    b->other = a;
    loop_timer_init(&a->delivery, a->loop, on_delivery, a);
    loop_timer_init(&b->delivery, b->loop, on_delivery, b);
}

void stream_pair(struct loop *loop, struct stream *ret[2])
{
    ret[0] = stream_new(loop, &stream_memory_ops, NULL, NULL, NULL);
    ret[1] = stream_new(loop, &stream_memory_ops, NULL, NULL, NULL);
    ret[0]->open = ret[1]->open = true;
    join(ret[0], ret[1]);
}

static void on_connect(void *arg)
{
    struct stream *s = arg, *accepted;
    struct listener *l = sim_find_listener(s->loop, &s->peer);

    if (sim_is_cut(s->loop, s, NULL))
        return; /* the connect timeout ends it */
    if (!l || l->closed || l->paused) {
        fail_reset(s, "connection refused");
        return;
    }
    accepted = stream_new(s->loop, &stream_memory_ops, &l->options.stream, NULL, NULL);
    accepted->open = true;
    accepted->peer = s->local;
    accepted->local = s->peer;
    join(s, accepted);
    l->cb->on_stream(l, accepted, l->arg);
    stream_opened(s);
}

void stream_memory_connect(struct stream *s, const struct address *to)
{
    s->peer = *to;
    loop_timer_init(&s->delivery, s->loop, on_connect, s);
    loop_timer_start(&s->delivery, sim_delay_ms(s->loop));
}
