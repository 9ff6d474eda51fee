/* What several controllers ask about a Pod. */
#include "controllers/pod.h"

#include "base/time.h"
#include "controllers/own.h"
#include "kinds/fields.h"

#define ACKNOWLEDGE_LIMIT_MS (3 * SECOND_MS) /* conditions carry whole seconds, so two of them may look like three */
#define ACKNOWLEDGE_POLL_MS  50

bool pod_is_terminating(const struct object *pod)
{
    return view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

bool pod_is_finished(const struct object *pod)
{
    struct str phase = view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE);

    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

bool pod_is_active(const struct object *pod)
{
    return !pod_is_terminating(pod) && !pod_is_finished(pod);
}

struct view pod_condition(const struct object *pod, const char *type)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(pod), F_POD_STATUS, F_POD_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), type))
            return it.value;
    return VIEW_ABSENT;
}

bool pod_is_ready(const struct object *pod)
{
    return str_is(view_str_at(pod_condition(pod, "Ready"), F_POD_CONDITION_STATUS), "True");
}

bool pod_is_heard(const struct reconcile *r, const struct object *pod)
{
    struct str name = view_str_at(object_root(pod), F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    const struct object *node = name.n ? reconcile_get(r, &kind_node, STR_NONE, name) : NULL;

    return !node || pod_is_ready(node); /* conditions look the same in both kinds */
}

void pod_sets_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects pods = cache_by(cluster_cache(cluster, &kind_pod), CACHE_BY_NODE, object_name(node));

    for (size_t i = 0; i < pods.count; i++) {
        struct view owner = own_controller(pods.items[i]);
        if (str_is(view_str_at(owner, F_OWNER_REFERENCE_KIND), "ReplicaSet"))
            emit(arg, object_namespace(pods.items[i]), view_str_at(owner, F_OWNER_REFERENCE_NAME));
    }
}

int64_t pod_ready_since_ms(const struct object *pod)
{
    struct view ready = pod_condition(pod, "Ready");
    int64_t since_ms = 0;

    if (str_is(view_str_at(ready, F_POD_CONDITION_STATUS), "True"))
        time_parse(view_str_at(ready, F_POD_CONDITION_LAST_TRANSITION_TIME), &since_ms);
    return since_ms;
}

/* --- acknowledged addition ------------------------------------------------------------------------------------------------------- */

static bool slice_names(const struct object *slice, struct str uid)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(object_root(slice), F_ENDPOINT_SLICE_ENDPOINTS), &it))
        if (str_eq(view_str_at(it.value, F_ENDPOINT_TARGET_REF, F_OBJECT_REFERENCE_UID), uid) &&
            view_bool_at(it.value, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY))
            return true;
    return false;
}

static bool is_selected(const struct object *service, struct view labels)
{
    struct view selector = view_path(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_SELECTOR);
    struct view_iter it = { 0 };

    if (view_count(selector) == 0)
        return false;
    while (view_next(selector, &it))
        if (!str_eq(view_str(view_get_str(labels, it.key)), view_str(it.value)))
            return false;
    return true;
}

/* The revision nodes must have applied; 0: the pod is in no Service. UINT64_MAX: its Service's slice does not name it yet. */
static uint64_t wanted_revision(const struct reconcile *r, const struct object *pod)
{
    struct view labels = view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct objects services = reconcile_by(r, &kind_service, CACHE_BY_NAMESPACE, object_namespace(pod));
    uint64_t wanted = 0;

    for (size_t i = 0; i < services.count; i++) {
        struct objects slices =
            reconcile_by(r, &kind_endpointslice, CACHE_BY_CONTROLLER, object_uid(services.items[i]));
        bool named = false;
        if (!is_selected(services.items[i], labels))
            continue;
        for (size_t k = 0; k < slices.count; k++)
            if (slice_names(slices.items[k], object_uid(pod))) {
                named = true;
                wanted = MAX(wanted, object_revision(slices.items[k]));
            }
        if (!named)
            return UINT64_MAX;
    }
    return wanted;
}

static bool nodes_have_applied(const struct reconcile *r, uint64_t revision)
{
    size_t i = 0;
    struct str name;
    void *value;

    while (map_next(&r->facts->nodes, &i, &name, &value)) {
        const struct fact_node *node = value;
        if (node->connected && !node->silent && node->applied_endpointslices < revision)
            return false;
    }
    return true;
}

bool pod_is_available(struct reconcile *r, const struct object *pod, int64_t min_ready_s)
{
    int64_t since_ms = pod_ready_since_ms(pod), left_ms;
    uint64_t revision;

    if (!pod_is_ready(pod) || pod_is_terminating(pod) || !pod_is_heard(r, pod))
        return false;
    /* Ready in the future: a clock has jumped, and nobody can tell for how long it is ready. Better now than when the clock gets there. */
    if (since_ms - r->now_ms > ACKNOWLEDGE_LIMIT_MS)
        return true;
    left_ms = since_ms + min_ready_s * SECOND_MS - r->now_ms;
    if (left_ms > 0) {
        plan_wake(r, left_ms);
        return false;
    }
    if (r->now_ms - since_ms > ACKNOWLEDGE_LIMIT_MS || r->facts->nodes.count == 0)
        return true;
    revision = wanted_revision(r, pod);
    if (revision != UINT64_MAX && nodes_have_applied(r, revision))
        return true;
    plan_wake(r, ACKNOWLEDGE_POLL_MS);
    return false;
}
