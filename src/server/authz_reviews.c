/* SubjectAccessReview and its kin: may somebody do something, and what may I do. Source: authorization/v1. */
#include "kinds/fields.h"
#include "server/authz.h"

#define GROUPS_MAX 1000

static struct str at(const struct value *object, name_id name)
{
    return value_to_str(value_get(object, name));
}

/* The attributes a review asks about; false when it names neither a resource nor a path, or both. */
static bool attributes_read(const struct value *spec, struct authz_attributes *ret)
{
    const struct value *resource = value_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_RESOURCE_ATTRIBUTES);
    const struct value *path = value_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_NON_RESOURCE_ATTRIBUTES);
    if ((value_type(resource) == VALUE_OBJECT) == (value_type(path) == VALUE_OBJECT))
        return false;
    if (value_type(path) == VALUE_OBJECT) {
        ret->path = at(path, F_NON_RESOURCE_ATTRIBUTES_PATH);
        ret->verb = at(path, F_NON_RESOURCE_ATTRIBUTES_VERB);
        return true;
    }
    ret->is_resource = true;
    ret->verb = at(resource, F_RESOURCE_ATTRIBUTES_VERB);
    ret->group = at(resource, F_RESOURCE_ATTRIBUTES_GROUP);
    ret->version = at(resource, F_RESOURCE_ATTRIBUTES_VERSION);
    ret->resource = at(resource, F_RESOURCE_ATTRIBUTES_RESOURCE);
    ret->subresource = at(resource, F_RESOURCE_ATTRIBUTES_SUBRESOURCE);
    ret->namespace_ = at(resource, F_RESOURCE_ATTRIBUTES_NAMESPACE);
    ret->name = at(resource, F_RESOURCE_ATTRIBUTES_NAME);
    return true;
}

static enum phase_result answer(struct request *r, const struct identity *identity)
{
    struct arena *a = &r->arena;
    struct authz_attributes attributes = { .identity = identity };
    struct value *status = value_object(a);
    struct str reason;
    if (!attributes_read(value_get(r->tree, F_SUBJECT_ACCESS_REVIEW_SPEC), &attributes))
        return request_fail(r, ERR_INVALID,
                            "exactly one of nonResourceAttributes or resourceAttributes must be specified");
    value_set_bool(a, status, F_SUBJECT_ACCESS_REVIEW_STATUS_ALLOWED, authz_allows(r->server, a, &attributes, &reason));
    if (!str_empty(reason))
        value_set(a, status, F_SUBJECT_ACCESS_REVIEW_STATUS_REASON, reason);
    value_put(a, r->tree, F_SUBJECT_ACCESS_REVIEW_STATUS, status);
    return request_answer_tree(r, 201, r->tree);
}

enum phase_result authz_self_subject_access_review(struct request *r)
{
    return answer(r, &r->identity);
}

enum phase_result authz_subject_access_review(struct request *r)
{
    const struct value *spec = value_get(r->tree, F_SUBJECT_ACCESS_REVIEW_SPEC);
    const struct value *groups = value_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_GROUPS);
    size_t count = value_type(groups) == VALUE_ARRAY ? groups->items_count : 0;
    struct str *items = arena_alloc_array(&r->arena, MIN(count, (size_t)GROUPS_MAX), sizeof(*items));
    if (count > GROUPS_MAX)
        return request_fail(r, ERR_BAD_REQUEST, "too many groups, the limit is %d", GROUPS_MAX);
    for (size_t i = 0; i < count; i++)
        items[i] = value_to_str(groups->items[i]);
    struct identity identity = { .user = at(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_USER),
                                 .groups = items,
                                 .groups_count = count };
    if (str_empty(identity.user) && !count)
        return request_fail(r, ERR_INVALID, "at least one of user or group must be specified");
    return answer(r, &identity);
}

enum phase_result authz_local_subject_access_review(struct request *r)
{
    const struct value *asked =
        value_path(r->tree, F_SUBJECT_ACCESS_REVIEW_SPEC, F_SUBJECT_ACCESS_REVIEW_SPEC_RESOURCE_ATTRIBUTES);
    if (value_type(asked) != VALUE_OBJECT || !str_eq(at(asked, F_RESOURCE_ATTRIBUTES_NAMESPACE), r->info.namespace_))
        return request_fail(r, ERR_BAD_REQUEST, "spec.resourceAttributes.namespace must match namespace: %.*s",
                            STR_ARG(r->info.namespace_));
    return authz_subject_access_review(r);
}

/* --- SelfSubjectRulesReview --------------------------------------------------------------------------------------- */

struct listing {
    struct arena *arena;
    struct value *resource_rules, *path_rules;
};

static void put_strings(struct arena *a, struct value *to, name_id name, struct rbac_strings strings)
{
    struct value *array = value_array(a);
    for (size_t i = 0; i < strings.count; i++)
        value_append(a, array, value_str(a, strings.items[i]));
    if (strings.count)
        value_put(a, to, name, array);
}

static void list_rule(void *arg, const struct rbac_rule *rule)
{
    struct listing *l = arg;
    struct value *row = value_object(l->arena);
    put_strings(l->arena, row, F_POLICY_RULE_VERBS, rule->verbs);
    if (rule->resources.count) {
        put_strings(l->arena, row, F_POLICY_RULE_API_GROUPS, rule->groups);
        put_strings(l->arena, row, F_POLICY_RULE_RESOURCES, rule->resources);
        put_strings(l->arena, row, F_POLICY_RULE_RESOURCE_NAMES, rule->names);
        value_append(l->arena, l->resource_rules, row);
    }
    if (rule->urls.count) {
        struct value *paths = value_object(l->arena);
        put_strings(l->arena, paths, F_NON_RESOURCE_RULE_VERBS, rule->verbs);
        put_strings(l->arena, paths, F_NON_RESOURCE_RULE_NON_RESOURCE_URLS, rule->urls);
        value_append(l->arena, l->path_rules, paths);
    }
}

enum phase_result authz_self_subject_rules_review(struct request *r)
{
    struct arena *a = &r->arena;
    struct listing l = { a, value_array(a), value_array(a) };
    struct value *status = value_object(a), *spec = value_get(r->tree, F_SELF_SUBJECT_RULES_REVIEW_SPEC);
    struct str namespace_ = at(spec, F_SELF_SUBJECT_RULES_REVIEW_SPEC_NAMESPACE);
    bool node = !str_empty(authz_node_name(&r->identity));
    if (str_empty(namespace_))
        return request_fail(r, ERR_BAD_REQUEST, "no namespace on request");
    rbac_rules_of(server_rbac(r->server), &r->identity, namespace_, list_rule, &l);
    value_put(a, status, F_SUBJECT_RULES_REVIEW_STATUS_RESOURCE_RULES, l.resource_rules);
    value_put(a, status, F_SUBJECT_RULES_REVIEW_STATUS_NON_RESOURCE_RULES, l.path_rules);
    value_set_bool(a, status, F_SUBJECT_RULES_REVIEW_STATUS_INCOMPLETE, node);
    if (node)
        value_set_text(a, status, F_SUBJECT_RULES_REVIEW_STATUS_EVALUATION_ERROR,
                       "node authorizer does not support user rule resolution");
    value_put(a, r->tree, F_SELF_SUBJECT_RULES_REVIEW_STATUS, status);
    return request_answer_tree(r, 201, r->tree);
}
