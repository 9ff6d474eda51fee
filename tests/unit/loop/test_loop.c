/* Timers, messages, tasks, workers and threads, in both worlds. */
#include "loop_test.h"
#include "loop/sim.h"

#include <pthread.h>

static struct buf seen = BUF_MAX(4096);
static bool done;

#define TEXT(literal) ((void *)(uintptr_t)literal)

static void note(void *arg)
{
    buf_add_text(&seen, arg);
}

static void finish(void *arg)
{
    (void)arg;
    done = true;
}

static void begin(void)
{
    buf_clear(&seen);
    done = false;
}

TEST("timers fire in the order of their times, equal ones in the order they were started")
{
    EACH_WORLD(loop)
    {
        struct loop_timer t[5];
        const char *names[] = { "c", "a", "d", "b", "stopped" };
        int64_t after_ms[] = { 20, 5, 20, 10, 1 };

        begin();
        for (int i = 0; i < 5; i++) {
            loop_timer_init(&t[i], loop, i == 2 ? finish : note, (void *)names[i]);
            loop_timer_start(&t[i], after_ms[i]);
        }
        loop_timer_stop(&t[4]);
        loop_timer_stop(&t[4]);
        ASSERT(!loop_timer_running(&t[4]));
        RUN_UNTIL(loop, done);
        ASSERT_STR(seen, "abc");
    }
}

TEST("starting a running timer moves it")
{
    EACH_WORLD(loop)
    {
        struct loop_timer a, b;

        begin();
        loop_timer_init(&a, loop, note, TEXT("a"));
        loop_timer_init(&b, loop, note, TEXT("b"));
        loop_timer_start(&a, 5);
        loop_timer_start(&b, 10);
        loop_timer_start(&a, 30);
        run_until(loop, run_until_flag, &done, 60);
        ASSERT_STR(seen, "ba");
    }
}

static void restart(void *arg)
{
    struct loop_timer *t = arg;

    buf_add_text(&seen, "x");
    if (seen.n == 1000)
        done = true;
    else
        loop_timer_start(t, 0);
}

TEST("a timer that starts itself with no delay does not starve messages")
{
    EACH_WORLD(loop)
    {
        struct loop_timer t;

        begin();
        loop_timer_init(&t, loop, restart, &t);
        loop_timer_start(&t, 0);
        loop_post(loop, note, TEXT("message"));
        RUN_UNTIL(loop, done);
        ASSERT_CONTAINS(seen, "message");
        loop_timer_stop(&t);
    }
}

TEST("messages run in the order they were posted, and a task at the end of the round")
{
    EACH_WORLD(loop)
    {
        struct loop_task task = { .fn = note, .arg = TEXT("task") }, dropped = { .fn = note, .arg = TEXT("never") };

        begin();
        loop_post(loop, note, TEXT("1 "));
        loop_post(loop, note, TEXT("2 "));
        loop_post(loop, finish, NULL);
        loop_defer(loop, &task);
        loop_defer(loop, &task);
        loop_defer(loop, &dropped);
        loop_defer_cancel(&dropped);
        RUN_UNTIL(loop, done);
        ASSERT_CONTAINS(seen, "1 2 ");
        ASSERT_CONTAINS(seen, "task");
        ASSERT_INT(seen.n, 8);
    }
}

TEST("work runs, then its done function runs on the loop")
{
    EACH_WORLD(loop)
    {
        begin();
        loop_work(loop, note, finish, TEXT("worked"));
        ASSERT_STR(seen, "");
        RUN_UNTIL(loop, done);
        ASSERT_STR(seen, "worked");
    }
}

struct ping_pong {
    struct loop *home, *away;
    int n;
};

static void pong(void *arg);

static void ping(void *arg)
{
    struct ping_pong *p = arg;

    loop_post(p->home, pong, p);
}

static void pong(void *arg)
{
    struct ping_pong *p = arg;

    if (++p->n == 1000)
        done = true;
    else
        loop_post(p->away, ping, p);
}

TEST("two loops exchange messages over threads; a simulation uses one loop for both")
{
    EACH_WORLD(loop)
    {
        AUTO_ERROR struct error err = { 0 };
        struct loop_thread *t = loop_thread_new(loop, "away", &err);
        struct ping_pong p = { .home = loop, .away = loop_thread_loop(t) };

        begin();
        ASSERT((p.away == loop) == loop_is_sim(loop));
        loop_post(p.away, ping, &p);
        RUN_UNTIL(loop, done);
        loop_thread_free(t);
        ASSERT_INT(p.n, 1000);
    }
}

TEST("virtual time jumps to the next timer and nowhere else")
{
    struct env_sim sim;
    struct loop *loop;
    struct loop_timer hour;

    begin();
    env_sim_init(&sim, 1, 0);
    loop = loop_new_sim(&sim);
    loop_timer_init(&hour, loop, finish, NULL);
    loop_timer_start(&hour, 3600 * 1000);
    loop_sim_advance(loop, 3600 * 1000 - 1);
    ASSERT(!done);
    ASSERT_INT(loop_sim_next_timer_ms(loop), 1);
    loop_sim_advance(loop, 1);
    ASSERT(done);
    ASSERT_INT(sim.now_ms - hour.at_ms, 0);
    ASSERT_INT(loop_sim_run_until_idle(loop), 0);
    loop_free(loop);
}

TEST("statistics count rounds, messages and the longest round")
{
    struct loop *loop = loop_new_system(env_system());
    struct loop_stats stats;

    begin();
    loop_post(loop, note, TEXT("x"));
    loop_post(loop, finish, NULL);
    RUN_UNTIL(loop, done);
    stats = loop_stats_take(loop);
    ASSERT(stats.rounds >= 1);
    ASSERT_INT(stats.posted, 2);
    ASSERT(stats.busy_us >= stats.busy_max_us);
    loop_free(loop);
    buf_done(&seen);
}
