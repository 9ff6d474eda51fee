/* The status of a StatefulSet. Source: computeReplicaStatus, completeRollingUpdate. */
#include "controllers/pod.h"
#include "controllers/statefulset.h"
#include "kinds/fields.h"

static bool is_running(const struct object *pod)
{
    return str_is(view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE), "Running");
}

bool stateful_is_ready(const struct statefulset *s, const struct object *pod)
{
    return is_running(pod) && pod_is_ready(pod) && pod_is_heard(s->r, pod);
}

bool stateful_is_available(struct statefulset *s, const struct object *pod)
{
    return is_running(pod) && pod_is_available(s->r, pod, s->min_ready_s);
}

static void set_count(struct arena *a, struct value *status, name_id field, int64_t n)
{
    value_put(a, status, field, n ? value_int(a, n) : NULL);
}

void stateful_write_status(struct statefulset *s)
{
    struct arena *a = s->r->arena;
    struct view root = object_root(s->object), strategy = view_get(s->spec, F_STATEFUL_SET_SPEC_UPDATE_STRATEGY);
    struct value *tree = value_of_view(a, root), *status = value_make_object(a, tree, F_STATEFUL_SET_STATUS);
    int64_t replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
    struct str current_name = s->current.name;

    for (size_t i = 0; i < s->pods.count; i++) {
        const struct object *pod = s->pods.items[i];
        struct str revision = stateful_revision_of(pod);

        replicas++;
        ready += is_running(pod) && pod_is_ready(pod);
        available += stateful_is_available(s, pod);
        if (pod_is_terminating(pod))
            continue;
        current += str_eq(revision, s->current.name);
        updated += str_eq(revision, s->update.name);
    }
    current -= s->exchanged; /* it says up to which ordinal pods come back as they were */
    if (!str_is(view_str_at(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE), "OnDelete") && updated == s->replicas &&
        ready == s->replicas && replicas == s->replicas) { /* the rollout is done */
        current = updated;
        current_name = s->update.name;
    }
    set_count(a, status, F_STATEFUL_SET_STATUS_OBSERVED_GENERATION,
              view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION));
    value_set_int(a, status, F_STATEFUL_SET_STATUS_REPLICAS, replicas);
    set_count(a, status, F_STATEFUL_SET_STATUS_READY_REPLICAS, ready);
    set_count(a, status, F_STATEFUL_SET_STATUS_CURRENT_REPLICAS, current);
    set_count(a, status, F_STATEFUL_SET_STATUS_UPDATED_REPLICAS, updated);
    value_set_int(a, status, F_STATEFUL_SET_STATUS_AVAILABLE_REPLICAS, MIN(available, ready));
    if (current_name.n && !s->collided) {
        value_set(a, status, F_STATEFUL_SET_STATUS_CURRENT_REVISION, current_name);
        value_set(a, status, F_STATEFUL_SET_STATUS_UPDATE_REVISION, s->update.name);
    }
    value_set_int(a, status, F_STATEFUL_SET_STATUS_COLLISION_COUNT, s->collisions);
    if (!value_equal(status, value_of_view(a, view_get(root, F_STATEFUL_SET_STATUS))))
        plan_update(s->r, &kind_statefulset, s->object, tree, "status");
}
