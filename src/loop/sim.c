/* The simulated world: rounds without waiting, time that moves only when nothing else is left to do. */
#include "loop/sim_internal.h"
#include "loop/stream_internal.h"

#include <stdlib.h>
#include <stdio.h>

struct loop *loop_new_sim(struct env_sim *env)
{
    struct loop *loop = xnew(struct loop);

    loop_init(loop, &env->env);
    loop->sim = xnew(struct sim);
    loop->sim->env = env;
    list_init(&loop->sim->datagram_sockets);
    list_init(&loop->sim->datagrams);
    return loop;
}

/* One round: messages, timers that are due, tasks. */
static size_t run_round(struct loop *loop)
{
    size_t n;

    loop->now_ms = env_monotonic_ms(loop->env);
    n = loop_run_posted(loop);
    n += loop_run_timers(loop);
    n += loop_run_tasks(loop);
    loop->stats.rounds += n > 0;
    return n;
}

void loop_sim_free(struct loop *loop)
{
    while (loop->work_count)
        run_round(loop);
    loop_close_everything(loop);
    list_each (&loop->sim->datagrams, struct sim_datagram, link, d) {
        loop_timer_stop(&d->timer);
        free(d);
    }
    free(loop->sim->cuts);
    free(loop->sim);
    loop_done(loop);
    free(loop);
}

size_t loop_sim_run_until_idle(struct loop *loop)
{
    size_t total = 0, n;

    while (!atomic_load(&loop->stopping) && (n = run_round(loop)) > 0)
        total += n;
    return total;
}

int64_t loop_sim_next_timer_ms(struct loop *loop)
{
    int64_t at_ms = timer_heap_next_ms(&loop->timers);

    return at_ms < 0 ? -1 : MAX(at_ms - env_monotonic_ms(loop->env), 0);
}

void loop_sim_advance(struct loop *loop, int64_t ms)
{
    int64_t end_ms = env_monotonic_ms(loop->env) + ms;

    for (;;) {
        int64_t next_ms;

        loop_sim_run_until_idle(loop);
        next_ms = timer_heap_next_ms(&loop->timers);
        if (atomic_load(&loop->stopping) || next_ms < 0 || next_ms > end_ms)
            break;
        env_sim_advance(loop->sim->env, next_ms - env_monotonic_ms(loop->env));
    }
    if (!atomic_load(&loop->stopping))
        env_sim_advance(loop->sim->env, end_ms - env_monotonic_ms(loop->env));
    loop->now_ms = env_monotonic_ms(loop->env);
}

bool loop_sim_run_until(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t limit_ms)
{
    int64_t end_ms = env_monotonic_ms(loop->env) + limit_ms;

    while (!done(arg)) {
        int64_t next_ms;

        if (run_round(loop) > 0)
            continue;
        next_ms = timer_heap_next_ms(&loop->timers);
        if (next_ms < 0 || next_ms > end_ms)
            return false;
        env_sim_advance(loop->sim->env, next_ms - env_monotonic_ms(loop->env));
    }
    return true;
}

void loop_sim_run(struct loop *loop)
{
    for (;;) {
        int64_t next_ms;

        loop_sim_run_until_idle(loop);
        next_ms = timer_heap_next_ms(&loop->timers);
        if (atomic_exchange(&loop->stopping, false) || next_ms < 0)
            return;
        env_sim_advance(loop->sim->env, next_ms - env_monotonic_ms(loop->env));
    }
}

/* --- the network --- */

void loop_sim_set_delay(struct loop *loop, int64_t min_ms, int64_t max_ms)
{
    loop->sim->delay_min_ms = min_ms;
    loop->sim->delay_max_ms = MAX(min_ms, max_ms);
}

int64_t sim_delay_ms(struct loop *loop)
{
    struct sim *sim = loop->sim;

    if (!sim || sim->delay_max_ms == 0)
        return 0;
    return sim->delay_min_ms +
           (int64_t)env_random_below(loop->env, (uint64_t)(sim->delay_max_ms - sim->delay_min_ms + 1));
}

static bool end_matches(const char *cut, const struct address *a)
{
    char text[ADDRESS_TEXT_SIZE];

    if (!cut[0])
        return true;
    return strcmp(cut, address_format(a, text)) == 0 || strcmp(cut, address_format_ip(a, text)) == 0;
}

bool sim_path_is_cut(struct loop *loop, const struct address *a, const struct address *b)
{
    struct sim *sim = loop->sim;

    for (size_t i = 0; sim && i < sim->cuts_count; i++)
        if (end_matches(sim->cuts[i].from, a) && end_matches(sim->cuts[i].to, b))
            return true;
    return false;
}

bool sim_is_cut(struct loop *loop, const struct stream *from, const struct stream *to)
{
    (void)to;
    return sim_path_is_cut(loop, &from->local, &from->peer);
}

static void cut_text(char to[ADDRESS_TEXT_SIZE], struct str s)
{
    snprintf(to, ADDRESS_TEXT_SIZE, "%.*s", STR_ARG(s));
}

void loop_sim_cut(struct loop *loop, struct str from, struct str to)
{
    struct sim *sim = loop->sim;

    GROW(sim->cuts, sim->cuts_count, sim->cuts_capacity);
    cut_text(sim->cuts[sim->cuts_count].from, from);
    cut_text(sim->cuts[sim->cuts_count].to, to);
    sim->cuts_count++;
}

void loop_sim_heal(struct loop *loop, struct str from, struct str to)
{
    struct sim *sim = loop->sim;

    for (size_t i = sim->cuts_count; i-- > 0;)
        if (str_is(from, sim->cuts[i].from) && str_is(to, sim->cuts[i].to))
            sim->cuts[i] = sim->cuts[--sim->cuts_count];
    list_each (&loop->streams, struct stream, link, s)
        if (!s->closing)
            s->ops->update(s); /* what had to wait moves on */
}

struct listener *sim_find_listener(struct loop *loop, const struct address *at)
{
    list_each (&loop->listeners, struct listener, link, l)
        if (!l->closed && address_eq(&l->address, at))
            return l;
    return NULL;
}

void loop_sim_set_spawn(struct loop *loop, sim_spawn *fn, void *arg)
{
    loop->sim->spawn = fn;
    loop->sim->spawn_arg = arg;
}
