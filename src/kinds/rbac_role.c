/* Role: what may be done within a namespace. */
#include "kinds/rbac.h"
#include "kinds/schemas.h"

static void validate(struct kind_context *c, struct view role, struct view old, struct error *causes)
{
    (void)old;
    rbac_check_rules(CHECK(c, causes), view_get(role, F_ROLE_RULES), true);
}

const struct kind kind_role = {
    .group = "rbac.authorization.k8s.io",
    .version = "v1",
    .kind = "Role",
    .list_kind = "RoleList",
    .plural = "roles",
    .singular = "role",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_rbac_v1_role,
    .columns = rbac_role_columns,
    .row = rbac_role_row,
    .validate = validate,
    .name_check = name_is_path_segment,
};
