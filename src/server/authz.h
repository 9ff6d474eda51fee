/*
 * Authorization: the system:masters group, then the node authorizer, then RBAC; the first that allows decides.
 *
 * RBAC is evaluated on an index that follows the state: (scope, subject) -> bindings -> rules, so a decision costs a look-up per
 * group of the caller and a walk over the rules bound to it, however many roles there are. Roles with an aggregation rule
 * are unions made when a role changes.
 * Sources: plugin/pkg/auth/authorizer/{rbac,node}, pkg/registry/rbac/validation.
 */
#ifndef SERVER_AUTHZ_H
#define SERVER_AUTHZ_H

#include "server/seams.h"

/* One rule of a role, read once. Strings live as long as the role's object. */
struct rbac_strings {
    const struct str *items;
    size_t count;
};
struct rbac_rule {
    struct rbac_strings verbs, groups, resources, names, urls;
};
struct rbac_rules {
    const struct rbac_rule *items;
    size_t count;
};

struct rbac;
struct rbac *rbac_new(void);
void rbac_free(struct rbac *r); /* NULL is fine */
/* A changed role or binding; NULL `now` when it went. The objects are referenced as long as they count. */
void rbac_put(struct rbac *r, const struct kind *kind, const struct object *now);
void rbac_remove(struct rbac *r, const struct kind *kind, struct str namespace_, struct str name);

bool rbac_allows(const struct rbac *r, const struct authz_attributes *a);
/* The rules of a role; namespace_ empty: a ClusterRole. False when there is none. Valid until the next change. */
bool rbac_role_rules(struct rbac *r, struct str namespace_, struct str name, struct rbac_rules *ret);
/* Calls fn for each rule the identity has in a namespace (empty: cluster scope alone). */
typedef void rbac_rule_fn(void *arg, const struct rbac_rule *rule);
void rbac_rules_of(const struct rbac *r, const struct identity *identity, struct str namespace_, rbac_rule_fn *fn,
                   void *arg);

/* Rules read from a tree or object into an arena; unknown shapes are skipped. */
struct rbac_rules rbac_rules_read(struct arena *a, struct view rules);
bool rbac_rule_allows(const struct rbac_rule *rule, const struct authz_attributes *a);
/* Is everything that `wanted` grants granted by rules of `held`? *ret_missing: the first single permission that is not, as text. */
struct rbac *server_rbac(struct server *s);

/* Upstream's node rules. An identity that is no node: AUTHZ_NO_OPINION. */
enum authz_opinion { AUTHZ_NO_OPINION, AUTHZ_ALLOW };
enum authz_opinion authz_node(struct server *s, struct arena *arena, const struct authz_attributes *a,
                              struct str *ret_reason);
/* "a" of system:node:a in group system:nodes; empty when it is no node. */
struct str authz_node_name(const struct identity *identity);

int authz_init(struct server *s, struct error *err); /* parts.def */
void authz_done(struct server *s);

#endif
