/*
 * ReplicaSet: as many pods as asked for.
 * Source of the rules: k8s.io/kubernetes/pkg/controller/replicaset, and controller_utils.go for the order of deletion.
 */
#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define BURST 500 /* pods created or deleted in one pass, as upstream: the next pass does the rest */

/* --- which pods go first --------------------------------------------------------------------------------------------------------- */

struct victim {
    const struct object *pod;
    bool assigned, ready;
    int phase;      /* Pending, Unknown, Running */
    int64_t cost;   /* annotation controller.kubernetes.io/pod-deletion-cost */
    int neighbours; /* pods of this set on the same node */
    int64_t ready_since_ms, created_ms;
    int restarts;
};

static int64_t deletion_cost(struct view root)
{
    struct view annotations = view_path(root, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    int64_t cost = 0;

    str_to_i64(view_str(view_get_str(annotations, STR("controller.kubernetes.io/pod-deletion-cost"))), &cost);
    return cost;
}

static int restarts(struct view root)
{
    struct view_iter it = { 0 };
    int64_t most = 0;

    while (view_next(view_path(root, F_POD_STATUS, F_POD_STATUS_CONTAINER_STATUSES), &it))
        most = MAX(most, view_int_at(it.value, 0, F_CONTAINER_STATUS_RESTART_COUNT));
    return (int)most;
}

static struct victim victim_of(const struct reconcile *r, const struct object *pod, const struct object *const *pods,
                               size_t count)
{
    struct view root = object_root(pod);
    struct str node = view_str_at(root, F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    struct str phase = view_str_at(root, F_POD_STATUS, F_POD_STATUS_PHASE);
    struct victim v = {
        .pod = pod,
        .assigned = node.n > 0,
        .ready = pod_is_ready(pod) && pod_is_heard(r, pod),
        .phase = str_is(phase, "Running")   ? 2
                 : str_is(phase, "Unknown") ? 1
                                            : 0,
        .cost = deletion_cost(root),
        .ready_since_ms = pod_ready_since_ms(pod),
        .restarts = restarts(root),
    };

    time_parse(view_str_at(root, F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP), &v.created_ms);
    for (size_t i = 0; i < count && node.n; i++)
        v.neighbours += str_eq(node, view_str_at(object_root(pods[i]), F_POD_SPEC, F_POD_SPEC_NODE_NAME));
    return v;
}

#define ORDER(less, more)                                                                                              \
    do {                                                                                                               \
        if ((less) != (more))                                                                                          \
            return (less) < (more) ? -1 : 1;                                                                           \
    } while (0)

/* Source: ActivePodsWithRanks.Less. The last line makes the order, and so the plan, the same on every run. */
static int victim_order(const void *first, const void *second)
{
    const struct victim *a = first, *b = second;

    ORDER(a->assigned, b->assigned);
    ORDER(a->phase, b->phase);
    ORDER(a->ready, b->ready);
    ORDER(a->cost, b->cost);
    ORDER(b->neighbours, a->neighbours);
    ORDER(b->ready_since_ms, a->ready_since_ms);
    ORDER(b->restarts, a->restarts);
    ORDER(b->created_ms, a->created_ms);
    return str_cmp(object_name(a->pod), object_name(b->pod));
}

static void plan_fewer(struct reconcile *r, const struct object *const *pods, size_t count, size_t surplus)
{
    struct victim *victims = arena_alloc_array(r->arena, count, sizeof(*victims));

    for (size_t i = 0; i < count; i++)
        victims[i] = victim_of(r, pods[i], pods, count);
    qsort(victims, count, sizeof(*victims), victim_order);
    for (size_t i = 0; i < MIN(surplus, BURST); i++) {
        plan_delete(r, &kind_pod, victims[i].pod, NULL, -1);
        plan_event(r, &kind_replicaset, r->object, "Normal", "SuccessfulDelete", "Deleted pod: %.*s",
                   STR_ARG(object_name(victims[i].pod)));
    }
}

/* --- more pods --------------------------------------------------------------------------------------------------------------------- */

/* Names are chosen here, not by the server, so that the Event can tell them; a clash fails the pass and the next tries others. */
static struct str new_name(struct reconcile *r, size_t i)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint64_t seed = (r->random + i * UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xBF58476D1CE4E5B9);
    struct str base = str_part(r->name, 0, 57); /* with "-" and the suffix at most 63, as the server's generateName */
    char suffix[6] = { 0 };

    seed ^= seed >> 31;
    for (int k = 0; k < 5; k++, seed /= sizeof(alphabet) - 1)
        suffix[k] = alphabet[seed % (sizeof(alphabet) - 1)];
    return arena_printf(r->arena, "%.*s-%s", STR_ARG(base), suffix);
}

static void plan_pod(struct reconcile *r, size_t i)
{
    struct view template = view_path(object_root(r->object), F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_TEMPLATE);
    struct view template_metadata = view_get(template, F_POD_TEMPLATE_SPEC_METADATA);
    struct value *pod = value_object(r->arena), *metadata;
    struct str name = new_name(r, i);

    value_set_text(r->arena, pod, F_POD_API_VERSION, "v1");
    value_set_text(r->arena, pod, F_POD_KIND, "Pod");
    metadata = value_make_object(r->arena, pod, F_POD_METADATA);
    value_set(r->arena, metadata, F_OBJECT_META_NAME, name);
    value_set(r->arena, metadata, F_OBJECT_META_GENERATE_NAME, arena_printf(r->arena, "%.*s-", STR_ARG(r->name)));
    value_set(r->arena, metadata, F_OBJECT_META_NAMESPACE, r->namespace_);
    value_put(r->arena, metadata, F_OBJECT_META_LABELS,
              value_of_view(r->arena, view_get(template_metadata, F_OBJECT_META_LABELS)));
    value_put(r->arena, metadata, F_OBJECT_META_ANNOTATIONS,
              value_of_view(r->arena, view_get(template_metadata, F_OBJECT_META_ANNOTATIONS)));
    value_put(r->arena, metadata, F_OBJECT_META_FINALIZERS,
              value_of_view(r->arena, view_get(template_metadata, F_OBJECT_META_FINALIZERS)));
    own_set_controller(r->arena, pod, &kind_replicaset, r->object);
    value_put(r->arena, pod, F_POD_SPEC, value_of_view(r->arena, view_get(template, F_POD_TEMPLATE_SPEC_SPEC)));
    plan_create(r, &kind_pod, r->namespace_, pod);
    plan_event(r, &kind_replicaset, r->object, "Normal", "SuccessfulCreate", "Created pod: %.*s", STR_ARG(name));
}

/* --- status ------------------------------------------------------------------------------------------------------------------------ */

struct counts {
    int64_t replicas, labeled, ready, available;
};

static bool has_template_labels(const struct object *set, const struct object *pod)
{
    struct view wanted = view_path(object_root(set), F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_TEMPLATE,
                                   F_POD_TEMPLATE_SPEC_METADATA, F_OBJECT_META_LABELS);
    struct view labels = view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct view_iter it = { 0 };

    while (view_next(wanted, &it))
        if (!str_eq(view_str(view_get_str(labels, it.key)), view_str(it.value)))
            return false;
    return true;
}

static struct counts count(struct reconcile *r, const struct object *const *pods, size_t n)
{
    int64_t min_ready_s =
        view_int_at(object_root(r->object), 0, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_MIN_READY_SECONDS);
    struct counts c = { .replicas = (int64_t)n };

    for (size_t i = 0; i < n; i++) {
        c.labeled += has_template_labels(r->object, pods[i]);
        c.ready += pod_is_ready(pods[i]);
        c.available += pod_is_available(r, pods[i], min_ready_s);
    }
    return c;
}

/* A count of zero is left out, as Go's omitempty does; `replicas` alone is always there. */
static void set_count(struct arena *a, struct value *status, name_id field, int64_t n)
{
    value_put(a, status, field, n ? value_int(a, n) : NULL);
}

static void plan_status(struct reconcile *r, const struct counts *c)
{
    struct view root = object_root(r->object), old = view_get(root, F_REPLICA_SET_STATUS);
    int64_t generation = view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION);
    struct value *tree, *status;

    if (view_int_at(old, -1, F_REPLICA_SET_STATUS_REPLICAS) == c->replicas &&
        view_int_at(old, 0, F_REPLICA_SET_STATUS_FULLY_LABELED_REPLICAS) == c->labeled &&
        view_int_at(old, 0, F_REPLICA_SET_STATUS_READY_REPLICAS) == c->ready &&
        view_int_at(old, 0, F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS) == c->available &&
        view_int_at(old, 0, F_REPLICA_SET_STATUS_OBSERVED_GENERATION) == generation)
        return;
    tree = value_of_view(r->arena, root);
    status = value_make_object(r->arena, tree, F_REPLICA_SET_STATUS);
    value_set_int(r->arena, status, F_REPLICA_SET_STATUS_REPLICAS, c->replicas);
    set_count(r->arena, status, F_REPLICA_SET_STATUS_FULLY_LABELED_REPLICAS, c->labeled);
    set_count(r->arena, status, F_REPLICA_SET_STATUS_READY_REPLICAS, c->ready);
    set_count(r->arena, status, F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS, c->available);
    value_set_int(r->arena, status, F_REPLICA_SET_STATUS_OBSERVED_GENERATION, generation);
    plan_update(r, &kind_replicaset, r->object, tree, "status");
}

/* --- the pass ---------------------------------------------------------------------------------------------------------------------- */

static int reconcile(struct reconcile *r, struct error *err)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    struct view spec = view_get(object_root(r->object), F_REPLICA_SET_SPEC);
    int64_t wanted = view_int_at(spec, 1, F_REPLICA_SET_SPEC_REPLICAS);
    const struct object **active;
    struct objects pods;
    size_t n = 0;

    if (!r->object)
        return 0; /* its pods belong to the garbage collector now */
    if (label_selector_of_view(&selector, view_get(spec, F_REPLICA_SET_SPEC_SELECTOR), err) < 0)
        return error_context(err, "selector of the ReplicaSet");
    pods = own_claim(r, &kind_replicaset, r->object, &kind_pod, &selector);
    active = arena_alloc_array(r->arena, pods.count + 1, sizeof(*active));
    for (size_t i = 0; i < pods.count; i++)
        if (pod_is_active(pods.items[i]))
            active[n++] = pods.items[i];
    if (!pod_is_terminating(r->object)) {
        if ((int64_t)n > wanted)
            plan_fewer(r, active, n, n - (size_t)wanted);
        for (size_t i = 0; (int64_t)(n + i) < wanted && i < BURST; i++)
            plan_pod(r, i);
    }
    struct counts counts = count(r, active, n);
    plan_status(r, &counts);
    return 0;
}

static bool selects(struct view set, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };

    return label_selector_of_view(&selector, view_path(set, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_SELECTOR), NULL) ==
               0 &&
           label_selector_matches(&selector, labels);
}

const struct controller controller_replicaset = {
    .name = "replicaset",
    .kind = &kind_replicaset,
    .triggers = { { &kind_pod, BY_CONTROLLER },
                  { &kind_pod, BY_SELECTOR },
                  { &kind_node, BY_FUNCTION, pod_sets_of_node } },
    .reads = { &kind_service, &kind_endpointslice },
    .selects = selects,
    .reconcile = reconcile,
};
