/* Endpoints and EndpointSlices: which pods stand behind a Service, and how little changes when they do. */
#include "controllers/controllers.h"
#include "seen.h"

#include <stdio.h>

static struct seen s;

static void add_service(const char *more)
{
    seen_add(
        &s, &kind_service,
        "{'metadata':{'name':'web','labels':{'team':'x'}},'spec':{'clusterIP':'10.96.0.9','selector':{'app':'web'},"
        "'ports':[{'name':'http','port':80,'targetPort':8080,'protocol':'TCP'}]%s}}",
        more);
}

/* metadata: further members, with a leading comma. */
static void add_pod_with(const char *name, int number, bool ready, const char *metadata)
{
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'%s','labels':{'app':'web'}%s},'spec':{'nodeName':'n1'},'status':{'phase':'Running',"
             "'podIP':'10.244.%d.%d','conditions':[{'type':'Ready','status':'%s'}]}}",
             name, metadata, number / 250, number % 250 + 1, ready ? "True" : "False");
}

static void add_pod(const char *name, int number, bool ready)
{
    add_pod_with(name, number, ready, "");
}

static void add_node(const char *ready)
{
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1','labels':{'topology.kubernetes.io/zone':'a'}},'status':{'conditions':["
             "{'type':'Ready','status':'%s'}]}}",
             ready);
}

static struct str slices(void)
{
    return seen_plan(&s, &controller_endpointslice, "default", "web");
}

static struct str endpoints(void)
{
    return seen_plan(&s, &controller_endpoints, "default", "web");
}

static struct str body(size_t step)
{
    ASSERT(step < s.plan.count);
    return object_json(s.plan.steps[step].body);
}

static int slice_sizes(int *sizes, int max)
{
    int n = 0;

    for (size_t i = 0; i < s.count; i++)
        if (s.kinds[i] == &kind_endpointslice && n < max)
            sizes[n++] = (int)view_count(view_get_str(object_root(s.objects[i]), STR("endpoints")));
    return n;
}

TEST("a ready pod becomes an endpoint with its address, node, zone and pod")
{
    seen_init(&s);
    add_service("");
    add_node("True");
    add_pod("web-a", 1, true);
    ASSERT_CONTAINS(slices(), "create EndpointSlice default/web-");
    ASSERT_CONTAINS(body(0),
                    "\"endpoints\":[{\"addresses\":[\"10.244.0.2\"],\"conditions\":{\"ready\":true,\"serving\":"
                    "true,\"terminating\":false},\"targetRef\":{\"kind\":\"Pod\",\"namespace\":\"default\","
                    "\"name\":\"web-a\",\"uid\":\"web-a-uid\"},\"nodeName\":\"n1\",\"zone\":\"a\"}]");
    ASSERT_CONTAINS(body(0), "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}]");
    ASSERT_CONTAINS(body(0), "\"kubernetes.io/service-name\":\"web\"");
    ASSERT_CONTAINS(body(0), "\"team\":\"x\"");
    ASSERT_INT(seen_settle(&s, &controller_endpointslice, "default", "web"), 2);
    ASSERT_CONTAINS(endpoints(), "create Endpoints default/web");
    ASSERT_CONTAINS(body(0), "\"subsets\":[{\"addresses\":[{\"ip\":\"10.244.0.2\",\"nodeName\":\"n1\"");
    ASSERT_INT(seen_settle(&s, &controller_endpoints, "default", "web"), 2);
    seen_done(&s);
}

TEST("endpoints say for which zone or node they are when the Service keeps its traffic near")
{
    seen_init(&s);
    add_service(",'trafficDistribution':'PreferSameZone'");
    add_node("True");
    add_pod("web-a", 1, true);
    add_pod("web-b", 2, false);
    slices();
    ASSERT_CONTAINS(body(0), "\"zone\":\"a\",\"hints\":{\"forZones\":[{\"name\":\"a\"}]}}");
    ASSERT(str_ends(body(0), STR("\"nodeName\":\"n1\",\"zone\":\"a\"}],\"ports\":[{\"name\":\"http\",\"protocol\":"
                                 "\"TCP\",\"port\":8080}]}"))); /* not ready: for nobody */
    seen_done(&s);
    seen_init(&s);
    add_service(",'trafficDistribution':'PreferSameNode'");
    add_node("True");
    add_pod("web-a", 1, true);
    slices();
    ASSERT_CONTAINS(body(0), "\"hints\":{\"forZones\":[{\"name\":\"a\"}],\"forNodes\":[{\"name\":\"n1\"}]}}");
    seen_done(&s);
}

TEST("a pod that is not ready stands there, but not in service; one that ends still serves what it has")
{
    seen_init(&s);
    add_service("");
    add_pod("web-a", 1, false);
    add_pod_with("web-b", 2, true, ",'deletionTimestamp':'2026-11-20T23:59:59Z'");
    slices();
    ASSERT_CONTAINS(body(0), "\"conditions\":{\"ready\":false,\"serving\":false,\"terminating\":false}");
    ASSERT_CONTAINS(body(0), "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}");
    endpoints();
    ASSERT_CONTAINS(body(0), "\"notReadyAddresses\":[{\"ip\":\"10.244.0.2\"");
    ASSERT(!str_contains(body(0), STR("10.244.0.3")));
    seen_done(&s);
}

TEST("publishNotReadyAddresses puts every pod in service")
{
    seen_init(&s);
    add_service(",'publishNotReadyAddresses':true");
    add_pod("web-a", 1, false);
    slices();
    ASSERT_CONTAINS(body(0), "\"conditions\":{\"ready\":true,\"serving\":true,\"terminating\":false}");
    seen_done(&s);
}

TEST("pods of a node that is not heard are out of service, whatever they last said")
{
    seen_init(&s);
    add_service("");
    add_node("True");
    add_pod("web-a", 1, true);
    seen_settle(&s, &controller_endpointslice, "default", "web");
    add_node("Unknown");
    slices();
    ASSERT_CONTAINS(body(0), "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":false}");
    seen_done(&s);
}

TEST("250 pods stand in slices of at most 100, and a second look changes nothing")
{
    int sizes[8] = { 0 };

    seen_init(&s);
    add_service("");
    for (int i = 0; i < 250; i++) {
        char name[16];
        snprintf(name, sizeof(name), "web-%03d", i);
        add_pod(name, i, true);
    }
    seen_settle(&s, &controller_endpointslice, "default", "web");
    ASSERT_INT(slice_sizes(sizes, 8), 3);
    ASSERT_INT(sizes[0] + sizes[1] + sizes[2], 250);
    ASSERT(sizes[0] <= 100 && sizes[1] <= 100 && sizes[2] <= 100);
    ASSERT_STR(slices(), "");
    /* One goes: one slice changes, nobody moves. */
    seen_remove(&s, &kind_pod, "default", "web-007");
    slices();
    ASSERT_INT(s.plan.count, 1);
    seen_settle(&s, &controller_endpointslice, "default", "web");
    ASSERT_INT(slice_sizes(sizes, 8), 3);
    /* Another comes: it takes the free place. */
    add_pod("web-new", 300, true);
    slices();
    ASSERT_INT(s.plan.count, 1);
    seen_settle(&s, &controller_endpointslice, "default", "web");
    ASSERT_INT(slice_sizes(sizes, 8), 3);
    seen_done(&s);
}

TEST("a slice that holds nothing any more goes")
{
    seen_init(&s);
    add_service("");
    add_pod("web-a", 1, true);
    seen_settle(&s, &controller_endpointslice, "default", "web");
    seen_remove(&s, &kind_pod, "default", "web-a");
    ASSERT_CONTAINS(slices(), "delete EndpointSlice default/web-");
    seen_done(&s);
}

TEST("a headless Service without ports comes to rest")
{
    seen_init(&s);
    seen_add(&s, &kind_service, "{'metadata':{'name':'web'},'spec':{'clusterIP':'None','selector':{'app':'web'}}}");
    add_pod("web-a", 1, true);
    seen_settle(&s, &controller_endpointslice, "default", "web");
    ASSERT_STR(slices(), "");
    seen_settle(&s, &controller_endpoints, "default", "web");
    seen_done(&s);
}

TEST("named target ports that differ from pod to pod make slices of their own")
{
    seen_init(&s);
    seen_add(&s, &kind_service,
             "{'metadata':{'name':'web'},'spec':{'selector':{'app':'web'},'ports':[{'port':80,'targetPort':'http'}]}}");
    for (int i = 0; i < 2; i++)
        seen_add(&s, &kind_pod,
                 "{'metadata':{'name':'web-%d','labels':{'app':'web'}},'spec':{'containers':[{'name':'c','ports':["
                 "{'name':'http','containerPort':%d}]}]},'status':{'podIP':'10.0.0.%d','conditions':[{'type':'Ready',"
                 "'status':'True'}]}}",
                 i, 8000 + i, i + 1);
    slices();
    ASSERT_INT(s.plan.count, 2);
    ASSERT_CONTAINS(body(0), "\"port\":8000}]");
    ASSERT_CONTAINS(body(1), "\"port\":8001}]");
    seen_settle(&s, &controller_endpointslice, "default", "web");
    seen_done(&s);
}

TEST("Services without a selector, and slices made by hand, are left alone")
{
    seen_init(&s);
    seen_add(&s, &kind_service, "{'metadata':{'name':'web'},'spec':{'ports':[{'port':80}]}}");
    add_pod("web-a", 1, true);
    seen_add(&s, &kind_endpointslice,
             "{'metadata':{'name':'mine','labels':{'kubernetes.io/service-name':'web'}},'endpoints':[]}");
    ASSERT_STR(slices(), "");
    ASSERT_STR(endpoints(), "");
    seen_done(&s);
}

TEST("the Endpoints of a gone Service go, unless somebody else made them")
{
    seen_init(&s);
    seen_add(&s, &kind_endpoints,
             "{'metadata':{'name':'web','labels':{'endpoints.kubernetes.io/managed-by':'endpoint-controller'}}}");
    ASSERT_STR(endpoints(), "delete Endpoints default/web\n");
    seen_add(&s, &kind_endpoints, "{'metadata':{'name':'web'}}");
    ASSERT_STR(endpoints(), "");
    seen_done(&s);
}

TEST("Endpoints hold at most 1000 addresses and say when some were cut")
{
    seen_init(&s);
    add_service("");
    for (int i = 0; i < 1001; i++) {
        char name[16];
        snprintf(name, sizeof(name), "web-%04d", i);
        add_pod(name, i, true);
    }
    endpoints();
    ASSERT_CONTAINS(body(0), "\"endpoints.kubernetes.io/over-capacity\":\"truncated\"");
    seen_remove(&s, &kind_pod, "default", "web-0000");
    seen_settle(&s, &controller_endpoints, "default", "web");
    ASSERT(!str_contains(object_json(seen_get(&s, &kind_endpoints, STR("default"), STR("web"))), STR("over-capacity")));
    seen_done(&s);
}
