/* From a Pod object to facts. */
#include "base/time.h"
#include "client/must_be_one.h"
#include "kinds/fields.h"
#include "node/logs.h"
#include "node/pod.h"
#include "object/quantity.h"

#include <stdlib.h>

struct pod_source {
    const struct kind *kind;
    char *namespace_, *name;
};

struct view pod_spec(const struct pod *p)
{
    return view_get(object_root(p->object), F_POD_SPEC);
}

struct view pod_container_view(const struct pod *p, size_t i)
{
    struct view init = view_get(pod_spec(p), F_POD_SPEC_INIT_CONTAINERS);
    size_t inits = view_count(init);
    return i < inits ? view_item(init, i) : view_item(view_get(pod_spec(p), F_POD_SPEC_CONTAINERS), i - inits);
}

struct pod_container *pod_find_container(struct pod *p, struct str name)
{
    for (size_t i = 0; i < p->facts.containers_count; i++) {
        if (str_is(name, p->facts.containers[i].name))
            return &p->containers[i];
    }
    return NULL;
}

struct pod_fields pod_fields_of(const struct pod *p)
{
    struct str host = str_of(p->agent->config->address);
    return (struct pod_fields){ .pod = object_root(p->object),
                                .pod_ip = p->facts.host_network ? host : str_of(p->facts.ip),
                                .host_ip = host,
                                .node_milli_cpu = p->agent->milli_cpu,
                                .node_memory_bytes = p->agent->memory_bytes };
}

static void parse_probe(struct probe_facts *f, struct view v, int64_t pod_grace_ms)
{
    if (!view_present(v))
        return;
    *f = (struct probe_facts){
        .present = true,
        .cheap = check_is_cheap(v),
        .initial_delay_ms = view_int_at(v, 0, F_PROBE_INITIAL_DELAY_SECONDS) * SECOND_MS,
        .period_ms = MAX(view_int_at(v, 10, F_PROBE_PERIOD_SECONDS), 1) * SECOND_MS,
        .timeout_ms = MAX(view_int_at(v, 1, F_PROBE_TIMEOUT_SECONDS), 1) * SECOND_MS,
        .success_threshold = (int)MAX(view_int_at(v, 1, F_PROBE_SUCCESS_THRESHOLD), 1),
        .failure_threshold = (int)MAX(view_int_at(v, 3, F_PROBE_FAILURE_THRESHOLD), 1),
        .grace_ms = view_int_at(v, -1, F_PROBE_TERMINATION_GRACE_PERIOD_SECONDS),
    };
    f->grace_ms = f->grace_ms < 0 ? pod_grace_ms : f->grace_ms * SECOND_MS;
}

static void parse_container(struct pod *p, struct view v, bool init)
{
    size_t i = p->facts.containers_count++;
    struct container_facts *f = &p->facts.containers[i];
    struct view lifecycle = view_get(v, F_CONTAINER_LIFECYCLE);
    bool sidecar = init && str_is(view_str_at(v, F_CONTAINER_RESTART_POLICY), "Always");

    *f = (struct container_facts){
        .name = arena_strdup(&p->arena, view_str_at(v, F_CONTAINER_NAME)),
        .kind = sidecar ? CONTAINER_SIDECAR
                : init  ? CONTAINER_INIT
                        : CONTAINER_MAIN,
        .attempt = -1,
        .has_post_start = view_present(view_get(lifecycle, F_LIFECYCLE_POST_START)),
        .has_pre_stop = view_present(view_get(lifecycle, F_LIFECYCLE_PRE_STOP)),
    };
    parse_probe(&f->probes[PROBE_STARTUP], view_get(v, F_CONTAINER_STARTUP_PROBE), p->facts.grace_ms);
    parse_probe(&f->probes[PROBE_LIVENESS], view_get(v, F_CONTAINER_LIVENESS_PROBE), p->facts.grace_ms);
    parse_probe(&f->probes[PROBE_READINESS], view_get(v, F_CONTAINER_READINESS_PROBE), p->facts.grace_ms);
    p->containers[i] = (struct pod_container){ .pod = p, .index = i, .facts = f };
}

static enum qos_class parse_qos(struct view object)
{
    struct str text = view_str_at(object, F_POD_STATUS, F_POD_STATUS_QOS_CLASS);
    return str_is(text, "Guaranteed") ? QOS_GUARANTEED : str_is(text, "Burstable") ? QOS_BURSTABLE : QOS_BEST_EFFORT;
}

/* What a pod may use as a whole, when all its containers say so. Source: kubelet's ResourceConfigForPod. */
static struct spec_limits pod_limits(const struct pod *p)
{
    int64_t cpu_requests = 0, cpu_limits = 0, memory_limits = 0;
    bool all_cpu = true, all_memory = true;

    for (size_t i = 0; i < p->facts.containers_count; i++) {
        struct view v = pod_container_view(p, i);
        int64_t request = container_resource(v, false, "cpu"), cpu = container_resource(v, true, "cpu");
        int64_t memory = container_resource(v, true, "memory");
        if (p->facts.containers[i].kind == CONTAINER_INIT) {
            cpu_requests = MAX(cpu_requests, request);
            cpu_limits = MAX(cpu_limits, cpu);
            memory_limits = MAX(memory_limits, memory);
        } else {
            cpu_requests += MAX(request, 0);
            cpu_limits += MAX(cpu, 0);
            memory_limits += MAX(memory, 0);
        }
        all_cpu = all_cpu && cpu > 0;
        all_memory = all_memory && memory > 0;
    }
    struct spec_limits l = { .cpu_period_us = 100000 };
    l.cpu_shares = cpu_requests > 0 ? cgroup_cpu_shares(cpu_requests) : 0;
    l.cpu_quota_us = all_cpu ? cgroup_cpu_quota_us(cpu_limits, l.cpu_period_us) : 0;
    l.memory_bytes = all_memory ? memory_limits : 0;
    return l;
}

static void hold_source(void *arg, const struct kind *kind, struct str namespace_, struct str name)
{
    struct pod *p = arg;
    AUTO_FREE char *key = xasprintf("%s/%.*s/%.*s", kind->plural, STR_ARG(namespace_), STR_ARG(name));

    if (map_has(&p->sources, str_of(key)))
        return;
    struct pod_source *s = xnew(struct pod_source);
    *s = (struct pod_source){ kind, str_dup(namespace_), str_dup(name) };
    map_put(&p->sources, str_of(key), s);
    sources_hold(p->agent->sources, kind, namespace_, name);
}

static void on_wake(void *arg)
{
    pod_touch(arg);
}

static void on_status_retry(void *arg)
{
    pod_report(arg);
}

static void on_token_timer(void *arg)
{
    pod_refresh_content(arg);
}

static void parse_pod(struct pod *p)
{
    struct view root = object_root(p->object), spec = pod_spec(p);
    struct view init = view_get(spec, F_POD_SPEC_INIT_CONTAINERS), main = view_get(spec, F_POD_SPEC_CONTAINERS);
    struct str policy = view_str_at(spec, F_POD_SPEC_RESTART_POLICY);
    struct pod_facts *f = &p->facts;
    size_t count = view_count(init) + view_count(main);

    f->restart_policy = str_is(policy, "Never")       ? RESTART_NEVER
                        : str_is(policy, "OnFailure") ? RESTART_ON_FAILURE
                                                      : RESTART_ALWAYS;
    f->qos = parse_qos(root);
    f->grace_ms = view_int_at(spec, 30, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS) * SECOND_MS;
    f->active_deadline_ms = view_int_at(spec, 0, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS) * SECOND_MS;
    f->host_network = view_bool_at(spec, false, F_POD_SPEC_HOST_NETWORK);
    f->must_be_one = pod_must_be_one(p->object);
    f->started_ms = loop_now_ms(p->agent->loop);
    f->started_wall_ms = env_wall_ms(p->agent->env);
    f->containers = xcalloc(count + 1, sizeof(*f->containers));
    p->containers = xcalloc(count + 1, sizeof(*p->containers));
    for (struct view_iter it = { 0 }; view_next(init, &it);)
        parse_container(p, it.value, true);
    for (struct view_iter it = { 0 }; view_next(main, &it);)
        parse_container(p, it.value, false);
}

static bool uid_is_safe(struct str uid)
{
    for (size_t i = 0; i < uid.n; i++) {
        char c = uid.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'))
            return false;
    }
    return uid.n > 0 && uid.n <= 64;
}

struct pod *pod_new(struct agent *agent, const struct object *object, struct error *err)
{
    if (!uid_is_safe(object_uid(object)))
        return fail_null(err, ERR_INVALID, "the pod's uid makes no folder name");
    struct pod *p = xnew(struct pod);
    p->agent = agent;
    p->object = object_ref(object);
    p->uid = arena_str(&p->arena, object_uid(object));
    p->name = arena_str(&p->arena, object_name(object));
    p->namespace_ = arena_str(&p->arena, object_namespace(object));
    p->folder = xasprintf("%s/pods/%.*s", agent->data, STR_ARG(p->uid));
    p->run_folder = xasprintf("%s/ns/%.*s", agent->run, STR_ARG(p->uid));
    p->content_folder = xasprintf("%s/v/%.*s", agent->run, STR_ARG(p->uid));
    list_init(&p->tokens);
    loop_timer_init(&p->wake, agent->loop, on_wake, p);
    loop_timer_init(&p->token_timer, agent->loop, on_token_timer, p);
    loop_timer_init(&p->status_retry, agent->loop, on_status_retry, p);
    parse_pod(p);
    struct spec_limits limits = pod_limits(p);
    struct str group = cgroup_pod_path(agent->cgroups, &p->arena, p->facts.qos, p->uid);
    p->cgroup = str_dup(group);
    if (cgroup_pod_create(agent->cgroups, group, &limits, err) < 0) {
        pod_free(p);
        return NULL;
    }
    pod_each_source(object_root(object), hold_source, p);
    return p;
}

static void free_token(struct pod_token *t)
{
    list_del(&t->link);
    secret_done(&t->token);
    free(t->audience);
    free(t);
}

void pod_free(struct pod *p)
{
    struct str key;
    void *value;

    if (!p)
        return;
    loop_timer_stop(&p->wake);
    loop_timer_stop(&p->token_timer);
    loop_timer_stop(&p->status_retry);
    loop_defer_cancel(&p->task);
    if (p->removal_call)
        http_call_cancel(p->removal_call);
    for (size_t i = 0; i < p->facts.containers_count; i++) {
        struct container_facts *f = &p->facts.containers[i];
        container_cancel_checks(&p->containers[i]);
        log_rotation_free(p->containers[i].rotation);
        if (p->containers[i].image)
            images_unuse(p->agent->images, p->containers[i].image);
        if (p->containers[i].pulling)
            images_pull_forget(p->agent->images, &p->containers[i]);
        termination_done(&f->current);
        termination_done(&f->last);
        free(f->image_id);
        free(f->image_digest);
        free(f->waiting_reason);
        free(f->waiting_message);
    }
    for (size_t i = 0; map_next(&p->sources, &i, &key, &value);) {
        struct pod_source *s = value;
        sources_release(p->agent->sources, s->kind, str_of(s->namespace_), str_of(s->name));
        free(s->namespace_);
        free(s->name);
        free(s);
    }
    map_done(&p->sources);
    list_each (&p->tokens, struct pod_token, link, t)
        free_token(t);
    free(p->facts.containers);
    free(p->facts.fail_reason);
    free(p->facts.fail_message);
    free(p->containers);
    free(p->folder);
    free(p->run_folder);
    free(p->content_folder);
    free(p->cgroup);
    object_unref(p->object);
    object_unref(p->status_sent);
    arena_done(&p->arena);
    free(p);
}

void pod_begin_deletion(struct pod *p, int64_t grace_ms, bool gone)
{
    struct pod_facts *f = &p->facts;

    if (!f->deleting || grace_ms < f->grace_ms) {
        if (!f->deleting)
            f->deletion_ms = loop_now_ms(p->agent->loop);
        f->grace_ms = grace_ms;
        for (size_t i = 0; i < f->containers_count; i++) { /* a shorter grace period counts at once */
            struct stop_facts *s = &f->containers[i].stop;
            if (s->reason != STOP_NONE)
                s->deadline_ms = MIN(s->deadline_ms, f->deletion_ms + grace_ms);
        }
    }
    f->deleting = true;
    f->gone = f->gone || gone;
}

void pod_update(struct pod *p, const struct object *object)
{
    struct view meta = view_get(object_root(object), F_POD_METADATA);
    struct view old = view_get(object_root(p->object), F_POD_METADATA);
    bool relabelled = !view_equal(view_get(meta, F_OBJECT_META_LABELS), view_get(old, F_OBJECT_META_LABELS)) ||
                      !view_equal(view_get(meta, F_OBJECT_META_ANNOTATIONS), view_get(old, F_OBJECT_META_ANNOTATIONS));
    struct object *previous = p->object;

    p->object = object_ref(object);
    object_unref(previous);
    p->recovered = false;
    p->facts.gone = false;
    p->facts.active_deadline_ms = view_int_at(pod_spec(p), 0, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS) * SECOND_MS;
    if (view_present(view_get(meta, F_OBJECT_META_DELETION_TIMESTAMP)))
        pod_begin_deletion(p, view_int_at(meta, 30, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS) * SECOND_MS, false);
    if (relabelled) {
        pod_save_object(p);
        pod_refresh_content(p);
    }
    pod_touch(p);
}
