/*
 * The queue of one controller hands out keys that need attention.
 *
 * Always true: a key is with one taker at a time; a key added while it is out is handed out again afterwards; a key added
 * twice before it is taken is handed out once. Ready keys go in the order they were added.
 */
#include "client/internal.h"

#include "base/time.h"

#include <stdlib.h>

#define BACKOFF_FIRST_MS 5
#define BACKOFF_MAX_MS   (60 * SECOND_MS)

struct queue {
    struct loop *loop;
    struct map keys; /* text -> struct queue_key; a key stays while it is ready, working, delayed or has failures */
    struct list ready;
    size_t ready_count, working_count;
    void (*wake)(void *arg);
    void *arg;
};

struct queue *queue_new(struct loop *loop, void (*wake)(void *arg), void *arg)
{
    struct queue *q = xnew(struct queue);

    q->loop = loop;
    q->wake = wake;
    q->arg = arg;
    list_init(&q->ready);
    return q;
}

static void key_free(struct queue_key *k)
{
    loop_timer_stop(&k->later);
    live_answers_done(&k->live);
    free(k->text);
    free(k);
}

void queue_free(struct queue *q)
{
    size_t i = 0;
    struct str key;
    void *value;

    if (!q)
        return;
    while (map_next(&q->keys, &i, &key, &value))
        key_free(value);
    map_done(&q->keys);
    free(q);
}

static void make_ready(struct queue_key *k)
{
    struct queue *q = k->queue;

    loop_timer_stop(&k->later);
    if (k->working) {
        k->dirty = true;
        return;
    }
    if (k->ready)
        return;
    k->ready = true;
    q->ready_count++;
    list_add_tail(&q->ready, &k->link);
    q->wake(q->arg);
}

static void on_later(void *arg)
{
    make_ready(arg);
}

void queue_add(struct queue *q, struct str namespace_, struct str name)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);
    struct str text = cache_key(&buf, namespace_, name);
    struct queue_key *k = map_get(&q->keys, text);

    if (!k) {
        k = xnew(struct queue_key);
        k->queue = q;
        k->text = str_dup(text);
        k->namespace_ = (struct str){ k->text, namespace_.n };
        k->name = (struct str){ k->text + namespace_.n + 1, name.n };
        loop_timer_init(&k->later, q->loop, on_later, k);
        map_put(&q->keys, text, k);
    }
    make_ready(k);
}

struct queue_key *queue_take(struct queue *q)
{
    struct queue_key *k = list_first(&q->ready, struct queue_key, link);

    if (!k)
        return NULL;
    list_del(&k->link);
    q->ready_count--;
    q->working_count++;
    k->ready = false;
    k->working = true;
    return k;
}

void queue_done(struct queue *q, struct queue_key *k, bool failed, int64_t after_ms)
{
    k->working = false;
    q->working_count--;
    k->failures = failed ? k->failures + 1 : 0;
    if (failed) {
        int64_t wait_ms = BACKOFF_FIRST_MS << MIN(k->failures - 1, 20);
        k->dirty = false;
        loop_timer_start(&k->later, MIN(wait_ms, BACKOFF_MAX_MS));
    } else if (k->dirty) {
        k->dirty = false;
        make_ready(k);
    } else if (after_ms >= 0) {
        loop_timer_start(&k->later, after_ms);
    } else {
        map_del(&q->keys, str_of(k->text));
        key_free(k);
    }
}

size_t queue_ready_count(const struct queue *q)
{
    return q->ready_count;
}

size_t queue_working_count(const struct queue *q)
{
    return q->working_count;
}
