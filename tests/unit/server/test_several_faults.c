/*
 * Three whole servers with their control planes on the model of an etcd cluster, which loses proposals and answers and elects,
 * all from a seed. One client asks one server after the other; what it may see of a register is known exactly.
 */
#include "etcd_model.h"
#include "world.h"

#include "main_control.h"
#include "server/leader.h"

#include <stdio.h>

#define SERVERS   3
#define ROUNDS    120
#define VALUES    256 /* of writes whose outcome is not known */
#define MAPS      "/api/v1/namespaces/default/configmaps"
#define PODS      "/api/v1/namespaces/default/pods"
#define SETTLE_MS 20000

struct cluster_run {
    struct env_sim sim;
    struct loop *loop;
    struct etcd_model *model;
    struct world servers[SERVERS];
    struct control *controls[SERVERS];
    int opened;
    int value;         /* the last that is certain */
    int maybe[VALUES]; /* written since, perhaps */
    size_t maybe_count;
    int next, known, old_answers, refused;
};

static struct cluster_run run;

static const char *const names[] = { "server-0", "server-1", "server-2" };
static const char *const members[] = { "m0", "m1", "m2" };

static uint64_t below(uint64_t n)
{
    return env_random_below(loop_env(run.loop), n);
}

static struct store *open_model(void *arg, struct loop *loop, struct env *env, store_change_fn *on_change,
                                void *on_change_arg, struct error *err)
{
    (void)arg;
    (void)env;
    (void)err;
    int i = run.opened++;
    return etcd_model_open(run.model, loop, names[i], i, on_change, on_change_arg);
}

static void start(void)
{
    static const struct control_config config = { .pod_cidr = "10.244.0.0/16" };
    run = (struct cluster_run){ 0 };
    env_sim_init(&run.sim, test_seed(), 1790000000000);
    run.loop = loop_new_sim(&run.sim);
    run.model = etcd_model_new(
        run.loop, loop_env(run.loop),
        &(struct etcd_model_config){ .delay_max_ms = 5, .commit_max_ms = 5, .watch_lag_max_ms = 50, .base = 1000 });
    for (int i = 0; i < SERVERS; i++) {
        world_start_with(&run.servers[i],
                         &(struct server_config){ .loop = run.loop, .name = names[i], .open_store = open_model });
        run.controls[i] = control_new(run.servers[i].server, &config);
    }
    loop_sim_advance(run.loop, 3000);
}

static void stop(void)
{
    etcd_model_heal_all(run.model);
    loop_sim_advance(run.loop, SETTLE_MS);
    for (int i = 0; i < SERVERS; i++) {
        control_free(run.controls[i]);
        world_stop(&run.servers[i]);
    }
    etcd_model_free(run.model);
    loop_free(run.loop);
}

/* --- the register ------------------------------------------------------------------------------------------------------------ */

static void certain(int value)
{
    run.value = value;
    run.maybe_count = 0;
    run.known++;
}

static void write_register(struct world *w)
{
    int value = ++run.next;
    AUTO_FREE char *json = xasprintf("{\"data\":{\"k\":\"%d\"}}", value);
    w->content_type = "application/merge-patch+json";
    int status = ask(w, "PATCH", MAPS "/register", json);
    w->content_type = NULL;
    if (status == 200) {
        certain(value);
    } else if (status == 503) {
        run.refused++; /* never sent: it cannot happen */
    } else {
        ASSERT_INT(status, 504);
        ASSERT(run.maybe_count < VALUES);
        run.maybe[run.maybe_count++] = value;
    }
}

static void read_register(struct world *w)
{
    int status = ask(w, "GET", MAPS "/register", NULL), seen;
    if (w->warning.n) {
        run.old_answers++; /* it says so */
        return;
    }
    if (status == 503) {
        run.refused++;
        return;
    }
    ASSERT_INT(status, 200);
    uint64_t number = 0;
    str_to_u64(text_at(w, "data.k"), &number);
    seen = (int)number;
    bool fits = seen == run.value;
    for (size_t i = 0; i < run.maybe_count; i++)
        fits |= seen == run.maybe[i];
    if (!fits)
        FAIL("%s shows %d, which is neither %d nor one of %zu writes in doubt", server_config(w->server)->name, seen,
             run.value, run.maybe_count);
    if (seen != run.value)
        run.value = seen; /* others in doubt may still come */
}

/* --- faults -------------------------------------------------------------------------------------------------------------------- */

static void heal(void)
{
    struct etcd_model_config *config = etcd_model_config(run.model);
    etcd_model_heal_all(run.model);
    config->lose_answer_percent = config->drop_percent = config->watch_break_percent = 0;
}

static void something_breaks(void)
{
    struct etcd_model_config *config = etcd_model_config(run.model);
    switch (below(8)) {
    case 0:
        etcd_model_elect(run.model);
        break;
    case 2:
        etcd_model_crash(run.model, (int)below(3));
        break;
    case 3:
        etcd_model_pause(run.model, (int)below(3));
        break;
    case 4:
        config->watch_break_percent = 10;
        break;
    case 5:
        etcd_model_cut(run.model, names[below(SERVERS)], members[below(3)]);
        break;
    case 1:
        config->lose_answer_percent = 20;
        config->drop_percent = 10;
        break;
    default:
        heal();
    }
}

static int leaders(void)
{
    int n = 0;
    for (int i = 0; i < SERVERS; i++)
        n += control_is_acting(run.controls[i]);
    return n;
}

TEST("whatever breaks, a read without a warning shows the last acknowledged write, on every server")
{
    start();
    ASSERT_INT(ask(&run.servers[0], "POST", MAPS, "{\"metadata\":{\"name\":\"register\"},\"data\":{\"k\":\"0\"}}"),
               201);
    for (int round = 0; round < ROUNDS; round++) {
        if (below(4) == 0)
            something_breaks();
        if (below(2))
            write_register(&run.servers[below(3)]);
        else
            read_register(&run.servers[below(3)]);
        if (below(4) == 0)
            loop_sim_advance(run.loop, (int64_t)below(1500));
    }
    heal();
    loop_sim_advance(run.loop, SETTLE_MS);
    for (int i = 0; i < SERVERS; i++)
        read_register(&run.servers[i]);
    ASSERT_INT(leaders(), 1);
    ASSERT(run.known > 5);
    stop();
}

TEST("whatever breaks, controllers make exactly what is asked for in the end")
{
    start();
    ASSERT_INT(
        ask(&run.servers[0], "POST", "/apis/apps/v1/namespaces/default/replicasets",
            "{\"metadata\":{\"name\":\"set\"},\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
            "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
            "\"image\":\"i\"}]}}}}"),
        201);
    int wanted = 3;
    for (int round = 0; round < ROUNDS / 2; round++) {
        if (below(3) == 0)
            something_breaks();
        if (below(4) == 0) {
            struct world *w = &run.servers[below(3)];
            AUTO_FREE char *json = xasprintf("{\"spec\":{\"replicas\":%d}}", wanted + 1);
            w->content_type = "application/merge-patch+json";
            if (ask(w, "PATCH", "/apis/apps/v1/namespaces/default/replicasets/set", json) == 200)
                wanted++;
            w->content_type = NULL;
        }
        loop_sim_advance(run.loop, (int64_t)below(1000));
    }
    heal();
    loop_sim_advance(run.loop, 2 * SETTLE_MS);
    ASSERT_INT(leaders(), 1);
    for (int i = 0; i < SERVERS; i++) {
        ASSERT_INT(ask(&run.servers[i], "GET", "/apis/apps/v1/namespaces/default/replicasets/set", NULL), 200);
        int64_t replicas = int_at(&run.servers[i], "spec.replicas");
        ASSERT(replicas >= wanted);
        ASSERT_INT(ask(&run.servers[i], "GET", PODS, NULL), 200);
        ASSERT_INT(value_get_str(run.servers[i].tree, STR("items"))->items_count, replicas);
    }
    stop();
}
