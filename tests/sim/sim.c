/* Processes, time, faults and the trace of a simulation: docs in sim.h. */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACE_LINES    60
#define TRACE_WIDTH    12000
#define FELT_WITHIN_MS 10000

static char trace[TRACE_LINES][TRACE_WIDTH]; /* a ring: the last lines */
static size_t trace_count;
static struct sim *the_sim; /* for the handler of signals */

/* --- the end of a run that failed ------------------------------------------------------------------------------------------ */

static void print_trace(struct sim *s)
{
    size_t from = trace_count > TRACE_LINES ? trace_count - TRACE_LINES : 0;

    printf("the last of what happened:\n");
    for (size_t i = from; i < trace_count; i++)
        printf("  %s\n", trace[i % TRACE_LINES]);
    printf("again: make sim SEEDS=1 FIRST=%llu%s%s\n", (unsigned long long)s->seed,
#ifdef KLEIN_TEST_POINTS
           mutant_planted ? " MUTANT=" : "", mutant_planted ? mutant_planted : "");
#else
           "", "");
#endif
    fflush(stdout);
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("seed %llu, at %.3f s: ", (unsigned long long)s->seed, (double)sim_now_ms(s) / 1000);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    print_trace(s);
    _exit(1);
}

static void on_signal(int number)
{
    struct sim *s = the_sim;

    if (number == SIGABRT && s->running && s->running != s->world && s->crash && s->may_abort) {
        sim_trace(s, "%s ends itself", s->running->name); /* a failed fsync: it must */
        sim_crash(s->running);
    }
    printf("seed %llu, at %.3f s: signal %d (%s)%s%s\n", (unsigned long long)s->seed, (double)sim_now_ms(s) / 1000,
           number,
           number == SIGABRT   ? "abort"
           : number == SIGALRM ? "not done in time"
                               : "crash",
           s->running ? " in " : "", s->running ? s->running->name : "");
    print_trace(s);
    _exit(2);
}

/* --- processes ---------------------------------------------------------------------------------------------------------------- */

struct sim *sim_new(uint64_t seed, const char *folder)
{
    static const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGALRM };
    struct sim *s = xnew(struct sim);

    s->seed = seed;
    s->folder = folder;
    s->hash = 1469598103934665603u;
    s->history = history_new();
    the_sim = s;
    s->world = sim_process(s, "world", 0);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], &(struct sigaction){ .sa_handler = on_signal, .sa_flags = SA_NODEFER }, NULL);
    return s;
}

int64_t sim_now_ms(struct sim *s)
{
    return env_monotonic_ms(&s->world->env.env);
}

uint64_t sim_below(struct sim *s, uint64_t limit)
{
    return env_random_below(&s->world->env.env, limit);
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_below(s, 100) < percent;
}

struct process *sim_process(struct sim *s, const char *name, int generation)
{
    struct process *p = xnew(struct process);
    int64_t now_ms = s->world ? sim_now_ms(s) : 0;

    p->sim = s;
    p->name = name;
    p->generation = generation;
    env_sim_init(&p->env, s->seed * 1000 + s->processes_count, SIM_WALL_MS);
    env_sim_advance(&p->env, now_ms);
    p->loop = loop_new_sim(&p->env);
    if (s->processes_count == PROCESSES_MAX)
        sim_fail(s, "more than %d processes", PROCESSES_MAX);
    s->processes[s->processes_count++] = p;
    return p;
}

void sim_crash(struct process *p)
{
    struct sim *s = p->sim;

    if (p->dead)
        return;
    p->dead = true;
    sim_trace(s, "%s is killed", p->name);
    if (s->on_crash)
        s->on_crash(p);
    if (s->running == p && s->crash)
        siglongjmp(*s->crash, 1);
}

void sim_pause(struct process *p)
{
    p->paused = true;
    sim_trace(p->sim, "%s is stopped", p->name);
}

void sim_resume(struct process *p)
{
    p->paused = false;
    sim_trace(p->sim, "%s goes on", p->name);
}

/* --- time --------------------------------------------------------------------------------------------------------------------- */

static bool runs(const struct process *p)
{
    return !p->dead && !p->paused;
}

static size_t run_one(struct sim *s, struct process *p)
{
    sigjmp_buf crash;
    volatile size_t n = 0;

    s->running = p;
    s->crash = &crash;
    if (sigsetjmp(crash, 1) == 0)
        n = loop_sim_run_until_idle(p->loop);
    else
        n = 1;
    s->crash = NULL;
    s->running = NULL;
    return n;
}

/* Everything that is due now, in every process. */
static void run_instant(struct sim *s)
{
    size_t n, rounds = 0;

    do {
        n = 0;
        for (size_t i = 0; i < s->processes_count; i++)
            if (runs(s->processes[i]))
                n += run_one(s, s->processes[i]);
        if (++rounds > 100000)
            sim_fail(s, "this instant does not end: something runs in a circle");
    } while (n);
}

static int64_t next_ms(struct sim *s)
{
    int64_t least = -1;

    for (size_t i = 0; i < s->processes_count; i++) {
        int64_t ms = runs(s->processes[i]) ? loop_sim_next_timer_ms(s->processes[i]->loop) : -1;
        if (ms >= 0 && (least < 0 || ms < least))
            least = ms;
    }
    for (size_t i = 0; i < s->faults_count; i++) {
        const struct fault *f = &s->faults[i];
        int64_t at_ms = f->ended ? -1 : f->begun ? f->at_ms + f->for_ms : f->at_ms;
        if (at_ms >= 0 && (least < 0 || at_ms - sim_now_ms(s) < least))
            least = MAX(at_ms - sim_now_ms(s), 0);
    }
    return least;
}

static void fault_begin(struct sim *s, struct fault *f)
{
    f->begun = true;
    sim_trace(s, "fault: %s of %d (%d) for %lld ms", f->type->name, f->target, f->other, (long long)f->for_ms);
    f->before = f->type->effects ? f->type->effects(s, f) : 0;
    f->type->begin(s, f);
}

static void fault_end(struct sim *s, struct fault *f)
{
    if (f->type->effects && f->type->effects(s, f) == f->before && f->for_ms < FELT_WITHIN_MS) {
        f->for_ms += 100;
        return;
    }
    f->ended = true;
    if (f->type->end) {
        sim_trace(s, "fault ends: %s of %d", f->type->name, f->target);
        f->type->end(s, f);
    }
    if (f->type->effects && f->type->effects(s, f) == f->before)
        sim_fail(s, "the fault '%s' of %d was ordered from %lld ms for %lld ms, and nobody felt it", f->type->name,
                 f->target, (long long)f->at_ms, (long long)f->for_ms);
}

static void faults_step(struct sim *s)
{
    for (size_t i = 0; i < s->faults_count; i++) {
        struct fault *f = &s->faults[i];
        if (!f->begun && sim_now_ms(s) >= f->at_ms)
            fault_begin(s, f);
        if (f->begun && !f->ended && sim_now_ms(s) >= f->at_ms + f->for_ms)
            fault_end(s, f);
    }
}

static bool step(struct sim *s, int64_t end_ms)
{
    int64_t wait_ms;

    faults_step(s);
    run_instant(s);
    if (s->each_step)
        s->each_step(s);
    wait_ms = next_ms(s);
    if (wait_ms < 0 || sim_now_ms(s) + wait_ms > end_ms)
        return false;
    for (size_t i = 0; i < s->processes_count; i++)
        if (!s->processes[i]->dead)
            env_sim_advance(&s->processes[i]->env, wait_ms);
    return true;
}

void sim_advance(struct sim *s, int64_t ms)
{
    int64_t end_ms = sim_now_ms(s) + ms;

    while (step(s, end_ms))
        ;
    int64_t left_ms = end_ms - sim_now_ms(s);
    for (size_t i = 0; i < s->processes_count; i++)
        if (!s->processes[i]->dead)
            env_sim_advance(&s->processes[i]->env, left_ms);
}

bool sim_until(struct sim *s, bool (*done)(struct sim *s), int64_t limit_ms)
{
    int64_t end_ms = sim_now_ms(s) + limit_ms;

    while (!done(s))
        if (!step(s, end_ms))
            return done(s);
    return true;
}

/* --- faults ------------------------------------------------------------------------------------------------------------------- */

/* A second one of the same kind at the same place meanwhile would be undone with the first. */
static bool is_doubled(const struct sim *s, const struct fault *f)
{
    for (const struct fault *x = s->faults; x < f; x++)
        if (x->type == f->type && x->target == f->target && x->at_ms <= f->at_ms + f->for_ms &&
            f->at_ms <= x->at_ms + x->for_ms)
            return true;
    return false;
}

void sim_plan(struct sim *s, const struct fault_type *const *types, size_t types_count, size_t count, int64_t within_ms,
              int targets)
{
    for (size_t i = 0; i < count && s->faults_count < FAULTS_MAX; i++) {
        const struct fault_type *type = types[sim_below(s, types_count)];
        struct fault *f = &s->faults[s->faults_count++];
        *f = (struct fault){ .type = type,
                             .at_ms = sim_now_ms(s) + (int64_t)sim_below(s, (uint64_t)within_ms),
                             .for_ms =
                                 type->least_ms + (int64_t)sim_below(s, (uint64_t)(type->most_ms - type->least_ms) + 1),
                             .target = (int)sim_below(s, (uint64_t)targets) };
        f->other = (f->target + 1 + (targets > 1 ? (int)sim_below(s, (uint64_t)targets - 1) : 0)) % targets;
        s->faults_count -= is_doubled(s, f);
    }
}

void sim_faults_end(struct sim *s)
{
    for (size_t i = 0; i < s->faults_count; i++) {
        struct fault *f = &s->faults[i];
        if (!f->begun)
            fault_begin(s, f);
        while (!f->ended)
            sim_advance(s, MAX(f->at_ms + f->for_ms - sim_now_ms(s), 1));
    }
}

void sim_check_fired(struct sim *s)
{
    for (size_t i = 0; i < s->faults_count; i++)
        if (!s->faults[i].ended)
            sim_fail(s, "the fault '%s' was ordered and never came", s->faults[i].type->name);
}

/* --- the trace ----------------------------------------------------------------------------------------------------------------- */

void sim_trace(struct sim *s, const char *format, ...)
{
    char *line = trace[trace_count++ % TRACE_LINES];
    va_list args;
    int n;

    n = snprintf(line, TRACE_WIDTH, "%9.3f ", s->world ? (double)sim_now_ms(s) / 1000 : 0);
    va_start(args, format);
    vsnprintf(line + n, TRACE_WIDTH - (size_t)n, format, args);
    va_end(args);
    for (const char *p = line; *p; p++) /* FNV-1a */
        s->hash = (s->hash ^ (unsigned char)*p) * 1099511628211u;
}

void sim_check_history(struct sim *s)
{
    const char *wrong = history_check(s->history, &s->arena);

    if (wrong)
        sim_fail(s, "%s", wrong);
}
