/* The loop: what both worlds share. Posted messages, deferred tasks, closing everything at the end. */
#include "loop/internal.h"
#include "loop/stream_internal.h"

#include <stdlib.h>

void loop_init(struct loop *loop, struct env *env)
{
    loop->env = env;
    loop->now_ms = env_monotonic_ms(env);
    pthread_mutex_init(&loop->lock, NULL);
    loop->posted_last = &loop->posted_first;
    list_init(&loop->tasks);
    list_init(&loop->streams);
    list_init(&loop->listeners);
    list_init(&loop->others);
}

static void drop_posted(struct posted *p)
{
    while (p) {
        struct posted *next = p->next;

        free(p);
        p = next;
    }
}

void loop_done(struct loop *loop)
{
    drop_posted(loop->running);
    drop_posted(loop->posted_first);
    pthread_mutex_destroy(&loop->lock);
    /* Timers live in their owners' memory; a late loop_timer_stop() must not look into this heap. */
    for (size_t i = 0; i < loop->timers.count; i++)
        loop->timers.items[i]->place = 0;
    free(loop->timers.items);
    free(loop->read_buffer);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop->freeing = true;
    loop_close_everything(loop);
    if (loop->system)
        loop_system_free(loop);
    else
        loop_sim_free(loop);
}

void loop_close_everything(struct loop *loop)
{
    list_each (&loop->listeners, struct listener, link, l)
        listener_close(l);
    list_each (&loop->streams, struct stream, link, s)
        stream_close(s);
    while (!list_empty(&loop->others)) {
        struct resource *r = list_first(&loop->others, struct resource, link);

        list_del(&r->link);
        r->close(r);
    }
    loop_run_tasks(loop);
}

void loop_run(struct loop *loop)
{
    if (loop->system)
        loop_system_run(loop);
    else
        loop_sim_run(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    if (loop->system)
        loop_system_wake(loop);
}

struct env *loop_env(struct loop *loop)
{
    return loop->env;
}

int64_t loop_now_ms(struct loop *loop)
{
    return loop->now_ms;
}

bool loop_is_sim(const struct loop *loop)
{
    return loop->sim != NULL;
}

void loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
    struct posted *p = xmalloc(sizeof(*p));
    bool first;

    *p = (struct posted){ .fn = fn, .arg = arg };
    pthread_mutex_lock(&loop->lock);
    first = !loop->posted_first;
    *loop->posted_last = p;
    loop->posted_last = &p->next;
    pthread_mutex_unlock(&loop->lock);
    if (first && loop->system)
        loop_system_wake(loop);
}

size_t loop_run_posted(struct loop *loop)
{
    size_t n = 0;

    pthread_mutex_lock(&loop->lock);
    loop->running = loop->posted_first;
    loop->posted_first = NULL;
    loop->posted_last = &loop->posted_first;
    pthread_mutex_unlock(&loop->lock);

    while (loop->running) {
        struct posted *p = loop->running;

        loop->running = p->next;
        p->fn(p->arg);
        free(p);
        n++;
    }
    loop->stats.posted += n;
    return n;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    if (!task->link.next)
        list_add_tail(&loop->tasks, &task->link);
}

void loop_defer_cancel(struct loop_task *task)
{
    list_del(&task->link);
}

/* A task deferred by a task runs in the same round: flushing must reach the socket before the loop sleeps. */
size_t loop_run_tasks(struct loop *loop)
{
    size_t n = 0;

    while (!list_empty(&loop->tasks)) {
        struct loop_task *task = list_first(&loop->tasks, struct loop_task, link);

        list_del(&task->link);
        task->fn(task->arg);
        n++;
    }
    return n;
}

struct sim_work {
    struct loop *loop;
    loop_fn *work, *done;
    void *arg;
    bool worked;
};

static void run_work_inline(void *arg)
{
    struct sim_work *w = arg;

    if (!w->worked) {
        w->worked = true;
        w->work(w->arg);
        loop_post(w->loop, run_work_inline, w);
        return;
    }
    w->loop->work_count--;
    if (w->done)
        w->done(w->arg);
    free(w);
}

void loop_work(struct loop *loop, loop_fn *work, loop_fn *done, void *arg)
{
    struct sim_work *w;

    if (loop->system) {
        loop_system_work(loop, work, done, arg);
        return;
    }
    w = xnew(struct sim_work);
    *w = (struct sim_work){ .loop = loop, .work = work, .done = done, .arg = arg };
    loop->work_count++;
    loop_post(loop, run_work_inline, w);
}

struct loop_stats loop_stats_take(struct loop *loop)
{
    struct loop_stats stats = loop->stats;

    stats.timers = loop->timers.count;
    stats.streams = loop->streams_count;
    loop->stats.busy_max_us = 0;
    return stats;
}
