/* PodDisruptionBudget: how many pods of a set may be taken away at once. Source: pkg/apis/policy/validation. */
#include "kinds/cells.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "kinds/workload.h"

static const char *const eviction_policies[] = { "AlwaysAllow", "IfHealthyBudget", NULL };

static void validate_amount(struct check *k, const struct at *at, struct view v)
{
    if (!view_present(v))
        return;
    check_int_or_percent(k, at, v);
    check_at_most_100_percent(k, at, v);
}

static void validate_status(struct check *k, struct view status)
{
    static const struct status_number numbers[] = {
        { F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED, STR_INIT("disruptionsAllowed") },
        { F_POD_DISRUPTION_BUDGET_STATUS_CURRENT_HEALTHY, STR_INIT("currentHealthy") },
        { F_POD_DISRUPTION_BUDGET_STATUS_DESIRED_HEALTHY, STR_INIT("desiredHealthy") },
        { F_POD_DISRUPTION_BUDGET_STATUS_EXPECTED_PODS, STR_INIT("expectedPods") },
    };

    check_status_numbers(k, status, numbers, ARRAY_SIZE(numbers));
}

static void validate(struct kind_context *c, struct view budget, struct view old, struct error *causes)
{
    struct view spec = view_get(budget, F_POD_DISRUPTION_BUDGET_SPEC);
    struct view available = view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MIN_AVAILABLE);
    struct view unavailable = view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MAX_UNAVAILABLE);
    struct view policy = view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_UNHEALTHY_POD_EVICTION_POLICY);
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    (void)old;
    if (context_is(c, "status")) {
        validate_status(k, view_get(budget, F_POD_DISRUPTION_BUDGET_STATUS));
        return;
    }
    if (view_present(available) && view_present(unavailable))
        check_invalid(k, at, spec, "minAvailable and maxUnavailable cannot be both set");
    validate_amount(k, AT(at, "minAvailable"), available);
    validate_amount(k, AT(at, "maxUnavailable"), unavailable);
    check_label_selector(k, AT(at, "selector"), view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_SELECTOR));
    if (view_present(policy))
        check_one_of(k, AT(at, "unhealthyPodEvictionPolicy"), view_str(policy), eviction_policies);
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Min Available", "string", "", "Pods that must stay.", 0 },
    { "Max Unavailable", "string", "", "Pods that may be away.", 0 },
    { "Allowed Disruptions", "integer", "", "Pods that may be taken away now.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void cell_amount(struct arena *a, struct value *cells, struct view v)
{
    cell_str(a, cells, view_present(v) ? int_or_string_text(a, v) : STR("N/A"));
}

static void row(struct arena *a, struct view budget, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(budget, F_POD_DISRUPTION_BUDGET_SPEC);

    cell_name(a, cells, budget);
    cell_amount(a, cells, view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MIN_AVAILABLE));
    cell_amount(a, cells, view_get(spec, F_POD_DISRUPTION_BUDGET_SPEC_MAX_UNAVAILABLE));
    cell_int(
        a, cells,
        view_int_at(budget, 0, F_POD_DISRUPTION_BUDGET_STATUS, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED));
    cell_age(a, cells, budget, now_ms);
}

static const struct kind_subresource subresources[] = {
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_poddisruptionbudget = {
    .group = "policy",
    .version = "v1",
    .kind = "PodDisruptionBudget",
    .list_kind = "PodDisruptionBudgetList",
    .plural = "poddisruptionbudgets",
    .singular = "poddisruptionbudget",
    .short_names = (const char *const[]){ "pdb", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_policy_v1_pod_disruption_budget,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .prepare = strategy_spec_and_status,
    .validate = validate,
    .update_needs_revision = true,
};
