/*
 * Node lifecycle: silence becomes conditions, conditions become taints.
 * Source of conditions, taints and texts: k8s.io/kubernetes/pkg/controller/nodelifecycle.
 *
 * Who is silent is a fact of the servers' streams (client/facts.h), not of a lease: a node is noticed within a second. A silent node gets
 * nothing new; its pods are evicted only when the node is *confirmed*: no other node hears it either. When every node is silent
 * it is the control plane that is cut off: nothing is changed then; when most are, nobody is evicted, and taints that evict, set
 * while the nodes fell silent one after the other, are taken back. At any time no more nodes than the largest zone has, and at most half
 * of all, carry a NoExecute taint for silence.
 */
#include "base/map.h"
#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#define SILENT_LOOK_MS    250
#define EVICT_SILENT_MS   1500            /* time for the others to fall silent, too, and for the peers' word */
#define CONNECT_MS        (5 * SECOND_MS) /* as the server's reconnect window */
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"
#define TAINT_NOT_READY   "node.kubernetes.io/not-ready"

/* Conditions that keep new pods away. Source: nodeConditionToTaintKeyStatusMap. */
static const struct {
    const char *condition, *bad_status, *taint;
} condition_taints[] = {
    { "MemoryPressure", "True", "node.kubernetes.io/memory-pressure" },
    { "DiskPressure", "True", "node.kubernetes.io/disk-pressure" },
    { "PIDPressure", "True", "node.kubernetes.io/pid-pressure" },
    { "NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable" },
};

/* --- conditions --------------------------------------------------------------------------------------------------------------------- */

static const char *const spoken_conditions[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure" };

static struct value *find_condition(struct value *conditions, const char *type)
{
    for (uint32_t i = 0; i < conditions->items_count; i++)
        if (str_is(value_to_str(value_get(conditions->items[i], F_NODE_CONDITION_TYPE)), type))
            return conditions->items[i];
    return NULL;
}

/* What the agent last said is no longer known. The agent says it anew as soon as it is back. */
static bool make_unknown(struct reconcile *r, struct value *conditions)
{
    struct arena *a = r->arena;
    char now[TIME_TEXT_SIZE];
    struct str now_text = arena_str(a, str_of(time_format(r->now_ms, now)));
    bool changed = false;

    for (size_t i = 0; i < ARRAY_SIZE(spoken_conditions); i++) {
        struct value *c = find_condition(conditions, spoken_conditions[i]);
        if (!c) {
            c = value_object(a);
            value_set_text(a, c, F_NODE_CONDITION_TYPE, spoken_conditions[i]);
            value_append(a, conditions, c);
        }
        if (str_is(value_to_str(value_get(c, F_NODE_CONDITION_STATUS)), "Unknown"))
            continue;
        value_set_text(a, c, F_NODE_CONDITION_STATUS, "Unknown");
        value_set_text(a, c, F_NODE_CONDITION_REASON, "NodeStatusUnknown");
        value_set_text(a, c, F_NODE_CONDITION_MESSAGE, "Kubelet stopped posting node status.");
        value_set(a, c, F_NODE_CONDITION_LAST_TRANSITION_TIME, now_text);
        changed = true;
    }
    return changed;
}

static void plan_unknown(struct reconcile *r)
{
    struct value *tree = value_of_view(r->arena, object_root(r->object));
    struct value *status = value_make_object(r->arena, tree, F_NODE_STATUS);

    if (!make_unknown(r, value_make_array(r->arena, status, F_NODE_STATUS_CONDITIONS)))
        return;
    plan_update(r, &kind_node, r->object, tree, "status");
    plan_event(r, &kind_node, r->object, "Normal", "NodeNotReady", "Node %.*s status is now: NodeNotReady",
               STR_ARG(r->name));
}

/* --- taints --------------------------------------------------------------------------------------------------------------------------- */

static ptrdiff_t find_taint(const struct value *taints, const char *key, const char *effect)
{
    for (uint32_t i = 0; i < taints->items_count; i++)
        if (str_is(value_to_str(value_get(taints->items[i], F_TAINT_KEY)), key) &&
            str_is(value_to_str(value_get(taints->items[i], F_TAINT_EFFECT)), effect))
            return (ptrdiff_t)i;
    return -1;
}

static bool want_taint(struct reconcile *r, struct value *taints, const char *key, const char *effect, bool wanted)
{
    ptrdiff_t at = find_taint(taints, key, effect);
    struct value *taint;
    char now[TIME_TEXT_SIZE];

    if ((at >= 0) == wanted)
        return false;
    if (!wanted) {
        value_remove(taints, (size_t)at);
        return true;
    }
    taint = value_object(r->arena);
    value_set_text(r->arena, taint, F_TAINT_KEY, key);
    value_set_text(r->arena, taint, F_TAINT_EFFECT, effect);
    value_set(r->arena, taint, F_TAINT_TIME_ADDED, arena_str(r->arena, str_of(time_format(r->now_ms, now))));
    value_append(r->arena, taints, taint);
    return true;
}

static bool has_taint(const struct object *node, const char *key, const char *effect)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(node), F_NODE_SPEC, F_NODE_SPEC_TAINTS), &it))
        if (str_is(view_str_at(it.value, F_TAINT_KEY), key) && str_is(view_str_at(it.value, F_TAINT_EFFECT), effect))
            return true;
    return false;
}

/*
 * How many nodes may be evicted for silence at a time: a zone's share, so that the loss of a zone is healed, and at most half, so that
 * a control plane that is cut off does little harm. One at least: a single node that dies is ordinary.
 */
static size_t evictions_max(struct objects nodes)
{
    AUTO_MAP struct map zones = { 0 };
    size_t largest = 0;

    for (size_t i = 0; i < nodes.count; i++) {
        struct view labels = view_path(object_root(nodes.items[i]), F_POD_METADATA, F_OBJECT_META_LABELS);
        struct str zone = view_str(view_get_str(labels, STR("topology.kubernetes.io/zone")));
        size_t n = (size_t)map_get(&zones, zone) + 1;
        map_put(&zones, zone, (void *)n);
        largest = MAX(largest, n);
    }
    return MAX(MIN(largest, nodes.count / 2), (size_t)1);
}

static bool may_evict(const struct reconcile *r)
{
    struct objects nodes = reconcile_all(r, &kind_node);
    size_t evicted = 0;

    if (has_taint(r->object, TAINT_UNREACHABLE, "NoExecute"))
        return true;
    for (size_t i = 0; i < nodes.count; i++)
        evicted += has_taint(nodes.items[i], TAINT_UNREACHABLE, "NoExecute");
    return evicted < evictions_max(nodes);
}

static void plan_taints(struct reconcile *r, bool silent, bool may_leave)
{
    struct value *tree = value_of_view(r->arena, object_root(r->object));
    struct value *spec = value_make_object(r->arena, tree, F_NODE_SPEC);
    struct value *taints = value_make_array(r->arena, spec, F_NODE_SPEC_TAINTS);
    struct str ready = view_str_at(pod_condition(r->object, "Ready"), F_NODE_CONDITION_STATUS);
    bool unreachable = silent || str_is(ready, "Unknown"),
         not_ready = !silent && !str_is(ready, "True") && !unreachable;
    bool changed = false;

    changed |= want_taint(r, taints, TAINT_UNREACHABLE, "NoSchedule", unreachable);
    changed |= want_taint(r, taints, TAINT_UNREACHABLE, "NoExecute", unreachable && may_leave && may_evict(r));
    changed |= want_taint(r, taints, TAINT_NOT_READY, "NoSchedule", not_ready);
    changed |= want_taint(r, taints, TAINT_NOT_READY, "NoExecute", not_ready);
    for (size_t i = 0; i < ARRAY_SIZE(condition_taints); i++) {
        struct str status =
            view_str_at(pod_condition(r->object, condition_taints[i].condition), F_NODE_CONDITION_STATUS);
        changed |= want_taint(r, taints, condition_taints[i].taint, "NoSchedule",
                              str_is(status, condition_taints[i].bad_status));
    }
    changed |= want_taint(r, taints, "node.kubernetes.io/unschedulable", "NoSchedule",
                          value_to_bool(value_get(spec, F_NODE_SPEC_UNSCHEDULABLE), false));
    if (!changed)
        return;
    if (!taints->items_count)
        value_del(spec, F_NODE_SPEC_TAINTS);
    plan_update(r, &kind_node, r->object, tree, "");
}

/* --- the pass ------------------------------------------------------------------------------------------------------------------------- */

struct silence {
    bool all, most;
};

static struct silence silence_of_all(const struct reconcile *r)
{
    struct objects nodes = reconcile_all(r, &kind_node);
    size_t silent = 0;

    for (size_t i = 0; i < nodes.count; i++)
        silent += facts_silent_ms(r->facts, object_name(nodes.items[i])) > 0;
    return (struct silence){ .all = nodes.count > 1 && silent == nodes.count,
                             .most = nodes.count > 1 && silent * 2 > nodes.count };
}

/* What has begun goes on while it is only unsure: a node that was given up is not taken back by a late word. */
static bool may_leave(struct reconcile *r, bool silent, bool most_silent)
{
    int64_t silent_ms = facts_silent_ms(r->facts, r->name);

    if (!silent)
        return has_taint(r->object, TAINT_UNREACHABLE, "NoExecute"); /* until it says that it is Ready */
    return !most_silent && facts_confirmed(r->facts, r->name) && silent_ms >= EVICT_SILENT_MS;
}

/* A node that has just been registered is given time to connect. */
static bool is_silent(struct reconcile *r)
{
    int64_t created_ms = 0, left_ms;

    if (facts_silent_ms(r->facts, r->name) == 0)
        return false;
    time_parse(view_str_at(object_root(r->object), F_NODE_METADATA, F_OBJECT_META_CREATION_TIMESTAMP), &created_ms);
    left_ms = created_ms + CONNECT_MS - r->now_ms;
    if (facts_node(r->facts, r->name) || left_ms <= 0)
        return true;
    plan_wake(r, left_ms);
    return false;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct silence others;
    bool silent;

    (void)err;
    if (!r->object || pod_is_terminating(r->object))
        return 0;
    silent = is_silent(r);
    others = silent ? silence_of_all(r) : (struct silence){ 0 };
    if (silent)
        plan_wake(r, SILENT_LOOK_MS); /* whether the others fall silent too decides about this one */
    if (others.all && !has_taint(r->object, TAINT_UNREACHABLE, "NoExecute"))
        return 0;
    if (silent && !others.all &&
        !str_is(view_str_at(pod_condition(r->object, "Ready"), F_NODE_CONDITION_STATUS), "Unknown")) {
        plan_unknown(
            r); /* the endpoints follow from this write; the taints come with the next pass, which it triggers */
        return 0;
    }
    plan_taints(r, silent, may_leave(r, silent, others.most));
    return 0;
}

const struct controller controller_node = {
    .name = "node",
    .kind = &kind_node,
    .triggers = { { &kind_node, BY_SAME_NAME } },
    .node_facts = true,
    .reconcile = reconcile,
    .workers = 1, /* the limit on evictions counts what earlier passes decided */
};
