/* Deployment: a ReplicaSet per version of a pod template, and the way from one to the next. Source: pkg/apis/apps. */
#include "kinds/cells.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "kinds/workload.h"

static const char *const strategies[] = { "Recreate", "RollingUpdate", NULL };

static void default_(struct kind_context *c, struct value *deployment)
{
    struct value *spec = value_make_object(c->arena, deployment, F_DEPLOYMENT_SPEC);
    struct value *strategy = value_make_object(c->arena, spec, F_DEPLOYMENT_SPEC_STRATEGY), *rolling;

    default_int(c->arena, spec, F_DEPLOYMENT_SPEC_REPLICAS, 1);
    default_int(c->arena, spec, F_DEPLOYMENT_SPEC_REVISION_HISTORY_LIMIT, 10);
    default_int(c->arena, spec, F_DEPLOYMENT_SPEC_PROGRESS_DEADLINE_SECONDS, 600);
    default_text(c->arena, strategy, F_DEPLOYMENT_STRATEGY_TYPE, "RollingUpdate");
    if (str_is(value_to_str(value_get(strategy, F_DEPLOYMENT_STRATEGY_TYPE)), "RollingUpdate")) {
        rolling = value_make_object(c->arena, strategy, F_DEPLOYMENT_STRATEGY_ROLLING_UPDATE);
        if (value_unset(value_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_UNAVAILABLE)))
            value_set_text(c->arena, rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_UNAVAILABLE, "25%");
        if (value_unset(value_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_SURGE)))
            value_set_text(c->arena, rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_SURGE, "25%");
    }
    pod_template_default(c->arena, value_get(spec, F_DEPLOYMENT_SPEC_TEMPLATE));
}

static void validate_strategy(struct check *k, const struct at *at, struct view strategy)
{
    struct view rolling = view_get(strategy, F_DEPLOYMENT_STRATEGY_ROLLING_UPDATE);
    struct view unavailable = view_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_UNAVAILABLE);
    struct view surge = view_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_SURGE);
    struct str type = view_str_at(strategy, F_DEPLOYMENT_STRATEGY_TYPE);

    at = AT(at, "strategy");
    if (!str_in(type, strategies)) {
        check_not_supported_view(k, at, strategy, strategies);
        return;
    }
    if (str_is(type, "Recreate")) {
        if (view_present(rolling))
            check_forbidden(k, AT(at, "rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'");
        return;
    }
    at = AT(at, "rollingUpdate");
    check_int_or_percent(k, AT(at, "maxUnavailable"), unavailable);
    check_int_or_percent(k, AT(at, "maxSurge"), surge);
    if (int_or_percent_is_zero(unavailable) && int_or_percent_is_zero(surge))
        check_invalid(k, AT(at, "maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0");
    check_at_most_100_percent(k, AT(at, "maxUnavailable"), unavailable);
}

static void validate_spec(struct check *k, struct view spec)
{
    struct view deadline = view_get(spec, F_DEPLOYMENT_SPEC_PROGRESS_DEADLINE_SECONDS);
    int64_t ready = view_int_at(spec, 0, F_DEPLOYMENT_SPEC_MIN_READY_SECONDS);
    const struct at *at = AT(AT_ROOT, "spec");

    check_not_negative(k, AT(at, "replicas"), view_int_at(spec, 0, F_DEPLOYMENT_SPEC_REPLICAS));
    workload_check_selector(k, at, spec, "empty selector is invalid for deployment");
    workload_check_template(k, at, spec, "ReplicaSet");
    validate_strategy(k, at, view_get(spec, F_DEPLOYMENT_SPEC_STRATEGY));
    check_not_negative(k, AT(at, "minReadySeconds"), ready);
    check_not_negative(k, AT(at, "revisionHistoryLimit"),
                       view_int_at(spec, 0, F_DEPLOYMENT_SPEC_REVISION_HISTORY_LIMIT));
    if (!view_present(deadline))
        return;
    check_not_negative(k, AT(at, "progressDeadlineSeconds"), view_int(deadline, 0));
    if (view_int(deadline, 0) <= ready)
        check_invalid(k, AT(at, "progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
}

static void validate_status(struct check *k, struct view status)
{
    static const struct status_number numbers[] = {
        { F_DEPLOYMENT_STATUS_OBSERVED_GENERATION, STR_INIT("observedGeneration") },
        { F_DEPLOYMENT_STATUS_REPLICAS, STR_INIT("replicas") },
        { F_DEPLOYMENT_STATUS_UPDATED_REPLICAS, STR_INIT("updatedReplicas") },
        { F_DEPLOYMENT_STATUS_READY_REPLICAS, STR_INIT("readyReplicas") },
        { F_DEPLOYMENT_STATUS_AVAILABLE_REPLICAS, STR_INIT("availableReplicas") },
        { F_DEPLOYMENT_STATUS_UNAVAILABLE_REPLICAS, STR_INIT("unavailableReplicas") },
    };

    check_status_numbers(k, status, numbers, ARRAY_SIZE(numbers));
    for (size_t i = 2; i < 5; i++)
        check_status_at_most(k, status, numbers[i], F_DEPLOYMENT_STATUS_REPLICAS,
                             "cannot be greater than status.replicas");
    check_status_at_most(k, status, numbers[4], F_DEPLOYMENT_STATUS_READY_REPLICAS,
                         "cannot be greater than readyReplicas");
}

static void validate(struct kind_context *c, struct view deployment, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);

    if (context_is(c, "status")) {
        validate_status(k, view_get(deployment, F_DEPLOYMENT_STATUS));
        return;
    }
    validate_spec(k, view_get(deployment, F_DEPLOYMENT_SPEC));
    if (!c->create)
        check_immutable(k, AT(AT(AT_ROOT, "spec"), "selector"),
                        view_path(deployment, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_SELECTOR),
                        view_path(old, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_SELECTOR));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", "Ready pods, of those wanted.", 0 },
    { "Up-to-date", "string", "", "Pods of the newest template.", 0 },
    { "Available", "string", "", "Pods that have been ready for minReadySeconds.", 0 },
    COLUMN_AGE,
    { "Containers", "string", "", "Names of the template's containers.", 1 },
    { "Images", "string", "", "Images of the template's containers.", 1 },
    { "Selector", "string", "", "Labels of the pods it owns.", 1 },
    { NULL },
};

static void row(struct arena *a, struct view deployment, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(deployment, F_DEPLOYMENT_SPEC), status = view_get(deployment, F_DEPLOYMENT_STATUS);

    cell_name(a, cells, deployment);
    cell_textf(a, cells, "%lld/%lld", (long long)view_int_at(status, 0, F_DEPLOYMENT_STATUS_READY_REPLICAS),
               (long long)view_int_at(spec, 0, F_DEPLOYMENT_SPEC_REPLICAS));
    cell_int(a, cells, view_int_at(status, 0, F_DEPLOYMENT_STATUS_UPDATED_REPLICAS));
    cell_int(a, cells, view_int_at(status, 0, F_DEPLOYMENT_STATUS_AVAILABLE_REPLICAS));
    cell_age(a, cells, deployment, now_ms);
    cell_containers(a, cells, view_path(spec, F_DEPLOYMENT_SPEC_TEMPLATE, F_POD_TEMPLATE_SPEC_SPEC));
    cell_str(a, cells, text_selector(a, view_get(spec, F_DEPLOYMENT_SPEC_SELECTOR)));
}

static const struct kind_subresource subresources[] = {
    { "scale", VERB_GET | VERB_PATCH | VERB_UPDATE, "autoscaling", "v1", "Scale" },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_deployment = {
    .group = "apps",
    .version = "v1",
    .kind = "Deployment",
    .list_kind = "DeploymentList",
    .plural = "deployments",
    .singular = "deployment",
    .short_names = (const char *const[]){ "deploy", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_apps_v1_deployment,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .prepare = strategy_spec_and_status,
    .validate = validate,
};
