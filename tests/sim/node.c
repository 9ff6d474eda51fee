/*
 * A model of a node: it runs the pods that are bound to it, says so to whichever server answers, and lets go of those that are to
 * end. Containers go on when nobody is heard. Images: "slow..." needs two seconds, everything else is Ready in 200 ms.
 */
#include "cluster.h"

#include "kinds/fields.h"
#include "object/value.h"

#include <stdio.h>
#include <stdlib.h>

#define HEARTBEAT_MS 3000
#define AGAIN_MS     500

struct node {
    struct cluster_sim *cluster;
    struct process *process;
    char name[16], user[32];
    struct api *api;
    struct cache *pods;
    struct map acting;  /* uid -> struct action */
    struct map running; /* uid -> name, owned */
    struct loop_timer heartbeat;
    int number, addresses;
};

struct action {
    struct node *node;
    struct loop_timer timer;
    char *namespace_, *name, *uid;
    int address; /* of the pod; 0: none yet */
};

const char *node_name(const struct node *n)
{
    return n->name;
}

void node_each(const struct node *n, node_pod_fn *fn, void *arg)
{
    void *name;

    for (size_t i = 0; map_next(&n->running, &i, NULL, &name);)
        fn(arg, str_of(name));
}

bool node_runs(const struct node *n, struct str pod)
{
    void *name;

    for (size_t i = 0; map_next(&n->running, &i, NULL, &name);)
        if (str_is(pod, name))
            return true;
    return false;
}

static void on_answer(void *arg, const struct object *result, const struct error *err)
{
    struct node *n = arg;

    (void)result;
    if (err && (err->code == ERR_FORBIDDEN || err->code == ERR_INVALID || err->code == ERR_BAD_REQUEST))
        sim_fail(n->cluster->sim, "node %s may not do what nodes do: %s", n->name, error_text(err));
}

static void patch_status(struct node *n, const struct kind *kind, struct str namespace_, struct str name,
                         struct str patch)
{
    api_call(n->api,
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = kind,
                                 .namespace_ = namespace_,
                                 .name = name,
                                 .subresource = STR("status"),
                                 .patch = patch,
                                 .patch_type = API_PATCH_STRATEGIC,
                                 .grace_seconds = -1 },
             on_answer, n);
}

static void say_ready(void *arg)
{
    struct node *n = arg;
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);
    char now[TIME_TEXT_SIZE];

    loop_timer_start(&n->heartbeat, HEARTBEAT_MS);
    time_format(env_wall_ms(&n->process->env.env), now);
    buf_addf(&patch,
             "{\"status\":{\"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"allocatable\":{\"cpu\":"
             "\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
             "\"reason\":\"KubeletReady\",\"message\":\"ready\",\"lastHeartbeatTime\":\"%s\"}]}}",
             now);
    patch_status(n, &kind_node, STR_NONE, str_of(n->name), buf_str(&patch));
}

static struct str image_of(const struct object *pod)
{
    struct view containers = view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_CONTAINERS);

    return view_str_at(view_item(containers, 0), F_CONTAINER_IMAGE);
}

static bool is_terminating(const struct object *pod)
{
    return view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

static bool is_said_to_run(const struct object *pod)
{
    return str_is(view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE), "Running");
}

static void run(struct node *n, const struct object *pod)
{
    if (map_has(&n->running, object_uid(pod)))
        return;
    map_put(&n->running, object_uid(pod), str_dup(object_name(pod)));
    sim_trace(n->cluster->sim, "%s runs %.*s", n->name, STR_ARG(object_name(pod)));
}

static void end(struct node *n, struct str uid)
{
    char *name = map_del(&n->running, uid);

    if (name)
        sim_trace(n->cluster->sim, "%s ends %s", n->name, name);
    free(name);
}

static void say_running(struct node *n, const struct object *pod, int address)
{
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);
    char now[TIME_TEXT_SIZE];

    time_format(env_wall_ms(&n->process->env.env), now);
    buf_addf(&patch,
             "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.%d.%d\",\"podIPs\":[{\"ip\":\"10.244.%d.%d\"}],"
             "\"startTime\":\"%s\",\"conditions\":[",
             n->number, address, n->number, address, now);
    static const char *const types[] = { "Initialized", "ContainersReady", "Ready" };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        buf_addf(&patch, "%s{\"type\":\"%s\",\"status\":\"True\",\"lastTransitionTime\":\"%s\"}", i ? "," : "",
                 types[i], now);
    buf_add_text(&patch, "]}}");
    patch_status(n, &kind_pod, object_namespace(pod), object_name(pod), buf_str(&patch));
}

static void let_go(struct node *n, const struct object *pod)
{
    api_call(n->api,
             &(struct api_call){ .verb = API_DELETE,
                                 .kind = &kind_pod,
                                 .namespace_ = object_namespace(pod),
                                 .name = object_name(pod),
                                 .uid_precondition = object_uid(pod),
                                 .grace_seconds = 0 },
             on_answer, n);
}

static void act(void *arg)
{
    struct action *x = arg;
    struct node *n = x->node;
    const struct object *pod = cache_get(n->pods, str_of(x->namespace_), str_of(x->name));

    if (!pod || !str_is(object_uid(pod), x->uid))
        return;
    if (is_terminating(pod)) {
        end(n, object_uid(pod));
        let_go(n, pod);
    } else if (!is_said_to_run(pod)) {
        run(n, pod);
        if (!x->address)
            x->address = ++n->addresses % 250 + 2;
        say_running(n, pod, x->address);
    } else {
        return;
    }
    loop_timer_start(&x->timer, AGAIN_MS); /* until it is seen to have arrived */
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

static void on_pod(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct node *n = arg;
    struct action *x = map_get(&n->acting, object_uid(now ? now : old));

    (void)c;
    if (!now) { /* the record is gone: so is what runs */
        action_free(map_del(&n->acting, object_uid(old)));
        end(n, object_uid(old));
        return;
    }
    if (!is_terminating(now) && is_said_to_run(now))
        return;
    if (!x) {
        x = xnew(struct action);
        *x = (struct action){ .node = n,
                              .namespace_ = str_dup(object_namespace(now)),
                              .name = str_dup(object_name(now)),
                              .uid = str_dup(object_uid(now)) };
        loop_timer_init(&x->timer, n->process->loop, act, x);
        map_put(&n->acting, object_uid(now), x);
    }
    loop_timer_start(&x->timer, str_starts(image_of(now), STR("slow")) && !is_terminating(now)
                                    ? 2 * SECOND_MS
                                    : 50 + (int64_t)env_random_below(&n->process->env.env, 150));
}

static void boot(void *arg)
{
    struct node *n = arg;
    AUTO_FREE char *selector = xasprintf("spec.nodeName=%s", n->name);

    n->api = remote_api(n->cluster, n->process, PLACE_OF_NODE(n->number), n->user, "system:nodes");
    n->pods = cache_new(n->process->loop, n->api,
                        &(struct api_watch_request){ .kind = &kind_pod, .field_selector = str_of(selector) });
    cache_listen(n->pods, on_pod, NULL, n);
    say_ready(n);
}

struct node *node_new(struct cluster_sim *c, int number)
{
    struct node *n = xnew(struct node);

    n->cluster = c;
    n->number = number;
    snprintf(n->name, sizeof(n->name), "n%d", number);
    snprintf(n->user, sizeof(n->user), "system:node:n%d", number);
    n->process = sim_process(c->sim, n->name, 0);
    n->process->data = n;
    loop_timer_init(&n->heartbeat, n->process->loop, say_ready, n);
    loop_post(n->process->loop, boot, n);
    return n;
}
