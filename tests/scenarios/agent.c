/*
 * A model of a node: it starts the pods that are bound to it, says so, and lets go of those that are to end.
 *
 * Images are its only world: "bad..." never comes up, "slow..." needs two seconds, everything else is Ready within 200 ms. A pod that
 * is to end takes 50 to 200 ms, whatever its grace period.
 */
#include "base/time.h"
#include "kinds/fields.h"
#include "object/value.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define SILENT_MS SECOND_MS /* as transport/tunnel.h */
#define REPEAT_MS 250

struct agent {
    struct world *world;
    char *name, *zone;
    struct api *api;
    struct cache *pods;
    struct map acting; /* uid -> struct action */
    bool cut;
    struct loop_timer silence;
    int addresses, number;
};

struct action { /* what the node is about to do with a pod */
    struct agent *agent;
    struct loop_timer timer;
    char *namespace_, *name, *uid;
};

struct str agent_name(const struct agent *a)
{
    return str_of(a->name);
}

struct str agent_zone(const struct agent *a)
{
    return str_of(a->zone);
}

/* --- what reaches the server ------------------------------------------------------------------------------------------------------- */

static void on_answer(void *arg, const struct object *result, const struct error *err)
{
    (void)result;
    if (err && err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT)
        FAIL("node %s may not do what nodes do: %s", (const char *)arg, error_text(err));
}

static void patch_status(struct agent *a, const struct kind *kind, struct str namespace_, struct str name,
                         struct str patch)
{
    api_call(a->api,
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = kind,
                                 .namespace_ = namespace_,
                                 .name = name,
                                 .subresource = STR("status"),
                                 .patch = patch,
                                 .patch_type = API_PATCH_STRATEGIC,
                                 .grace_seconds = -1 },
             on_answer, a->name);
}

static void say_ready(struct agent *a)
{
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);
    char now[TIME_TEXT_SIZE];

    time_format(env_wall_ms(&a->world->env.env), now);
    buf_addf(
        &patch,
        "{\"status\":{\"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"allocatable\":{\"cpu\":\"4\","
        "\"memory\":\"8Gi\",\"pods\":\"110\"},\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"
        "\"KubeletReady\",\"message\":\"ready\",\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}]}}",
        now, now);
    patch_status(a, &kind_node, STR_NONE, str_of(a->name), buf_str(&patch));
}

static struct str image_of(const struct object *pod)
{
    struct view containers = view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_CONTAINERS);

    return view_str_at(view_item(containers, 0), F_CONTAINER_IMAGE);
}

static void say_running(struct agent *a, const struct object *pod)
{
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);
    char now[TIME_TEXT_SIZE];
    int address = ++a->addresses;

    time_format(env_wall_ms(&a->world->env.env), now);
    buf_addf(&patch,
             "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.%d.%d\",\"podIPs\":[{\"ip\":\"10.244.%d.%d\"}],"
             "\"startTime\":\"%s\",\"conditions\":[",
             a->number, address % 250 + 2, a->number, address % 250 + 2, now);
    static const char *const types[] = { "Initialized", "ContainersReady", "Ready" };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        buf_addf(&patch, "%s{\"type\":\"%s\",\"status\":\"True\",\"lastTransitionTime\":\"%s\"}", i ? "," : "",
                 types[i], now);
    buf_add_text(&patch, "]}}");
    patch_status(a, &kind_pod, object_namespace(pod), object_name(pod), buf_str(&patch));
}

static void let_go(struct agent *a, const struct object *pod)
{
    api_call(a->api,
             &(struct api_call){ .verb = API_DELETE,
                                 .kind = &kind_pod,
                                 .namespace_ = object_namespace(pod),
                                 .name = object_name(pod),
                                 .uid_precondition = object_uid(pod),
                                 .grace_seconds = 0 },
             on_answer, a->name);
}

/* --- pods ------------------------------------------------------------------------------------------------------------------------------ */

static bool is_terminating(const struct object *pod)
{
    return view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

static bool is_running(const struct object *pod)
{
    return str_is(view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE), "Running");
}

static void act(void *arg)
{
    struct action *x = arg;
    struct agent *a = x->agent;
    const struct object *pod = cache_get(a->pods, str_of(x->namespace_), str_of(x->name));

    if (a->cut || !pod || !str_is(object_uid(pod), x->uid))
        return;
    if (is_terminating(pod))
        let_go(a, pod);
    else if (!is_running(pod) && !str_starts(image_of(pod), STR("bad")))
        say_running(a, pod);
}

static void action_free(struct action *x)
{
    if (!x)
        return;
    loop_timer_stop(&x->timer);
    free(x->namespace_);
    free(x->name);
    free(x->uid);
    free(x);
}

static void plan_action(struct agent *a, const struct object *pod)
{
    struct action *x = map_get(&a->acting, object_uid(pod));
    struct env *env = &a->world->env.env;

    if (!is_terminating(pod) && is_running(pod))
        return;
    if (!x) {
        x = xnew(struct action);
        *x = (struct action){ .agent = a,
                              .namespace_ = str_dup(object_namespace(pod)),
                              .name = str_dup(object_name(pod)),
                              .uid = str_dup(object_uid(pod)) };
        loop_timer_init(&x->timer, a->world->loop, act, x);
        map_put(&a->acting, object_uid(pod), x);
    }
    loop_timer_start(&x->timer, str_starts(image_of(pod), STR("slow")) && !is_terminating(pod)
                                    ? 2 * SECOND_MS
                                    : 50 + (int64_t)env_random_below(env, 150));
}

static void on_pod(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct agent *a = arg;

    (void)c;
    if (now)
        plan_action(a, now);
    else
        action_free(map_del(&a->acting, object_uid(old)));
}

/* --- being heard ------------------------------------------------------------------------------------------------------------------------ */

static void tell(struct agent *a, bool connected, bool silent)
{
    const struct fact_node *was = facts_node(&a->world->facts, str_of(a->name));
    struct fact_node now = { .connected = connected,
                             .silent = silent,
                             .confirmed = silent,
                             .last_seen_ms = silent && was ? was->last_seen_ms : env_monotonic_ms(&a->world->env.env),
                             .applied_endpointslices = was ? was->applied_endpointslices : 0 };

    facts_set_node(&a->world->facts, str_of(a->name), &now);
}

static void on_silence(void *arg)
{
    struct agent *a = arg;

    tell(a, true, true);
    loop_timer_start(&a->silence, REPEAT_MS);
}

void agent_cut(struct agent *a)
{
    a->cut = true;
    tell(a, true, false);
    loop_timer_start(&a->silence, SILENT_MS);
}

void agent_heal(struct agent *a)
{
    struct objects pods = cache_all(a->pods);

    a->cut = false;
    loop_timer_stop(&a->silence);
    tell(a, true, false);
    say_ready(a);
    for (size_t i = 0; i < pods.count; i++)
        plan_action(a, pods.items[i]);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------- */

void agent_connect(struct agent *a)
{
    AUTO_FREE char *user = xasprintf("system:node:%s", a->name);
    AUTO_FREE char *selector = xasprintf("spec.nodeName=%s", a->name);
    const struct str groups[] = { STR("system:nodes"), STR("system:authenticated") };

    a->api =
        server_api(a->world->server,
                   &(struct identity){ .user = str_of(user), .groups = groups, .groups_count = ARRAY_SIZE(groups) });
    a->pods = cache_new(a->world->loop, a->api,
                        &(struct api_watch_request){ .kind = &kind_pod, .field_selector = str_of(selector) });
    cache_listen(a->pods, on_pod, NULL, a);
    tell(a, true, false);
}

void agent_disconnect(struct agent *a)
{
    size_t i = 0;
    struct str uid;
    void *action;

    cache_free(a->pods);
    a->api->ops->free(a->api);
    a->pods = NULL;
    a->api = NULL;
    while (map_next(&a->acting, &i, &uid, &action))
        action_free(action);
    map_clear(&a->acting);
    loop_timer_stop(&a->silence);
    tell(a, false, false);
}

void agent_add(struct world *w, const char *name, const char *zone)
{
    AUTO_ARENA struct arena arena = { 0 };
    struct agent *a = xnew(struct agent);
    struct str node = arena_printf(&arena,
                                   "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
                                   "\"kubernetes.io/hostname\":\"%s\",\"topology.kubernetes.io/zone\":\"%s\"}}}",
                                   name, name, zone);

    ASSERT(w->agents_count < AGENTS_MAX);
    *a = (struct agent){ .world = w, .name = xstrdup(name), .zone = xstrdup(zone), .number = (int)w->agents_count };
    w->agents[w->agents_count++] = a;
    loop_timer_init(&a->silence, w->loop, on_silence, a);
    world_create(w, value_parse(&arena, node, NULL, NULL));
    agent_connect(a);
    say_ready(a);
}

struct agent *agent_find(struct world *w, struct str name)
{
    for (size_t i = 0; i < w->agents_count; i++)
        if (str_is(name, w->agents[i]->name))
            return w->agents[i];
    FAIL("no node is called %.*s", STR_ARG(name));
}

void agent_free(struct agent *a)
{
    map_done(&a->acting);
    free(a->name);
    free(a->zone);
    free(a);
}
