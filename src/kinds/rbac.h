/*
 * Rules that the four kinds of role-based access control share. Whether a user may grant what a role says is not decided here but by
 * the server, which knows the user. Source: pkg/apis/rbac/validation, pkg/apis/rbac/v1/defaults.go.
 */
#ifndef KINDS_RBAC_H
#define KINDS_RBAC_H

#include "kinds/check_format.h"
#include "kinds/tree.h"

void rbac_check_rules(struct check *k, struct view rules, bool namespaced);
void rbac_binding_default(struct kind_context *c, struct value *binding);
/* `kinds` are the kinds that roleRef may name, NULL-terminated. */
void rbac_check_binding(struct check *k, struct view binding, struct view old, const char *const *kinds,
                        bool namespaced);
void rbac_binding_row(struct arena *a, struct view binding, int64_t now_ms, struct value *cells);
extern const struct kind_column rbac_role_columns[], rbac_binding_columns[];
void rbac_role_row(struct arena *a, struct view role, int64_t now_ms, struct value *cells);

#endif
