/* Rules of where a pod may go: tolerations, node selectors, affinity, topology spread. */
#include "kinds/pod.h"

#include "object/validate.h"

static const char *const taint_effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };
static const char *const toleration_operators[] = { "Equal", "Exists", NULL };
static const char *const unsatisfiable_actions[] = { "DoNotSchedule", "ScheduleAnyway", NULL };
static const char *const inclusion_policies[] = { "Honor", "Ignore", NULL };

bool check_taint_effect(struct check *k, const struct at *at, struct str effect, bool may_be_empty)
{
    if (!effect.n && may_be_empty)
        return true;
    return check_one_of_required(k, at, effect, taint_effects);
}

static void check_toleration(struct check *k, const struct at *at, struct view toleration)
{
    struct str key = view_str_at(toleration, F_TOLERATION_KEY);
    struct str operator= view_str_at(toleration, F_TOLERATION_OPERATOR);
    struct str value = view_str_at(toleration, F_TOLERATION_VALUE);
    struct str effect = view_str_at(toleration, F_TOLERATION_EFFECT);
    struct validate_messages messages = { 0 };

    if (key.n)
        check_qualified_name(k, AT(at, "key"), key);
    if (!key.n && !str_is(operator, "Exists"))
        check_invalid_str(k, AT(at, "operator"), operator,
                          "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (view_present(view_get(toleration, F_TOLERATION_TOLERATION_SECONDS)) && !str_is(effect, "NoExecute"))
        check_invalid_str(k, AT(at, "effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    if (!operator.n || str_is(operator, "Equal")) {
        if (!validate_label_value(value, &messages))
            check_invalid_str(k, AT(at, "operator"), value, messages.list[0]);
    } else if (str_is(operator, "Exists")) {
        if (value.n)
            check_invalid_str(k, AT(at, "operator"), value, "value must be empty when `operator` is 'Exists'");
    } else {
        check_not_supported(k, AT(at, "operator"), operator, toleration_operators);
    }
    check_taint_effect(k, AT(at, "effect"), effect, true);
}

void pod_check_tolerations(struct check *k, const struct at *at, struct view tolerations)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(tolerations, &it) && !check_full(k); i++)
        check_toleration(k, AT_INDEX(at, i), it.value);
}

static void check_expression(struct check *k, const struct at *at, struct view expression, bool any_value)
{
    struct str operator= view_str_at(expression, F_NODE_SELECTOR_REQUIREMENT_OPERATOR);
    struct view values = view_get(expression, F_NODE_SELECTOR_REQUIREMENT_VALUES);
    struct view_iter it = { 0 };

    if (str_is(operator, "In") || str_is(operator, "NotIn")) {
        if (!view_count(values))
            check_required(k, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_is(operator, "Exists") || str_is(operator, "DoesNotExist")) {
        if (view_count(values))
            check_forbidden(k, AT(at, "values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (str_is(operator, "Gt") || str_is(operator, "Lt")) {
        if (view_count(values) != 1)
            check_required(k, AT(at, "values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        check_invalid_str(k, AT(at, "operator"), operator, "not a valid selector operator");
    }
    check_qualified_name(k, AT(at, "key"), view_str_at(expression, F_NODE_SELECTOR_REQUIREMENT_KEY));
    for (size_t i = 0; !any_value && view_next(values, &it) && !check_full(k); i++)
        check_label_value(k, AT_INDEX(AT(at, "values"), i), view_str(it.value));
}

static void check_field(struct check *k, const struct at *at, struct view expression)
{
    struct str operator= view_str_at(expression, F_NODE_SELECTOR_REQUIREMENT_OPERATOR);
    struct str key = view_str_at(expression, F_NODE_SELECTOR_REQUIREMENT_KEY);
    struct view values = view_get(expression, F_NODE_SELECTOR_REQUIREMENT_VALUES);
    struct view_iter it = { 0 };

    if (!str_is(operator, "In") && !str_is(operator, "NotIn"))
        check_invalid_str(k, AT(at, "operator"), operator, "not a valid selector operator");
    else if (view_count(values) != 1)
        check_required(k, AT(at, "values"),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    if (!str_is(key, "metadata.name")) {
        check_invalid_str(k, AT(at, "key"), key, "not a valid field selector key");
        return;
    }
    for (size_t i = 0; view_next(values, &it) && !check_full(k); i++)
        check_dns_subdomain(k, AT_INDEX(AT(at, "values"), i), view_str(it.value));
}

static void check_term(struct check *k, const struct at *at, struct view term, bool any_value)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(view_get(term, F_NODE_SELECTOR_TERM_MATCH_EXPRESSIONS), &it) && !check_full(k); i++)
        check_expression(k, AT_INDEX(AT(at, "matchExpressions"), i), it.value, any_value);
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(view_get(term, F_NODE_SELECTOR_TERM_MATCH_FIELDS), &it) && !check_full(k); i++)
        check_field(k, AT_INDEX(AT(at, "matchFields"), i), it.value);
}

void pod_check_node_selector(struct check *k, const struct at *at, struct view node_selector, bool any_value)
{
    struct view terms = view_get(node_selector, F_NODE_SELECTOR_NODE_SELECTOR_TERMS);
    struct view_iter it = { 0 };

    if (!view_count(terms))
        check_required(k, AT(at, "nodeSelectorTerms"), "must have at least one node selector term");
    for (size_t i = 0; view_next(terms, &it) && !check_full(k); i++)
        check_term(k, AT_INDEX(AT(at, "nodeSelectorTerms"), i), it.value, any_value);
}

static void check_weight(struct check *k, const struct at *at, struct view weight)
{
    if (view_int(weight, 0) < 1 || view_int(weight, 0) > 100)
        check_invalid_int(k, AT(at, "weight"), view_int(weight, 0), "must be in the range 1-100");
}

static void check_node_affinity(struct check *k, const struct at *at, struct view affinity)
{
    struct view required = view_get(affinity, F_NODE_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct view preferred = view_get(affinity, F_NODE_AFFINITY_PREFERRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct view_iter it = { 0 };

    if (view_present(required))
        pod_check_node_selector(k, AT(at, "requiredDuringSchedulingIgnoredDuringExecution"), required, false);
    for (size_t i = 0; view_next(preferred, &it) && !check_full(k); i++) {
        const struct at *item = AT_INDEX(AT(at, "preferredDuringSchedulingIgnoredDuringExecution"), i);

        check_weight(k, item, view_get(it.value, F_PREFERRED_SCHEDULING_TERM_WEIGHT));
        check_term(k, AT(item, "preference"), view_get(it.value, F_PREFERRED_SCHEDULING_TERM_PREFERENCE), true);
    }
}

static void check_label_keys(struct check *k, const struct at *at, struct view keys, struct view selector)
{
    struct view_iter it = { 0 };

    if (view_count(keys) && !view_present(selector)) {
        check_forbidden(k, at, "must not be specified when labelSelector is not set");
        return;
    }
    for (size_t i = 0; view_next(keys, &it) && !check_full(k); i++)
        check_qualified_name(k, AT_INDEX(at, i), view_str(it.value));
}

static void check_pod_term(struct check *k, const struct at *at, struct view term)
{
    struct view selector = view_get(term, F_POD_AFFINITY_TERM_LABEL_SELECTOR);
    struct str key = view_str_at(term, F_POD_AFFINITY_TERM_TOPOLOGY_KEY);
    struct view_iter it = { 0 };

    check_label_selector(k, AT(at, "labelSelector"), selector);
    check_label_selector(k, AT(at, "namespaceSelector"), view_get(term, F_POD_AFFINITY_TERM_NAMESPACE_SELECTOR));
    while (view_next(view_get(term, F_POD_AFFINITY_TERM_NAMESPACES), &it) && !check_full(k))
        check_dns_label(k, AT(at, "namespace"), view_str(it.value));
    check_label_keys(k, AT(at, "matchLabelKeys"), view_get(term, F_POD_AFFINITY_TERM_MATCH_LABEL_KEYS), selector);
    check_label_keys(k, AT(at, "mismatchLabelKeys"), view_get(term, F_POD_AFFINITY_TERM_MISMATCH_LABEL_KEYS), selector);
    if (!key.n)
        check_required(k, AT(at, "topologyKey"), "can not be empty");
    check_qualified_name(k, AT(at, "topologyKey"), key);
}

/* Affinity and anti-affinity have the same fields. */
static void check_pod_affinity(struct check *k, const struct at *at, struct view affinity)
{
    struct view required = view_get(affinity, F_POD_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct view preferred = view_get(affinity, F_POD_AFFINITY_PREFERRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(required, &it) && !check_full(k); i++)
        check_pod_term(k, AT_INDEX(AT(at, "requiredDuringSchedulingIgnoredDuringExecution"), i), it.value);
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(preferred, &it) && !check_full(k); i++) {
        const struct at *item = AT_INDEX(AT(at, "preferredDuringSchedulingIgnoredDuringExecution"), i);

        check_weight(k, item, view_get(it.value, F_WEIGHTED_POD_AFFINITY_TERM_WEIGHT));
        check_pod_term(k, AT(item, "podAffinityTerm"),
                       view_get(it.value, F_WEIGHTED_POD_AFFINITY_TERM_POD_AFFINITY_TERM));
    }
}

void pod_check_affinity(struct check *k, const struct at *at, struct view affinity)
{
    check_node_affinity(k, AT(at, "nodeAffinity"), view_get(affinity, F_AFFINITY_NODE_AFFINITY));
    check_pod_affinity(k, AT(at, "podAffinity"), view_get(affinity, F_AFFINITY_POD_AFFINITY));
    check_pod_affinity(k, AT(at, "podAntiAffinity"), view_get(affinity, F_AFFINITY_POD_ANTI_AFFINITY));
}

static void check_spread(struct check *k, const struct at *at, struct view constraint)
{
    int64_t skew = view_int_at(constraint, 0, F_TOPOLOGY_SPREAD_CONSTRAINT_MAX_SKEW);
    struct str action = view_str_at(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_WHEN_UNSATISFIABLE);
    struct view domains = view_get(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_MIN_DOMAINS);
    struct str affinity = view_str_at(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_NODE_AFFINITY_POLICY);
    struct str taints = view_str_at(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_NODE_TAINTS_POLICY);

    if (skew <= 0)
        check_invalid_int(k, AT(at, "maxSkew"), skew, "must be greater than zero");
    if (!view_str_at(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_TOPOLOGY_KEY).n)
        check_required(k, AT(at, "topologyKey"), "can not be empty");
    check_one_of(k, AT(at, "whenUnsatisfiable"), action, unsatisfiable_actions);
    if (view_present(domains) && view_int(domains, 0) <= 0)
        check_invalid(k, AT(at, "minDomains"), domains, "must be greater than zero");
    if (view_present(domains) && !str_is(action, "DoNotSchedule"))
        check_invalid(k, AT(at, "minDomains"), domains,
                      arena_printf(k->arena, "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %.*s",
                                   STR_ARG(action))
                          .p);
    if (affinity.n)
        check_one_of(k, AT(at, "nodeAffinityPolicy"), affinity, inclusion_policies);
    if (taints.n)
        check_one_of(k, AT(at, "nodeTaintsPolicy"), taints, inclusion_policies);
    check_label_keys(k, AT(at, "matchLabelKeys"), view_get(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_MATCH_LABEL_KEYS),
                     view_get(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_LABEL_SELECTOR));
    check_label_selector(k, AT(at, "labelSelector"), view_get(constraint, F_TOPOLOGY_SPREAD_CONSTRAINT_LABEL_SELECTOR));
}

void pod_check_topology_spread(struct check *k, const struct at *at, struct view constraints)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(constraints, &it) && !check_full(k); i++) {
        struct str pair = arena_printf(k->arena, "{%.*s, %.*s}",
                                       STR_ARG(view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_TOPOLOGY_KEY)),
                                       STR_ARG(view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_WHEN_UNSATISFIABLE)));

        check_spread(k, AT_INDEX(at, i), it.value);
        if (seen_before(&seen, pair))
            check_duplicate_str(k, AT(AT_INDEX(at, i), "{topologyKey, whenUnsatisfiable}"), pair);
    }
}
