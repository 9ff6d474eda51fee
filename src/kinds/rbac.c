/* Rules, defaults and rows of roles and of their bindings. */
#include "kinds/rbac.h"

#include "kinds/cells.h"

#define GROUP "rbac.authorization.k8s.io"

static void check_rule(struct check *k, const struct at *at, struct view rule, bool namespaced)
{
    struct view urls = view_get(rule, F_POLICY_RULE_NON_RESOURCE_URLS);
    struct view groups = view_get(rule, F_POLICY_RULE_API_GROUPS), resources = view_get(rule, F_POLICY_RULE_RESOURCES);

    if (!view_count(view_get(rule, F_POLICY_RULE_VERBS)))
        check_required(k, AT(at, "verbs"), "verbs must contain at least one value");
    if (view_count(urls)) {
        if (namespaced)
            check_invalid(k, AT(at, "nonResourceURLs"), urls, "namespaced rules cannot apply to non-resource URLs");
        if (view_count(groups) || view_count(resources) || view_count(view_get(rule, F_POLICY_RULE_RESOURCE_NAMES)))
            check_invalid(k, AT(at, "nonResourceURLs"), urls,
                          "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (!view_count(groups))
        check_required(k, AT(at, "apiGroups"), "resource rules must supply at least one api group");
    if (!view_count(resources))
        check_required(k, AT(at, "resources"), "resource rules must supply at least one resource");
}

void rbac_check_rules(struct check *k, struct view rules, bool namespaced)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(rules, &it) && !check_full(k); i++)
        check_rule(k, AT_INDEX(AT(AT_ROOT, "rules"), i), it.value, namespaced);
}

void rbac_binding_default(struct kind_context *c, struct value *binding)
{
    struct value *ref = value_get(binding, F_ROLE_BINDING_ROLE_REF), *subject;

    if (value_type(ref) == VALUE_OBJECT)
        default_text(c->arena, ref, F_ROLE_REF_API_GROUP, GROUP);
    for (size_t i = 0; (subject = value_at(value_get(binding, F_ROLE_BINDING_SUBJECTS), i)); i++) {
        struct str kind = value_to_str(value_get(subject, F_SUBJECT_KIND));

        if (str_is(kind, "User") || str_is(kind, "Group"))
            default_text(c->arena, subject, F_SUBJECT_API_GROUP, GROUP);
    }
}

static void check_subject(struct check *k, const struct at *at, struct view subject, bool namespaced)
{
    static const char *const kinds[] = { "ServiceAccount", "User", "Group", NULL };
    static const char *const core[] = { "", NULL };
    static const char *const rbac[] = { GROUP, NULL };
    struct str kind = view_str_at(subject, F_SUBJECT_KIND), name = view_str_at(subject, F_SUBJECT_NAME);
    struct str group = view_str_at(subject, F_SUBJECT_API_GROUP);

    if (!name.n)
        check_required(k, AT(at, "name"), "");
    if (str_is(kind, "ServiceAccount")) {
        if (name.n)
            check_dns_subdomain(k, AT(at, "name"), name);
        check_one_of(k, AT(at, "apiGroup"), group, core);
        if (!namespaced && !view_str_at(subject, F_SUBJECT_NAMESPACE).n)
            check_required(k, AT(at, "namespace"), "");
    } else if (str_is(kind, "User") || str_is(kind, "Group")) {
        check_one_of(k, AT(at, "apiGroup"), group, rbac);
    } else {
        check_not_supported(k, AT(at, "kind"), kind, kinds);
    }
}

void rbac_check_binding(struct check *k, struct view binding, struct view old, const char *const *kinds,
                        bool namespaced)
{
    static const char *const groups[] = { GROUP, NULL };
    struct view ref = view_get(binding, F_ROLE_BINDING_ROLE_REF);
    struct str name = view_str_at(ref, F_ROLE_REF_NAME);
    const struct at *at = AT(AT_ROOT, "roleRef");
    struct view_iter it = { 0 };
    const char *problem;

    check_one_of(k, AT(at, "apiGroup"), view_str_at(ref, F_ROLE_REF_API_GROUP), groups);
    check_one_of(k, AT(at, "kind"), view_str_at(ref, F_ROLE_REF_KIND), kinds);
    if (!name.n)
        check_required(k, AT(at, "name"), "");
    else if ((problem = name_is_path_segment(name, false)))
        check_invalid_str(k, AT(at, "name"), name, problem);
    for (size_t i = 0; view_next(view_get(binding, F_ROLE_BINDING_SUBJECTS), &it) && !check_full(k); i++)
        check_subject(k, AT_INDEX(AT(AT_ROOT, "subjects"), i), it.value, namespaced);
    if (view_present(old) && !view_equal(ref, view_get(old, F_ROLE_BINDING_ROLE_REF)))
        check_invalid(k, at, ref, "cannot change roleRef");
}

const struct kind_column rbac_role_columns[] = {
    COLUMN_NAME,
    COLUMN_CREATED_AT,
    { NULL },
};

void rbac_role_row(struct arena *a, struct view role, int64_t now_ms, struct value *cells)
{
    (void)now_ms;
    cell_name(a, cells, role);
    cell_created_at(a, cells, role);
}

const struct kind_column rbac_binding_columns[] = {
    COLUMN_NAME,
    { "Role", "string", "", "The role that is granted.", 0 },
    COLUMN_AGE,
    { "Users", "string", "", "Users it is granted to.", 1 },
    { "Groups", "string", "", "Groups it is granted to.", 1 },
    { "ServiceAccounts", "string", "", "Service accounts it is granted to.", 1 },
    { NULL },
};

static void cell_subjects(struct arena *a, struct value *cells, struct view binding, const char *kind)
{
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);
    struct view_iter it = { 0 };

    while (view_next(view_get(binding, F_ROLE_BINDING_SUBJECTS), &it)) {
        if (!str_is(view_str_at(it.value, F_SUBJECT_KIND), kind))
            continue;
        buf_add_text(&text, text.n ? ", " : "");
        if (strcmp(kind, "ServiceAccount") == 0)
            buf_addf(&text, "%.*s/", STR_ARG(view_str_at(it.value, F_SUBJECT_NAMESPACE)));
        buf_add(&text, view_str_at(it.value, F_SUBJECT_NAME));
    }
    cell_str(a, cells, arena_str(a, buf_str(&text)));
}

void rbac_binding_row(struct arena *a, struct view binding, int64_t now_ms, struct value *cells)
{
    struct view ref = view_get(binding, F_ROLE_BINDING_ROLE_REF);

    cell_name(a, cells, binding);
    cell_textf(a, cells, "%.*s/%.*s", STR_ARG(view_str_at(ref, F_ROLE_REF_KIND)),
               STR_ARG(view_str_at(ref, F_ROLE_REF_NAME)));
    cell_age(a, cells, binding, now_ms);
    cell_subjects(a, cells, binding, "User");
    cell_subjects(a, cells, binding, "Group");
    cell_subjects(a, cells, binding, "ServiceAccount");
}
