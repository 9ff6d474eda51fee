/*
 * Nobody grants what he does not have: rules of roles and of bound roles must be covered by the caller's own, unless he
 * has the verb escalate (on the role) or bind (on the role bound to).
 * Source: pkg/registry/rbac/{role,rolebinding}/policybased, component-helpers/auth/rbac/validation, Covers.
 */
#include "kinds/fields.h"
#include "server/admission.h"
#include "server/authz.h"

#define PERMISSIONS_MAX 100000 /* single permissions looked at in one request */

struct held {
    struct arena *arena;
    struct rbac_rule *items;
    size_t count, capacity;
};

static void hold(void *arg, const struct rbac_rule *rule)
{
    struct held *h = arg;
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? h->capacity * 2 : 64;
        struct rbac_rule *items = arena_alloc_array(h->arena, capacity, sizeof(*items));
        if (h->count)
            memcpy(items, h->items, h->count * sizeof(*items));
        h->items = items;
        h->capacity = capacity;
    }
    h->items[h->count++] = *rule;
}

/* One verb on one resource of one group, maybe of one name; or one verb on one path. */
struct permission {
    struct str verb, group, resource, name, url;
    bool is_resource;
};

static bool has(struct rbac_strings list, struct str wanted)
{
    for (size_t i = 0; i < list.count; i++)
        if (str_eq(list.items[i], wanted))
            return true;
    return false;
}

static bool covers_resource(struct rbac_strings list, struct str resource)
{
    struct str sub = resource, head;
    bool with_sub = str_cut(&sub, '/', &head);
    for (size_t i = 0; i < list.count; i++) {
        struct str rule = list.items[i];
        if (str_is(rule, "*") || str_eq(rule, resource))
            return true;
        if (with_sub && str_starts(rule, STR("*/")) && str_eq(str_from(rule, 2), sub))
            return true;
    }
    return false;
}

static bool covers_url(struct rbac_strings list, struct str url)
{
    for (size_t i = 0; i < list.count; i++) {
        struct str rule = list.items[i];
        if (str_eq(rule, url) || (str_ends(rule, STR("*")) && str_starts(url, str_part(rule, 0, rule.n - 1))))
            return true;
    }
    return false;
}

static bool rule_covers(const struct rbac_rule *rule, const struct permission *p)
{
    if (!has(rule->verbs, STR("*")) && !has(rule->verbs, p->verb))
        return false;
    if (!p->is_resource)
        return covers_url(rule->urls, p->url);
    return (has(rule->groups, STR("*")) || has(rule->groups, p->group)) &&
           covers_resource(rule->resources, p->resource) &&
           (rule->names.count == 0 || (!str_empty(p->name) && has(rule->names, p->name)));
}

static bool is_held(const struct held *h, const struct permission *p)
{
    for (size_t i = 0; i < h->count; i++)
        if (rule_covers(&h->items[i], p))
            return true;
    return false;
}

/* Is this verb of the rule held for everything the rule names? */
static bool verb_is_held(const struct held *h, const struct rbac_rule *rule, struct str verb, size_t *budget)
{
    size_t names = MAX(rule->names.count, (size_t)1);
    for (size_t u = 0; u < rule->urls.count; u++) {
        if (*budget == 0 || !is_held(h, &(struct permission){ .verb = verb, .url = rule->urls.items[u] }))
            return false;
        (*budget)--;
    }
    for (size_t g = 0; g < rule->groups.count; g++)
        for (size_t s = 0; s < rule->resources.count; s++)
            for (size_t n = 0; n < names; n++) {
                struct permission p = { .verb = verb,
                                        .group = rule->groups.items[g],
                                        .resource = rule->resources.items[s],
                                        .name = rule->names.count ? rule->names.items[n] : STR_NONE,
                                        .is_resource = true };
                if (*budget == 0 || !is_held(h, &p))
                    return false;
                (*budget)--;
            }
    return true;
}

static void add_list(struct buf *to, const char *name, struct rbac_strings list)
{
    if (!list.count)
        return;
    buf_addf(to, "%s%s:[", to->p[to->n - 1] == '{' ? "" : ", ", name);
    for (size_t i = 0; i < list.count; i++)
        buf_addf(to, "%s\"%.*s\"", i ? " " : "", STR_ARG(list.items[i]));
    buf_add_char(to, ']');
}

/* Appends a line for what is not held of the rule. */
static void add_missing(struct buf *to, const struct held *h, const struct rbac_rule *rule, struct arena *a,
                        size_t *budget)
{
    struct str *verbs = arena_alloc_array(a, rule->verbs.count, sizeof(*verbs));
    size_t count = 0;
    for (size_t i = 0; i < rule->verbs.count; i++)
        if (!verb_is_held(h, rule, rule->verbs.items[i], budget))
            verbs[count++] = rule->verbs.items[i];
    if (!count)
        return;
    buf_add_text(to, "\n{");
    add_list(to, "APIGroups", rule->groups);
    add_list(to, "Resources", rule->resources);
    add_list(to, "ResourceNames", rule->names);
    add_list(to, "NonResourceURLs", rule->urls);
    add_list(to, "Verbs", (struct rbac_strings){ verbs, count });
    buf_add_char(to, '}');
}

static enum phase_result check_rules(struct request *r, struct rbac_rules wanted)
{
    struct held held = { .arena = &r->arena };
    size_t budget = PERMISSIONS_MAX;
    AUTO_BUF struct buf missing = BUF_MAX(16 * KIB), groups = BUF_MAX(4 * KIB);
    rbac_rules_of(server_rbac(r->server), &r->identity, r->info.namespace_, hold, &held);
    for (size_t i = 0; i < wanted.count; i++)
        add_missing(&missing, &held, &wanted.items[i], &r->arena, &budget);
    if (!missing.n)
        return PHASE_DONE;
    for (size_t i = 0; i < r->identity.groups_count; i++)
        buf_addf(&groups, "%s\"%.*s\"", i ? " " : "", STR_ARG(r->identity.groups[i]));
    return admission_forbid(
        r, "user \"%.*s\" (groups=[%.*s]) is attempting to grant RBAC permissions not currently held:%.*s",
        STR_ARG(r->identity.user), STR_ARG(buf_str(&groups)), STR_ARG(buf_str(&missing)));
}

static bool may(struct request *r, const char *verb, const char *resource, struct str namespace_, struct str name)
{
    struct authz_attributes a = { .identity = &r->identity,
                                  .is_resource = true,
                                  .verb = str_of(verb),
                                  .group = STR("rbac.authorization.k8s.io"),
                                  .version = STR("v1"),
                                  .resource = str_of(resource),
                                  .namespace_ = namespace_,
                                  .name = name };
    return authz_allows(r->server, &r->arena, &a, NULL);
}

static enum phase_result check_role(struct request *r, struct view object, struct view old)
{
    static const struct str star = STR_INIT("*");
    const struct rbac_strings all = { &star, 1 };
    const struct rbac_rule everything[] = { { .verbs = all, .groups = all, .resources = all },
                                            { .verbs = all, .urls = all } };
    struct view rules = view_get(object, F_ROLE_RULES);
    struct view aggregation = view_get(object, F_CLUSTER_ROLE_AGGREGATION_RULE);
    if (view_present(old) && view_equal(rules, view_get(old, F_ROLE_RULES)) &&
        view_equal(aggregation, view_get(old, F_CLUSTER_ROLE_AGGREGATION_RULE)))
        return PHASE_DONE;
    if (may(r, "escalate", r->kind->plural, r->info.namespace_, admission_name(r)))
        return PHASE_DONE;
    /* What it will gather is not known yet: only who may do everything may make such a role. */
    if (view_present(aggregation) &&
        check_rules(r, (struct rbac_rules){ everything, ARRAY_SIZE(everything) }) != PHASE_DONE)
        return PHASE_FAILED;
    return check_rules(r, rbac_rules_read(&r->arena, rules));
}

static enum phase_result check_binding(struct request *r, struct view object, struct view old)
{
    struct view ref = view_get(object, F_ROLE_BINDING_ROLE_REF);
    struct str name = view_str(view_get(ref, F_ROLE_REF_NAME));
    bool cluster = str_is(view_str(view_get(ref, F_ROLE_REF_KIND)), "ClusterRole");
    struct rbac_rules rules;
    if (view_present(old) && view_equal(ref, view_get(old, F_ROLE_BINDING_ROLE_REF)) &&
        view_equal(view_get(object, F_ROLE_BINDING_SUBJECTS), view_get(old, F_ROLE_BINDING_SUBJECTS)))
        return PHASE_DONE;
    if (may(r, "bind", cluster ? "clusterroles" : "roles", r->info.namespace_, name))
        return PHASE_DONE;
    if (!rbac_role_rules(server_rbac(r->server), cluster ? STR_NONE : r->info.namespace_, name, &rules))
        return request_fail(r, ERR_NOT_FOUND, "%s.rbac.authorization.k8s.io \"%.*s\" not found",
                            cluster ? "clusterrole" : "role", STR_ARG(name));
    return check_rules(r, rules);
}

static bool applies(const struct request *r)
{
    return !admission_is_delete(r) && str_empty(r->info.subresource) &&
           (r->kind == &kind_role || r->kind == &kind_clusterrole || r->kind == &kind_rolebinding ||
            r->kind == &kind_clusterrolebinding) &&
           !identity_in_group(&r->identity, STR("system:masters"));
}

static enum phase_result validate(struct request *r, struct view object, struct view old)
{
    if (r->kind == &kind_role || r->kind == &kind_clusterrole)
        return check_role(r, object, old);
    return check_binding(r, object, old);
}

const struct admission_step admission_rbac_escalation = {
    .name = "RBACEscalation",
    .applies = applies,
    .validate = validate,
};
