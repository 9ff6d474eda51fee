/*
 * Running the scheduler: pending pods in, bindings out.
 *
 *   READY -> (no node) -> WAITING -> (cluster changed, or time) -> READY
 *   READY -> (node chosen) -> BINDING -> bound: gone, failed: READY after a pause
 *   READY -> (node chosen, claims without volume) -> CLAIMING -> (all have one) -> BINDING
 *
 * CLAIMING tells the claims the node; the controller of volumes finds or makes theirs there. The pod counts on the node meanwhile.
 */
#define LOG_PART "scheduler"
#include "scheduler/scheduler.h"

#include "base/list.h"
#include "base/log.h"
#include "base/time.h"
#include "client/events.h"
#include "kinds/fields.h"
#include "loop/loop.h"
#include "object/value.h"
#include "scheduler/claims.h"
#include "scheduler/framework.h"

#include <stdlib.h>

#define SCHEDULER_NAME  "default-scheduler"
#define WAIT_MAX_MS     (5 * MINUTE_MS) /* something may have been missed: look again */
#define BIND_PAUSE_MS   SECOND_MS
#define CLAIM_WAIT_MS   (10 * MINUTE_MS) /* as upstream's bindTimeoutSeconds */
#define DECISIONS_ROUND 64               /* then the loop gets its turn: the API server shares it */

struct pending {
    struct list link; /* in ready or waiting */
    struct scheduler *s;
    struct pod_info *pod;
    char *uid;
    bool ready, binding;
    int64_t since_ms, retry_at_ms;
    char *claiming; /* its node, while its claims are given volumes there; binding is true then, too */
    char *told;     /* the last message written to the pod, so that it is not written again */
};

struct scheduler {
    struct cluster *cluster;
    struct env *env;
    struct cache *pods, *nodes;
    struct storage storage;
    struct event_recorder *events;
    struct scheduler_view view;
    struct map pending; /* uid -> struct pending */
    struct list ready, waiting;
    struct loop_task task;
    struct loop_timer retry;
    size_t calls_open;
    bool stopped;
    uint64_t epoch; /* of the term it was started in */
    struct scheduler_stats stats;
};

/* --- the queue ---------------------------------------------------------------------------------------------------------------------- */

static void wake(struct scheduler *s)
{
    if (!s->stopped)
        loop_defer(cluster_loop(s->cluster), &s->task);
}

/* Higher priority first, then older. */
static void make_ready(struct pending *p)
{
    struct list *at;

    list_del(&p->link);
    p->ready = true;
    for (at = p->s->ready.prev; at != &p->s->ready; at = at->prev) {
        const struct pending *before = container_of(at, struct pending, link);
        if (before->pod->priority > p->pod->priority ||
            (before->pod->priority == p->pod->priority && before->since_ms <= p->since_ms))
            break;
    }
    list_add_head(at, &p->link);
    wake(p->s);
}

static void make_waiting(struct pending *p, int64_t wait_ms)
{
    list_del(&p->link);
    p->ready = false;
    p->retry_at_ms = env_monotonic_ms(p->s->env) + wait_ms;
    list_add_tail(&p->s->waiting, &p->link);
    if (!loop_timer_running(&p->s->retry))
        loop_timer_start(&p->s->retry, SECOND_MS);
}

static void pending_free(struct pending *p)
{
    list_del(&p->link);
    pod_info_free(p->pod);
    free(p->uid);
    free(p->claiming);
    free(p->told);
    free(p);
}

static void forget(struct scheduler *s, struct str uid)
{
    struct pending *p = map_del(&s->pending, uid);

    if (p)
        pending_free(p);
}

/* Something that may help was seen: everybody who waits tries again. */
static void retry_all(struct scheduler *s)
{
    list_each (&s->waiting, struct pending, link, p)
        if (!p->binding)
            make_ready(p);
}

/* A pod more can help those who want to be near one, or whose spread is measured against it. */
static void retry_social(struct scheduler *s)
{
    list_each (&s->waiting, struct pending, link, p) {
        struct view spec = view_get(object_root(p->pod->object), F_POD_SPEC);
        if (!p->binding && (view_present(view_path(spec, F_POD_SPEC_AFFINITY, F_AFFINITY_POD_AFFINITY)) ||
                            view_count(view_get(spec, F_POD_SPEC_TOPOLOGY_SPREAD_CONSTRAINTS))))
            make_ready(p);
    }
}

/* The claims got no volume on the node it was to have. */
static void stop_claiming(struct pending *p)
{
    free(p->claiming);
    p->claiming = NULL;
    p->binding = false;
    scheduler_view_remove_pod(&p->s->view, str_of(p->uid));
    make_waiting(p, BIND_PAUSE_MS);
}

static void on_retry(void *arg)
{
    struct scheduler *s = arg;
    int64_t now_ms = env_monotonic_ms(s->env);

    list_each (&s->waiting, struct pending, link, p) {
        if (p->claiming && p->retry_at_ms <= now_ms)
            stop_claiming(p);
        if (!p->binding && p->retry_at_ms <= now_ms)
            make_ready(p);
    }
    if (!list_empty(&s->waiting))
        loop_timer_start(&s->retry, SECOND_MS);
    if (!list_empty(&s->ready))
        wake(s);
}

/* --- what is seen ------------------------------------------------------------------------------------------------------------------- */

static bool is_mine(struct view root)
{
    struct str scheduler = view_str_at(root, F_POD_SPEC, F_POD_SPEC_SCHEDULER_NAME);

    return (!scheduler.n || str_is(scheduler, SCHEDULER_NAME)) &&
           view_count(view_path(root, F_POD_SPEC, F_POD_SPEC_SCHEDULING_GATES)) == 0 &&
           !view_present(view_path(root, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

static bool has_ended(struct view root)
{
    struct str phase = view_str_at(root, F_POD_STATUS, F_POD_STATUS_PHASE);

    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

static void add_pending(struct scheduler *s, const struct object *pod)
{
    struct pending *p = map_get(&s->pending, object_uid(pod));

    if (!p) {
        p = xnew(struct pending);
        p->s = s;
        p->uid = str_dup(object_uid(pod));
        p->since_ms = env_monotonic_ms(s->env);
        map_put(&s->pending, object_uid(pod), p);
    } else if (p->binding) {
        return; /* the answer decides */
    }
    bool same_spec =
        p->pod &&
        view_equal(view_get(object_root(p->pod->object), F_POD_SPEC), view_get(object_root(pod), F_POD_SPEC)) &&
        view_equal(view_path(object_root(p->pod->object), F_POD_METADATA, F_OBJECT_META_LABELS),
                   view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS));
    pod_info_free(p->pod);
    p->pod = pod_info_new(pod);
    if (!same_spec) /* our own status writes come back here, too, and change nothing */
        make_ready(p);
}

static void on_pod(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct scheduler *s = arg;
    struct view root = object_root(now ? now : old);
    struct str node = view_str_at(root, F_POD_SPEC, F_POD_SPEC_NODE_NAME), uid = object_uid(now ? now : old);

    (void)c;
    if (!now || has_ended(root)) {
        forget(s, uid);
        if (map_has(&s->view.pods, uid)) {
            scheduler_view_remove_pod(&s->view, uid);
            retry_all(s);
        }
    } else if (node.n) {
        bool known =
            map_has(&s->view.pods, uid) && old && view_str_at(object_root(old), F_POD_SPEC, F_POD_SPEC_NODE_NAME).n;
        forget(s, uid);
        scheduler_view_set_pod(&s->view, now, node);
        if (!known)
            retry_social(s);
    } else if (is_mine(root)) {
        add_pending(s, now);
    } else {
        forget(s, uid);
    }
}

/* Heartbeats change nothing for a pod that waits. */
static bool node_matters(const struct object *old, const struct object *now)
{
    struct view a = object_root(old), b = object_root(now);

    return !view_equal(view_get(a, F_NODE_SPEC), view_get(b, F_NODE_SPEC)) ||
           !view_equal(view_path(a, F_NODE_STATUS, F_NODE_STATUS_ALLOCATABLE),
                       view_path(b, F_NODE_STATUS, F_NODE_STATUS_ALLOCATABLE)) ||
           !view_equal(view_path(a, F_NODE_METADATA, F_OBJECT_META_LABELS),
                       view_path(b, F_NODE_METADATA, F_OBJECT_META_LABELS));
}

static void on_node(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct scheduler *s = arg;

    (void)c;
    if (!now) {
        scheduler_view_remove_node(&s->view, object_name(old));
        return;
    }
    scheduler_view_set_node(&s->view, now);
    if (!old || node_matters(old, now))
        retry_all(s);
}

static void on_progress(void *arg, struct cache *c)
{
    (void)c;
    wake(arg);
}

/* --- telling the pod ---------------------------------------------------------------------------------------------------------------- */

static void on_told(void *arg, const struct object *result, const struct error *err)
{
    struct scheduler *s = arg;

    (void)result;
    s->calls_open--;
    if (err && !s->stopped && err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT)
        log_warn("a pod could not be told why it waits", KV_ERR(err));
    if (s->stopped && !s->calls_open)
        free(s);
}

/* A condition and an Event, once per reason. */
static void tell(struct pending *p, struct str message)
{
    struct scheduler *s = p->s;
    AUTO_BUF struct buf patch = BUF_MAX(64 * KIB);
    char now[TIME_TEXT_SIZE];
    const struct object *pod = p->pod->object;

    if (p->told && str_is(message, p->told))
        return;
    free(p->told);
    p->told = str_dup(message);
    event_record(s->events, &kind_pod, pod, NULL, "Warning", "FailedScheduling", message);
    buf_addf(
        &patch,
        "{\"metadata\":{\"uid\":\"%.*s\"},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
        "\"reason\":\"Unschedulable\",\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\",\"message\":",
        STR_ARG(object_uid(pod)), time_format(env_wall_ms(s->env), now));
    json_write_str(&patch, message);
    buf_add_text(&patch, "}]}}");
    s->calls_open++;
    api_call(cluster_api(s->cluster),
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = &kind_pod,
                                 .namespace_ = object_namespace(pod),
                                 .name = object_name(pod),
                                 .subresource = STR("status"),
                                 .patch = buf_str(&patch),
                                 .patch_type = API_PATCH_STRATEGIC,
                                 .grace_seconds = -1,
                                 .epoch = s->epoch },
             on_told, s);
}

/* --- binding -------------------------------------------------------------------------------------------------------------------------- */

struct binding {
    struct scheduler *s;
    char *uid, *node;
};

static void on_bound(void *arg, const struct object *result, const struct error *err)
{
    struct binding *b = arg;
    struct scheduler *s = b->s;
    struct pending *p = s->stopped ? NULL : map_get(&s->pending, str_of(b->uid));

    (void)result;
    s->calls_open--;
    if (!s->stopped && err) {
        s->stats.bind_failures++;
        if (err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT)
            log_warn("a pod could not be bound; trying again", KV("node", "%s", b->node), KV_ERR(err));
        if (p) { /* not bound, not gone: the assumption was wrong */
            scheduler_view_remove_pod(&s->view, str_of(b->uid));
            p->binding = false;
            make_waiting(p, BIND_PAUSE_MS);
        }
    } else if (p) {
        s->stats.scheduled++;
        AUTO_FREE char *text =
            xasprintf("Successfully assigned %.*s/%.*s to %s", STR_ARG(object_namespace(p->pod->object)),
                      STR_ARG(object_name(p->pod->object)), b->node);
        event_record(s->events, &kind_pod, p->pod->object, NULL, "Normal", "Scheduled", str_of(text));
        forget(s, str_of(b->uid));
    }
    free(b->uid);
    free(b->node);
    free(b);
    if (s->stopped && !s->calls_open)
        free(s);
}

static struct object *binding_body(struct arena *a, const struct object *pod, const char *node)
{
    struct value *body = value_object(a), *metadata, *target;

    value_set_text(a, body, F_BINDING_API_VERSION, "v1");
    value_set_text(a, body, F_BINDING_KIND, "Binding");
    metadata = value_make_object(a, body, F_BINDING_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, object_name(pod));
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, object_namespace(pod));
    value_set(a, metadata, F_OBJECT_META_UID, object_uid(pod));
    target = value_make_object(a, body, F_BINDING_TARGET);
    value_set_text(a, target, F_OBJECT_REFERENCE_KIND, "Node");
    value_set_text(a, target, F_OBJECT_REFERENCE_NAME, node);
    return object_new(body, NULL);
}

static void bind(struct pending *p, const char *node, struct arena *a)
{
    struct scheduler *s = p->s;
    const struct object *pod = p->pod->object;
    struct binding *b = xnew(struct binding);
    struct object *body = binding_body(a, pod, node);

    *b = (struct binding){ s, xstrdup(p->uid), xstrdup(node) };
    p->binding = true;
    make_waiting(p, WAIT_MAX_MS);
    scheduler_view_set_pod(&s->view, pod, str_of(node));
    s->calls_open++;
    api_call(cluster_api(s->cluster),
             &(struct api_call){ .verb = API_CREATE,
                                 .kind = &kind_pod,
                                 .namespace_ = object_namespace(pod),
                                 .name = object_name(pod),
                                 .subresource = STR("binding"),
                                 .body = body,
                                 .grace_seconds = -1,
                                 .epoch = s->epoch },
             on_bound, b);
    object_unref(body);
}

/* --- claims --------------------------------------------------------------------------------------------------------------------------- */

static void on_claim_told(void *arg, const struct object *result, const struct error *err)
{
    struct binding *b = arg;
    struct scheduler *s = b->s;
    struct pending *p = s->stopped ? NULL : map_get(&s->pending, str_of(b->uid));

    (void)result;
    s->calls_open--;
    if (err && p && p->claiming)
        stop_claiming(p);
    free(b->uid);
    free(b->node);
    free(b);
    if (s->stopped && !s->calls_open)
        free(s);
}

static void tell_claim(void *arg, const struct object *claim)
{
    struct pending *p = arg;
    struct scheduler *s = p->s;
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);
    struct binding *b;

    if (str_is(claim_selected_node(claim), p->claiming))
        return;
    b = xnew(struct binding);
    *b = (struct binding){ s, xstrdup(p->uid), xstrdup(p->claiming) };
    claim_patch_node(&patch, claim, str_of(p->claiming));
    s->calls_open++;
    api_call(cluster_api(s->cluster),
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = &kind_persistentvolumeclaim,
                                 .namespace_ = object_namespace(claim),
                                 .name = object_name(claim),
                                 .patch = buf_str(&patch),
                                 .patch_type = API_PATCH_MERGE,
                                 .grace_seconds = -1 },
             on_claim_told, b);
}

static void start_claiming(struct pending *p, const char *node)
{
    p->claiming = xstrdup(node);
    p->binding = true;
    make_waiting(p, CLAIM_WAIT_MS);
    scheduler_view_set_pod(&p->s->view, p->pod->object, str_of(node));
    claims_look(&p->s->view.storage, p->pod->object, tell_claim, p);
}

/* A claim changed: is that what its pods wait for? `lost`: the node it was to have was taken back. */
static void look_again(struct pending *p, bool lost, struct arena *a)
{
    enum claims_state state;
    AUTO_FREE char *node = NULL;

    if (!p->claiming) {
        if (!p->binding)
            make_ready(p);
        return;
    }
    state = claims_look(&p->s->view.storage, p->pod->object, NULL, NULL);
    if (state == CLAIMS_GONE || (state == CLAIMS_UNBOUND && lost)) {
        stop_claiming(p);
    } else if (state == CLAIMS_BOUND) {
        node = p->claiming;
        p->claiming = NULL;
        bind(p, node, a);
    }
}

static void on_storage(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct scheduler *s = arg;
    const struct object *changed = now ? now : old;
    bool is_claim = cache_kind(c) == &kind_persistentvolumeclaim;
    bool lost = is_claim && old && claim_selected_node(old).n && (!now || !claim_selected_node(now).n);
    struct arena a = { 0 };

    list_each (&s->waiting, struct pending, link, p) {
        const struct object *pod = p->pod->object;

        if (is_claim
                ? str_eq(object_namespace(pod), object_namespace(changed)) && claims_name(pod, object_name(changed))
                : claims_any(pod))
            look_again(p, lost, &a);
    }
    arena_done(&a);
}

/* --- deciding ------------------------------------------------------------------------------------------------------------------------- */

static void decide(struct pending *p, struct arena *a)
{
    struct decision d = schedule(&p->s->view, p->pod, env_random_u64(p->s->env), a);

    if (d.node && claims_look(&p->s->view.storage, p->pod->object, NULL, NULL) != CLAIMS_BOUND) {
        start_claiming(p, d.node->name);
        return;
    }
    if (d.node) {
        bind(p, d.node->name, a);
        return;
    }
    p->s->stats.unschedulable++;
    make_waiting(p, WAIT_MAX_MS);
    tell(p, d.message);
}

static void run(void *arg)
{
    struct scheduler *s = arg;
    struct arena a = { 0 };

    if (!cache_is_synced(s->pods) || !cache_is_synced(s->nodes))
        return;
    for (size_t i = 0; i < STORAGE_KINDS; i++)
        if (!cache_is_synced(s->storage.caches[i]))
            return;
    for (int i = 0; i < DECISIONS_ROUND && !list_empty(&s->ready); i++) {
        decide(list_first(&s->ready, struct pending, link), &a);
        arena_reset(&a);
    }
    arena_done(&a);
    if (!list_empty(&s->ready))
        loop_timer_start(&s->retry, 0); /* after the others' turn */
}

/* --- starting ----------------------------------------------------------------------------------------------------------------------- */

void scheduler_warm(struct cluster *cluster)
{
    cluster_cache(cluster, &kind_node);
    cluster_cache(cluster, &kind_pod);
}

struct scheduler *scheduler_start(struct cluster *cluster, struct env *env)
{
    struct scheduler *s = xnew(struct scheduler);

    s->cluster = cluster;
    s->epoch = cluster_epoch(cluster);
    s->env = env;
    list_init(&s->ready);
    list_init(&s->waiting);
    s->task = (struct loop_task){ .fn = run, .arg = s };
    loop_timer_init(&s->retry, cluster_loop(cluster), on_retry, s);
    s->events = event_recorder_new(cluster_loop(cluster), cluster_api(cluster), SCHEDULER_NAME, NULL);
    s->nodes = cluster_cache(cluster, &kind_node);
    s->pods = cluster_cache(cluster, &kind_pod);
    cache_listen(s->nodes, on_node, on_progress, s);
    cache_listen(s->pods, on_pod, on_progress, s);
    s->view.storage = storage_open(&s->storage, cluster);
    for (size_t i = 0; i < STORAGE_KINDS; i++)
        cache_listen(s->storage.caches[i], on_storage, on_progress, s);
    /* What the caches know already counts like what they learn later. */
    struct objects known = cache_all(s->nodes);
    for (size_t i = 0; i < known.count; i++)
        on_node(s, s->nodes, NULL, known.items[i]);
    known = cache_all(s->pods);
    for (size_t i = 0; i < known.count; i++)
        on_pod(s, s->pods, NULL, known.items[i]);
    return s;
}

void scheduler_stop(struct scheduler *s)
{
    size_t i = 0;
    struct str uid;
    void *p;

    if (!s)
        return;
    s->stopped = true;
    loop_defer_cancel(&s->task);
    loop_timer_stop(&s->retry);
    cache_unlisten(s->nodes, s);
    cache_unlisten(s->pods, s);
    for (size_t k = 0; k < STORAGE_KINDS; k++)
        cache_unlisten(s->storage.caches[k], s);
    while (map_next(&s->pending, &i, &uid, &p))
        pending_free(p);
    map_done(&s->pending);
    scheduler_view_done(&s->view);
    event_recorder_free(s->events);
    if (!s->calls_open)
        free(s);
}

void scheduler_stats(const struct scheduler *s, struct scheduler_stats *ret)
{
    *ret = s->stats;
    ret->pending = s->pending.count;
}
