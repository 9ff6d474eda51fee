/* ClusterRoleBinding: grants a ClusterRole in the whole cluster. */
#include "kinds/rbac.h"
#include "kinds/schemas.h"

static void validate(struct kind_context *c, struct view binding, struct view old, struct error *causes)
{
    static const char *const kinds_of_role[] = { "ClusterRole", NULL };

    rbac_check_binding(CHECK(c, causes), binding, old, kinds_of_role, false);
}

const struct kind kind_clusterrolebinding = {
    .group = "rbac.authorization.k8s.io",
    .version = "v1",
    .kind = "ClusterRoleBinding",
    .list_kind = "ClusterRoleBindingList",
    .plural = "clusterrolebindings",
    .singular = "clusterrolebinding",
    .verbs = VERBS_ALL,
    .schema = &schema_rbac_v1_cluster_role_binding,
    .columns = rbac_binding_columns,
    .row = rbac_binding_row,
    .default_ = rbac_binding_default,
    .validate = validate,
    .name_check = name_is_path_segment,
};
