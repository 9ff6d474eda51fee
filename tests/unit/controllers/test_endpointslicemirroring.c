/* What the mirroring controller plans for Endpoints written by hand. */
#include "controllers/controllers.h"
#include "seen.h"

static struct seen s;

static void add_service(const char *selector)
{
    seen_add(&s, &kind_service, "{'metadata':{'name':'db'},'spec':{'selector':{%s},'ports':[{'port':5432}]}}",
             selector);
}

static void add_endpoints(const char *more)
{
    seen_add(&s, &kind_endpoints,
             "{'metadata':{'name':'db'%s},'subsets':[{'addresses':[{'ip':'192.0.2.1'}],"
             "'notReadyAddresses':[{'ip':'192.0.2.2'}],'ports':[{'port':5432,'protocol':'TCP'}]}]}",
             more);
}

static struct str plan(void)
{
    return seen_plan(&s, &controller_endpointslicemirroring, "default", "db");
}

TEST("hand-written Endpoints of a Service without a selector are mirrored, ready and not ready")
{
    seen_init(&s);
    add_service("");
    add_endpoints("");
    ASSERT_STR(plan(), "create EndpointSlice default/db-mirror-0\n");
    struct str json = object_json(s.plan.steps[0].body);
    ASSERT_CONTAINS(json, "{\"addresses\":[\"192.0.2.1\"],\"conditions\":{\"ready\":true}}");
    ASSERT_CONTAINS(json, "{\"addresses\":[\"192.0.2.2\"],\"conditions\":{\"ready\":false}}");
    ASSERT_CONTAINS(json, "\"kubernetes.io/service-name\":\"db\"");
    seen_done(&s);
}

TEST("Endpoints of a Service with a selector, or marked so, are left alone")
{
    seen_init(&s);
    add_service("'app':'db'");
    add_endpoints("");
    ASSERT_STR(plan(), "");
    add_service("");
    add_endpoints(",'labels':{'endpointslice.kubernetes.io/skip-mirror':'true'}");
    ASSERT_STR(plan(), "");
    seen_done(&s);
}

TEST("a slice whose subset is gone goes too, one of somebody else stays")
{
    seen_init(&s);
    add_service("");
    seen_add(&s, &kind_endpoints, "{'metadata':{'name':'db'}}");
    seen_add(&s, &kind_endpointslice,
             "{'metadata':{'name':'db-mirror-0','labels':{'endpointslice.kubernetes.io/managed-by':"
             "'endpointslicemirroring-controller.k8s.io'}}}");
    seen_add(&s, &kind_endpointslice, "{'metadata':{'name':'db-mirror-1'}}");
    ASSERT_STR(plan(), "delete EndpointSlice default/db-mirror-0\n");
    seen_done(&s);
}
