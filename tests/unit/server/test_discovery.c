/* What the server says about itself. */
#include "world.h"

TEST("discovery names groups, versions and resources, in both forms")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "GET", "/api", NULL), 200);
    ASSERT_STR(text_at(&w, "versions"), "[\"v1\"]");
    ASSERT_INT(ask(&w, "GET", "/apis", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "APIGroupList");
    ASSERT_CONTAINS(text_at(&w, "groups"), "\"preferredVersion\":{\"groupVersion\":\"apps/v1\",\"version\":\"v1\"}");
    ASSERT_INT(ask(&w, "GET", "/apis/apps", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "APIGroup");
    ASSERT_INT(ask(&w, "GET", "/apis/apps/v1", NULL), 200);
    ASSERT_CONTAINS(text_at(&w, "resources"),
                    "{\"name\":\"deployments/scale\",\"singularName\":\"\",\"namespaced\":true,\"group\":"
                    "\"autoscaling\",\"version\":\"v1\",\"kind\":\"Scale\",\"verbs\":[\"get\",\"patch\",\"update\"]}");
    ASSERT_INT(ask(&w, "GET", "/apis/nope/v1", NULL), 404);
    w.accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    ASSERT_INT(ask(&w, "GET", "/apis", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "APIGroupDiscoveryList");
    ASSERT_STR(w.content_type_in, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    ASSERT_INT(ask(&w, "GET", "/api", NULL), 200);
    ASSERT_STR(text_at(&w, "items.0.versions.0.version"), "v1");
    ASSERT_CONTAINS(text_at(&w, "items"), "\"resource\":\"pods\"");
    world_stop(&w);
}

TEST("version, health and the list of paths")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "GET", "/version", NULL), 200);
    ASSERT_STR(text_at(&w, "gitVersion"), "v1.36.0+klein");
    ASSERT_INT(ask(&w, "GET", "/", NULL), 200);
    ASSERT_CONTAINS(text_at(&w, "paths"), "\"/apis/apps/v1\"");
    ASSERT_INT(ask(&w, "GET", "/healthz", NULL), 200);
    ASSERT_STR(buf_str(&w.body), "ok");
    ASSERT_INT(ask(&w, "GET", "/readyz?verbose", NULL), 200);
    ASSERT_CONTAINS(buf_str(&w.body), "[+]store ok\n");
    ASSERT_CONTAINS(buf_str(&w.body), "readyz check passed");
    ASSERT_INT(ask(&w, "GET", "/readyz?verbose&exclude=store", NULL), 200);
    ASSERT_CONTAINS(buf_str(&w.body), "[+]store excluded: ok\n");
    ASSERT_INT(ask(&w, "GET", "/livez/ping", NULL), 200);
    ASSERT_INT(ask(&w, "GET", "/livez/nope", NULL), 404);
    ASSERT_INT(ask(&w, "POST", "/healthz", "{}"), 405);
    ASSERT_INT(ask(&w, "GET", "/nope", NULL), 404);
    world_stop(&w);
}

TEST("OpenAPI comes as v2 JSON, v2 protobuf and v3, with an ETag")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "GET", "/openapi/v2", NULL), 200);
    ASSERT_STR(text_at(&w, "swagger"), "2.0");
    ASSERT_INT(w.etag.n, 66);
    w.accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    ASSERT_INT(ask(&w, "GET", "/openapi/v2", NULL), 200);
    ASSERT(w.body.n > 10000 && w.body.p[0] != '{');
    w.accept = NULL;
    ASSERT_INT(ask(&w, "GET", "/openapi/v3", NULL), 200);
    ASSERT_CONTAINS(text_at(&w, "paths"), "apis/apps/v1");
    ASSERT_INT(ask(&w, "GET", "/openapi/v3/apis/apps/v1", NULL), 200);
    ASSERT_INT(ask(&w, "GET", "/openapi/v3/api/v1", NULL), 200);
    ASSERT_INT(ask(&w, "GET", "/openapi/v3/apis/no/v1", NULL), 404);
    world_stop(&w);
}

TEST("metrics count requests by verb, resource and code")
{
    struct world w;
    world_start(&w);
    ask(&w, "GET", "/api/v1/namespaces/default/secrets", NULL);
    ask(&w, "GET", "/api/v1/namespaces/default/secrets/none", NULL);
    ASSERT_INT(ask(&w, "GET", "/metrics", NULL), 200);
    ASSERT_CONTAINS(
        buf_str(&w.body),
        "apiserver_request_total{verb=\"LIST\",group=\"\",version=\"v1\",resource=\"secrets\",subresource=\"\","
        "scope=\"namespace\",code=\"200\"} 1\n");
    ASSERT_CONTAINS(buf_str(&w.body), "resource=\"secrets\",subresource=\"\",scope=\"resource\",code=\"404\"} 1\n");
    ASSERT_CONTAINS(buf_str(&w.body), "apiserver_request_duration_seconds_bucket{verb=\"LIST\"");
    ASSERT_CONTAINS(buf_str(&w.body), "\napiserver_storage_objects{resource=\"namespaces\"} 4\n");
    world_stop(&w);
}
