/*
 * Disruption budgets: how many pods of an application may be taken away by choice right now.
 * Source: k8s.io/kubernetes/pkg/controller/disruption.
 */
#include "base/time.h"
#include "controllers/condition.h"
#include "controllers/controllers.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"
#include "object/intstr.h"

#define DISRUPTED_LIMIT_MS (2 * MINUTE_MS) /* an eviction that took this long did not happen */

struct budget {
    int64_t expected, desired, healthy, allowed;
};

/* The scale of a pod's application: its Deployment's, else its ReplicaSet's replicas; -1 when it has none. */
static int64_t scale_of(struct reconcile *r, const struct object *pod, struct str *ret_uid)
{
    struct view owner = own_controller(pod);
    const struct object *set, *deployment;

    *ret_uid = view_str_at(owner, F_OWNER_REFERENCE_UID);
    if (!str_is(view_str_at(owner, F_OWNER_REFERENCE_KIND), "ReplicaSet"))
        return -1;
    set = reconcile_get(r, &kind_replicaset, r->namespace_, view_str_at(owner, F_OWNER_REFERENCE_NAME));
    owner = own_controller(set);
    if (!str_is(view_str_at(owner, F_OWNER_REFERENCE_KIND), "Deployment"))
        return set ? view_int_at(object_root(set), 1, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_REPLICAS) : -1;
    *ret_uid = view_str_at(owner, F_OWNER_REFERENCE_UID);
    deployment = reconcile_get(r, &kind_deployment, r->namespace_, view_str_at(owner, F_OWNER_REFERENCE_NAME));
    return deployment ? view_int_at(object_root(deployment), 1, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_REPLICAS) : -1;
}

static int expected_from_scales(struct reconcile *r, struct objects pods, int64_t *ret, struct error *err)
{
    AUTO_MAP struct map seen = { 0 };

    *ret = 0;
    for (size_t i = 0; i < pods.count; i++) {
        struct str uid;
        int64_t scale;
        if (!view_present(own_controller(pods.items[i])))
            continue; /* an unmanaged pod has no scale and is left out, as upstream */
        scale = scale_of(r, pods.items[i], &uid);
        if (scale < 0)
            return fail(err, ERR_INVALID, "found no controllers for pod \"%.*s\"", STR_ARG(object_name(pods.items[i])));
        if (!map_put(&seen, uid, r))
            *ret += scale;
    }
    return 0;
}

/* Source: getExpectedPodCount. */
static int count_wanted(struct reconcile *r, struct objects pods, struct budget *b, struct error *err)
{
    struct view spec = view_get(object_root(r->object), F_POD_DISRUPTION_BUDGET_SPEC);
    struct view min = view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MIN_AVAILABLE);
    struct view max = view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MAX_UNAVAILABLE);
    struct intstr limit = intstr_of_view(view_present(max) ? max : min, INTSTR_INT(0));
    int64_t n;

    b->expected = (int64_t)pods.count;
    if ((view_present(max) || limit.is_string) && expected_from_scales(r, pods, &b->expected, err) < 0)
        return -1;
    if (intstr_scale(limit, b->expected, true, &n, err) < 0)
        return -1;
    b->desired = view_present(max) ? MAX(b->expected - n, 0) : n;
    return 0;
}

/* Pods the API server just let go but that are still there do not count as healthy. */
static struct value *disrupted_pods(struct reconcile *r, struct objects pods)
{
    struct view old = view_path(object_root(r->object), F_POD_DISRUPTION_BUDGET_STATUS,
                                F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTED_PODS);
    struct value *kept = value_object(r->arena);

    for (size_t i = 0; i < pods.count; i++) {
        struct view since = view_get_str(old, object_name(pods.items[i]));
        int64_t since_ms = 0;
        if (!view_present(since) || pod_is_terminating(pods.items[i]) || !time_parse(view_str(since), &since_ms))
            continue;
        if (since_ms + DISRUPTED_LIMIT_MS <= r->now_ms)
            continue;
        value_put_str(r->arena, kept, object_name(pods.items[i]), value_str(r->arena, view_str(since)));
        plan_wake(r, since_ms + DISRUPTED_LIMIT_MS - r->now_ms);
    }
    return kept;
}

static void plan_status(struct reconcile *r, const struct budget *b, struct value *disrupted,
                        const struct error *failed)
{
    struct arena *a = r->arena;
    struct view root = object_root(r->object);
    struct value *tree = value_of_view(a, root), *status, *conditions;

    status = value_make_object(a, tree, F_POD_DISRUPTION_BUDGET_STATUS);
    conditions = value_make_array(a, status, F_POD_DISRUPTION_BUDGET_STATUS_CONDITIONS);
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_EXPECTED_PODS, b->expected);
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_DESIRED_HEALTHY, b->desired);
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_CURRENT_HEALTHY, b->healthy);
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED, b->allowed);
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_OBSERVED_GENERATION,
                  view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION));
    value_put(a, status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTED_PODS, disrupted->members_count ? disrupted : NULL);
    condition_set(a, conditions, r->now_ms, "DisruptionAllowed", b->allowed > 0 ? "True" : "False",
                  failed->code     ? "SyncFailed"
                  : b->allowed > 0 ? "SufficientPods"
                                   : "InsufficientPods",
                  failed->code ? arena_str(a, str_of(error_text(failed))) : STR_NONE);
    if (!value_equal(status, value_of_view(a, view_get(root, F_POD_DISRUPTION_BUDGET_STATUS))))
        plan_update(r, &kind_poddisruptionbudget, r->object, tree, "status");
}

static int reconcile(struct reconcile *r, struct error *err)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    AUTO_ERROR struct error failed = { 0 };
    struct budget b = { 0 };
    struct objects all;
    const struct object **mine;
    struct value *disrupted;
    size_t n = 0;

    if (!r->object)
        return 0;
    if (label_selector_of_view(
            &selector,
            view_path(object_root(r->object), F_POD_DISRUPTION_BUDGET_SPEC, F_POD_DISRUPTION_BUDGET_SPEC_SELECTOR),
            err) < 0)
        return error_context(err, "selector of the PodDisruptionBudget");
    all = reconcile_by(r, &kind_pod, CACHE_BY_NAMESPACE, r->namespace_);
    mine = arena_alloc_array(r->arena, all.count + 1, sizeof(*mine));
    for (size_t i = 0; i < all.count; i++)
        if (!pod_is_finished(all.items[i]) &&
            label_selector_matches(&selector,
                                   view_path(object_root(all.items[i]), F_POD_METADATA, F_OBJECT_META_LABELS)))
            mine[n++] = all.items[i];
    struct objects pods = { mine, n };
    disrupted = disrupted_pods(r, pods);
    for (size_t i = 0; i < n; i++)
        b.healthy += pod_is_ready(mine[i]) && pod_is_heard(r, mine[i]) && !pod_is_terminating(mine[i]) &&
                     !value_get_str(disrupted, object_name(mine[i]));
    if (count_wanted(r, pods, &b, &failed) == 0)
        b.allowed = b.expected > 0 ? MAX(b.healthy - b.desired, 0) : 0;
    plan_status(r, &b, disrupted, &failed);
    return 0;
}

static bool selects(struct view budget, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };

    return label_selector_of_view(
               &selector, view_path(budget, F_POD_DISRUPTION_BUDGET_SPEC, F_POD_DISRUPTION_BUDGET_SPEC_SELECTOR),
               NULL) == 0 &&
           label_selector_matches(&selector, labels);
}

static void budgets_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects pods = cache_by(cluster_cache(cluster, &kind_pod), CACHE_BY_NODE, object_name(node));

    for (size_t i = 0; i < pods.count; i++) {
        struct view labels = view_path(object_root(pods.items[i]), F_POD_METADATA, F_OBJECT_META_LABELS);
        struct objects near = cache_by(cluster_cache(cluster, &kind_poddisruptionbudget), CACHE_BY_NAMESPACE,
                                       object_namespace(pods.items[i]));
        for (size_t k = 0; k < near.count; k++)
            if (selects(object_root(near.items[k]), labels))
                emit(arg, object_namespace(near.items[k]), object_name(near.items[k]));
    }
}

const struct controller controller_disruption = {
    .name = "disruption",
    .kind = &kind_poddisruptionbudget,
    .triggers = { { &kind_pod, BY_SELECTOR }, { &kind_node, BY_FUNCTION, budgets_of_node } },
    .reads = { &kind_replicaset, &kind_deployment },
    .selects = selects,
    .reconcile = reconcile,
};
