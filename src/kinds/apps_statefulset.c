/* StatefulSet: pods with names and storage of their own, started and exchanged in order. Source: pkg/apis/apps. */
#include "kinds/cells.h"
#include "kinds/claim.h"
#include "kinds/meta.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "kinds/workload.h"

static const char *const retentions[] = { "Delete", "Retain", NULL };

/* --- what is filled in --------------------------------------------------------------------------------------------- */

static void default_strategy(struct arena *a, struct value *spec)
{
    struct value *strategy = value_make_object(a, spec, F_STATEFUL_SET_SPEC_UPDATE_STRATEGY), *rolling;

    /* Only a strategy nobody named gets its parameters, as upstream has it. */
    if (value_empty(value_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE))) {
        value_set_text(a, strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE, "RollingUpdate");
        rolling = value_make_object(a, strategy, F_STATEFUL_SET_UPDATE_STRATEGY_ROLLING_UPDATE);
    } else {
        rolling = value_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_ROLLING_UPDATE);
    }
    if (str_is(value_to_str(value_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE)), "RollingUpdate") &&
        value_type(rolling) == VALUE_OBJECT)
        default_int(a, rolling, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_PARTITION, 0);
}

static void default_(struct kind_context *c, struct value *set)
{
    struct arena *a = c->arena;
    struct value *spec = value_make_object(a, set, F_STATEFUL_SET_SPEC), *claim, *retention;

    default_text(a, spec, F_STATEFUL_SET_SPEC_POD_MANAGEMENT_POLICY, "OrderedReady");
    default_strategy(a, spec);
    retention = value_make_object(a, spec, F_STATEFUL_SET_SPEC_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY);
    default_text(a, retention, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_DELETED, "Retain");
    default_text(a, retention, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_SCALED, "Retain");
    default_int(a, spec, F_STATEFUL_SET_SPEC_REPLICAS, 1);
    default_int(a, spec, F_STATEFUL_SET_SPEC_REVISION_HISTORY_LIMIT, 10);
    pod_template_default(a, value_get(spec, F_STATEFUL_SET_SPEC_TEMPLATE));
    for (size_t i = 0; (claim = value_at(value_get(spec, F_STATEFUL_SET_SPEC_VOLUME_CLAIM_TEMPLATES), i)); i++) {
        value_set_text(a, claim, F_POD_API_VERSION, "v1");
        value_set_text(a, claim, F_POD_KIND, "PersistentVolumeClaim");
        claim_default(a, claim);
    }
}

static void prepare(struct kind_context *c, struct value *set, struct view old)
{
    struct value *status;

    strategy_spec_and_status(c, set, old);
    if (!c->create)
        return;
    status = value_make_object(c->arena, set, F_STATEFUL_SET_STATUS);
    value_set_int(c->arena, status, F_STATEFUL_SET_STATUS_REPLICAS, 0);
    value_set_int(c->arena, status, F_STATEFUL_SET_STATUS_AVAILABLE_REPLICAS, 0);
}

/* --- rules --------------------------------------------------------------------------------------------------------- */

static void validate_strategy(struct check *k, const struct at *at, struct view strategy)
{
    struct str type = view_str_at(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE);
    struct view rolling = view_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_ROLLING_UPDATE);
    struct view unavailable = view_get(rolling, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_MAX_UNAVAILABLE);
    const struct at *rolling_at = AT(at, "rollingUpdate");

    if (!type.n) {
        check_required(k, at, "");
    } else if (str_is(type, "OnDelete")) {
        if (view_present(rolling))
            check_invalid(k, rolling_at, rolling, "only allowed for updateStrategy 'RollingUpdate'");
    } else if (!str_is(type, "RollingUpdate")) {
        check_invalid(k, at, strategy, "must be 'RollingUpdate' or 'OnDelete'");
    } else if (view_present(rolling)) {
        check_not_negative(k, AT(rolling_at, "partition"),
                           view_int_at(rolling, 0, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_PARTITION));
        if (!view_present(unavailable))
            return;
        check_int_or_percent(k, AT(rolling_at, "maxUnavailable"), unavailable);
        if (int_or_percent_is_zero(unavailable))
            check_invalid(k, AT(rolling_at, "maxUnavailable"), unavailable, "cannot be 0");
        check_at_most_100_percent(k, AT(rolling_at, "maxUnavailable"), unavailable);
    }
}

static void validate_retention(struct check *k, const struct at *at, struct view retention)
{
    if (!view_present(retention))
        return;
    check_one_of_required(k, AT(at, "whenDeleted"),
                          view_str_at(retention, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_DELETED),
                          retentions);
    check_one_of_required(k, AT(at, "whenScaled"),
                          view_str_at(retention, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_SCALED),
                          retentions);
}

/* The pod's spec is judged when a pod is made: only then are the claims among its volumes. */
static void validate_template(struct check *k, const struct at *at, struct view spec)
{
    struct view selector = view_get(spec, F_STATEFUL_SET_SPEC_SELECTOR);
    struct view template_ = view_get(spec, F_STATEFUL_SET_SPEC_TEMPLATE);
    struct view metadata = view_get(template_, F_POD_TEMPLATE_SPEC_METADATA);
    struct view labels = view_get(metadata, F_OBJECT_META_LABELS);
    struct view annotations = view_get(metadata, F_OBJECT_META_ANNOTATIONS);

    if (!selector_matches(selector, labels)) /* an empty one matches all, one that is not there matches nothing */
        check_invalid(k, AT(AT(at, "metadata"), "labels"), labels, "`selector` does not match template `labels`");
    check_labels(k, AT(at, "labels"), labels);
    meta_check_annotations(k, AT(at, "annotations"), annotations);
    pod_check_annotations(k, AT(at, "annotations"), annotations, view_get(template_, F_POD_TEMPLATE_SPEC_SPEC));
}

static void validate_selector(struct check *k, const struct at *at, struct view spec)
{
    struct view selector = view_get(spec, F_STATEFUL_SET_SPEC_SELECTOR);
    bool valid = true;

    if (view_type(selector) != VALUE_OBJECT) {
        check_required(k, AT(at, "selector"), "");
    } else {
        valid = check_label_selector(k, AT(at, "selector"), selector);
        if (!view_count(view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS)) &&
            !view_count(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS)))
            check_invalid(k, AT(at, "selector"), selector, "empty selector is invalid for statefulset");
    }
    if (valid)
        validate_template(k, AT(at, "template"), spec);
    else
        check_invalid(k, AT(at, "selector"), selector, "");
}

static void validate_spec(struct check *k, struct view spec)
{
    static const char *const always[] = { "Always", NULL };
    struct view pod = view_path(spec, F_STATEFUL_SET_SPEC_TEMPLATE, F_POD_TEMPLATE_SPEC_SPEC);
    struct str policy = view_str_at(spec, F_STATEFUL_SET_SPEC_POD_MANAGEMENT_POLICY);
    struct str restart = view_str_at(pod, F_POD_SPEC_RESTART_POLICY);
    const struct at *at = AT(AT_ROOT, "spec");

    if (!policy.n)
        check_required(k, AT(at, "podManagementPolicy"), "");
    else if (!str_is(policy, "OrderedReady") && !str_is(policy, "Parallel"))
        check_invalid_str(k, AT(at, "podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'");
    validate_strategy(k, AT(at, "updateStrategy"), view_get(spec, F_STATEFUL_SET_SPEC_UPDATE_STRATEGY));
    validate_retention(k, AT(at, "persistentVolumeClaimRetentionPolicy"),
                       view_get(spec, F_STATEFUL_SET_SPEC_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY));
    check_not_negative(k, AT(at, "replicas"), view_int_at(spec, 0, F_STATEFUL_SET_SPEC_REPLICAS));
    check_not_negative(k, AT(at, "minReadySeconds"), view_int_at(spec, 0, F_STATEFUL_SET_SPEC_MIN_READY_SECONDS));
    check_not_negative(k, AT(at, "revisionHistoryLimit"),
                       view_int_at(spec, 0, F_STATEFUL_SET_SPEC_REVISION_HISTORY_LIMIT));
    check_not_negative(k, AT(AT(at, "ordinals"), "start"),
                       view_int_at(spec, 0, F_STATEFUL_SET_SPEC_ORDINALS, F_STATEFUL_SET_ORDINALS_START));
    validate_selector(k, at, spec);
    if (!str_is(restart, "Always"))
        check_not_supported(k, AT(AT(AT(at, "template"), "spec"), "restartPolicy"), restart, always);
    if (view_present(view_get(pod, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS)))
        check_forbidden(k, AT(AT(AT(at, "template"), "spec"), "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in StatefulSet is not Supported");
}

static void validate_service_name(struct check *k, struct view set)
{
    struct str name = view_str_at(set, F_STATEFUL_SET_SPEC, F_STATEFUL_SET_SPEC_SERVICE_NAME);

    if (name.n) /* it becomes a label of the pods' DNS names */
        check_dns_label(k, AT(AT(AT_ROOT, "spec"), "serviceName"), name);
}

static void validate_update(struct check *k, struct view set, struct view old)
{
    static const name_id changeable[] = {
        F_STATEFUL_SET_SPEC_REPLICAS,
        F_STATEFUL_SET_SPEC_ORDINALS,
        F_STATEFUL_SET_SPEC_TEMPLATE,
        F_STATEFUL_SET_SPEC_UPDATE_STRATEGY,
        F_STATEFUL_SET_SPEC_REVISION_HISTORY_LIMIT,
        F_STATEFUL_SET_SPEC_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY,
        F_STATEFUL_SET_SPEC_MIN_READY_SECONDS,
    };
    struct value *now = value_of_view(k->arena, view_get(set, F_STATEFUL_SET_SPEC));
    struct value *was = value_of_view(k->arena, view_get(old, F_STATEFUL_SET_SPEC));

    for (size_t i = 0; i < ARRAY_SIZE(changeable); i++) {
        value_del(now, changeable[i]);
        value_del(was, changeable[i]);
    }
    if (!value_equal(now, was))
        check_forbidden(k, AT(AT_ROOT, "spec"),
                        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                        "'minReadySeconds' are forbidden");
}

static void validate_status(struct check *k, struct view status, struct view old)
{
    static const struct status_number numbers[] = {
        { F_STATEFUL_SET_STATUS_REPLICAS, STR_INIT("replicas") },
        { F_STATEFUL_SET_STATUS_READY_REPLICAS, STR_INIT("readyReplicas") },
        { F_STATEFUL_SET_STATUS_CURRENT_REPLICAS, STR_INIT("currentReplicas") },
        { F_STATEFUL_SET_STATUS_UPDATED_REPLICAS, STR_INIT("updatedReplicas") },
        { F_STATEFUL_SET_STATUS_AVAILABLE_REPLICAS, STR_INIT("availableReplicas") },
        { F_STATEFUL_SET_STATUS_OBSERVED_GENERATION, STR_INIT("observedGeneration") },
        { F_STATEFUL_SET_STATUS_COLLISION_COUNT, STR_INIT("collisionCount") },
    };
    int64_t collisions = view_int_at(status, 0, F_STATEFUL_SET_STATUS_COLLISION_COUNT);

    check_status_numbers(k, status, numbers, ARRAY_SIZE(numbers));
    for (size_t i = 1; i < 5; i++)
        check_status_at_most(k, status, numbers[i], F_STATEFUL_SET_STATUS_REPLICAS,
                             "cannot be greater than status.replicas");
    check_status_at_most(k, status, numbers[4], F_STATEFUL_SET_STATUS_READY_REPLICAS,
                         "cannot be greater than status.readyReplicas");
    if (collisions < view_int_at(old, 0, F_STATEFUL_SET_STATUS_COLLISION_COUNT))
        check_invalid_int(k, AT(AT(AT_ROOT, "status"), "collisionCount"), collisions, "cannot be decremented");
}

static void validate(struct kind_context *c, struct view set, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);

    if (context_is(c, "status")) {
        validate_status(k, view_get(set, F_STATEFUL_SET_STATUS), view_get(old, F_STATEFUL_SET_STATUS));
        return;
    }
    validate_spec(k, view_get(set, F_STATEFUL_SET_SPEC));
    if (c->create)
        validate_service_name(k, set);
    else
        validate_update(k, set, old);
}

/* --- kubectl get --------------------------------------------------------------------------------------------------- */

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", "Ready pods, of those wanted.", 0 },
    COLUMN_AGE,
    { "Containers", "string", "", "Names of the template's containers.", 1 },
    { "Images", "string", "", "Images of the template's containers.", 1 },
    { NULL },
};

static void row(struct arena *a, struct view set, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(set, F_STATEFUL_SET_SPEC);

    cell_name(a, cells, set);
    cell_textf(a, cells, "%lld/%lld",
               (long long)view_int_at(set, 0, F_STATEFUL_SET_STATUS, F_STATEFUL_SET_STATUS_READY_REPLICAS),
               (long long)view_int_at(spec, 0, F_STATEFUL_SET_SPEC_REPLICAS));
    cell_age(a, cells, set, now_ms);
    cell_containers(a, cells, view_path(spec, F_STATEFUL_SET_SPEC_TEMPLATE, F_POD_TEMPLATE_SPEC_SPEC));
}

static const struct kind_subresource subresources[] = {
    { "scale", VERB_GET | VERB_PATCH | VERB_UPDATE, "autoscaling", "v1", "Scale" },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_statefulset = {
    .group = "apps",
    .version = "v1",
    .kind = "StatefulSet",
    .list_kind = "StatefulSetList",
    .plural = "statefulsets",
    .singular = "statefulset",
    .short_names = (const char *const[]){ "sts", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_apps_v1_stateful_set,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .prepare = prepare,
    .validate = validate,
};
