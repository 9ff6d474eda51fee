/*
 * Three servers' stores on one model of etcd. Each keeps writing, reading, watching and compacting while servers and members crash,
 * stop and are cut off from each other, proposals vanish and answers come late or never.
 */
#include "actor.h"
#include "etcd_model.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVERS    3
#define FAULTS_MS  5000
#define WORK_MS    6000
#define SETTLE_MS  30000
#define RESTART_MS 300

static const char *const names[SERVERS] = { "server-a", "server-b", "server-c" };

struct life {
    struct etcd_model *model;
    struct process *servers[SERVERS];
    uint64_t seen[SERVERS]; /* by the name, over its processes */
    struct loop_timer restarts[SERVERS];
    struct start {
        struct sim *sim;
        int server;
    } starts[SERVERS];
    uint64_t crashes;
    bool resting; /* whoever starts from here on only looks */
};

static struct life *life_of(struct sim *s)
{
    return s->life;
}

static int number_of(const struct process *p)
{
    for (int i = 0; i < SERVERS; i++)
        if (p->name == names[i])
            return i;
    return -1;
}

static void on_lost(void *arg)
{
    sim_crash(arg);
}

static void server_start(void *arg)
{
    const struct start *x = arg;
    struct life *l = life_of(x->sim);
    struct process *old = l->servers[x->server];
    struct process *p = sim_process(x->sim, names[x->server], old ? old->generation + 1 : 0);
    struct actor *a = actor_new(p, l->seen[x->server]);
    struct store *store = etcd_model_open(l->model, p->loop, p->name, x->server, actor_on_change, a);

    l->servers[x->server] = p;
    etcd_model_on_lost(store, on_lost, p);
    actor_start(a, store);
    if (l->resting)
        actor_rest(a);
}

static void on_crash(struct process *p)
{
    struct life *l = life_of(p->sim);
    int i = number_of(p);

    l->seen[i] = MAX(l->seen[i], actor_seen(p->data));
    etcd_model_forget(actor_store(p->data));
    l->crashes++;
    loop_timer_start(&l->restarts[i], 1 + (int64_t)sim_below(p->sim, RESTART_MS));
}

/* --- faults ----------------------------------------------------------------------------------------------------------------- */

static const struct etcd_model_stats *stats(struct sim *s)
{
    return etcd_model_stats(life_of(s)->model);
}

static const char *member(int i)
{
    static const char *const members[] = { "m0", "m1", "m2" };

    return members[i];
}

/* The server that is meant, or the next that is alive. */
static struct process *victim(struct sim *s, const struct fault *f)
{
    for (int i = 0; i < SERVERS; i++) {
        struct process *p = life_of(s)->servers[(f->target + i) % SERVERS];
        if (!p->dead)
            return p;
    }
    return life_of(s)->servers[f->target];
}

static void crash_begin(struct sim *s, struct fault *f)
{
    struct process *p = victim(s, f);

    if (p->dead) { /* none is there: a little later */
        f->begun = false;
        f->at_ms += 50;
    } else {
        sim_crash(p);
    }
}

static uint64_t crash_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return life_of(s)->crashes;
}

static void pause_begin(struct sim *s, struct fault *f)
{
    sim_pause(f->process = victim(s, f));
}

static void pause_end(struct sim *s, struct fault *f)
{
    (void)s;
    sim_resume(f->process);
}

static void jump_begin(struct sim *s, struct fault *f)
{
    victim(s, f)->env.wall_offset_ms += (int64_t)sim_below(s, 2 * 3600000) - 3600000;
}

static void member_crash_begin(struct sim *s, struct fault *f)
{
    etcd_model_crash(life_of(s)->model, f->target);
}

static void member_crash_end(struct sim *s, struct fault *f)
{
    etcd_model_start(life_of(s)->model, f->target);
}

static void member_pause_begin(struct sim *s, struct fault *f)
{
    etcd_model_pause(life_of(s)->model, f->target);
}

static void member_pause_end(struct sim *s, struct fault *f)
{
    etcd_model_resume(life_of(s)->model, f->target);
}

static void elect_begin(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_elect(life_of(s)->model);
}

/* A zone is a server and its member. */
static void zone_link(struct sim *s, int a, int b, bool cut)
{
    struct etcd_model *m = life_of(s)->model;
    void (*const change)(struct etcd_model *, const char *, const char *) = cut ? etcd_model_cut : etcd_model_heal;

    change(m, member(a), member(b));
    change(m, names[a], member(b));
    change(m, member(a), names[b]);
}

static void partition_begin(struct sim *s, struct fault *f)
{
    for (int i = 0; i < SERVERS; i++) {
        if (i == f->target)
            continue;
        zone_link(s, f->target, i, true);
        zone_link(s, i, f->target, true);
    }
}

static void partition_end(struct sim *s, struct fault *f)
{
    for (int i = 0; i < SERVERS; i++) {
        if (i == f->target)
            continue;
        zone_link(s, f->target, i, false);
        zone_link(s, i, f->target, false);
    }
}

static void one_way_begin(struct sim *s, struct fault *f)
{
    for (int i = 0; i < SERVERS; i++)
        if (i != f->target)
            zone_link(s, f->target, i, true);
}

static void bridge_begin(struct sim *s, struct fault *f) /* two zones hear only the third */
{
    zone_link(s, f->target, f->other, true);
    zone_link(s, f->other, f->target, true);
}

static void server_cut_begin(struct sim *s, struct fault *f)
{
    etcd_model_cut(life_of(s)->model, names[f->target], member(f->target));
}

static void server_deaf_begin(struct sim *s, struct fault *f)
{
    etcd_model_cut(life_of(s)->model, member(f->target), names[f->target]);
}

static void server_cut_end(struct sim *s, struct fault *f)
{
    etcd_model_heal(life_of(s)->model, names[f->target], member(f->target));
    etcd_model_heal(life_of(s)->model, member(f->target), names[f->target]);
}

/* Several faults of one kind may overlap: each adds its share and takes it away again. */
static void drop_begin(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->drop_percent += 30;
}

static void drop_end(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->drop_percent -= 30;
}

static void mute_begin(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->lose_answer_percent += 30;
}

static void mute_end(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->lose_answer_percent -= 30;
}

static void break_begin(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->watch_break_percent += 10;
}

static void break_end(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_config(life_of(s)->model)->watch_break_percent -= 10;
}

/* A network, and disks, that take their time. */
static void slow_begin(struct sim *s, struct fault *f)
{
    struct etcd_model_config *c = etcd_model_config(life_of(s)->model);

    (void)f;
    c->delay_max_ms += 70;
    c->commit_max_ms += 150;
    c->watch_lag_max_ms += 400;
}

static void slow_end(struct sim *s, struct fault *f)
{
    struct etcd_model_config *c = etcd_model_config(life_of(s)->model);

    (void)f;
    c->delay_max_ms -= 70;
    c->commit_max_ms -= 150;
    c->watch_lag_max_ms -= 400;
}

static uint64_t drop_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return stats(s)->dropped;
}

static uint64_t mute_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return stats(s)->answers_lost;
}

static uint64_t cut_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return stats(s)->cut;
}

static uint64_t break_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return stats(s)->broken;
}

static const struct fault_type types[] = {
    { "server killed", crash_begin, NULL, crash_effects, 1, 1 },
    { "server stopped", pause_begin, pause_end, NULL, 50, 3000 },
    { "clock jumps", jump_begin, NULL, NULL, 1, 1 },
    { "member killed", member_crash_begin, member_crash_end, NULL, 100, 2500 },
    { "member stopped", member_pause_begin, member_pause_end, NULL, 50, 2500 },
    { "election", elect_begin, NULL, NULL, 1, 1 },
    { "zone cut off", partition_begin, partition_end, cut_effects, 600, 3000 },
    { "zone heard by nobody", one_way_begin, partition_end, cut_effects, 600, 3000 },
    { "bridge", bridge_begin, partition_end, cut_effects, 1500, 3000 },
    { "server does not reach its member", server_cut_begin, server_cut_end, NULL, 600, 3000 },
    { "member does not reach its server", server_deaf_begin, server_cut_end, NULL, 600, 3000 },
    { "proposals dropped", drop_begin, drop_end, drop_effects, 800, 2000 },
    { "answers lost", mute_begin, mute_end, mute_effects, 800, 2000 },
    { "watches break", break_begin, break_end, break_effects, 800, 2000 },
    { "everything slow", slow_begin, slow_end, NULL, 500, 2500 },
};

/* --- the life ---------------------------------------------------------------------------------------------------------------- */

static bool all_idle(struct sim *s)
{
    for (int i = 0; i < SERVERS; i++) {
        const struct process *p = life_of(s)->servers[i];
        if (p->dead || !actor_is_loaded(p->data) || !actor_is_idle(p->data))
            return false;
    }
    return true;
}

static void conclude(struct sim *s)
{
    struct life *l = life_of(s);

    etcd_model_heal_all(l->model);
    l->resting = true;
    for (int i = 0; i < SERVERS; i++)
        actor_rest(l->servers[i]->data);
    if (!sim_until(s, all_idle, SETTLE_MS))
        sim_fail(s, "%d s after the last fault there is still something without an answer", SETTLE_MS / 1000);
    for (int i = 0; i < SERVERS; i++)
        actor_conclude(l->servers[i]->data);
    if (!sim_until(s, all_idle, SETTLE_MS))
        sim_fail(s, "the last reads are not answered");
}

void life_store_etcd(struct sim *s)
{
    const struct fault_type *all[ARRAY_SIZE(types)];
    struct etcd_model_config config = { .delay_max_ms = 2, .commit_max_ms = 4, .watch_lag_max_ms = 3, .base = 1000000 };
    struct life *l = xnew(struct life);

    s->life = l;
    s->on_crash = on_crash;
    l->model = etcd_model_new(s->world->loop, &s->world->env.env, &config);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        all[i] = &types[i];
    for (int i = 0; i < SERVERS; i++) {
        l->starts[i] = (struct start){ s, i };
        loop_timer_init(&l->restarts[i], s->world->loop, server_start, &l->starts[i]);
        server_start(&l->starts[i]);
    }
    sim_advance(s, 300);
    sim_plan(s, all, ARRAY_SIZE(types), 3 + sim_below(s, 6), FAULTS_MS, SERVERS);
    sim_advance(s, WORK_MS);
    sim_faults_end(s);
    conclude(s);
    sim_check_fired(s);
    if (history_acknowledged(s->history) < 20)
        sim_fail(s, "only %zu writes went through: this run proves nothing", history_acknowledged(s->history));
}
