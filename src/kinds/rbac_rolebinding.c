/* RoleBinding: grants a Role or a ClusterRole within a namespace. */
#include "kinds/rbac.h"
#include "kinds/schemas.h"

static void validate(struct kind_context *c, struct view binding, struct view old, struct error *causes)
{
    static const char *const kinds_of_role[] = { "Role", "ClusterRole", NULL };

    rbac_check_binding(CHECK(c, causes), binding, old, kinds_of_role, true);
}

const struct kind kind_rolebinding = {
    .group = "rbac.authorization.k8s.io",
    .version = "v1",
    .kind = "RoleBinding",
    .list_kind = "RoleBindingList",
    .plural = "rolebindings",
    .singular = "rolebinding",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_rbac_v1_role_binding,
    .columns = rbac_binding_columns,
    .row = rbac_binding_row,
    .default_ = rbac_binding_default,
    .validate = validate,
    .name_check = name_is_path_segment,
};
