/* RBAC rules: reading them from roles, matching them against a request. Source: pkg/apis/rbac/v1/evaluation_helpers.go. */
#include "server/authz.h"

#include "kinds/fields.h"

static struct rbac_strings strings_read(struct arena *a, struct view array)
{
    struct rbac_strings ret = { 0 };
    struct str *items = arena_alloc_array(a, view_count(array), sizeof(*items));
    struct view_iter it = { 0 };
    while (view_next(array, &it))
        items[ret.count++] = view_str(it.value);
    ret.items = items;
    return ret;
}

struct rbac_rules rbac_rules_read(struct arena *a, struct view rules)
{
    struct rbac_rules ret = { 0 };
    struct rbac_rule *items = arena_alloc_array(a, view_count(rules), sizeof(*items));
    struct view_iter it = { 0 };
    while (view_next(rules, &it))
        items[ret.count++] = (struct rbac_rule){
            .verbs = strings_read(a, view_get(it.value, F_POLICY_RULE_VERBS)),
            .groups = strings_read(a, view_get(it.value, F_POLICY_RULE_API_GROUPS)),
            .resources = strings_read(a, view_get(it.value, F_POLICY_RULE_RESOURCES)),
            .names = strings_read(a, view_get(it.value, F_POLICY_RULE_RESOURCE_NAMES)),
            .urls = strings_read(a, view_get(it.value, F_POLICY_RULE_NON_RESOURCE_URLS)),
        };
    ret.items = items;
    return ret;
}

static bool has(struct rbac_strings list, struct str wanted)
{
    for (size_t i = 0; i < list.count; i++)
        if (str_eq(list.items[i], wanted))
            return true;
    return false;
}

static bool has_or_star(struct rbac_strings list, struct str wanted)
{
    for (size_t i = 0; i < list.count; i++)
        if (str_eq(list.items[i], wanted) || str_eq(list.items[i], STR("*")))
            return true;
    return false;
}

/* "pods", "pods/log", all subresources of that name: every resource with "star/log", everything: "star". */
static bool resource_matches(struct rbac_strings list, struct str resource, struct str subresource)
{
    for (size_t i = 0; i < list.count; i++) {
        struct str rule = list.items[i], head;
        if (str_eq(rule, STR("*")))
            return true;
        if (!str_cut(&rule, '/', &head)) {
            if (str_empty(subresource) && str_eq(head, resource))
                return true;
        } else if (!str_empty(subresource) && str_eq(rule, subresource) &&
                   (str_eq(head, resource) || str_eq(head, STR("*")))) {
            return true;
        }
    }
    return false;
}

static bool url_matches(struct rbac_strings list, struct str path)
{
    for (size_t i = 0; i < list.count; i++) {
        struct str rule = list.items[i];
        if (str_eq(rule, path))
            return true;
        if (!str_ends(rule, STR("*")))
            continue;
        while (str_ends(rule, STR("*")))
            rule.n--;
        if (str_starts(path, rule))
            return true;
    }
    return false;
}

bool rbac_rule_allows(const struct rbac_rule *rule, const struct authz_attributes *a)
{
    if (!has_or_star(rule->verbs, a->verb))
        return false;
    if (!a->is_resource)
        return url_matches(rule->urls, a->path);
    return has_or_star(rule->groups, a->group) && resource_matches(rule->resources, a->resource, a->subresource) &&
           (rule->names.count == 0 || has(rule->names, a->name));
}
