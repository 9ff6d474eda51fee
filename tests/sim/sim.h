/*
 * The deterministic simulator: processes on loops of their own in one virtual time, faults by a plan, everything from a seed.
 *
 * A simulated process is a loop and a world (clock, randomness). It ends by a crash only: its loop is never run again and its
 * memory stays where it is, as nobody will ever look at it; each seed runs in a child of the runner, which takes all of it
 * away. A process that is paused has its loop not run, while time goes on. Messages between processes are loop_post().
 *
 * A life (lives.def) builds processes, lets them work and checks what must hold at every step. The plan of faults comes from the
 * seed; a fault that was ordered and had no effect fails the run, since such a run proves nothing.
 *
 * The same seed gives the same trace; its hash is compared (test_repeat).
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/arena.h"
#include "base/crash_point.h"
#include "base/list.h"
#include "base/time.h"
#include "history.h"
#include "loop/sim.h"

#include <setjmp.h>

#define PROCESSES_MAX 256
#define FAULTS_MAX    24
#define SIM_WALL_MS   1795219200000

struct sim;

struct process {
    struct sim *sim;
    const char *name;
    struct env_sim env;
    struct loop *loop;
    bool dead, paused;
    int generation; /* 0, then one more after each crash of its name */
    void *data;     /* of the life */
};

struct fault;
struct fault_type {
    const char *name;
    void (*begin)(struct sim *s, struct fault *f);
    void (*end)(struct sim *s, struct fault *f);         /* NULL: nothing to undo */
    uint64_t (*effects)(struct sim *s, struct fault *f); /* so often it was felt; NULL: beginning is enough */
    int64_t least_ms, most_ms; /* how long it lasts; longer when nobody has felt it by then, up to 10 s */
};

struct fault {
    const struct fault_type *type;
    int64_t at_ms, for_ms;
    int target, other;
    uint64_t before;         /* effects when it began */
    struct process *process; /* of the life */
    bool begun, ended;
};

struct sim {
    uint64_t seed;
    struct process *world; /* network, models, the plan; never crashes */
    struct process *processes[PROCESSES_MAX];
    size_t processes_count;
    struct fault faults[FAULTS_MAX];
    size_t faults_count;
    struct arena arena;
    struct history *history;
    uint64_t hash;      /* of the trace */
    bool may_abort;     /* a process may end itself now: a sync has failed, data is corrupt */
    const char *folder; /* of this run, real, removed afterwards */
    struct process *running;
    sigjmp_buf *crash; /* where a process that ends in the middle of something goes */
    void (*on_crash)(struct process *p);
    void (*each_step)(struct sim *s);
    void *life;
};

struct sim *sim_new(uint64_t seed, const char *folder);
uint64_t sim_below(struct sim *s, uint64_t limit);
bool sim_chance(struct sim *s, unsigned percent);
int64_t sim_now_ms(struct sim *s);

struct process *sim_process(struct sim *s, const char *name, int generation);
/* kill -9. Also from inside the process itself, then it does not return. on_crash of the simulation is told. */
void sim_crash(struct process *p);
void sim_pause(struct process *p);
void sim_resume(struct process *p);

/* Let time pass; each_step is called after every event's instant. */
void sim_advance(struct sim *s, int64_t ms);
/* Until done(s) or the limit: false. */
bool sim_until(struct sim *s, bool (*done)(struct sim *s), int64_t limit_ms);

/* --- faults ------------------------------------------------------------------------------------------------------------ */

/* Order `count` faults of these types within the time; they begin and end by themselves as time goes on. */
void sim_plan(struct sim *s, const struct fault_type *const *types, size_t types_count, size_t count, int64_t within_ms,
              int targets);
void sim_faults_end(struct sim *s);  /* all of them, now */
void sim_check_fired(struct sim *s); /* fails the run when one had no effect */

/* --- what happened --------------------------------------------------------------------------------------------------------- */

void sim_trace(struct sim *s, const char *format, ...) PRINTF(2, 3);
/* Something that must hold does not: prints the sentence, the last of the trace and how to run it again. */
void sim_fail(struct sim *s, const char *format, ...) PRINTF(2, 3) NORETURN;
void sim_check_history(struct sim *s);

/* --- lives ------------------------------------------------------------------------------------------------------------------ */

typedef void life_fn(struct sim *s);
#define LIFE(name, share) life_fn life_##name;
#include "lives.def"
#undef LIFE

#endif
