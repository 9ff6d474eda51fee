/* Timers: a binary heap of pointers into their owners' memory, the same for both kinds of loop. */
#include "loop/internal.h"

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void heap_set(struct timer_heap *h, size_t i, struct loop_timer *t)
{
    h->items[i] = t;
    t->place = i + 1;
}

static void heap_up(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    while (i > 0 && before(t, h->items[(i - 1) / 2])) {
        heap_set(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(h, i, t);
}

static void heap_down(struct timer_heap *h, size_t i)
{
    struct loop_timer *t = h->items[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(h->items[child + 1], h->items[child]))
            child++;
        if (!before(h->items[child], t))
            break;
        heap_set(h, i, h->items[child]);
        i = child;
    }
    heap_set(h, i, t);
}

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg)
{
    *t = (struct loop_timer){ .loop = loop, .fn = fn, .arg = arg };
}

void loop_timer_start(struct loop_timer *t, int64_t after_ms)
{
    struct timer_heap *h = &t->loop->timers;

    loop_timer_stop(t);
    t->at_ms = env_monotonic_ms(t->loop->env) + MAX(after_ms, 0);
    t->order = h->started++;
    GROW(h->items, h->count, h->capacity);
    heap_set(h, h->count++, t);
    heap_up(h, h->count - 1);
}

void loop_timer_stop(struct loop_timer *t)
{
    struct timer_heap *h;
    struct loop_timer *last;
    size_t i;

    if (!t->place)
        return;
    h = &t->loop->timers;
    i = t->place - 1;
    t->place = 0;
    last = h->items[--h->count];
    if (last == t)
        return;
    heap_set(h, i, last);
    heap_up(h, i);
    heap_down(h, last->place - 1);
}

int64_t timer_heap_next_ms(const struct timer_heap *h)
{
    return h->count ? h->items[0]->at_ms : -1;
}

size_t loop_run_timers(struct loop *loop)
{
    struct timer_heap *h = &loop->timers;
    uint64_t started = h->started; /* timers started from here on wait for the next round */
    size_t n = 0;

    while (h->count && h->items[0]->at_ms <= loop->now_ms && h->items[0]->order < started) {
        struct loop_timer *t = h->items[0];

        loop_timer_stop(t);
        t->fn(t->arg);
        n++;
    }
    return n;
}
