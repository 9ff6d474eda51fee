/* RBAC on its index: who may do what, as roles and bindings come and go. */
#include "test.h"

#include "server/authz.h"

static struct rbac *r;

static void put(const struct kind *kind, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    kinds_init();
    AUTO_OBJECT struct object *o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    rbac_put(r, kind, o);
}

static void cluster_role(const char *name, const char *rules)
{
    AUTO_FREE char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"rules\":[%s]}", name, rules);
    put(&kind_clusterrole, json);
}

static void cluster_binding(const char *name, const char *role, const char *subject_kind, const char *subject)
{
    AUTO_FREE char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"subjects\":[{\"kind\":\"%s\",\"name\":\"%s\"}],"
                                     "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"%s\"}}",
                                     name, subject_kind, subject, role);
    put(&kind_clusterrolebinding, json);
}

static void binding(const char *namespace_, const char *name, const char *ref_kind, const char *role,
                    const char *subject)
{
    AUTO_FREE char *json = xasprintf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"subjects\":[%s],"
                                     "\"roleRef\":{\"kind\":\"%s\",\"name\":\"%s\"}}",
                                     name, namespace_, subject, ref_kind, role);
    put(&kind_rolebinding, json);
}

static bool may(const char *user, const char *verb, const char *group, const char *resource, const char *sub,
                const char *namespace_, const char *name)
{
    struct str groups[] = { STR("system:authenticated"), STR("devs") };
    struct identity who = { .user = str_of(user), .groups = groups, .groups_count = 2 };
    return rbac_allows(r, &(struct authz_attributes){ .identity = &who,
                                                      .is_resource = true,
                                                      .verb = str_of(verb),
                                                      .group = str_of(group),
                                                      .resource = str_of(resource),
                                                      .subresource = str_of(sub),
                                                      .namespace_ = str_of(namespace_),
                                                      .name = str_of(name) });
}

static bool may_path(const char *user, const char *verb, const char *path)
{
    struct identity who = { .user = str_of(user) };
    return rbac_allows(r, &(struct authz_attributes){ .identity = &who, .verb = str_of(verb), .path = str_of(path) });
}

#define PODS "{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}"

TEST("nobody may do anything without a binding")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("a cluster binding reaches every namespace and the cluster scope")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    cluster_binding("b", "reader", "User", "jane");
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    ASSERT(may("jane", "list", "", "pods", "", "", ""));
    ASSERT(!may("jane", "delete", "", "pods", "", "a", "x"));
    ASSERT(!may("john", "get", "", "pods", "", "a", "x"));
    ASSERT(!may("jane", "get", "apps", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("a role binding reaches its own namespace alone, also when it binds a cluster role")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    binding("a", "b", "ClusterRole", "reader", "{\"kind\":\"User\",\"name\":\"jane\"}");
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    ASSERT(!may("jane", "get", "", "pods", "", "b", "x"));
    ASSERT(!may("jane", "list", "", "pods", "", "", ""));
    rbac_free(r);
}

TEST("a namespaced role is found in the binding's namespace only")
{
    r = rbac_new();
    put(&kind_role, "{\"metadata\":{\"name\":\"reader\",\"namespace\":\"a\"},\"rules\":[" PODS "]}");
    binding("a", "b", "Role", "reader", "{\"kind\":\"User\",\"name\":\"jane\"}");
    binding("c", "b", "Role", "reader", "{\"kind\":\"User\",\"name\":\"jane\"}");
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    ASSERT(!may("jane", "get", "", "pods", "", "c", "x"));
    rbac_free(r);
}

TEST("a subresource needs a rule of its own")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    cluster_role("logs", "{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods/log\",\"*/scale\"]}");
    cluster_binding("b", "reader", "User", "jane");
    ASSERT(!may("jane", "get", "", "pods", "log", "a", "x"));
    cluster_binding("c", "logs", "User", "jane");
    ASSERT(may("jane", "get", "", "pods", "log", "a", "x"));
    ASSERT(may("jane", "get", "", "replicationcontrollers", "scale", "a", "x"));
    ASSERT(!may("jane", "get", "", "pods", "exec", "a", "x"));
    rbac_free(r);
}

TEST("a rule with names allows those names, and no list")
{
    r = rbac_new();
    cluster_role(
        "one",
        "{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"mine\"]}");
    cluster_binding("b", "one", "User", "jane");
    ASSERT(may("jane", "get", "", "secrets", "", "a", "mine"));
    ASSERT(!may("jane", "get", "", "secrets", "", "a", "yours"));
    ASSERT(!may("jane", "list", "", "secrets", "", "a", ""));
    rbac_free(r);
}

TEST("stars match verbs, groups and resources with their subresources")
{
    r = rbac_new();
    cluster_role("all", "{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}");
    cluster_binding("b", "all", "Group", "devs");
    ASSERT(may("anybody", "deletecollection", "apps", "deployments", "", "a", ""));
    ASSERT(may("anybody", "create", "", "pods", "exec", "a", "x"));
    ASSERT(!may_path("anybody", "get", "/metrics"));
    rbac_free(r);
}

TEST("a service account is meant by its namespace and name")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    binding("a", "b", "ClusterRole", "reader", "{\"kind\":\"ServiceAccount\",\"name\":\"bot\",\"namespace\":\"ci\"}");
    ASSERT(may("system:serviceaccount:ci:bot", "get", "", "pods", "", "a", "x"));
    ASSERT(!may("system:serviceaccount:a:bot", "get", "", "pods", "", "a", "x"));
    ASSERT(!may("bot", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("paths match exactly or below a star")
{
    r = rbac_new();
    cluster_role("paths", "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/api/*\"]}");
    cluster_binding("b", "paths", "User", "jane");
    ASSERT(may_path("jane", "get", "/healthz"));
    ASSERT(may_path("jane", "get", "/api/v1"));
    ASSERT(!may_path("jane", "get", "/healthz/etcd"));
    ASSERT(!may_path("jane", "get", "/apis"));
    ASSERT(!may_path("jane", "post", "/healthz"));
    rbac_free(r);
}

TEST("what is removed counts no more, at once")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    cluster_binding("b", "reader", "User", "jane");
    rbac_remove(r, &kind_clusterrolebinding, STR_NONE, STR("b"));
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    cluster_binding("b", "reader", "User", "jane");
    rbac_remove(r, &kind_clusterrole, STR_NONE, STR("reader"));
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    cluster_role("reader", PODS);
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("a binding whose subjects changed reaches the new ones alone")
{
    r = rbac_new();
    cluster_role("reader", PODS);
    cluster_binding("b", "reader", "User", "jane");
    cluster_binding("b", "reader", "User", "john");
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    ASSERT(may("john", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("an aggregated role has the rules of the roles its selectors choose, as they are now")
{
    r = rbac_new();
    put(&kind_clusterrole, "{\"metadata\":{\"name\":\"sum\"},\"aggregationRule\":{\"clusterRoleSelectors\":[{"
                           "\"matchLabels\":{\"to\":\"sum\"}}]},"
                           "\"rules\":[]}");
    cluster_binding("b", "sum", "User", "jane");
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    put(&kind_clusterrole, "{\"metadata\":{\"name\":\"part\",\"labels\":{\"to\":\"sum\"}},\"rules\":[" PODS "]}");
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    put(&kind_clusterrole, "{\"metadata\":{\"name\":\"part\",\"labels\":{\"to\":\"other\"}},\"rules\":[" PODS "]}");
    ASSERT(!may("jane", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("two roles that aggregate each other end and grant what lies below both")
{
    r = rbac_new();
    put(&kind_clusterrole,
        "{\"metadata\":{\"name\":\"a\",\"labels\":{\"to\":\"b\"}},\"aggregationRule\":{\"clusterRoleSelectors\":"
        "[{\"matchLabels\":{\"to\":\"a\"}}]}}");
    put(&kind_clusterrole,
        "{\"metadata\":{\"name\":\"b\",\"labels\":{\"to\":\"a\"}},\"aggregationRule\":{\"clusterRoleSelectors\":"
        "[{\"matchLabels\":{\"to\":\"b\"}}]}}");
    put(&kind_clusterrole, "{\"metadata\":{\"name\":\"part\",\"labels\":{\"to\":\"b\"}},\"rules\":[" PODS "]}");
    cluster_binding("x", "a", "User", "jane");
    ASSERT(may("jane", "get", "", "pods", "", "a", "x"));
    rbac_free(r);
}

TEST("the answer to a refusal is upstream's sentence")
{
    static const struct {
        struct authz_attributes a;
        const char *reason, *text;
    } rows[] = {
        { { .is_resource = true, .verb = STR_INIT("list"), .resource = STR_INIT("pods"), .namespace_ = STR_INIT("y") },
          "",
          "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"y\"" },
        { { .is_resource = true,
            .verb = STR_INIT("get"),
            .group = STR_INIT("apps"),
            .resource = STR_INIT("deployments"),
            .subresource = STR_INIT("scale"),
            .namespace_ = STR_INIT("y"),
            .name = STR_INIT("web") },
          "",
          "deployments.apps \"web\" is forbidden: User \"x\" cannot get resource \"deployments/scale\" in API group "
          "\"apps\" in the namespace "
          "\"y\"" },
        { { .is_resource = true, .verb = STR_INIT("list"), .resource = STR_INIT("nodes") },
          "",
          "nodes is forbidden: User \"x\" cannot list resource \"nodes\" in API group \"\" at the cluster scope" },
        { { .verb = STR_INIT("get"), .path = STR_INIT("/foo") }, "", "forbidden: User \"x\" cannot get path \"/foo\"" },
        { { .verb = STR_INIT("get"), .path = STR_INIT("/foo") },
          "because",
          "forbidden: User \"x\" cannot get path \"/foo\": because" },
    };
    struct identity who = { .user = STR("x") };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_ERROR struct error err = { 0 };
        struct authz_attributes a = rows[i].a;
        a.identity = &who;
        ASSERT_INT(authz_forbid(&a, str_of(rows[i].reason), &err), -1);
        ASSERT_STR(error_text(&err), rows[i].text);
        ASSERT_INT(err.code, ERR_FORBIDDEN);
    }
}
