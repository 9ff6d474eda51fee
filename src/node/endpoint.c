/* The agent's own HTTP: logs, exec, attach, forwarding, its view of pods. */
#include "node/endpoint.h"

#include "base/codec.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "node/exec.h"
#include "node/forward.h"
#include "node/json_out.h"
#include "node/logs.h"
#include "node/pod.h"

#include <stdlib.h>

#define PARTS_MAX   8
#define COMMAND_MAX 1024

struct request {
    struct agent *agent;
    struct http_exchange *x;
    struct str parts[PARTS_MAX]; /* of the path, decoded */
    size_t count;
    struct str rest; /* of the path after the fourth part, as sent */
};

static void fail_with(struct http_exchange *x, enum error_code code, const char *format, ...) PRINTF(3, 4);
static void fail_with(struct http_exchange *x, enum error_code code, const char *format, ...)
{
    AUTO_ERROR struct error err = { 0 };
    va_list args;

    va_start(args, format);
    struct str text = arena_vprintf(x->arena, format, args);
    va_end(args);
    fail(&err, code, "%.*s", STR_ARG(text));
    answer_error(x, &err);
}

static struct str query(const struct request *r, const char *name)
{
    struct str value;
    return http_query_get(r->x->request->query, r->x->arena, str_of(name), &value) ? value : STR_NONE;
}

static bool query_flag(const struct request *r, const char *name)
{
    struct str v = query(r, name);
    return str_is(v, "true") || str_is(v, "1");
}

static int64_t query_int(const struct request *r, const char *name, int64_t otherwise)
{
    int64_t n;
    return str_to_i64(query(r, name), &n) ? n : otherwise;
}

/* The pod of the path; answers 404 itself. */
static struct pod *find_pod(struct request *r, struct str uid)
{
    struct pod *p = agent_find_pod(r->agent, r->parts[1], r->parts[2], uid);
    if (!p)
        fail_with(r->x, ERR_NOT_FOUND, "pods \"%.*s\" not found", STR_ARG(r->parts[2]));
    return p;
}

static struct pod_container *find_container(struct request *r)
{
    struct pod *p = find_pod(r, query(r, "uid"));
    struct pod_container *c = p ? pod_find_container(p, r->parts[3]) : NULL;

    if (p && !c)
        fail_with(r->x, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s", STR_ARG(r->parts[3]),
                  STR_ARG(r->parts[2]));
    return c;
}

/* --- logs ---------------------------------------------------------------------------------------------------------------- */

struct log_session {
    struct list link;
    struct http_exchange *x;
    struct log_reader *reader;
    struct agent *agent;
    char *uid, *container;
    int attempt;
};

static void log_session_free(struct log_session *s)
{
    list_del(&s->link);
    log_reader_free(s->reader);
    free(s->uid);
    free(s->container);
    free(s);
}

static bool on_log_bytes(void *arg, struct str bytes)
{
    struct log_session *s = arg;
    return http_exchange_write_copy(s->x, bytes);
}

static void on_log_end(void *arg)
{
    struct log_session *s = arg;
    http_exchange_end(s->x);
    log_session_free(s);
}

static void on_log_drained(struct http_exchange *x, void *user)
{
    (void)x;
    log_reader_resume(((struct log_session *)user)->reader);
}

static void on_log_gone(struct http_exchange *x, void *user)
{
    http_exchange_abort(x);
    log_session_free(user);
}

static const struct http_exchange_callbacks log_callbacks = { .on_drained = on_log_drained, .on_gone = on_log_gone };

/* The end of a container is no file change: the agent tells of it. */
void endpoint_container_ended(struct agent *a, struct str uid, struct str container)
{
    list_each (&a->log_sessions, struct log_session, link, s) {
        if (str_is(uid, s->uid) && str_is(container, s->container))
            log_reader_finish(s->reader);
    }
}

static void set_since(struct request *r, struct log_options *o)
{
    int64_t seconds = query_int(r, "sinceSeconds", -1), ms;

    if (seconds >= 0)
        o->since_wall_ns = (env_wall_ms(r->agent->env) - seconds * SECOND_MS) * 1000000;
    else if (time_parse(query(r, "sinceTime"), &ms))
        o->since_wall_ns = ms * 1000000;
}

static const char *waiting_text(const struct container_facts *f)
{
    return f->waiting_reason ? f->waiting_reason : "ContainerCreating";
}

static void handle_logs(struct request *r)
{
    struct pod_container *c = find_container(r);
    struct str stream = query(r, "stream");
    bool previous = query_flag(r, "previous");
    struct log_options o = { .follow = query_flag(r, "follow") && !previous,
                             .timestamps = query_flag(r, "timestamps"),
                             .tail_lines = query_int(r, "tailLines", -1),
                             .limit_bytes = query_int(r, "limitBytes", -1),
                             .no_stderr = str_is(stream, "Stdout"),
                             .no_stdout = str_is(stream, "Stderr") };
    if (!c)
        return;
    const struct container_facts *f = c->facts;
    int attempt = previous ? f->attempt - 1 : f->attempt;
    if (previous && (attempt < 0 || !f->last.present)) {
        fail_with(r->x, ERR_BAD_REQUEST, "previous terminated container \"%s\" in pod \"%.*s\" not found", f->name,
                  STR_ARG(c->pod->name));
        return;
    }
    if (attempt < 0 || (f->state == CONTAINER_WAITING && !f->last.present && !f->current.present) ||
        f->state == CONTAINER_STARTING) {
        fail_with(r->x, ERR_BAD_REQUEST, "container \"%s\" in pod \"%.*s\" is waiting to start: %s", f->name,
                  STR_ARG(c->pod->name), waiting_text(f));
        return;
    }
    set_since(r, &o);
    AUTO_FREE char *path = container_log_path(c, attempt);
    struct log_session *s = xnew(struct log_session);
    *s = (struct log_session){
        .x = r->x, .agent = r->agent, .uid = str_dup(c->pod->uid), .container = xstrdup(f->name), .attempt = attempt
    };
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("text/plain") } };
    struct http_response head = { .status = 200, .headers = headers, .headers_count = 1 };
    struct log_reader_callbacks cb = { .on_bytes = on_log_bytes, .on_end = on_log_end, .arg = s };
    http_exchange_set_callbacks(r->x, &log_callbacks, s);
    http_exchange_start(r->x, &head);
    s->reader = log_reader_new(r->agent->loop, path, &o, &cb);
    list_add_tail(&r->agent->log_sessions, &s->link);
    if (f->state != CONTAINER_RUNNING || f->attempt != attempt)
        log_reader_finish(s->reader);
}

/* --- exec and attach -------------------------------------------------------------------------------------------------------- */

static void handle_streams(struct request *r, bool attach)
{
    struct pod_container *c = find_container(r);
    AUTO_ERROR struct error err = { 0 };
    struct str *command = arena_alloc_array(r->x->arena, COMMAND_MAX, sizeof(*command)), rest = r->x->request->query,
               name, value;
    struct exec_request e = { .stdin_open = query_flag(r, "stdin"),
                              .stdout_open = query_flag(r, "stdout"),
                              .stderr_open = query_flag(r, "stderr"),
                              .terminal = query_flag(r, "tty"),
                              .command = command };
    if (!c)
        return;
    while (http_query_next(&rest, r->x->arena, &name, &value) && e.command_count < COMMAND_MAX) {
        if (str_is(name, "command"))
            command[e.command_count++] = value;
    }
    if (c->facts->state != CONTAINER_RUNNING) {
        if (c->facts->state == CONTAINER_EXITED)
            fail_with(r->x, ERR_BAD_REQUEST,
                      "cannot exec into a container in a completed pod; container \"%s\" has ended", c->facts->name);
        else
            fail_with(r->x, ERR_BAD_REQUEST, "container \"%s\" in pod \"%.*s\" is waiting to start: %s", c->facts->name,
                      STR_ARG(c->pod->name), waiting_text(c->facts));
        return;
    }
    e.container_id = str_of(c->facts->id);
    if (attach)
        e.terminal = view_bool_at(pod_container_view(c->pod, c->index), false, F_CONTAINER_TTY);
    if ((attach ? attach_start : exec_start)(r->agent, r->x, &e, &err) < 0)
        answer_error(r->x, &err);
}

static void handle_exec(struct request *r)
{
    handle_streams(r, false);
}

static void handle_attach(struct request *r)
{
    handle_streams(r, true);
}

/* --- forwarding -------------------------------------------------------------------------------------------------------------- */

static void handle_port_forward(struct request *r)
{
    struct pod *p = find_pod(r, query(r, "uid"));
    int64_t port = query_int(r, "port", 0);

    if (!p)
        return;
    if (port <= 0 || port > UINT16_MAX || (!p->facts.host_network && p->facts.sandbox != PART_READY)) {
        fail_with(r->x, ERR_BAD_REQUEST, "cannot forward port %lld of pod %.*s", (long long)port, STR_ARG(p->name));
        return;
    }
    AUTO_FREE char *netns = p->facts.host_network ? xstrdup("/proc/self/ns/net") : xasprintf("%s/net", p->run_folder);
    forward_port(r->agent, r->x, netns, (uint16_t)port);
}

static void handle_pod_proxy(struct request *r)
{
    struct pod *p = find_pod(r, http_request_header(r->x->request, STR("klein-pod-uid")));
    int64_t port;

    if (!p)
        return;
    const char *ip = p->facts.host_network ? r->agent->config->address : p->facts.ip;
    if (!str_to_i64(r->parts[3], &port) || port <= 0 || port > UINT16_MAX || !ip[0])
        fail_with(r->x, ERR_BAD_REQUEST, "cannot reach port %.*s of pod %.*s", STR_ARG(r->parts[3]), STR_ARG(p->name));
    else
        forward_http(r->agent, r->x, ip, (uint16_t)port, r->rest);
}

/* --- the agent itself ---------------------------------------------------------------------------------------------------------- */

static void handle_healthz(struct request *r)
{
    http_exchange_respond_bytes(r->x, 200, STR("text/plain"), STR("ok"));
}

static void handle_pods(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * MIB);
    struct json_out j = { .to = &text };
    struct str key;
    void *value;

    json_object(&j, NULL);
    json_text(&j, "kind", "PodList");
    json_text(&j, "apiVersion", "v1");
    json_object(&j, "metadata");
    json_object_end(&j);
    json_array(&j, "items");
    for (size_t i = 0; map_next(&r->agent->pods, &i, &key, &value);)
        json_raw(&j, NULL, object_json(((struct pod *)value)->object));
    json_array_end(&j);
    json_object_end(&j);
    http_exchange_respond_bytes(r->x, 200, STR("application/json"), buf_str(&text));
}

static void handle_metrics(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    size_t running = 0;
    struct str key;
    void *value;

    for (size_t i = 0; map_next(&r->agent->pods, &i, &key, &value);) {
        const struct pod *p = value;
        for (size_t k = 0; k < p->facts.containers_count; k++)
            running += p->facts.containers[k].state == CONTAINER_RUNNING;
    }
    buf_addf(&text,
             "# TYPE klein_agent_pods gauge\nklein_agent_pods %zu\n# TYPE klein_agent_containers "
             "gauge\nklein_agent_containers %zu\n"
             "# TYPE klein_agent_images gauge\nklein_agent_images %zu\n",
             r->agent->pods.count, running, images_count(r->agent->images));
    http_exchange_respond_bytes(r->x, 200, STR("text/plain; version=0.0.4"), buf_str(&text));
}

static void handle_stats(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(16 * MIB);
    struct json_out j = { .to = &text };
    struct str key;
    void *value;

    json_object(&j, NULL);
    json_object(&j, "node");
    json_text(&j, "nodeName", r->agent->config->node_name);
    json_object_end(&j);
    json_array(&j, "pods");
    for (size_t i = 0; map_next(&r->agent->pods, &i, &key, &value);) {
        const struct pod *p = value;
        json_object(&j, NULL);
        json_object(&j, "podRef");
        json_str(&j, "name", p->name);
        json_str(&j, "namespace", p->namespace_);
        json_str(&j, "uid", p->uid);
        json_object_end(&j);
        json_object(&j, "cpu");
        json_int(&j, "usageCoreNanoSeconds", MAX(cgroup_cpu_usage_us(r->agent->cgroups, str_of(p->cgroup)), 0) * 1000);
        json_object_end(&j);
        json_object(&j, "memory");
        json_int(&j, "usageBytes", MAX(cgroup_memory_bytes(r->agent->cgroups, str_of(p->cgroup)), 0));
        json_object_end(&j);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    http_exchange_respond_bytes(r->x, 200, STR("application/json"), buf_str(&text));
}

static void handle_status_stream(struct request *r)
{
    status_streams_add(r->agent->status_streams, r->x);
}

static const struct route {
    const char *name;
    size_t parts; /* with the name; the proxy's rest is not counted */
    bool pods;    /* only on nodes that run pods */
    void (*handle)(struct request *r);
} routes[] = {
    { "containerLogs", 4, true, handle_logs }, { "exec", 4, true, handle_exec },
    { "attach", 4, true, handle_attach },      { "portForward", 3, true, handle_port_forward },
    { "podProxy", 4, true, handle_pod_proxy }, { "healthz", 1, false, handle_healthz },
    { "pods", 1, true, handle_pods },          { "metrics", 1, true, handle_metrics },
    { "stats", 2, true, handle_stats },        { "status-stream", 1, false, handle_status_stream },
};

static bool split_path(struct request *r)
{
    struct str rest = str_from(r->x->request->path, 1), part;

    while (r->count < 4 && str_next(&rest, '/', &part)) {
        AUTO_BUF struct buf text = BUF_MAX(4096);
        bool ok;
        percent_decode(&text, part, false, &ok);
        if (!ok)
            return false;
        r->parts[r->count++] = arena_str(r->x->arena, buf_str(&text));
    }
    r->rest = rest;
    return r->count > 0;
}

void endpoint_handle(struct http_exchange *x, void *agent)
{
    struct request r = { .agent = agent, .x = x };

    if (split_path(&r)) {
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
            if (str_is(r.parts[0], routes[i].name) && r.count == routes[i].parts &&
                (!routes[i].pods || r.agent->runtime)) {
                routes[i].handle(&r);
                return;
            }
        }
    }
    fail_with(x, ERR_NOT_FOUND, "the agent has nothing at '%.*s'", STR_ARG(x->request->path));
}
