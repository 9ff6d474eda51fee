/* StatefulSet: pods with names and storage of their own, made and exchanged in order. */
#include "controllers/statefulset.h"

#include "controllers/controllers.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"
#include "object/intstr.h"
#include "object/selector.h"

#include <stdlib.h>

#define BURST 500 /* pods created in one pass, as upstream: the next pass does the rest */

/* --- what there is ------------------------------------------------------------------------------------------------- */

static bool is_member(const struct object *set, const struct object *pod)
{
    return stateful_ordinal(object_name(set), object_name(pod)) >= 0;
}

static int64_t ordinal_of(const struct statefulset *s, const struct object *pod)
{
    return stateful_ordinal(s->r->name, object_name(pod));
}

/* Names of one set: the longer number is the higher one. */
static int lower_first(const void *a, const void *b)
{
    struct str x = object_name(*(const struct object *const *)a), y = object_name(*(const struct object *const *)b);

    return x.n != y.n ? (x.n > y.n) - (x.n < y.n) : str_cmp(x, y);
}

static int higher_first(const void *a, const void *b)
{
    return lower_first(b, a);
}

static int statefulset_init(struct statefulset *s, struct reconcile *r, struct error *err)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    struct view spec = view_get(object_root(r->object), F_STATEFUL_SET_SPEC);

    *s = (struct statefulset){
        .r = r,
        .object = r->object,
        .spec = spec,
        .replicas = view_int_at(spec, 1, F_STATEFUL_SET_SPEC_REPLICAS),
        .start = view_int_at(spec, 0, F_STATEFUL_SET_SPEC_ORDINALS, F_STATEFUL_SET_ORDINALS_START),
        .min_ready_s = view_int_at(spec, 0, F_STATEFUL_SET_SPEC_MIN_READY_SECONDS),
        .ordered = !str_is(view_str_at(spec, F_STATEFUL_SET_SPEC_POD_MANAGEMENT_POLICY), "Parallel"),
        .collisions =
            view_int_at(object_root(r->object), 0, F_STATEFUL_SET_STATUS, F_STATEFUL_SET_STATUS_COLLISION_COUNT),
    };
    if (label_selector_of_view(&selector, view_get(spec, F_STATEFUL_SET_SPEC_SELECTOR), err) < 0)
        return error_context(err, "selector of the StatefulSet");
    s->pods = own_claim_members(r, &kind_statefulset, r->object, &kind_pod, &selector, is_member);
    s->members = arena_alloc_array(r->arena, s->pods.count + 1, sizeof(*s->members));
    s->condemned = arena_alloc_array(r->arena, s->pods.count + 1, sizeof(*s->condemned));
    for (size_t i = 0; i < s->pods.count; i++) {
        int64_t at = ordinal_of(s, s->pods.items[i]) - s->start;

        if (at >= 0 && at < s->replicas)
            s->members[s->members_count++] = s->pods.items[i];
        else
            s->condemned[s->condemned_count++] = s->pods.items[i];
    }
    qsort(s->members, s->members_count, sizeof(*s->members), lower_first);
    qsort(s->condemned, s->condemned_count, sizeof(*s->condemned), higher_first);
    return stateful_find_revisions(s, err);
}

/* --- making -------------------------------------------------------------------------------------------------------- */

static void plan_end(struct statefulset *s, const struct object *pod)
{
    plan_delete(s->r, &kind_pod, pod, NULL, -1);
    plan_event(s->r, &kind_statefulset, s->object, "Normal", "SuccessfulDelete",
               "delete Pod %.*s in StatefulSet %.*s successful", STR_ARG(object_name(pod)), STR_ARG(s->r->name));
}

static void make(struct statefulset *s, int64_t ordinal, int *made)
{
    if (stateful_claims_are_stale(s, ordinal))
        return; /* a change of the claim brings us back */
    stateful_create_claims(s, ordinal);
    stateful_create_pod(s, ordinal);
    ++*made;
}

/* Whether the pods after this one may be looked at, in order. */
static bool tend(struct statefulset *s, const struct object *pod)
{
    int64_t ordinal = ordinal_of(s, pod);

    if (pod_is_finished(pod)) { /* however it ended; the new one is made when this one is gone */
        if (!pod_is_terminating(pod))
            plan_end(s, pod);
        return false;
    }
    if (str_is(view_str_at(object_root(pod), F_POD_STATUS, F_POD_STATUS_PHASE), "Pending") && !pod_is_terminating(pod))
        stateful_create_claims(s, ordinal);
    if (s->ordered && !stateful_is_available(s, pod))
        return false;
    if (!pod_is_terminating(pod)) {
        stateful_repair_labels(s, pod);
        stateful_own_claims(s, ordinal, pod);
    }
    return true;
}

static bool process_all(struct statefulset *s)
{
    size_t next = 0;
    int made = 0;

    for (int64_t ordinal = s->start; ordinal < s->start + s->replicas; ordinal++) {
        bool there = next < s->members_count && ordinal_of(s, s->members[next]) == ordinal, go_on = false;

        if (there)
            go_on = tend(s, s->members[next++]);
        else if (made == BURST)
            return false;
        else
            make(s, ordinal, &made);
        if (!go_on && s->ordered)
            return false;
    }
    return true;
}

/* --- ending those that are too many -------------------------------------------------------------------------------- */

/* In order, all wanted pods are available when it comes to these: only one of them can be in the way of the others. */
static const struct object *lowest_unavailable(struct statefulset *s)
{
    for (size_t i = s->condemned_count; i-- > 0;)
        if (!stateful_is_available(s, s->condemned[i]))
            return s->condemned[i];
    return NULL;
}

static bool end_condemned(struct statefulset *s)
{
    const struct object *first = lowest_unavailable(s);

    for (size_t i = 0; i < s->condemned_count; i++)
        stateful_own_claims(s, ordinal_of(s, s->condemned[i]), s->condemned[i]);
    for (size_t i = 0; i < s->condemned_count; i++) {
        const struct object *pod = s->condemned[i];

        if (pod_is_terminating(pod)) {
            if (s->ordered)
                return false;
            continue;
        }
        if (s->ordered && !stateful_is_available(s, pod) && pod != first)
            return false;
        plan_end(s, pod);
        if (s->ordered)
            return false;
    }
    return s->condemned_count == 0 || !s->ordered;
}

/* --- exchanging ---------------------------------------------------------------------------------------------------- */

static int exchange(struct statefulset *s, struct error *err)
{
    struct view strategy = view_get(s->spec, F_STATEFUL_SET_SPEC_UPDATE_STRATEGY);
    struct view rolling = view_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_ROLLING_UPDATE);
    int64_t partition = view_int_at(rolling, 0, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_PARTITION), may_miss = 1;
    int64_t missing;

    if (str_is(view_str_at(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE), "OnDelete"))
        return 0;
    if (intstr_scale(
            intstr_of_view(view_get(rolling, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_MAX_UNAVAILABLE), INTSTR_INT(1)),
            s->replicas, false, &may_miss, err) < 0)
        return -1;
    may_miss = MAX(may_miss, 1); /* a small percentage must not stop every rollout */
    missing = s->replicas - (int64_t)s->members_count;
    for (size_t i = 0; i < s->members_count; i++)
        missing += !stateful_is_available(s, s->members[i]);
    for (size_t i = s->members_count; i-- > 0 && missing < may_miss;) {
        const struct object *pod = s->members[i];

        if (ordinal_of(s, pod) - s->start < partition)
            break;
        if (pod_is_terminating(pod) || str_eq(stateful_revision_of(pod), s->update.name))
            continue;
        plan_end(s, pod);
        s->exchanged += str_eq(stateful_revision_of(pod), s->current.name);
        missing += stateful_is_available(s, pod);
    }
    return 0;
}

/* --- the pass ------------------------------------------------------------------------------------------------------ */

static int reconcile(struct reconcile *r, struct error *err)
{
    struct statefulset s;

    if (!r->object)
        return 0; /* its pods belong to the garbage collector now */
    if (statefulset_init(&s, r, err) < 0)
        return -1;
    if (!s.collided && !pod_is_terminating(r->object) && process_all(&s) && end_condemned(&s) && exchange(&s, err) < 0)
        return -1;
    stateful_write_status(&s);
    if (!s.collided)
        stateful_clean_history(&s);
    return 0;
}

static bool selects(struct view set, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };

    return label_selector_of_view(&selector, view_path(set, F_STATEFUL_SET_SPEC, F_STATEFUL_SET_SPEC_SELECTOR), NULL) ==
               0 &&
           label_selector_matches(&selector, labels);
}

static void sets_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects pods = cache_by(cluster_cache(cluster, &kind_pod), CACHE_BY_NODE, object_name(node));

    for (size_t i = 0; i < pods.count; i++) {
        struct view owner = own_controller(pods.items[i]);

        if (str_is(view_str_at(owner, F_OWNER_REFERENCE_KIND), "StatefulSet"))
            emit(arg, object_namespace(pods.items[i]), view_str_at(owner, F_OWNER_REFERENCE_NAME));
    }
}

const struct controller controller_statefulset = {
    .name = "statefulset",
    .kind = &kind_statefulset,
    .triggers = { { &kind_pod, BY_CONTROLLER },
                  { &kind_pod, BY_SELECTOR },
                  { &kind_controllerrevision, BY_CONTROLLER },
                  { &kind_persistentvolumeclaim, BY_SELECTOR },
                  { &kind_node, BY_FUNCTION, sets_of_node } },
    .reads = { &kind_service, &kind_endpointslice },
    .selects = selects,
    .reconcile = reconcile,
};
