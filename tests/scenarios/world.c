/* A whole cluster in one process and in virtual time. */
#include "world.h"

#include "base/time.h"
#include "controllers/controllers.h"
#include "kinds/fields.h"
#include "object/value.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTLED_MS      (4 * SECOND_MS)
#define SETTLE_LIMIT_MS (10 * MINUTE_MS)
#define APPLY_MS        20 /* a node's rules follow a changed slice this much later */

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void on_ready(void *arg, const struct error *err)
{
    if (err)
        FAIL("the server did not start or stop: %s", error_text(err));
    *(bool *)arg = true;
}

static struct api *api_as(struct world *w, const char *user, const char *group)
{
    const struct str groups[] = { str_of(group), STR("system:authenticated") };

    return server_api(w->server,
                      &(struct identity){ .user = str_of(user), .groups = groups, .groups_count = ARRAY_SIZE(groups) });
}

/* --- what nodes apply --------------------------------------------------------------------------------------------------------------- */

static void apply_slices(void *arg)
{
    struct world *w = arg;

    for (size_t i = 0; i < w->agents_count; i++) {
        const struct fact_node *now = facts_node(&w->facts, agent_name(w->agents[i]));
        struct fact_node next;
        if (!now || now->silent || !now->connected)
            continue;
        next = *now;
        next.applied_endpointslices = cache_revision(w->slices);
        facts_set_node(&w->facts, agent_name(w->agents[i]), &next);
    }
}

static void on_slice(void *arg, struct cache *c)
{
    struct world *w = arg;

    (void)c;
    if (!loop_timer_running(&w->applies))
        loop_timer_start(&w->applies, APPLY_MS);
}

/* --- starting and ending --------------------------------------------------------------------------------------------------------------- */

static void start_parts(struct world *w)
{
    bool ready = false;

    w->server = server_new(&w->config);
    server_start(w->server, on_ready, &ready);
    ASSERT(loop_sim_run_until(w->loop, is_true, &ready, 10000));
    w->people = api_as(w, "kubernetes-admin", "system:masters");
    w->control_api = api_as(w, "system:kube-controller-manager", "system:authenticated");
    w->scheduler_api = api_as(w, "system:kube-scheduler", "system:authenticated");
    w->control_cluster = cluster_new(w->loop, w->control_api);
    w->scheduler_cluster = cluster_new(w->loop, w->scheduler_api);
    w->controllers =
        controllers_start(w->control_cluster, &w->env.env, controllers_list,
                          &(struct controller_config){ .cluster_domain = "cluster.local",
                                                       .pod_cidr = "10.244.0.0/16",
                                                       .service_account_ca_pem = "-----BEGIN CERTIFICATE-----\n" },
                          &w->facts);
    w->scheduler = scheduler_start(w->scheduler_cluster, &w->env.env);
    w->slices = cache_new(w->loop, w->people, &(struct api_watch_request){ .kind = &kind_endpointslice });
    cache_listen(w->slices, NULL, on_slice, w);
}

static void stop_parts(struct world *w)
{
    bool stopped = false;

    for (size_t i = 0; i < w->agents_count; i++)
        agent_disconnect(w->agents[i]);
    loop_timer_stop(&w->applies);
    cache_free(w->slices);
    scheduler_stop(w->scheduler);
    controllers_stop(w->controllers);
    cluster_free(w->scheduler_cluster);
    cluster_free(w->control_cluster);
    w->scheduler_api->ops->free(w->scheduler_api);
    w->control_api->ops->free(w->control_api);
    w->people->ops->free(w->people);
    server_stop(w->server, on_ready, &stopped);
    ASSERT(loop_sim_run_until(w->loop, is_true, &stopped, 60000));
}

void world_start(struct world *w, int64_t tolerations_s, const char *data_folder)
{
    *w = (struct world){ 0 };
    kinds_init();
    env_sim_init(&w->env, test_seed(), 1795219200000);
    w->loop = loop_new_sim(&w->env);
    w->config = (struct server_config){
        .loop = w->loop,
        .data_folder = data_folder,
        .default_not_ready_toleration_s = tolerations_s,
        .default_unreachable_toleration_s = tolerations_s,
    };
    loop_timer_init(&w->applies, w->loop, apply_slices, w);
    facts_init(&w->facts);
    facts_set_settled(&w->facts, true, 0);
    start_parts(w);
}

void world_restart(struct world *w)
{
    ASSERT(w->config.data_folder);
    facts_set_settled(&w->facts, false, 0);
    stop_parts(w);
    start_parts(w);
    for (size_t i = 0; i < w->agents_count; i++)
        agent_connect(w->agents[i]);
    facts_set_settled(&w->facts, true, env_monotonic_ms(&w->env.env));
}

void world_stop(struct world *w)
{
    stop_parts(w);
    for (size_t i = 0; i < w->agents_count; i++)
        agent_free(w->agents[i]);
    facts_done(&w->facts);
    loop_free(w->loop);
    arena_done(&w->arena);
}

/* --- time -------------------------------------------------------------------------------------------------------------------------------- */

void world_advance(struct world *w, int64_t ms)
{
    for (int64_t left = ms; left > 0; left -= WORLD_STEP_MS) {
        loop_sim_advance(w->loop, MIN(left, WORLD_STEP_MS));
        if (w->each_step)
            w->each_step(w);
    }
}

void world_settle(struct world *w)
{
    int64_t quiet_ms = 0;
    uint64_t revision = state_revision(server_state(w->server));

    for (int64_t t = 0; t < SETTLE_LIMIT_MS; t += WORLD_STEP_MS) {
        world_advance(w, WORLD_STEP_MS);
        quiet_ms = state_revision(server_state(w->server)) == revision ? quiet_ms + WORLD_STEP_MS : 0;
        revision = state_revision(server_state(w->server));
        if (quiet_ms >= SETTLED_MS)
            return;
    }
    FAIL("the cluster does not come to rest within %lld s", (long long)(SETTLE_LIMIT_MS / SECOND_MS));
}

/* --- calls --------------------------------------------------------------------------------------------------------------------------------- */

struct reply {
    bool done;
    enum error_code code;
    char message[512];
};

static void on_reply(void *arg, const struct object *result, const struct error *err)
{
    struct reply *r = arg;

    (void)result;
    r->done = true;
    r->code = err ? err->code : ERR_NONE;
    snprintf(r->message, sizeof(r->message), "%s", err ? error_text(err) : "");
}

static void call(struct world *w, struct api *api, const struct api_call *what, struct reply *r)
{
    api_call(api, what, on_reply, r);
    for (int64_t t = 0; !r->done && t < 60000; t += WORLD_STEP_MS)
        world_advance(w, WORLD_STEP_MS);
    ASSERT(r->done);
}

enum error_code world_call(struct world *w, const struct api_call *what)
{
    struct reply r = { 0 };

    call(w, w->people, what, &r);
    return r.code;
}

void world_do(struct world *w, const struct api_call *what)
{
    struct reply r = { 0 };

    call(w, w->people, what, &r);
    if (r.code)
        FAIL("a call for %s %.*s failed: %s", what->kind->kind, STR_ARG(what->name), r.message);
}

void world_create(struct world *w, const struct value *tree)
{
    AUTO_ERROR struct error err = { 0 };
    struct object *body = object_new(tree, &err);
    struct view root = object_root(body);
    struct str version = view_str_at(root, F_POD_API_VERSION), group;

    if (!str_cut(&version, '/', &group)) {
        version = view_str_at(root, F_POD_API_VERSION);
        group = STR_NONE;
    }
    const struct kind *kind = kind_find(group, version, view_str_at(root, F_POD_KIND));
    if (!kind)
        FAIL("no such kind: %.*s", STR_ARG(object_json(body)));
    struct str namespace_ = object_namespace(body);
    world_do(w, &(struct api_call){ .verb = API_CREATE,
                                    .kind = kind,
                                    .namespace_ = kind->namespaced && !namespace_.n ? STR("default") : namespace_,
                                    .body = body,
                                    .grace_seconds = -1 });
    object_unref(body);
}

void world_patch(struct world *w, const struct kind *kind, struct str namespace_, struct str name,
                 const char *subresource, struct str merge_patch)
{
    world_do(w, &(struct api_call){ .verb = API_PATCH,
                                    .kind = kind,
                                    .namespace_ = namespace_,
                                    .name = name,
                                    .subresource = str_of(subresource),
                                    .patch = merge_patch,
                                    .patch_type = API_PATCH_MERGE,
                                    .grace_seconds = -1 });
}
