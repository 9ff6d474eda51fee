/* What a Service means for a node, without a kernel. */
#include "network/service_plan.h"

#include "kinds/kinds.h"

#include "test.h"

#include <netinet/in.h>
#include <stdio.h>

static const struct service_context here = { .node_name = "here", .zone = "a", .dns_ip = 0 };

static struct object *parse(const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    struct object *o;

    kinds_init();
    o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    return o;
}

/* The plan as text: "TCP 10.96.0.1:80 -> 1.1.1.1:8080 2.2.2.2:8080 | local 2.2.2.2:8080". */
static const char *plan(const char *spec, const char *endpoints)
{
    static char text[4096];
    AUTO_ARENA struct arena arena = { 0 };
    AUTO_FREE char *service_json = xasprintf("{\"kind\":\"Service\",\"spec\":{%s}}", spec);
    AUTO_FREE char *slice_json = xasprintf("{\"kind\":\"EndpointSlice\",\"addressType\":\"IPv4\",\"ports\":[{\"name\":"
                                           "\"web\",\"port\":8080}],\"endpoints\":[%s]}",
                                           endpoints);
    AUTO_OBJECT struct object *service = parse(service_json), *slice = parse(slice_json);
    const struct object *slices[] = { slice };
    struct service_plan p;
    size_t n = 0;

    service_plan_make(&arena, &here, object_root(service), slices, 1, &p);
    text[0] = 0;
    for (uint32_t i = 0; i < p.ports_count; i++) {
        const struct service_port *port = &p.ports[i];
        char ip[IP_TEXT_SIZE];

        for (uint32_t j = 0; j < port->frontends_count; j++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%d/%s:%d%s", n ? " " : "", port->frontends[j].kind,
                                  ip_format(port->frontends[j].ip, ip), ntohs(port->frontends[j].port),
                                  port->frontends[j].local ? "L" : "");
        n += (size_t)snprintf(text + n, sizeof(text) - n, " ->");
        for (uint32_t j = 0; j < port->targets_count; j++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s:%d", ip_format(port->targets[j].ip, ip),
                                  ntohs(port->targets[j].port));
        n += (size_t)snprintf(text + n, sizeof(text) - n, " |");
        for (uint32_t j = 0; j < port->local_targets_count; j++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", ip_format(port->local_targets[j].ip, ip));
    }
    return text;
}

#define PORT            "\"ports\":[{\"name\":\"web\",\"port\":80}]"
#define NODEPORT        "\"ports\":[{\"name\":\"web\",\"port\":80,\"nodePort\":30080}]"
#define IP              "\"clusterIP\":\"10.96.0.1\","
#define READY(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":true}}"
#define TERMINATING(ip, serving)                                                                                       \
    "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":false,\"serving\":" serving ",\"terminating\":true}}"

TEST("a Service leads to its ready endpoints, each once, and knows which are here")
{
    ASSERT_STR(
        plan(IP PORT, READY("10.244.1.3", "there") "," READY("10.244.1.2", "here") "," READY("10.244.1.2", "here")),
        "0/10.96.0.1:80 -> 10.244.1.2:8080 10.244.1.3:8080 | 10.244.1.2");
}

#define HINTED(ip, hints) "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":true},\"hints\":{" hints "}}"
#define FOR_A             "\"forZones\":[{\"name\":\"a\"}]"
#define FOR_B             "\"forZones\":[{\"name\":\"b\"}]"
#define FOR_HERE          ",\"forNodes\":[{\"name\":\"here\"}]"
#define FOR_THERE         ",\"forNodes\":[{\"name\":\"there\"}]"

TEST("hints keep traffic in the zone or on the node, as long as every ready endpoint has one and one is for us")
{
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_A) "," HINTED("10.244.1.3", FOR_B)),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 |");
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_B) "," HINTED("10.244.1.3", FOR_B)),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 10.244.1.3:8080 |");
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_A) "," READY("10.244.1.3", "there")),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 10.244.1.3:8080 |");
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_A FOR_HERE) "," HINTED("10.244.1.3", FOR_A FOR_THERE)),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 |");
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_A FOR_THERE) "," HINTED("10.244.1.3", FOR_B FOR_THERE)),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 |");
    ASSERT_STR(plan(IP PORT, HINTED("10.244.1.2", FOR_A) "," TERMINATING("10.244.1.3", "true")),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 |");
}

TEST("endpoints that end are used only while none is ready")
{
    ASSERT_STR(plan(IP PORT, TERMINATING("10.244.1.2", "true") "," READY("10.244.1.3", "there")),
               "0/10.96.0.1:80 -> 10.244.1.3:8080 |");
    ASSERT_STR(plan(IP PORT, TERMINATING("10.244.1.2", "true") "," TERMINATING("10.244.1.3", "false")),
               "0/10.96.0.1:80 -> 10.244.1.2:8080 |");
}

TEST("headless and external-name Services have no rules")
{
    ASSERT_STR(plan("\"clusterIP\":\"None\"," PORT, READY("10.244.1.3", "here")), "");
    ASSERT_STR(plan("\"type\":\"ExternalName\",\"externalName\":\"x.y\"", READY("10.244.1.3", "here")), "");
}

TEST("an external policy Local adds frontends for the outside, and leaves the cluster's own")
{
    ASSERT_STR(plan(IP NODEPORT ",\"externalIPs\":[\"192.0.2.1\"],\"externalTrafficPolicy\":\"Local\"", ""),
               "0/10.96.0.1:80 0/192.0.2.1:80 2/192.0.2.1:80L 1/0.0.0.0:30080 3/0.0.0.0:30080L -> |");
    ASSERT_STR(plan(IP PORT ",\"internalTrafficPolicy\":\"Local\"", ""), "0/10.96.0.1:80L -> |");
}

TEST("endpoints on loopback or link-local addresses are refused")
{
    ASSERT_STR(plan(IP PORT, READY("127.0.0.1", "here") "," READY("169.254.169.254", "here")), "0/10.96.0.1:80 -> |");
}
