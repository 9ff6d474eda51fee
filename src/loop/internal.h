/* What the files of loop/ share: the loop itself, its timers, and the poller under every descriptor. */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include "loop/loop.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOOP_READ_BYTES (64 * KIB) /* the one buffer of a loop that all reads go through */

struct posted {
    struct posted *next;
    loop_fn *fn;
    void *arg;
};

struct timer_heap {
    struct loop_timer **items; /* binary heap by (at_ms, order) */
    size_t count, capacity;
    uint64_t started;
};

struct inotify;
struct loop_system;
struct sim;

struct loop {
    struct env *env;
    struct loop_system *system; /* NULL on a sim loop */
    struct sim *sim;            /* NULL on a system loop */
    int64_t now_ms;
    struct timer_heap timers;
    struct list tasks;    /* deferred to the end of the round */
    pthread_mutex_t lock; /* guards posted_* */
    struct posted *posted_first, **posted_last;
    struct posted *running; /* posted messages taken but not yet run */
    atomic_bool stopping;
    bool freeing;
    struct list streams, listeners, others; /* everything open; `others` are struct resource */
    size_t streams_count;
    size_t work_count; /* on workers now */
    char *read_buffer;
    struct inotify *inotify; /* made at the first file_watch_new() */
    struct loop_stats stats;
};

/* Something that must be closed when the loop is freed. */
struct resource {
    struct list link;
    void (*close)(struct resource *r);
};

void loop_init(struct loop *loop, struct env *env);
void loop_done(struct loop *loop);
size_t loop_run_posted(struct loop *loop); /* each returns the number of callbacks run */
size_t loop_run_timers(struct loop *loop);
size_t loop_run_tasks(struct loop *loop);
void loop_close_everything(struct loop *loop);          /* streams, listeners, others; runs their closed callbacks */
int64_t timer_heap_next_ms(const struct timer_heap *h); /* at_ms of the first; -1 when empty */

/* --- system.c --- */
void loop_system_wake(struct loop *loop);
void loop_system_free(struct loop *loop);
void loop_system_run(struct loop *loop);
void loop_system_work(struct loop *loop, loop_fn *work, loop_fn *done, void *arg);

/* --- sim.c --- */
void loop_sim_free(struct loop *loop);
void loop_sim_run(struct loop *loop);

/* --- poller.c: readiness of one descriptor; system loops only --- */
struct poller;
typedef void poller_fn(void *arg, unsigned events); /* enum fd_events; FD_HANGUP on an error of the descriptor */
struct poller *poller_new(struct loop *loop, int fd, poller_fn *fn, void *arg, struct error *err);
void poller_set(struct poller *p, unsigned events); /* 0: none */
void poller_free(struct poller *p); /* before closing the descriptor; no call comes after; NULL is fine */

#endif
