/* The real world: rounds, wake-ups and workers by libuv. */
#include "loop/internal.h"
#include "base/time.h"

#include <signal.h>
#include <stdlib.h>

#include "loop/system_internal.h"

#define LOG_PART "loop"
#include "base/log.h"

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;

    loop_system_woke(loop);
    loop_run_posted(loop);
    if (atomic_exchange(&loop->stopping, false))
        uv_stop(&loop->system->uv);
}

static void on_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;

    loop_system_woke(loop);
    loop->now_ms = env_monotonic_ms(loop->env);
    loop_run_timers(loop);
}

/* Runs just before the loop sleeps. */
static void on_before(uv_prepare_t *before)
{
    struct loop *loop = before->data;
    struct loop_system *sys = loop->system;
    int64_t next_ms, busy_us;

    loop_run_tasks(loop);
    next_ms = timer_heap_next_ms(&loop->timers);
    if (next_ms < 0) {
        uv_timer_stop(&sys->timer);
    } else {
        int64_t now_ms = env_monotonic_ms(loop->env);

        uv_update_time(&sys->uv);
        uv_timer_start(&sys->timer, on_timer, next_ms > now_ms ? (uint64_t)(next_ms - now_ms) : 0, 0);
    }
    if (!sys->awake)
        return;
    sys->awake = false;
    busy_us = time_monotonic_us() - sys->woke_us;
    loop->stats.rounds++;
    loop->stats.busy_us += busy_us;
    loop->stats.busy_max_us = MAX(loop->stats.busy_max_us, busy_us);
}

/*
 * Every libuv callback calls this first; the first one of a round takes the time. libuv has no hook of its own between
 * sleeping and the callbacks of descriptors.
 */
void loop_system_woke(struct loop *loop)
{
    struct loop_system *sys = loop->system;

    if (sys->awake)
        return;
    sys->awake = true;
    loop->now_ms = env_monotonic_ms(loop->env);
    sys->woke_us = time_monotonic_us();
}

static void check(int r, const char *what)
{
    if (r < 0) {
        log_error("event loop cannot start", KV("step", "%s", what), KV("error", "%s", uv_strerror(r)));
        abort();
    }
}

struct loop *loop_new_system(struct env *env)
{
    struct loop *loop = xnew(struct loop);
    struct loop_system *sys = xnew(struct loop_system);

    signal(SIGPIPE, SIG_IGN); /* a closed peer is an error code, not a death; children get the default back */
    loop_init(loop, env);
    loop->system = sys;
    loop->read_buffer = xmalloc(LOOP_READ_BYTES);
    check(uv_loop_init(&sys->uv), "loop");
    check(uv_async_init(&sys->uv, &sys->wake, on_wake), "wake");
    check(uv_timer_init(&sys->uv, &sys->timer), "timer");
    check(uv_prepare_init(&sys->uv, &sys->before), "prepare");
    sys->wake.data = sys->timer.data = sys->before.data = loop;
    uv_prepare_start(&sys->before, on_before);
    return loop;
}

void loop_system_wake(struct loop *loop)
{
    uv_async_send(&loop->system->wake);
}

void loop_system_run(struct loop *loop)
{
    uv_run(&loop->system->uv, UV_RUN_DEFAULT);
}

void loop_system_free(struct loop *loop)
{
    struct loop_system *sys = loop->system;

    /* Workers still hold memory of their callers: wait for them, then let their done callbacks run. */
    while (loop->work_count)
        uv_run(&sys->uv, UV_RUN_ONCE);
    loop_close_everything(loop);
    uv_close((uv_handle_t *)&sys->wake, NULL);
    uv_close((uv_handle_t *)&sys->timer, NULL);
    uv_close((uv_handle_t *)&sys->before, NULL);
    while (uv_loop_close(&sys->uv) == UV_EBUSY)
        uv_run(&sys->uv, UV_RUN_DEFAULT);
    loop_done(loop);
    free(sys);
    free(loop);
}

struct work {
    uv_work_t uv;
    struct loop *loop;
    loop_fn *work, *done;
    void *arg;
};

static void on_work(uv_work_t *uv)
{
    struct work *w = uv->data;

    w->work(w->arg);
}

static void on_worked(uv_work_t *uv, int status)
{
    struct work *w = uv->data;

    (void)status;
    loop_system_woke(w->loop);
    w->loop->work_count--;
    if (w->done)
        w->done(w->arg);
    free(w);
}

void loop_system_work(struct loop *loop, loop_fn *work, loop_fn *done, void *arg)
{
    struct work *w = xnew(struct work);

    *w = (struct work){ .loop = loop, .work = work, .done = done, .arg = arg };
    w->uv.data = w;
    loop->work_count++;
    check(uv_queue_work(&loop->system->uv, &w->uv, on_work, on_worked), "work");
}
