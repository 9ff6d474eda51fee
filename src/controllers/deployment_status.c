/* The status of a Deployment: counts, and the conditions Available and Progressing. Source: deployment/progress.go, util. */
#include "base/time.h"
#include "controllers/deployment.h"
#include "kinds/fields.h"

struct counts {
    int64_t replicas, updated, ready, available;
};

static struct counts count(const struct deployment *d)
{
    struct counts c = { 0 };

    for (size_t i = 0; i < d->sets_count; i++) {
        c.replicas += d->sets[i].current;
        c.ready += d->sets[i].ready;
        c.available += d->sets[i].available;
    }
    c.updated = d->new_set ? d->new_set->current : 0;
    return c;
}

static bool is_observed(const struct deployment *d)
{
    struct view root = object_root(d->object);

    return view_int_at(root, 0, F_DEPLOYMENT_STATUS, F_DEPLOYMENT_STATUS_OBSERVED_GENERATION) >=
           view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION);
}

bool deployment_is_complete(const struct deployment *d)
{
    struct counts c = count(d);

    return c.updated == d->replicas && c.replicas == d->replicas && c.available == d->replicas && is_observed(d);
}

/* --- conditions ------------------------------------------------------------------------------------------------------------------- */

static struct value *find(struct value *conditions, const char *type)
{
    for (uint32_t i = 0; i < conditions->items_count; i++)
        if (str_is(value_to_str(value_get(conditions->items[i], F_DEPLOYMENT_CONDITION_TYPE)), type))
            return conditions->items[i];
    return NULL;
}

/* Times move only when something else does: the transition with the status, the update with status, reason or message. */
static void set_condition(struct deployment *d, struct value *conditions, const char *type, const char *status,
                          const char *reason, struct str message)
{
    struct arena *a = d->r->arena;
    struct value *c = find(conditions, type);
    char now[TIME_TEXT_SIZE];
    struct str now_text = arena_str(a, str_of(time_format(d->r->now_ms, now)));
    bool moved = !c || !str_is(value_to_str(value_get(c, F_DEPLOYMENT_CONDITION_STATUS)), status);
    bool changed = moved || !str_is(value_to_str(value_get(c, F_DEPLOYMENT_CONDITION_REASON)), reason) ||
                   !str_eq(value_to_str(value_get(c, F_DEPLOYMENT_CONDITION_MESSAGE)), message);

    if (!changed)
        return;
    if (!c) {
        c = value_object(a);
        value_set_text(a, c, F_DEPLOYMENT_CONDITION_TYPE, type);
        value_append(a, conditions, c);
    }
    value_set_text(a, c, F_DEPLOYMENT_CONDITION_STATUS, status);
    value_set(a, c, F_DEPLOYMENT_CONDITION_LAST_UPDATE_TIME, now_text);
    if (moved)
        value_set(a, c, F_DEPLOYMENT_CONDITION_LAST_TRANSITION_TIME, now_text);
    value_set_text(a, c, F_DEPLOYMENT_CONDITION_REASON, reason);
    value_set(a, c, F_DEPLOYMENT_CONDITION_MESSAGE, message);
}

static bool made_progress(const struct deployment *d, const struct counts *now)
{
    struct view old = view_get(object_root(d->object), F_DEPLOYMENT_STATUS);
    int64_t old_updated = view_int_at(old, 0, F_DEPLOYMENT_STATUS_UPDATED_REPLICAS);
    int64_t old_replicas = view_int_at(old, 0, F_DEPLOYMENT_STATUS_REPLICAS);

    return now->updated > old_updated || now->replicas - now->updated < old_replicas - old_updated ||
           now->ready > view_int_at(old, 0, F_DEPLOYMENT_STATUS_READY_REPLICAS) ||
           now->available > view_int_at(old, 0, F_DEPLOYMENT_STATUS_AVAILABLE_REPLICAS);
}

/* Has the rollout stood still for longer than its deadline? Otherwise look again when it would have. */
static bool has_timed_out(struct deployment *d, struct value *progressing)
{
    int64_t deadline_s = view_int_at(d->spec, INT32_MAX, F_DEPLOYMENT_SPEC_PROGRESS_DEADLINE_SECONDS), since_ms,
            left_ms;
    struct str reason = value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_REASON));

    if (deadline_s == INT32_MAX || !progressing || str_is(reason, "NewReplicaSetAvailable"))
        return false;
    if (str_is(reason, "ProgressDeadlineExceeded"))
        return true;
    if (!time_parse(value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_LAST_UPDATE_TIME)), &since_ms))
        return false;
    left_ms = since_ms + deadline_s * SECOND_MS - d->r->now_ms;
    if (left_ms > 0)
        plan_wake(d->r, left_ms + 1);
    return left_ms <= 0;
}

/* A progressing condition's update time is the clock of the deadline, so progress refreshes it even when the words stay. */
static void touch(struct deployment *d, struct value *progressing)
{
    char now[TIME_TEXT_SIZE];

    value_set(d->r->arena, progressing, F_DEPLOYMENT_CONDITION_LAST_UPDATE_TIME,
              arena_str(d->r->arena, str_of(time_format(d->r->now_ms, now))));
}

/* The last rollout's success stands there still: this rollout's clock starts now, even if not one pod of it can be made. */
static bool is_about_another_set(const struct deployment *d, const struct value *progressing)
{
    AUTO_BUF struct buf quoted = BUF_MAX(KIB);

    if (!d->new_set ||
        !str_is(value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_REASON)), "NewReplicaSetAvailable"))
        return false;
    buf_addf(&quoted, "\"%.*s\"", STR_ARG(d->new_set->name));
    return !str_contains(value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_MESSAGE)), buf_str(&quoted));
}

static void set_progressing(struct deployment *d, struct value *conditions, const struct counts *c)
{
    struct arena *a = d->r->arena;
    struct value *old = find(conditions, "Progressing");
    struct str reason = value_to_str(value_get(old, F_DEPLOYMENT_CONDITION_REASON));
    struct str subject = d->new_set ? arena_printf(a, "ReplicaSet \"%.*s\"", STR_ARG(d->new_set->name))
                                    : arena_printf(a, "Deployment \"%.*s\"", STR_ARG(d->r->name));
    bool settled = c->replicas == c->updated && str_is(reason, "NewReplicaSetAvailable");

    if (d->created) {
        set_condition(d, conditions, "Progressing", "True", "NewReplicaSetCreated",
                      arena_printf(a, "Created new replica set \"%.*s\"", STR_ARG(d->new_set->name)));
        return;
    }
    if (settled && c->updated == d->replicas)
        return;
    if (deployment_is_complete(d)) {
        set_condition(d, conditions, "Progressing", "True", "NewReplicaSetAvailable",
                      arena_printf(a, "%.*s has successfully progressed.", STR_ARG(subject)));
    } else if (made_progress(d, c)) {
        set_condition(d, conditions, "Progressing", "True", "ReplicaSetUpdated",
                      arena_printf(a, "%.*s is progressing.", STR_ARG(subject)));
        touch(d, find(conditions, "Progressing"));
        has_timed_out(d, find(conditions, "Progressing"));
    } else if (is_about_another_set(d, old)) {
        set_condition(d, conditions, "Progressing", "True", "NewReplicaSetCreated",
                      arena_printf(a, "Created new replica set \"%.*s\"", STR_ARG(d->new_set->name)));
        has_timed_out(d, find(conditions, "Progressing"));
    } else if (has_timed_out(d, old)) {
        set_condition(d, conditions, "Progressing", "False", "ProgressDeadlineExceeded",
                      arena_printf(a, "%.*s has timed out progressing.", STR_ARG(subject)));
    } else if (!old && d->new_set) {
        set_condition(d, conditions, "Progressing", "True", "FoundNewReplicaSet",
                      arena_printf(a, "Found new replica set \"%.*s\"", STR_ARG(d->new_set->name)));
    }
}

/* While paused the clock stands still; it starts again with the condition that says so. */
static void set_paused(struct deployment *d, struct value *conditions)
{
    struct value *progressing = find(conditions, "Progressing");
    bool noted = str_is(value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_REASON)), "DeploymentPaused");

    if (str_is(value_to_str(value_get(progressing, F_DEPLOYMENT_CONDITION_REASON)), "ProgressDeadlineExceeded"))
        return;
    if (d->paused)
        set_condition(d, conditions, "Progressing", "Unknown", "DeploymentPaused", STR("Deployment is paused"));
    else if (noted)
        set_condition(d, conditions, "Progressing", "Unknown", "DeploymentResumed", STR("Deployment is resumed"));
}

static void set_available(struct deployment *d, struct value *conditions, const struct counts *c)
{
    if (c->available >= d->replicas - d->max_unavailable)
        set_condition(d, conditions, "Available", "True", "MinimumReplicasAvailable",
                      STR("Deployment has minimum availability."));
    else
        set_condition(d, conditions, "Available", "False", "MinimumReplicasUnavailable",
                      STR("Deployment does not have minimum availability."));
}

static void set_count(struct arena *a, struct value *status, name_id field, int64_t n)
{
    value_put(a, status, field, n ? value_int(a, n) : NULL);
}

void deployment_write_status(struct deployment *d)
{
    struct arena *a = d->r->arena;
    struct view root = object_root(d->object);
    struct value *tree = value_of_view(a, root), *status, *conditions;
    struct counts c = count(d);

    status = value_make_object(a, tree, F_DEPLOYMENT_STATUS);
    set_count(a, status, F_DEPLOYMENT_STATUS_OBSERVED_GENERATION,
              view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION));
    set_count(a, status, F_DEPLOYMENT_STATUS_REPLICAS, c.replicas);
    set_count(a, status, F_DEPLOYMENT_STATUS_UPDATED_REPLICAS, c.updated);
    set_count(a, status, F_DEPLOYMENT_STATUS_READY_REPLICAS, c.ready);
    set_count(a, status, F_DEPLOYMENT_STATUS_AVAILABLE_REPLICAS, c.available);
    set_count(a, status, F_DEPLOYMENT_STATUS_UNAVAILABLE_REPLICAS,
              MAX(MAX(c.replicas, d->terminating ? 0 : d->replicas) - c.available, 0));
    set_count(a, status, F_DEPLOYMENT_STATUS_COLLISION_COUNT, d->collisions);
    conditions = value_make_array(a, status, F_DEPLOYMENT_STATUS_CONDITIONS);
    if (!d->terminating) {
        set_available(d, conditions, &c);
        set_paused(d, conditions);
        if (!d->paused)
            set_progressing(d, conditions, &c);
    }
    if (!conditions->items_count)
        value_del(status, F_DEPLOYMENT_STATUS_CONDITIONS);
    if (!value_equal(status, value_of_view(a, view_get(root, F_DEPLOYMENT_STATUS))))
        plan_update(d->r, &kind_deployment, d->object, tree, "status");
}
