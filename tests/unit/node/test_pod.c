/* Whole pods on a real kernel, with the API in memory: what the server is told, in which order, and what is left afterwards. */
#include "node/pod.h"

#include "base/file.h"
#include "base/time.h"
#include "fixture.h"
#include "kinds/fields.h"
#include "node/recover.h"
#include "object/value.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- an API in memory ------------------------------------------------------------------------------------------------- */

struct fake_api {
    struct api base;
    struct loop *loop;
    struct agent *agent;
    struct object *status; /* newest status of the pod */
    struct str (*answer)(void);
    bool deleted, down;
    int statuses;
    struct object *config_map; /* the only object sources find */
};

struct reply {
    struct fake_api *api;
    api_done_fn *done;
    void *arg;
    struct object *result;
    bool down;
};

static void deliver(void *arg)
{
    struct reply *r = arg;
    AUTO_ERROR struct error err = { 0 };
    if (r->down)
        fail(&err, ERR_UNAVAILABLE, "no server");
    r->done(r->arg, r->down ? NULL : r->result, r->down ? &err : NULL);
    object_unref(r->result);
    free(r);
}

static void fake_call(struct api *api, const struct api_call *call, api_done_fn *done, void *arg)
{
    struct fake_api *f = container_of(api, struct fake_api, base);
    struct reply *r = xnew(struct reply);

    *r = (struct reply){ f, done, arg, object_parse(STR("{}"), NULL), f->down };
    if (!f->down && call->verb == API_PATCH && str_is(call->subresource, "status")) {
        AUTO_OBJECT struct object *patch = object_parse(call->patch, NULL);
        object_unref(f->status);
        f->status = object_parse(view_json(view_get(object_root(patch), F_POD_STATUS)), NULL);
        f->statuses++;
    }
    if (!f->down && call->verb == API_DELETE) {
        ASSERT(call->uid_precondition.n > 0 && call->grace_seconds == 0);
        f->deleted = true;
    }
    loop_post(f->loop, deliver, r);
}

struct api_watch {
    struct fake_api *api;
    struct api_watch_callbacks cb;
    bool config_map, closed;
};

static void tell_watch(void *arg)
{
    struct api_watch *w = arg;
    if (!w->closed) {
        struct api_event added = { .type = API_ADDED, .object = w->api->config_map };
        struct api_event synced = { .type = API_SYNCED };
        if (w->config_map && w->api->config_map)
            w->cb.on_event(w->cb.arg, &added);
        w->cb.on_event(w->cb.arg, &synced);
    }
    if (w->closed)
        free(w);
    else
        w->closed = true; /* told: the next close frees */
}

static struct api_watch *fake_watch(struct api *api, const struct api_watch_request *request,
                                    const struct api_watch_callbacks *cb)
{
    struct api_watch *w = xnew(struct api_watch);
    *w = (struct api_watch){ .api = container_of(api, struct fake_api, base),
                             .cb = *cb,
                             .config_map = request->kind == &kind_configmap };
    if (!w->api->down)
        loop_post(w->api->loop, tell_watch, w);
    else
        w->closed = true;
    return w;
}

static void fake_watch_close(struct api_watch *w)
{
    if (w->closed)
        free(w);
    else
        w->closed = true;
}

static const struct api_ops fake_ops = { fake_call, fake_watch, fake_watch_close, NULL };

/* --- a node -------------------------------------------------------------------------------------------------------------- */

struct world {
    struct agent agent;
    struct agent_config config;
    struct fake_api api;
    struct pod *pod;
    const char *wanted; /* see has_phase() */
    int rounds;
};

/* An image "tool:1" whose one layer holds the program: as if it had been pulled. */
static void put_image(const char *data)
{
    AUTO_BUF struct buf program = BUF_MAX(32 * MIB);
    AUTO_ARENA struct arena a = { 0 };
    const char *folders[] = { "bin", "proc", "sys", "dev", "etc", "tmp", "data" };

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        ASSERT(file_mkdirs(arena_printf(&a, "%s/images/layers/1/%s", data, folders[i]).p, 0755, NULL) == 0);
    ASSERT(file_read(TOOL_PATH, &program, NULL) == 0);
    ASSERT(file_write(arena_printf(&a, "%s/images/layers/1/bin/tool", data).p, buf_str(&program), 0755, NULL) == 0);
    ASSERT(file_write(arena_printf(&a, "%s/images/index.json", data).p,
                      STR("{\"version\":1,\"next\":2,\"layers\":[{\"digest\":\"sha256:1\",\"number\":1,\"bytes\":1}],"
                          "\"images\":[{\"id\":\"sha256:c\",\"digest\":"
                          "\"sha256:d\",\"bytes\":1,\"used\":1,\"names\":[\"docker.io/library/"
                          "tool:1\"],\"layers\":[1],\"config\":{\"config\":{\"Entrypoint\":"
                          "[\"/bin/tool\"]}}}]}"),
                      0600, NULL) == 0);
}

static void start_parts(struct world *w)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    struct agent *n = &w->agent;

    n->runtime = runtime_new(n->loop, n->run, &err);
    ASSERT_OK(n->runtime, &err);
    n->images =
        images_new(n->loop, &(struct images_config){ .folder = arena_printf(&a, "%s/images", n->data).p }, &err);
    ASSERT_OK(n->images, &err);
    n->sources = sources_new(n->loop, n->api, arena_printf(&a, "%s/objects", n->run).p, agent_source_changed, n);
}

static void world_init(struct world *w)
{
    AUTO_ERROR struct error err = { 0 };
    struct agent *n = &w->agent;

    kinds_init();
    *w = (struct world){ .config = { .node_name = "node",
                                     .address = "10.0.0.1",
                                     .cluster_name = fixture_name(),
                                     .data = test_path("data") } };
    *n = (struct agent){ .loop = loop_new_system(env_system()),
                         .env = env_system(),
                         .config = &w->config,
                         .cluster_domain = "cluster.local",
                         .dns_address = "10.96.0.10",
                         .data = xstrdup(w->config.data),
                         .memory_bytes = GIB,
                         .capabilities = UINT64_MAX & ~((uint64_t)1 << 24) };
    n->run = xasprintf("%s/run", n->data);
    list_init(&n->log_sessions);
    ASSERT(file_mkdirs(n->run, 0700, NULL) == 0);
    w->api = (struct fake_api){ .base = { &fake_ops }, .loop = n->loop, .agent = n };
    n->api = &w->api.base;
    n->cgroups = cgroups_new(w->config.cluster_name, "node", &err);
    ASSERT_OK(n->cgroups, &err);
    put_image(n->data);
    start_parts(w);
}

static void stop_parts(struct world *w)
{
    struct str key;
    void *p;

    for (size_t i = 0; map_next(&w->agent.pods, &i, &key, &p);)
        pod_free(p);
    map_clear(&w->agent.pods);
    sources_free(w->agent.sources);
    runtime_free(w->agent.runtime);
    images_free(w->agent.images);
}

static void count_container(void *arg, struct str id)
{
    (void)id;
    ++*(int *)arg;
}

/* Nothing is left, and nobody is at work on it any more. */
static bool has_settled(void *arg)
{
    struct world *w = arg;
    AUTO_FREE char *folder = xasprintf("%s/pods/u-1", w->agent.data);
    int containers = 0;

    runtime_each(w->agent.runtime, count_container, &containers);
    bool now = w->agent.pods.count == 0 && containers == 0 && !file_exists(folder);
    w->rounds = now ? w->rounds + 1 : 0;
    return w->rounds > 50;
}

static void world_done(struct world *w)
{
    w->pod = map_get(&w->agent.pods, STR("u-1"));
    if (w->pod) {
        pod_begin_deletion(w->pod, 0, true);
        pod_touch(w->pod);
    }
    fixture_run(w->agent.loop, has_settled, w, 15000);
    stop_parts(w);
    cgroups_remove_all(w->agent.cgroups);
    cgroups_free(w->agent.cgroups);
    unmount_below(w->agent.data);
    loop_free(w->agent.loop);
    map_done(&w->agent.pods);
    object_unref(w->api.status);
    object_unref(w->api.config_map);
    free(w->agent.data);
    free(w->agent.run);
}

/* A pod from the JSON of its spec, as the watch brings it. */
static void apply(struct world *w, const char *spec, bool deleting)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct str json = arena_printf(
        &a,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u-"
        "1\",\"labels\":"
        "{\"app\":\"x\"}%s},\"spec\":{\"nodeName\":\"node\",\"enableServiceLinks\":false,%s},\"status\":{\"qosClass\":"
        "\"BestEffort\"}}",
        deleting ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":2" : "", spec);
    AUTO_OBJECT struct object *o = object_parse(json, &err);
    ASSERT_OK(o, &err);
    agent_pod_event(&w->agent, &(struct api_event){ .type = deleting ? API_MODIFIED : API_ADDED, .object = o });
    w->pod = map_get(&w->agent.pods, STR("u-1"));
}

/* wanted: "Phase/STATE of the first container": "Running/running", "Failed/terminated:OOMKilled", "Pending/waiting:ErrX" */
static bool has_phase(void *arg)
{
    struct world *w = arg;
    AUTO_ARENA struct arena a = { 0 };
    if (!w->api.status)
        return false;
    struct view root = object_root(w->api.status), c = view_item(view_get(root, F_POD_STATUS_CONTAINER_STATUSES), 0);
    struct view state = view_get(c, F_CONTAINER_STATUS_STATE);
    struct view_iter it = { 0 };
    if (!view_next(state, &it))
        return false;
    struct str reason = view_str_at(it.value, F_CONTAINER_STATE_WAITING_REASON),
               phase = view_str_at(root, F_POD_STATUS_PHASE);
    struct str now =
        arena_printf(&a, "%.*s/%.*s%s%.*s", STR_ARG(phase), STR_ARG(it.key), reason.n ? ":" : "", STR_ARG(reason));
    return str_is(now, w->wanted);
}

static void wait_phase(struct world *w, const char *wanted)
{
    w->wanted = wanted;
    fixture_run(w->agent.loop, has_phase, w, 15000);
}

static bool is_ready(void *arg)
{
    struct world *w = arg;
    for (struct view_iter it = { 0 };
         w->api.status && view_next(view_get(object_root(w->api.status), F_POD_STATUS_CONDITIONS), &it);) {
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), "Ready"))
            return str_is(view_str_at(it.value, F_POD_CONDITION_STATUS), "True");
    }
    return false;
}

static bool is_forgotten(void *arg)
{
    return ((struct world *)arg)->agent.pods.count == 0;
}

static bool has_restarted(void *arg)
{
    struct world *w = arg;
    const struct container_facts *c = &w->pod->facts.containers[0];
    return c->restart_count > 0 && c->state == CONTAINER_RUNNING;
}

static struct str log_of(struct world *w, struct arena *a, const char *container, int attempt)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    file_read(arena_printf(a, "%s/logs/%s/%d.log", w->pod->folder, container, attempt).p, &text, NULL);
    return arena_str(a, buf_str(&text));
}

static bool has_said_its_name(void *arg)
{
    AUTO_ARENA struct arena a = { 0 };
    return str_contains(log_of(arg, &a, "c", 0), STR("stdout F web\n"));
}

TEST("a pod runs, becomes Ready, and goes without leaving anything when it is deleted")
{
    struct world w;
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    const char *spec = "\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"trap\",\"0\",\"say\","
                       "\"hello\",\"hostname\",\"wait\"]}]";
    apply(&w, spec, false);
    fixture_run(w.agent.loop, is_ready, &w, 15000);
    struct str conditions = view_json(view_get(object_root(w.api.status), F_POD_STATUS_CONDITIONS));
    ASSERT_CONTAINS(conditions, "\"reason\":null"); /* the patch takes back why it was not ready */
    ASSERT(!str_contains(conditions, STR("ContainersNotReady")));
    wait_phase(&w, "Running/running");
    fixture_run(w.agent.loop, has_said_its_name, &w, 15000); /* it runs before it has said anything */
    ASSERT_CONTAINS(log_of(&w, &a, "c", 0), "stdout F hello\n");
    apply(&w, spec, true);
    fixture_run(w.agent.loop, is_forgotten, &w, 15000);
    ASSERT(w.api.deleted);
    ASSERT_STR(view_str_at(object_root(w.api.status), F_POD_STATUS_PHASE), "Succeeded");
    static const char *const left[] = { "run/b", "run/ns", "run/v", "run/crun" };
    for (size_t i = 0; i < ARRAY_SIZE(left); i++)
        ASSERT(!file_exists(arena_printf(&a, "%s/%s", w.agent.data, left[i]).p) ||
               rmdir(arena_printf(&a, "%s/%s", w.agent.data, left[i]).p) == 0);
    world_done(&w);
}

TEST("init containers run first; a failing container of a pod that never restarts fails it")
{
    struct world w;
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    apply(
        &w,
        "\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":\"tool:1\",\"args\":[\"write\",\"/"
        "data/f\",\"from init\"],\"volumeMounts\":"
        "[{\"name\":\"d\",\"mountPath\":\"/"
        "data\"}]}],\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"cat\",\"/data/f\",\"exit\",\"3\"],"
        "\"volumeMounts\":[{\"name\":\"d\",\"mountPath\":\"/data\"}]}],\"volumes\":[{\"name\":\"d\",\"emptyDir\":{}}]",
        false);
    wait_phase(&w, "Failed/terminated:Error");
    ASSERT_CONTAINS(log_of(&w, &a, "c", 0), "from init");
    ASSERT_INT(w.pod->facts.containers[1].current.exit_code, 3);
    world_done(&w);
}

TEST("environment and volumes come from a ConfigMap")
{
    struct world w;
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    w.api.config_map =
        object_parse(STR("{\"metadata\":{\"name\":\"cm\",\"namespace\":\"default\"},\"data\":{\"k\":\"v1\"}}"), NULL);
    apply(&w,
          "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"env\",\"E\","
          "\"cat\",\"/cm/k\",\"env\",\"P_k\"],\"env\":[{\"name\":\"E\","
          "\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"k\"}}}],\"envFrom\":[{\"prefix\":\"P_\","
          "\"configMapRef\":{\"name\":\"cm\"}}],\"volumeMounts\":"
          "[{\"name\":\"m\",\"mountPath\":\"/cm\"}]}],\"volumes\":[{\"name\":\"m\",\"configMap\":{\"name\":\"cm\"}}]",
          false);
    wait_phase(&w, "Succeeded/terminated:Completed");
    ASSERT_CONTAINS(log_of(&w, &a, "c", 0), "E=v1");
    /* The file has no final newline: the monitor may have read it alone (P) or with the line after it. */
    struct str log = log_of(&w, &a, "c", 0);
    ASSERT(str_contains(log, STR("v1P_k=v1")) || str_contains(log, STR(" P v1\n")));
    ASSERT_CONTAINS(log, "P_k=v1");
    world_done(&w);
}

TEST("a container killed for its memory, and one that cannot start, say so")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    apply(&w,
          "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"sleep\",\"50\","
          "\"eat\",\"200\"],\"resources\":"
          "{\"limits\":{\"memory\":\"32Mi\"}}}]",
          false);
    wait_phase(&w, "Failed/terminated:OOMKilled");
    world_done(&w);
    world_init(&w);
    apply(&w,
          "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"command\":[\"/bin/"
          "absent\"]}]",
          false);
    wait_phase(&w, "Failed/terminated:StartError");
    world_done(&w);
    world_init(&w);
    apply(&w, "\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"securityContext\":{\"runAsNonRoot\":true}}]",
          false);
    wait_phase(&w, "Pending/waiting:CreateContainerConfigError");
    world_done(&w);
}

TEST("a failed liveness probe restarts the container at once the first time")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    apply(&w,
          "\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"trap\","
          "\"0\",\"wait\"],\"livenessProbe\":"
          "{\"exec\":{\"command\":[\"/bin/tool\",\"exit\",\"1\"]},\"periodSeconds\":1,\"failureThreshold\":1}}]",
          false);
    fixture_run(w.agent.loop, has_restarted, &w, 15000);
    ASSERT(w.pod->facts.containers[0].last.present);
    world_done(&w);
}

TEST("running containers are found again after a restart of the agent, also while no server answers")
{
    struct world w;
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    apply(&w, "\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"trap\",\"0\",\"wait\"]}]", false);
    fixture_run(w.agent.loop, is_ready, &w, 15000);
    pid_t pid = w.pod->facts.containers[0].ids.pid;
    /* A killed agent leaves its copies of objects; stopping in order would take them away. */
    const char *objects = arena_printf(&a, "%s/run/objects", w.agent.data).p,
               *kept = arena_printf(&a, "%s/run/kept", w.agent.data).p;
    ASSERT(rename(objects, kept) == 0);
    stop_parts(&w);
    ASSERT(rename(kept, objects) == 0);
    w.api.down = true;
    start_parts(&w);
    agent_recover(&w.agent);
    w.pod = map_get(&w.agent.pods, STR("u-1"));
    ASSERT(w.pod != NULL);
    ASSERT_INT(w.pod->facts.containers[0].ids.pid, pid);
    ASSERT_INT(w.pod->facts.containers[0].state, CONTAINER_RUNNING);
    ASSERT(kill(pid, SIGKILL) == 0); /* and it is restarted without a server */
    fixture_run(w.agent.loop, has_restarted, &w, 15000);
    world_done(&w);
}

TEST("what belongs to no pod is reclaimed at the start")
{
    struct world w;
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    apply(&w, "\"containers\":[{\"name\":\"c\",\"image\":\"tool:1\",\"args\":[\"wait\"]}]", false);
    fixture_run(w.agent.loop, is_ready, &w, 15000);
    pid_t pid = w.pod->facts.containers[0].ids.pid;
    stop_parts(&w);
    ASSERT(unlink(arena_printf(&a, "%s/pods/u-1/state.json", w.agent.data).p) == 0);
    start_parts(&w);
    agent_recover(&w.agent);
    ASSERT_INT(w.agent.pods.count, 0);
    WAIT_UNTIL(kill(pid, 0) < 0, 5000);
    ASSERT(!file_exists(arena_printf(&a, "%s/pods/u-1", w.agent.data).p));
    ASSERT(!file_exists(arena_printf(&a, "%s/run/ns/u-1", w.agent.data).p));
    world_done(&w);
}
