/*
 * One store on SQLite. It is killed, its power is cut in the middle of operations, its disk fills, fails and tears; what was
 * acknowledged is there afterwards, and nothing else.
 */
#include "actor.h"
#include "disk.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAULTS_MS  4000
#define WORK_MS    5000
#define SETTLE_MS  10000
#define RESTART_MS 100

struct life {
    struct disk *disk;
    struct process *server;
    uint64_t seen, crashes, aborts;
    struct loop_timer restart;
    bool resting;
};

static struct life *life_of(struct sim *s)
{
    return s->life;
}

/* A folder for the lock and the like, of this process alone: the file that matters is on the simulated disk. */
static const char *folder(struct sim *s, int generation)
{
    const char *path = arena_printf(&s->arena, "%s/%d", s->folder, generation).p;
    const char *reserve = arena_printf(&s->arena, "%s/reserve", path).p;

    if (mkdir(path, 0700) < 0)
        sim_fail(s, "cannot make %s", path);
    int fd = open(reserve, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* 32 MiB less to make each time */
    if (fd < 0)
        sim_fail(s, "cannot make %s", reserve);
    close(fd);
    return path;
}

static void boot(void *arg)
{
    struct process *p = arg;
    struct life *l = life_of(p->sim);
    AUTO_ERROR struct error err = { 0 };
    struct store *store =
        store_open_sqlite(p->loop, &p->env.env, folder(p->sim, p->generation), actor_on_change, p->data, &err);

    if (!store) {
        sim_trace(p->sim, "%s cannot start: %s", p->name, error_text(&err));
        error_done(&err);
        sim_crash(p);
    }
    actor_start(p->data, store);
    if (l->resting)
        actor_rest(p->data);
}

static struct disk *the_disk; /* crash points have no argument */

static void on_point(const char *name)
{
    if (strcmp(name, "open.unwritten-forgotten") == 0)
        disk_forget_unwritten(the_disk);
}

static void server_start(void *arg)
{
    struct sim *s = arg;
    struct life *l = life_of(s);
    struct process *p = sim_process(s, "server", l->server ? l->server->generation + 1 : 0);

    actor_new(p, l->seen);
    l->server = p;
    loop_post(p->loop, boot, p);
}

static void on_crash(struct process *p)
{
    struct life *l = life_of(p->sim);

    l->crashes++;
    l->seen = MAX(l->seen, actor_seen(p->data));
    loop_timer_start(&l->restart, 1 + (int64_t)sim_below(p->sim, RESTART_MS));
}

/* --- faults ----------------------------------------------------------------------------------------------------------------- */

static struct disk_faults *faults(struct sim *s)
{
    return disk_faults(life_of(s)->disk);
}

static void kill_begin(struct sim *s, struct fault *f)
{
    (void)f;
    if (life_of(s)->server->dead) /* as soon as it is there again: while it starts */
        faults(s)->kill_after = 1;
    else
        sim_crash(life_of(s)->server);
}

static void kill_inside_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->kill_after = 1 + sim_below(s, 60);
}

static uint64_t crash_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return life_of(s)->crashes;
}

static void cut_begin(struct sim *s, struct fault *f)
{
    (void)f;
    disk_power_cut(life_of(s)->disk);
    sim_crash(life_of(s)->server);
}

static void cut_inside_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->cut_after = 1 + sim_below(s, 60);
}

static uint64_t cut_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(life_of(s)->disk)->cuts;
}

static void full_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->full++;
}

static void full_end(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->full--;
}

static uint64_t full_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(life_of(s)->disk)->refused;
}

static void write_error_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->write_errors += 5;
}

static void write_error_end(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->write_errors -= 5;
}

static uint64_t write_error_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(life_of(s)->disk)->write_errors;
}

static void read_error_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->read_errors += 5;
}

static void read_error_end(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->read_errors -= 5;
}

static void sync_error_begin(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->sync_errors += 10;
}

static void sync_error_end(struct sim *s, struct fault *f)
{
    (void)f;
    faults(s)->sync_errors -= 10;
}

static uint64_t sync_error_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(life_of(s)->disk)->sync_errors;
}

static void pause_begin(struct sim *s, struct fault *f)
{
    sim_pause(f->process = life_of(s)->server);
}

static void pause_end(struct sim *s, struct fault *f)
{
    (void)s;
    sim_resume(f->process);
}

static void jump_begin(struct sim *s, struct fault *f)
{
    (void)f;
    life_of(s)->server->env.wall_offset_ms += (int64_t)sim_below(s, 2 * 3600000) - 3600000;
}

static const struct fault_type types[] = {
    { "server killed", kill_begin, NULL, crash_effects, 1, 1 },
    { "server killed while it writes", kill_inside_begin, NULL, crash_effects, 1, 1 },
    { "power cut", cut_begin, NULL, cut_effects, 1, 1 },
    { "power cut while it writes", cut_inside_begin, NULL, cut_effects, 1, 1 },
    { "power cut while it writes, again", cut_inside_begin, NULL, cut_effects, 1, 1 },
    { "disk full", full_begin, full_end, full_effects, 200, 1000 },
    { "write errors", write_error_begin, write_error_end, write_error_effects, 200, 1000 },
    { "read errors", read_error_begin, read_error_end, NULL, 200, 1000 },
    { "sync fails", sync_error_begin, sync_error_end, sync_error_effects, 200, 1000 },
    { "server stopped", pause_begin, pause_end, NULL, 10, 500 },
    { "clock jumps", jump_begin, NULL, NULL, 1, 1 },
};

/* --- the life ---------------------------------------------------------------------------------------------------------------- */

static bool idle(struct sim *s)
{
    const struct process *p = life_of(s)->server;

    return !p->dead && actor_is_loaded(p->data) && actor_is_idle(p->data);
}

static void settle(struct sim *s)
{
    if (!sim_until(s, idle, SETTLE_MS))
        sim_fail(s, "%d s after the last fault there is still something without an answer", SETTLE_MS / 1000);
}

void life_store_sqlite(struct sim *s)
{
    const struct fault_type *all[ARRAY_SIZE(types)];
    struct life *l = xnew(struct life);

    s->life = l;
    s->on_crash = on_crash;
    l->disk = disk_new(s);
    disk_mount(l->disk);
    the_disk = l->disk;
#ifdef KLEIN_TEST_POINTS
    crash_point_hook = on_point;
#endif
    loop_timer_init(&l->restart, s->world->loop, server_start, s);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        all[i] = &types[i];
    server_start(s);
    sim_advance(s, 300);
    sim_plan(s, all, ARRAY_SIZE(types), 3 + sim_below(s, 6), FAULTS_MS, 1);
    sim_advance(s, WORK_MS);
    sim_faults_end(s);
    *faults(s) = (struct disk_faults){ 0 };
    l->resting = true;
    actor_rest(l->server->data);
    settle(s);
    cut_begin(s, NULL); /* what was told as done is there after one more power cut */
    sim_advance(s, RESTART_MS + 1);
    settle(s);
    actor_conclude(l->server->data);
    settle(s);
    sim_check_fired(s);
    if (history_acknowledged(s->history) < 20)
        sim_fail(s, "only %zu writes went through: this run proves nothing", history_acknowledged(s->history));
}
