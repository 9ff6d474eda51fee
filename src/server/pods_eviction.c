/*
 * pods/eviction: delete a pod if its disruption budget allows. Source: pkg/registry/core/pod/storage/eviction.go.
 *
 * The budget's status is the lock: disruptionsAllowed goes down and the pod is noted in disruptedPods by a write that
 * fails when somebody else was faster, and only then is the pod deleted.
 */
#define LOG_PART "server"
#include "server/pods.h"

#include "base/log.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "object/selector.h"
#include "server/server_internal.h"

#define ATTEMPTS_MAX  10
#define DISRUPTED_MAX 2000
#define TOO_MANY_TEXT "Cannot evict pod as it would violate the pod's disruption budget."

struct eviction {
    struct request *request;
    int attempts;
    struct str uid; /* of the pod that was judged */
};

struct search {
    struct view pod;
    const struct object *found;
    size_t count;
};

int pods_init(struct server *s, UNUSED struct error *err)
{
    server_part_set(s, SERVER_PART_pods, server_api(s, &identity_server));
    return 0;
}

void pods_done(struct server *s)
{
    struct api *api = server_part(s, SERVER_PART_pods);
    if (api)
        api->ops->free(api);
    server_part_set(s, SERVER_PART_pods, NULL);
}

struct api *server_own_api(struct server *s)
{
    return server_part(s, SERVER_PART_pods);
}

static bool match_budget(void *arg, const struct object *budget)
{
    struct search *s = arg;
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    struct view wanted =
        view_path(object_root(budget), F_POD_DISRUPTION_BUDGET_SPEC, F_POD_DISRUPTION_BUDGET_SPEC_SELECTOR);
    if (label_selector_of_view(&selector, wanted, NULL) == 0 &&
        label_selector_matches(&selector, view_path(s->pod, F_POD_METADATA, F_OBJECT_META_LABELS))) {
        s->found = budget;
        s->count++;
    }
    return true;
}

static bool is_ready(struct view pod)
{
    struct view conditions = view_path(pod, F_POD_STATUS, F_POD_STATUS_CONDITIONS);
    struct view_iter it = { 0 };
    while (view_next(conditions, &it))
        if (str_is(view_str(view_get(it.value, F_POD_CONDITION_TYPE)), "Ready"))
            return str_is(view_str(view_get(it.value, F_POD_CONDITION_STATUS)), "True");
    return false;
}

/* A pod whose end disturbs nobody: finished, not started, or going already. */
static bool needs_no_budget(struct view pod)
{
    struct str phase = view_str_at(pod, F_POD_STATUS, F_POD_STATUS_PHASE);
    return str_is(phase, "Succeeded") || str_is(phase, "Failed") || str_is(phase, "Pending") ||
           view_present(view_path(pod, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

static void finish(struct eviction *e, enum phase_result result)
{
    request_resume(e->request, result);
}

/* --- the deletion ------------------------------------------------------------------------------------------------- */

static void deleted(void *arg, UNUSED const struct object *result, const struct error *err)
{
    struct eviction *e = arg;
    struct request *r = e->request;
    if (err) {
        fail(&r->err, err->code, "%s", error_text(err));
        error_set_details(&r->err, STR_NONE, STR("pods"), r->info.name);
        finish(e, PHASE_FAILED);
        return;
    }
    r->status = 201;
    r->result_is_status = true;
    finish(e, PHASE_DONE);
}

static void delete_pod(struct eviction *e)
{
    struct request *r = e->request;
    const struct value *options = value_get(r->tree, F_EVICTION_DELETE_OPTIONS);
    const struct value *grace = value_get(options, F_DELETE_OPTIONS_GRACE_PERIOD_SECONDS);
    struct str uid = value_to_str(value_path(options, F_DELETE_OPTIONS_PRECONDITIONS, F_PRECONDITIONS_UID));
    struct str policy = value_to_str(value_get(options, F_DELETE_OPTIONS_PROPAGATION_POLICY));
    api_call(server_own_api(r->server),
             &(struct api_call){ .verb = API_DELETE,
                                 .kind = &kind_pod,
                                 .namespace_ = r->info.namespace_,
                                 .name = r->info.name,
                                 .uid_precondition = str_empty(uid) ? e->uid : uid,
                                 .dry_run = r->options.dry_run,
                                 .grace_seconds = value_to_int(grace, -1),
                                 .epoch = r->epoch,
                                 .propagation = str_empty(policy) ? NULL : arena_strdup(&r->arena, policy) },
             deleted, e);
}

/* --- the budget --------------------------------------------------------------------------------------------------- */

static enum phase_result refuse(struct request *r, int retry_after_s, struct str cause)
{
    request_fail(r, ERR_TOO_MANY_REQUESTS, TOO_MANY_TEXT);
    error_add_cause(&r->err, "DisruptionBudget", STR_NONE, "%.*s", STR_ARG(cause));
    r->err.retry_after_s = retry_after_s;
    return PHASE_FAILED;
}

static enum phase_result forbid(struct request *r, const struct object *budget, const char *why)
{
    request_fail(r, ERR_FORBIDDEN, "poddisruptionbudgets.policy \"%.*s\" is forbidden: %s",
                 STR_ARG(object_name(budget)), why);
    error_set_details(&r->err, STR("policy"), STR("poddisruptionbudgets"), object_name(budget));
    return PHASE_FAILED;
}

static enum phase_result check_budget(struct request *r, const struct object *budget)
{
    struct view root = object_root(budget), status = view_get(root, F_POD_DISRUPTION_BUDGET_STATUS);
    struct str name = object_name(budget);
    int64_t allowed = view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED);
    if (view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_OBSERVED_GENERATION) <
        view_int_at(root, 0, F_POD_METADATA, F_OBJECT_META_GENERATION))
        return refuse(r, 10,
                      arena_printf(&r->arena, "The disruption budget %.*s is still being processed by the server.",
                                   STR_ARG(name)));
    if (allowed < 0)
        return forbid(r, budget, "pdb disruptions allowed is negative");
    if (view_count(view_get(status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTED_PODS)) > DISRUPTED_MAX)
        return forbid(r, budget, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    if (allowed == 0)
        return refuse(r, 0,
                      arena_printf(&r->arena,
                                   "The disruption budget %.*s needs %lld healthy pods and has %lld currently",
                                   STR_ARG(name),
                                   (long long)view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_DESIRED_HEALTHY),
                                   (long long)view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_CURRENT_HEALTHY)));
    return PHASE_DONE;
}

/* The condition that people read beside disruptionsAllowed 0. Source: pkg/controller/disruption/util, UpdateDisruptionAllowedCondition. */
static void no_more_allowed(struct request *r, struct value *status)
{
    struct arena *a = &r->arena;
    struct value *conditions = value_make_array(a, status, F_POD_DISRUPTION_BUDGET_STATUS_CONDITIONS);
    char now[TIME_TEXT_SIZE];
    for (uint32_t i = 0; i < conditions->items_count; i++) {
        struct value *c = conditions->items[i];
        if (!str_is(value_to_str(value_get(c, F_CONDITION_TYPE)), "DisruptionAllowed") ||
            !str_is(value_to_str(value_get(c, F_CONDITION_STATUS)), "True"))
            continue;
        value_set_text(a, c, F_CONDITION_STATUS, "False");
        value_set_text(a, c, F_CONDITION_REASON, "InsufficientPods");
        value_set(a, c, F_CONDITION_LAST_TRANSITION_TIME, arena_str(a, str_of(time_format(r->wall_ms, now))));
    }
}

static struct object *counted(struct request *r, const struct object *budget, struct error *err)
{
    struct arena *a = &r->arena;
    struct value *tree = value_of_view(a, object_root(budget));
    struct value *status = value_make_object(a, tree, F_POD_DISRUPTION_BUDGET_STATUS);
    int64_t allowed = value_to_int(value_get(status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED), 1) - 1;
    char now[TIME_TEXT_SIZE];
    value_set_int(a, status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED, allowed);
    if (allowed == 0)
        no_more_allowed(r, status);
    value_put_str(a, value_make_object(a, status, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTED_PODS), r->info.name,
                  value_str(a, arena_str(a, str_of(time_format(r->wall_ms, now)))));
    return object_new(tree, err);
}

static enum phase_result judge(struct eviction *e, bool *ret_waiting);

static void budget_written(void *arg, UNUSED const struct object *result, const struct error *err)
{
    struct eviction *e = arg;
    struct request *r = e->request;
    bool waiting = false;
    if (!err) {
        delete_pod(e);
        return;
    }
    enum phase_result again = PHASE_FAILED;
    if (err->code == ERR_CONFLICT && ++e->attempts < ATTEMPTS_MAX) {
        again = judge(e, &waiting);
    } else if (err->code == ERR_CONFLICT) {
        request_fail(r, ERR_TOO_MANY_REQUESTS, "couldn't update PodDisruptionBudget due to conflicts");
        r->err.retry_after_s = 10;
    } else {
        fail(&r->err, err->code, "%s", error_text(err));
    }
    if (!waiting)
        finish(e, again);
}

static void count(struct eviction *e, const struct object *budget)
{
    struct request *r = e->request;
    AUTO_OBJECT struct object *body = counted(r, budget, NULL);
    api_call(server_own_api(r->server),
             &(struct api_call){ .verb = API_UPDATE,
                                 .kind = &kind_poddisruptionbudget,
                                 .namespace_ = r->info.namespace_,
                                 .name = arena_str(&r->arena, object_name(budget)),
                                 .subresource = STR("status"),
                                 .body = body,
                                 .field_manager = STR("klein-server"),
                                 .grace_seconds = -1,
                                 .epoch = r->epoch },
             budget_written, e);
}

/* Does the pod's health let it go without its budget? Source: KEP-3017, unhealthyPodEvictionPolicy. */
static bool unhealthy_may_go(struct view pod, struct view budget)
{
    struct view status = view_get(budget, F_POD_DISRUPTION_BUDGET_STATUS);
    int64_t desired = view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_DESIRED_HEALTHY);
    struct str policy =
        view_str_at(budget, F_POD_DISRUPTION_BUDGET_SPEC, F_POD_DISRUPTION_BUDGET_SPEC_UNHEALTHY_POD_EVICTION_POLICY);
    if (is_ready(pod))
        return false;
    return str_is(policy, "AlwaysAllow") ||
           (desired > 0 && view_int_at(status, 0, F_POD_DISRUPTION_BUDGET_STATUS_CURRENT_HEALTHY) >= desired);
}

/* Look at pod and budgets as they are now; *ret_waiting: an answer comes later. */
static enum phase_result judge(struct eviction *e, bool *ret_waiting)
{
    struct request *r = e->request;
    const struct object *pod = state_get(server_state(r->server), &kind_pod, r->info.namespace_, r->info.name);
    struct search s = { .pod = object_root(pod) };
    if (!pod) {
        request_fail(r, ERR_NOT_FOUND, "pods \"%.*s\" not found", STR_ARG(r->info.name));
        error_set_details(&r->err, STR_NONE, STR("pods"), r->info.name);
        return PHASE_FAILED;
    }
    e->uid = arena_str(&r->arena, object_uid(pod));
    if (!needs_no_budget(s.pod))
        state_each(server_state(r->server), &kind_poddisruptionbudget, r->info.namespace_, match_budget, &s);
    if (s.count > 1)
        return request_fail(r, ERR_INTERNAL,
                            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
                            "support.");
    if (s.found && !unhealthy_may_go(s.pod, object_root(s.found))) {
        if (check_budget(r, s.found) != PHASE_DONE)
            return PHASE_FAILED;
        *ret_waiting = true;
        if (r->options.dry_run)
            delete_pod(e);
        else
            count(e, s.found);
        return PHASE_WAIT;
    }
    *ret_waiting = true;
    delete_pod(e);
    return PHASE_WAIT;
}

enum phase_result pods_eviction(struct request *r)
{
    struct eviction *e = arena_new(&r->arena, struct eviction);
    struct str name = value_to_str(value_path(r->tree, F_EVICTION_METADATA, F_OBJECT_META_NAME));
    const struct value *dry_run = value_path(r->tree, F_EVICTION_DELETE_OPTIONS, F_DELETE_OPTIONS_DRY_RUN);
    bool waiting = false;
    if (!str_empty(name) && !str_eq(name, r->info.name))
        return request_fail(r, ERR_BAD_REQUEST,
                            "name in URL does not match name in Eviction object: name \"%.*s\", eviction.metadata.name "
                            "\"%.*s\"",
                            STR_ARG(r->info.name), STR_ARG(name));
    if (value_type(dry_run) == VALUE_ARRAY && dry_run->items_count)
        r->options.dry_run = true;
    e->request = r;
    return judge(e, &waiting);
}
