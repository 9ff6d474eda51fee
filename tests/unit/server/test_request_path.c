/* From URL path to what is asked for. */
#include "test.h"

#include "server/request_path.h"

static struct request_info parse(struct arena *a, const char *method, const char *path)
{
    struct request_info info;
    AUTO_ERROR struct error err = { 0 };
    ASSERT_OK(request_path_parse(a, str_of(method), str_of(path), &info, &err), &err);
    return info;
}

TEST("the core group, a namespace, a name and a subresource are told apart")
{
    AUTO_ARENA struct arena a = { 0 };
    struct request_info i = parse(&a, "PUT", "/api/v1/namespaces/shop/pods/web-1/status");
    ASSERT(i.is_resource);
    ASSERT_STR(i.verb, "update");
    ASSERT_STR(i.group, "");
    ASSERT_STR(i.version, "v1");
    ASSERT_STR(i.namespace_, "shop");
    ASSERT_STR(i.resource, "pods");
    ASSERT_STR(i.name, "web-1");
    ASSERT_STR(i.subresource, "status");
}

TEST("a collection is listed, created in, and deleted as a whole")
{
    AUTO_ARENA struct arena a = { 0 };
    ASSERT_STR(parse(&a, "GET", "/apis/apps/v1/deployments").verb, "list");
    ASSERT_STR(parse(&a, "POST", "/apis/apps/v1/namespaces/x/deployments").verb, "create");
    ASSERT_STR(parse(&a, "DELETE", "/apis/apps/v1/namespaces/x/deployments").verb, "deletecollection");
    ASSERT_STR(parse(&a, "DELETE", "/apis/apps/v1/namespaces/x/deployments/d").verb, "delete");
}

TEST("a namespace is a resource of its own, its status and finalize are its subresources")
{
    AUTO_ARENA struct arena a = { 0 };
    struct request_info i = parse(&a, "PUT", "/api/v1/namespaces/x/finalize");
    ASSERT_STR(i.resource, "namespaces");
    ASSERT_STR(i.name, "x");
    ASSERT_STR(i.subresource, "finalize");
    i = parse(&a, "GET", "/api/v1/namespaces");
    ASSERT_STR(i.resource, "namespaces");
    ASSERT_STR(i.verb, "list");
}

TEST("what is no resource keeps its path and its method as verb")
{
    AUTO_ARENA struct arena a = { 0 };
    struct request_info i = parse(&a, "GET", "/healthz/ping");
    ASSERT(!i.is_resource);
    ASSERT_STR(i.path, "/healthz/ping");
    ASSERT_STR(i.verb, "get");
    ASSERT(!parse(&a, "GET", "/apis/apps/v1").is_resource);
    ASSERT(!parse(&a, "GET", "/").is_resource);
    ASSERT_STR(parse(&a, "GET", "/").path, "/");
}

TEST("percent-encoding is undone exactly once")
{
    AUTO_ARENA struct arena a = { 0 };
    ASSERT_STR(parse(&a, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode").name, "system:node");
    ASSERT_STR(parse(&a, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%2541").name, "a%41");
}

TEST("paths that climb, hide slashes, or are not canonical are refused")
{
    static const char *const bad[] = {
        "/api/v1/namespaces/../secrets",
        "/api/v1/namespaces/a/pods/..",
        "/api/v1/namespaces/a/pods/%2e%2e",
        "/api/v1/namespaces/a/pods/b%2Fc",
        "/api/v1//pods",
        "/api/v1/namespaces/a/pods/%00",
        "/api/v1/namespaces/a/pods/%zz",
        "/api/v1/namespaces/a/pods/.",
        "/api/v1/namespaces/a/pods/%ff",
        "/apis/apps/../v1/namespaces/x/pods",
        "/api/v1/namespaces/a/pods/b/status/c",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_ARENA struct arena a = { 0 };
        AUTO_ERROR struct error err = { 0 };
        struct request_info info;
        if (request_path_parse(&a, STR("GET"), str_of(bad[i]), &info, &err) == 0)
            FAIL("accepted: %s", bad[i]);
    }
}

TEST("what stands behind proxy is kept as it came, but must not climb")
{
    AUTO_ARENA struct arena a = { 0 };
    struct request_info i = parse(&a, "GET", "/api/v1/nodes/n1/proxy/metrics/cadvisor");
    ASSERT_STR(i.subresource, "proxy");
    ASSERT_STR(i.rest, "metrics/cadvisor");
    struct request_info info;
    ASSERT(request_path_parse(&a, STR("GET"), STR("/api/v1/nodes/n1/proxy/../../x"), &info, NULL) < 0);
}
