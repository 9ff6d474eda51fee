/* ClusterRole: what may be done in the whole cluster; it may be the sum of others (aggregationRule). */
#include "kinds/rbac.h"
#include "kinds/schemas.h"

static void validate_aggregation(struct check *k, struct view rule)
{
    struct view selectors = view_get(rule, F_AGGREGATION_RULE_CLUSTER_ROLE_SELECTORS);
    const struct at *at = AT(AT(AT_ROOT, "aggregationRule"), "clusterRoleSelectors");
    struct view_iter it = { 0 };

    if (!view_present(rule))
        return;
    if (!view_count(selectors))
        check_required(k, at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    for (size_t i = 0; view_next(selectors, &it) && !check_full(k); i++)
        check_label_selector(k, AT_INDEX(at, i), it.value);
}

static void validate(struct kind_context *c, struct view role, struct view old, struct error *causes)
{
    (void)old;
    rbac_check_rules(CHECK(c, causes), view_get(role, F_CLUSTER_ROLE_RULES), false);
    validate_aggregation(CHECK(c, causes), view_get(role, F_CLUSTER_ROLE_AGGREGATION_RULE));
}

const struct kind kind_clusterrole = {
    .group = "rbac.authorization.k8s.io",
    .version = "v1",
    .kind = "ClusterRole",
    .list_kind = "ClusterRoleList",
    .plural = "clusterroles",
    .singular = "clusterrole",
    .verbs = VERBS_ALL,
    .schema = &schema_rbac_v1_cluster_role,
    .columns = rbac_role_columns,
    .row = rbac_role_row,
    .validate = validate,
    .name_check = name_is_path_segment,
};
