/* ReplicaSet: so many pods of one template. Source: pkg/apis/apps. */
#include "kinds/cells.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "kinds/workload.h"

static void default_(struct kind_context *c, struct value *set)
{
    struct value *spec = value_make_object(c->arena, set, F_REPLICA_SET_SPEC);

    default_int(c->arena, spec, F_REPLICA_SET_SPEC_REPLICAS, 1);
    pod_template_default(c->arena, value_get(spec, F_REPLICA_SET_SPEC_TEMPLATE));
}

static void validate_status(struct check *k, struct view status)
{
    static const struct status_number numbers[] = {
        { F_REPLICA_SET_STATUS_REPLICAS, STR_INIT("replicas") },
        { F_REPLICA_SET_STATUS_FULLY_LABELED_REPLICAS, STR_INIT("fullyLabeledReplicas") },
        { F_REPLICA_SET_STATUS_READY_REPLICAS, STR_INIT("readyReplicas") },
        { F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS, STR_INIT("availableReplicas") },
        { F_REPLICA_SET_STATUS_OBSERVED_GENERATION, STR_INIT("observedGeneration") },
    };

    check_status_numbers(k, status, numbers, ARRAY_SIZE(numbers));
    for (size_t i = 1; i < 4; i++)
        check_status_at_most(k, status, numbers[i], F_REPLICA_SET_STATUS_REPLICAS,
                             "cannot be greater than status.replicas");
    check_status_at_most(k, status, numbers[3], F_REPLICA_SET_STATUS_READY_REPLICAS,
                         "cannot be greater than readyReplicas");
}

static void validate(struct kind_context *c, struct view set, struct view old, struct error *causes)
{
    struct view spec = view_get(set, F_REPLICA_SET_SPEC);
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    if (context_is(c, "status")) {
        validate_status(k, view_get(set, F_REPLICA_SET_STATUS));
        return;
    }
    check_not_negative(k, AT(at, "replicas"), view_int_at(spec, 0, F_REPLICA_SET_SPEC_REPLICAS));
    check_not_negative(k, AT(at, "minReadySeconds"), view_int_at(spec, 0, F_REPLICA_SET_SPEC_MIN_READY_SECONDS));
    workload_check_selector(k, at, spec, "empty selector is invalid for deployment");
    workload_check_template(k, at, spec, "ReplicaSet");
    if (!c->create)
        check_immutable(k, AT(at, "selector"), view_get(spec, F_REPLICA_SET_SPEC_SELECTOR),
                        view_path(old, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_SELECTOR));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Desired", "integer", "", "Wanted number of pods.", 0 },
    { "Current", "integer", "", "Pods that exist.", 0 },
    { "Ready", "integer", "", "Pods that are ready.", 0 },
    COLUMN_AGE,
    { "Containers", "string", "", "Names of the template's containers.", 1 },
    { "Images", "string", "", "Images of the template's containers.", 1 },
    { "Selector", "string", "", "Labels of the pods it owns.", 1 },
    { NULL },
};

static void row(struct arena *a, struct view set, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(set, F_REPLICA_SET_SPEC), status = view_get(set, F_REPLICA_SET_STATUS);

    cell_name(a, cells, set);
    cell_int(a, cells, view_int_at(spec, 0, F_REPLICA_SET_SPEC_REPLICAS));
    cell_int(a, cells, view_int_at(status, 0, F_REPLICA_SET_STATUS_REPLICAS));
    cell_int(a, cells, view_int_at(status, 0, F_REPLICA_SET_STATUS_READY_REPLICAS));
    cell_age(a, cells, set, now_ms);
    cell_containers(a, cells, view_path(spec, F_REPLICA_SET_SPEC_TEMPLATE, F_POD_TEMPLATE_SPEC_SPEC));
    cell_str(a, cells, text_selector(a, view_get(spec, F_REPLICA_SET_SPEC_SELECTOR)));
}

static struct str label_replicas(struct view o, struct arena *a)
{
    return arena_printf(a, "%lld", (long long)view_int_at(o, 0, F_REPLICA_SET_STATUS, F_REPLICA_SET_STATUS_REPLICAS));
}

static const struct kind_field_label field_labels[] = {
    { "status.replicas", label_replicas },
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "scale", VERB_GET | VERB_PATCH | VERB_UPDATE, "autoscaling", "v1", "Scale" },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_replicaset = {
    .group = "apps",
    .version = "v1",
    .kind = "ReplicaSet",
    .list_kind = "ReplicaSetList",
    .plural = "replicasets",
    .singular = "replicaset",
    .short_names = (const char *const[]){ "rs", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_apps_v1_replica_set,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .prepare = strategy_spec_and_status,
    .validate = validate,
};
