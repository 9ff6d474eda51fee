/*
 * A whole cluster: three servers on the model of etcd, or one on SQLite and a failing disk; nodes and people. Afterwards: no acknowledged
 * write lost, every server's watch in order and complete, the cluster at rest as it was asked to be; and at every step: no
 * pod in two places, and never fewer available than the rollout allows, as long as no node fails.
 */
#include "people.h"

#include "base/file.h"
#include "kinds/fields.h"
#include "object/value.h"
#include "server/nodes.h"
#include "server/state_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN_MS     20000
#define FAULTS_MS    8000
#define WORK_MS      10000
#define SETTLE_MS    120000
#define RESTART_MS   400
#define WORD_MS      250
#define SILENT_MS    1000
#define WORD_LOST_MS 2000

struct life {
    struct cluster_sim cluster;
    struct people *people;
    struct start {
        struct cluster_sim *cluster;
        int server;
    } starts[SERVERS_MAX];
    bool watching_availability;
};

static const char *const names[SERVERS_MAX] = { "server-a", "server-b", "server-c" };
static const char *const members[SERVERS_MAX] = { "m0", "m1", "m2" };

static struct sim *the_sim;

static struct life *life_of(struct sim *s)
{
    return s->life;
}

static struct cluster_sim *cluster_of(struct sim *s)
{
    return &life_of(s)->cluster;
}

bool cluster_linked(const struct cluster_sim *c, int from, int to)
{
    return !c->cut[from][to];
}

bool cluster_is_up(const struct cluster_sim *c, int server)
{
    return c->servers[server].process && !c->servers[server].process->dead && c->servers[server].ready;
}

int64_t cluster_delay_ms(struct cluster_sim *c)
{
    return 1 + (int64_t)sim_below(c->sim, (uint64_t)c->delay_max_ms);
}

/* --- servers --------------------------------------------------------------------------------------------------------------------- */

static void on_lost_store(void *arg)
{
    sim_crash(arg);
}

static const char *folder(struct sim *s, int generation)
{
    const char *path = arena_printf(&s->arena, "%s/%d", s->folder, generation).p;
    const char *reserve = arena_printf(&s->arena, "%s/reserve", path).p;
    int fd;

    if (mkdir(path, 0700) < 0 || (fd = open(reserve, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0)
        sim_fail(s, "cannot make %s", path);
    close(fd);
    return path;
}

static struct store *open_store(void *arg, struct loop *loop, struct env *env, store_change_fn *on_change,
                                void *on_change_arg, struct error *err)
{
    struct process *p = arg;
    struct cluster_sim *c = cluster_of(p->sim);

    if (!c->model)
        return store_open_sqlite(loop, env, folder(p->sim, p->generation), on_change, on_change_arg, err);
    for (int i = 0; i < c->servers_count; i++) {
        if (c->servers[i].process != p)
            continue;
        struct store *store = etcd_model_open(c->model, loop, names[i], i, on_change, on_change_arg);
        etcd_model_on_lost(store, on_lost_store, p);
        return store;
    }
    return NULL;
}

static struct sim_server *server_of(struct process *p)
{
    struct cluster_sim *c = cluster_of(p->sim);

    for (int i = 0; i < c->servers_count; i++)
        if (c->servers[i].process == p)
            return &c->servers[i];
    return NULL;
}

/* A server's own watch of ConfigMaps: all of them, in order, from its list on. */
static void on_event(void *arg, const struct api_event *event)
{
    struct sim_server *s = arg;
    struct sim *sim = s->process->sim;

    if (event->type == API_SYNCED && !s->watch)
        s->watch = history_watch(sim->history, s->process->name, STR_NONE, event->revision);
    else if (event->type == API_SYNCED)
        history_relisted(s->watch, event->revision);
    else if (event->type != API_BOOKMARK && s->watch && !s->relisting)
        people_watched(sim, s->watch, event->object, event->type == API_DELETED, event->revision);
    s->relisting = s->relisting && event->type != API_SYNCED;
}

static void on_watch_lost(void *arg, const struct error *err)
{
    struct sim_server *s = arg;

    (void)err;
    s->relisting = true;
}

/* What happened between the end of a process and the list of the next one: nobody's watch told it, the store's history does. */
static void on_past(void *arg, const struct store_change *c)
{
    struct history_watch *w = arg;
    struct str key = c->key, prefix = STR("/registry/core/configmaps/default/");
    AUTO_OBJECT struct object *o = str_starts(key, prefix) ? object_parse(c->value, NULL) : NULL;

    if (o)
        people_watched(the_sim, w, o, c->type == STORE_DELETE, c->revision);
}

static void on_past_done(void *arg, uint64_t revision, const struct error *err)
{
    if (!err)
        history_progress(arg, revision);
}

static void on_state(void *arg, const struct change *c)
{
    static const char *const words[] = {
        [CHANGE_ADDED] = "added", [CHANGE_MODIFIED] = "modified", [CHANGE_DELETED] = "deleted"
    };
    struct process *p = arg;

    if (c->kind == &kind_pod || c->kind == &kind_node)
        sim_trace(p->sim, "%s: %llu %s %s %.*s %s", p->name, (unsigned long long)c->revision, words[c->type],
                  c->kind->kind, STR_ARG(object_name(c->object)),
                  view_present(view_path(object_root(c->object), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP))
                      ? "(ending)"
                      : "");
}

static void on_ready(void *arg, const struct error *err)
{
    static const struct str groups[] = { STR_INIT("system:masters"), STR_INIT("system:authenticated") };
    static const struct control_config config = { .pod_cidr = "10.244.0.0/16" };
    struct process *p = arg;
    struct sim_server *s = server_of(p);

    if (err) {
        sim_trace(p->sim, "%s cannot start: %s", p->name, error_text(err));
        sim_crash(p);
    }
    sim_trace(p->sim, "%s is ready at %llu", p->name, (unsigned long long)state_revision(server_state(s->server)));
    if (state_revision(server_state(s->server)) < s->seen_revision)
        sim_fail(p->sim, "%s was at %llu and starts anew at %llu", p->name, (unsigned long long)s->seen_revision,
                 (unsigned long long)state_revision(server_state(s->server)));
    s->api = server_api(s->server, &(struct identity){ .user = STR("admin"), .groups = groups, .groups_count = 2 });
    s->seen = api_watch(s->api, &(struct api_watch_request){ .kind = &kind_configmap, .namespace_ = STR("default") },
                        &(struct api_watch_callbacks){ on_event, on_watch_lost, s });
    if (s->seen_revision)
        store_history(state_store(server_state(s->server)), s->seen_revision, on_past, on_past_done,
                      history_watch(p->sim->history, "past", STR_NONE, s->seen_revision));
    state_listen(server_state(s->server), NULL, on_state, p);
    s->control = control_new(s->server, &config);
    s->ready = true;
}

static void boot(void *arg)
{
    struct process *p = arg;
    struct sim_server *s = server_of(p);

    s->server = server_new(&(struct server_config){ .loop = p->loop,
                                                    .name = p->name,
                                                    .open_store = open_store,
                                                    .open_store_arg = p,
                                                    .default_not_ready_toleration_s = 2,
                                                    .default_unreachable_toleration_s = 2,
                                                    .compact_every_ms = 3000,
                                                    .history_min_revisions = 300 });
    server_start(s->server, on_ready, p);
}

static void server_begin(void *arg)
{
    const struct start *x = arg;
    struct cluster_sim *c = x->cluster;
    struct sim_server *s = &c->servers[x->server];
    int generation = s->process ? s->process->generation + 1 : 0;
    uint64_t seen = s->seen_revision;
    struct loop_timer restart = s->restart;

    *s = (struct sim_server){ .restart = restart, .seen_revision = seen };
    s->process = sim_process(c->sim, names[x->server], generation);
    loop_post(s->process->loop, boot, s->process);
}

static void on_crash(struct process *p)
{
    struct cluster_sim *c = cluster_of(p->sim);
    struct sim_server *s = server_of(p);

    if (s->server && s->ready) {
        s->seen_revision = MAX(s->seen_revision, state_revision(server_state(s->server)));
        if (c->model)
            etcd_model_forget(state_store(server_state(s->server)));
    }
    remote_crashed(c, (int)(s - c->servers));
    s->ready = false;
    c->crashes++;
    loop_timer_start(&s->restart, 50 + (int64_t)sim_below(p->sim, RESTART_MS));
}

/* --- what servers know of nodes: each hears them itself and is told by the others --------------------------------------------- */

struct words {
    struct process *process;
    struct nodes *nodes;
    size_t slot;
    bool gone;
    struct buf lines; /* one a word */
};

static void hear(void *arg)
{
    struct words *w = arg;
    struct str rest = buf_str(&w->lines), line;

    if (w->gone)
        nodes_word_lost(w->nodes, w->slot);
    while (str_next(&rest, '\n', &line))
        if (line.n)
            nodes_word(w->nodes, w->slot, line);
    buf_done(&w->lines);
    free(w);
}

static void add_unheard(struct cluster_sim *c, int node, struct buf *to)
{
    bool first = true;

    buf_add_text(to, ",\"servers\":1,\"fence\":true,\"peers\":[");
    for (int i = 0; i < NODES; i++)
        if (i != node)
            buf_addf(to, "%s\"n%d\"", to->p[to->n - 1] == '[' ? "" : ",", i);
    buf_add_text(to, "],\"unheard\":{");
    for (int i = 0; i < NODES; i++) {
        if (i == node || (cluster_linked(c, PLACE_OF_NODE(i), PLACE_OF_NODE(node)) &&
                          cluster_linked(c, PLACE_OF_NODE(node), PLACE_OF_NODE(i))))
            continue;
        buf_addf(to, "%s\"n%d\":%d", first ? "" : ",", i, 1500);
        first = false;
    }
    buf_add_char(to, '}');
}

static void tell_words(struct cluster_sim *c, int to, int from)
{
    struct words *w = xnew(struct words);

    *w = (struct words){ .process = c->servers[to].process,
                         .nodes = server_nodes(c->servers[to].server),
                         .slot = (size_t)from,
                         .lines = BUF_MAX(64 * KIB) };
    for (int i = 0; i < NODES; i++) {
        int64_t age_ms = sim_now_ms(c->sim) - c->heard_ms[from][i];
        bool silent = age_ms >= SILENT_MS;
        buf_addf(&w->lines, "{\"name\":\"n%d\",\"connected\":%s,\"silent\":%s,\"silentMs\":%lld,\"applied\":{}", i,
                 silent ? "false" : "true", silent ? "true" : "false", (long long)age_ms);
        if (!silent)
            add_unheard(c, i, &w->lines);
        buf_add_text(&w->lines, "}\n");
    }
    loop_post(w->process->loop, hear, w);
}

static void lose_words(struct cluster_sim *c, int to, int from)
{
    struct words *w = xnew(struct words);

    *w = (struct words){ .process = c->servers[to].process,
                         .nodes = server_nodes(c->servers[to].server),
                         .slot = (size_t)from,
                         .gone = true };
    loop_post(w->process->loop, hear, w);
}

static bool talks(const struct cluster_sim *c, int server)
{
    return cluster_is_up(c, server) && !c->servers[server].process->paused;
}

static void on_words(void *arg)
{
    struct cluster_sim *c = arg;
    int64_t now_ms = sim_now_ms(c->sim);

    loop_timer_start(&c->words, WORD_MS);
    for (int k = 0; k < c->servers_count; k++)
        for (int i = 0; i < NODES && talks(c, k); i++)
            if (cluster_linked(c, PLACE_OF_NODE(i), k) && cluster_linked(c, k, PLACE_OF_NODE(i)))
                c->heard_ms[k][i] = now_ms;
    for (int s = 0; s < c->servers_count; s++) {
        for (int k = 0; k < c->servers_count && talks(c, s); k++) {
            int64_t *lost_ms = &c->servers[s].word_lost_ms[k];
            if (talks(c, k) && cluster_linked(c, k, s) && cluster_linked(c, s, k)) {
                tell_words(c, s, k);
                *lost_ms = 0;
            } else if (!*lost_ms) {
                *lost_ms = now_ms;
            } else if (now_ms - *lost_ms >= WORD_LOST_MS) {
                lose_words(c, s, k);
                *lost_ms = now_ms;
            }
        }
    }
}

/* --- what must hold at every step ------------------------------------------------------------------------------------------------ */

struct census {
    struct cluster_sim *cluster;
    int node, running;
};

static void count_pod(void *arg, struct str name)
{
    struct census *x = arg;

    x->running++;
    for (int i = x->node + 1; i < NODES; i++)
        if (node_runs(x->cluster->nodes[i], name))
            sim_fail(x->cluster->sim, "%.*s runs on %s and on %s", STR_ARG(name), node_name(x->cluster->nodes[x->node]),
                     node_name(x->cluster->nodes[i]));
}

static int running(struct cluster_sim *c)
{
    struct census x = { .cluster = c };

    for (x.node = 0; x.node < NODES; x.node++)
        node_each(c->nodes[x.node], count_pod, &x);
    return x.running;
}

/* --- the end ------------------------------------------------------------------------------------------------------------------------ */

struct look {
    struct sim *sim;
    int good, bad;
};

static bool look_at_pod(void *arg, const struct object *pod)
{
    struct look *x = arg;
    struct life *l = life_of(x->sim);
    struct view containers = view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_CONTAINERS);
    bool good = str_is(view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE), "Running") &&
                str_is(view_str_at(view_item(containers, 0), F_CONTAINER_IMAGE), people_image(l->people)) &&
                !view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));

    x->good += good;
    x->bad += !good;
    return true;
}

static uint64_t digest_of(struct sim_server *s);

static bool at_rest(struct sim *s)
{
    struct life *l = life_of(s);
    struct cluster_sim *c = &l->cluster;
    int wanted = people_replicas(l->people);

    if (!people_have_concluded(l->people) || running(c) != wanted)
        return false;
    for (int i = 0; i < c->servers_count; i++) {
        struct look x = { .sim = s };
        if (!talks(c, i))
            return false;
        state_each(server_state(c->servers[i].server), &kind_pod, STR("default"), look_at_pod, &x);
        if (x.good != wanted || x.bad || digest_of(&c->servers[i]) != digest_of(&c->servers[0]))
            return false;
    }
    return true;
}

static bool add_digest(void *arg, const struct object *o)
{
    uint64_t *digest = arg;
    struct str json = object_json(o);

    for (size_t i = 0; i < json.n; i++)
        *digest = (*digest ^ (unsigned char)json.p[i]) * 1099511628211u;
    return true;
}

/* Every server shows the same objects. */
static uint64_t digest_of(struct sim_server *s)
{
    static const struct kind *const kinds_seen[] = { &kind_pod, &kind_replicaset, &kind_deployment, &kind_configmap };
    uint64_t digest = 1469598103934665603u;

    for (size_t i = 0; i < ARRAY_SIZE(kinds_seen); i++)
        state_each(server_state(s->server), kinds_seen[i], STR_NONE, add_digest, &digest);
    return digest;
}

static bool trace_object(void *arg, const struct object *o)
{
    sim_trace(arg, "%.*s", STR_ARG(object_json(o)));
    return true;
}

/* What each server shows, for whoever has to find out why the cluster is not at rest. */
static void trace_servers(struct sim *s)
{
    static const struct kind *const kinds_seen[] = { &kind_node, &kind_deployment, &kind_replicaset, &kind_pod };
    struct cluster_sim *c = cluster_of(s);

    for (int i = 0; i < c->servers_count; i++) {
        sim_trace(s, "%s: %s, digest %llx", names[i], talks(c, i) ? "up" : "down",
                  (unsigned long long)(talks(c, i) ? digest_of(&c->servers[i]) : 0));
        for (size_t k = 0; k < ARRAY_SIZE(kinds_seen) && talks(c, i) && i == 0; k++)
            state_each(server_state(c->servers[i].server), kinds_seen[k], STR_NONE, trace_object, s);
    }
}

static void each_step(struct sim *s)
{
    struct life *l = life_of(s);
    int now = running(&l->cluster);

    if (l->watching_availability && !l->cluster.node_faults && now < people_replicas_least(l->people) - 1) {
        trace_servers(s);
        sim_fail(s, "only %d pods of web run, %d were asked for, and one may be missing", now,
                 people_replicas_least(l->people));
    }
}

static bool has_begun(struct sim *s)
{
    return running(cluster_of(s)) == people_replicas(life_of(s)->people);
}

static void calm(struct cluster_sim *c)
{
    memset(c->cut, 0, sizeof(c->cut));
    c->loss_percent = 0;
    c->delay_max_ms = 2;
    if (c->model)
        etcd_model_heal_all(c->model);
    if (c->disk)
        *disk_faults(c->disk) = (struct disk_faults){ 0 };
}

#include "cluster_faults.h"

static void lead_life(struct sim *s, int servers)
{
    struct etcd_model_config config = { .delay_max_ms = 2, .commit_max_ms = 4, .watch_lag_max_ms = 3, .base = 1000000 };
    struct life *l = xnew(struct life);
    struct cluster_sim *c = &l->cluster;

    the_sim = s;
    s->life = l;
    s->on_crash = on_crash;
    s->each_step = each_step;
    kinds_init();
    *c = (struct cluster_sim){ .sim = s, .servers_count = servers, .delay_max_ms = 2 };
    list_init(&c->calls);
    list_init(&c->streams);
    c->node_faults = s->seed % 2;
    if (servers > 1)
        c->model = etcd_model_new(s->world->loop, &s->world->env.env, &config);
    else
        disk_mount(c->disk = disk_new(s));
    for (int i = 0; i < servers; i++) {
        l->starts[i] = (struct start){ c, i };
        loop_timer_init(&c->servers[i].restart, s->world->loop, server_begin, &l->starts[i]);
        server_begin(&l->starts[i]);
    }
    for (int i = 0; i < NODES; i++)
        c->nodes[i] = node_new(c, i);
    l->people = people_new(c);
    loop_timer_init(&c->words, s->world->loop, on_words, c);
    loop_timer_start(&c->words, WORD_MS);
    if (!sim_until(s, has_begun, BEGIN_MS))
        sim_fail(s, "the first pods do not run within %d s", BEGIN_MS / 1000);
    l->watching_availability = true;
    plan_faults(s);
    sim_advance(s, WORK_MS);
    sim_faults_end(s);
    calm(c);
    people_rest(l->people);
    people_conclude(l->people);
    if (!sim_until(s, at_rest, SETTLE_MS)) {
        trace_servers(s);
        sim_fail(s, "%d s after the last fault the cluster is not as it was asked to be", SETTLE_MS / 1000);
    }
    sim_check_fired(s);
}

void life_cluster_etcd(struct sim *s)
{
    lead_life(s, SERVERS_MAX);
}

void life_cluster_sqlite(struct sim *s)
{
    lead_life(s, 1);
}
