/*
 * The event loop: one per thread, the only door to time, sockets, children and other threads.
 *
 * Two worlds stand behind one API, chosen when the loop is made: loop_new_system() is libuv and the kernel;
 * loop_new_sim() is memory and virtual time, and repeats exactly from a seed (loop/sim.h drives it). Code above never
 * knows which one it runs on.
 *
 * Always true: every callback of a loop runs on the loop's own thread, never inside the call that asked for it
 * (exceptions say so); callbacks never block; a thing that closes calls its closed callback exactly once, after which
 * its memory is gone. Only loop_post(), loop_stop() and loop_env() may be called from other threads.
 *
 * The rest of the API: loop/stream.h (TCP, unix, pipes), loop/udp.h, loop/process.h (children), loop/watch.h (signals,
 * files, descriptors, foreign processes), loop/sim.h.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/env.h"
#include "base/error.h"
#include "base/list.h"

struct loop;
typedef void loop_fn(void *arg);

struct loop *loop_new_system(struct env *env);
struct loop *loop_new_sim(struct env_sim *sim);
/* Closes whatever is still open (their closed callbacks run here), drops posted messages that were not run, frees. */
void loop_free(struct loop *loop);

void loop_run(struct loop *loop);  /* until loop_stop(); a sim loop: until nothing is left to do */
void loop_stop(struct loop *loop); /* from any thread; loop_run() returns after the current round */

struct env *loop_env(struct loop *loop);
int64_t loop_now_ms(struct loop *loop); /* monotonic, as of the start of this round: cheap */
bool loop_is_sim(const struct loop *loop);

/* --- timers: part of the owner's memory, no close needed ------------------------------------------------------- */

struct loop_timer {
    struct loop *loop;
    loop_fn *fn;
    void *arg;
    int64_t at_ms;
    uint64_t order; /* equal times fire in the order they were started */
    size_t place;   /* in the loop's heap + 1; 0 = not running */
};
/* {0} is a stopped timer: loop_timer_stop() on it is fine. */
void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg);
void loop_timer_start(struct loop_timer *t, int64_t after_ms); /* once; starting a running timer moves it */
void loop_timer_stop(struct loop_timer *t);                    /* it will not fire; the memory may go at once */
static inline bool loop_timer_running(const struct loop_timer *t)
{
    return t->place != 0;
}

/* --- later, elsewhere ------------------------------------------------------------------------------------------- */

/* Run fn(arg) on the loop's thread, in the order posted. The message owns what it carries. From any thread. */
void loop_post(struct loop *loop, loop_fn *fn, void *arg);

/* Run at the end of this round, before the loop sleeps: for gathering many small writes into one. Loop's thread only. */
struct loop_task {
    struct list link;
    loop_fn *fn;
    void *arg;
};
void loop_defer(struct loop *loop, struct loop_task *task); /* already deferred: nothing happens */
void loop_defer_cancel(struct loop_task *task);

/*
 * Run work(arg) on a worker thread (4 in the process), then done(arg) on the loop's thread: for files, digests,
 * unpacking, name look-ups. A sim loop runs work inline in a later round. done may be NULL.
 */
void loop_work(struct loop *loop, loop_fn *work, loop_fn *done, void *arg);

/* A thread with a loop of its own. On a sim loop no thread is made: the parent's loop is handed out. */
struct loop_thread;
struct loop_thread *loop_thread_new(struct loop *parent, const char *name, struct error *err);
struct loop *loop_thread_loop(struct loop_thread *t);
void loop_thread_free(struct loop_thread *t); /* stops the loop, joins the thread, frees the loop; NULL is fine */

/* --- health ------------------------------------------------------------------------------------------------------ */

struct loop_stats {
    uint64_t rounds;        /* times the loop woke up */
    int64_t busy_us;        /* total time spent in callbacks */
    int64_t busy_max_us;    /* longest single round since the last loop_stats_take() */
    uint64_t posted;        /* messages run */
    size_t timers, streams; /* now */
};
struct loop_stats loop_stats_take(struct loop *loop); /* on the loop's thread */

#endif
