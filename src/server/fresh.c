/* Waiting for the store's barrier, once for all who ask in a round of the loop. */
#include "server/fresh.h"

#include "server/server_internal.h"

#define LOG_PART "server"
#include "base/log.h"

#include <stdlib.h>

#define BATCHES_MAX 32   /* barriers on their way; who comes later waits for one to return */
#define PROBE_MS    250  /* between questions of a server that is cut off */
#define IDLE_MS     1000 /* nothing seen for so long (the leader beats four times a second): ask, though nobody waits */

struct fresh {
    struct server *server;
    struct list gathered; /* of struct fresh_wait: the next batch */
    struct list batches;
    size_t batches_count;
    int64_t
        since_ms; /* of the oldest question without an answer, and nothing asked later was answered; 0: all is well */
    bool cut_off, closing;
    struct loop_task task;
    struct loop_timer limit, probe, idle;
    uint64_t seen; /* revision of the state a second ago */
    struct fresh_stats stats;
};

struct batch {
    struct list link;
    struct fresh *fresh;
    struct list waits;
    int64_t since_ms;
};

static struct fresh *fresh_of(const struct server *s)
{
    return s->parts[SERVER_PART_fresh];
}

static int64_t now_ms(const struct fresh *f)
{
    return env_monotonic_ms(f->server->env);
}

static void end_waits(struct list *waits, bool current)
{
    struct list own;
    list_init(&own);
    list_each (waits, struct fresh_wait, link, w) {
        list_del(&w->link);
        list_add_tail(&own, &w->link);
    }
    for (struct fresh_wait *w; (w = list_first(&own, struct fresh_wait, link));) {
        list_del(&w->link);
        w->fn(w->arg, current);
    }
}

static void note_answer(struct fresh *f, int64_t asked_ms)
{
    if (f->cut_off)
        log_info("the store answers again", KV("silent_ms", "%lld", (long long)(now_ms(f) - f->since_ms)));
    f->cut_off = false;
    f->since_ms = 0;
    loop_timer_stop(&f->limit);
    list_each (&f->batches, struct batch, link, b) {
        if (b->since_ms < asked_ms || f->since_ms)
            continue;
        f->since_ms = b->since_ms;
        loop_timer_start(&f->limit, b->since_ms + FRESH_LIMIT_MS - now_ms(f));
    }
}

static void on_barrier(void *arg, uint64_t revision, const struct error *err)
{
    struct batch *b = arg;
    struct fresh *f = b->fresh;
    (void)revision;
    list_del(&b->link);
    f->batches_count--;
    if (f->closing) {
        free(b);
        if (!f->batches_count)
            free(f);
        return;
    }
    if (err) { /* who waits goes on waiting, until the limit */
        list_each (&b->waits, struct fresh_wait, link, w) {
            list_del(&w->link);
            list_add_tail(&f->gathered, &w->link);
        }
        loop_timer_start(&f->probe, PROBE_MS);
    } else {
        note_answer(f, b->since_ms);
        end_waits(&b->waits, true);
        if (!list_empty(&f->gathered))
            loop_defer(f->server->loop, &f->task);
    }
    free(b);
}

/* Ask for all who came in this round. */
static void send_batch(void *arg)
{
    struct fresh *f = arg;
    if (f->batches_count >= BATCHES_MAX)
        return;
    struct batch *b = xnew(struct batch);
    *b = (struct batch){ .fresh = f, .since_ms = now_ms(f) };
    list_init(&b->waits);
    list_each (&f->gathered, struct fresh_wait, link, w) {
        list_del(&w->link);
        list_add_tail(&b->waits, &w->link);
    }
    list_add_tail(&f->batches, &b->link);
    f->batches_count++;
    f->stats.barriers++;
    if (!f->since_ms) {
        f->since_ms = b->since_ms;
        loop_timer_start(&f->limit, FRESH_LIMIT_MS);
    }
    store_barrier(f->server->store, on_barrier, b);
}

static void on_limit(void *arg)
{
    struct fresh *f = arg;
    if (!f->cut_off)
        log_error("this server reaches no majority of the store's members: writes are refused, reads may be old",
                  KV("silent_ms", "%lld", (long long)(now_ms(f) - f->since_ms)));
    f->cut_off = true;
    list_each (&f->batches, struct batch, link, b)
        end_waits(&b->waits, false);
    end_waits(&f->gathered, false);
    if (!loop_timer_running(&f->probe))
        loop_timer_start(&f->probe, PROBE_MS);
}

static void on_probe(void *arg)
{
    struct fresh *f = arg;
    if (f->cut_off)
        loop_timer_start(&f->probe, PROBE_MS);
    if (!list_empty(&f->gathered) || (f->cut_off && f->batches_count == 0))
        send_batch(f);
}

static void on_idle(void *arg)
{
    struct fresh *f = arg;
    uint64_t now = state_revision(f->server->state);
    if (now == f->seen && f->batches_count == 0 && !f->cut_off)
        send_batch(f);
    f->seen = now;
    loop_timer_start(&f->idle, IDLE_MS);
}

/* Nobody waits on a server that is known to be cut off. */
static void refuse_gathered(void *arg)
{
    struct fresh *f = arg;
    if (f->cut_off)
        end_waits(&f->gathered, false);
    else
        send_batch(f);
}

void fresh_wait(struct server *s, struct fresh_wait *w, fresh_fn *fn, void *arg)
{
    struct fresh *f = fresh_of(s);
    *w = (struct fresh_wait){ .fn = fn, .arg = arg };
    f->stats.waits++;
    list_add_tail(&f->gathered, &w->link);
    loop_defer(s->loop, &f->task);
}

bool fresh_is_needed(const struct server *s)
{
    return s->store->shared;
}

bool fresh_is_cut_off(const struct server *s)
{
    return fresh_of(s)->cut_off;
}

int64_t fresh_silent_ms(const struct server *s)
{
    const struct fresh *f = fresh_of(s);
    return f->since_ms ? now_ms(f) - f->since_ms : 0;
}

void fresh_stats(const struct server *s, struct fresh_stats *ret)
{
    *ret = fresh_of(s)->stats;
}

void fresh_count(struct server *s, bool refused)
{
    struct fresh *f = fresh_of(s);
    if (refused)
        f->stats.refused++;
    else
        f->stats.old_answers++;
}

int fresh_init(struct server *s, struct error *err)
{
    (void)err;
    struct fresh *f = xnew(struct fresh);
    f->server = s;
    list_init(&f->gathered);
    list_init(&f->batches);
    f->task = (struct loop_task){ .fn = refuse_gathered, .arg = f };
    loop_timer_init(&f->limit, s->loop, on_limit, f);
    loop_timer_init(&f->probe, s->loop, on_probe, f);
    loop_timer_init(&f->idle, s->loop, on_idle, f);
    if (fresh_is_needed(s))
        loop_timer_start(&f->idle, IDLE_MS);
    server_part_set(s, SERVER_PART_fresh, f);
    return 0;
}

void fresh_done(struct server *s)
{
    struct fresh *f = fresh_of(s);
    if (!f)
        return;
    loop_timer_stop(&f->limit);
    loop_timer_stop(&f->probe);
    loop_timer_stop(&f->idle);
    loop_defer_cancel(&f->task);
    f->closing = true;
    if (!f->batches_count)
        free(f);
    server_part_set(s, SERVER_PART_fresh, NULL);
}
