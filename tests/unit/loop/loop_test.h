/* Run a loop, of either world, until a condition holds or its deadline passed. */
#ifndef UNIT_LOOP_TEST_H
#define UNIT_LOOP_TEST_H

#include "loop/loop.h"
#include "test.h"

struct run_until {
    struct loop *loop;
    struct loop_timer timer;
    bool (*done)(void *arg);
    void *arg;
    int64_t end_ms;
    bool reached;
};

static inline void run_until_look(void *arg)
{
    struct run_until *r = arg;

    r->reached = r->done(r->arg);
    if (r->reached || env_monotonic_ms(loop_env(r->loop)) > r->end_ms)
        loop_stop(r->loop);
    else
        loop_timer_start(&r->timer, 1);
}

static inline bool run_until(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t limit_ms)
{
    struct run_until r = { .loop = loop, .done = done, .arg = arg };

    r.end_ms = env_monotonic_ms(loop_env(loop)) + limit_ms;
    loop_timer_init(&r.timer, loop, run_until_look, &r);
    loop_timer_start(&r.timer, 0);
    loop_run(loop);
    loop_timer_stop(&r.timer);
    return r.reached;
}

static inline bool run_until_flag(void *arg)
{
    return *(const bool *)arg;
}

#define RUN_UNTIL(loop, flag)                                                                                          \
    do {                                                                                                               \
        if (!run_until((loop), run_until_flag, &(flag), 5000))                                                         \
            FAIL("not within 5 s: %s", #flag);                                                                         \
    } while (0)

/* Run the body in both worlds. */
#define EACH_WORLD(name)                                                                                               \
    for (struct world world_ = world_first(); world_.loop; world_next(&world_))                                        \
        for (struct loop *name = world_.loop; name; name = NULL)

struct world {
    struct loop *loop;
    int number;
};

static inline struct world world_first(void)
{
    return (struct world){ .loop = loop_new_system(env_system()) };
}

static struct env_sim world_sim;

static inline void world_next(struct world *w)
{
    loop_free(w->loop);
    w->loop = NULL;
    if (w->number++ == 0) {
        env_sim_init(&world_sim, 1, 0);
        w->loop = loop_new_sim(&world_sim);
    }
}

#endif
