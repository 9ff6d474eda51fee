/* Answers about the cluster's names, and how fast they are. */
#include "network/dns_zone.h"

#include "kinds/kinds.h"

#include "test.h"

#include <stdio.h>

static void put(struct dns_zone *z, const char *name, const char *ip)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *json = xasprintf("{\"kind\":\"Service\",\"spec\":{\"clusterIP\":\"%s\",\"ports\":[]}}", ip);
    AUTO_OBJECT struct object *o = NULL;

    kinds_init();
    o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    dns_zone_put(z, STR("default"), str_of(name), o, NULL, 0);
}

static size_t ask(struct dns_zone *z, struct str packet, void *out, size_t max)
{
    struct dns_query q;
    struct str alias;

    if (dns_parse_query(packet, &q) < 0)
        return 0;
    return dns_zone_answer(z, &q, false, out, max, &alias);
}

static int rcode(struct dns_zone *z, const char *name, uint16_t type)
{
    char packet[512], out[DNS_UDP_MAX];
    size_t n = dns_build_query(packet, sizeof(packet), 1, str_of(name), type, true);

    n = ask(z, (struct str){ packet, n }, out, sizeof(out));
    return n ? dns_packet_rcode((struct str){ out, n }) : -1;
}

TEST("names end with the domain at a dot, and only then")
{
    struct dns_zone *z = dns_zone_new("cluster.local");

    put(z, "web", "10.96.0.1");
    ASSERT_INT(rcode(z, "web.default.svc.cluster.local", DNS_A), DNS_NOERROR);
    ASSERT_INT(rcode(z, "web.default.svc.notcluster.local", DNS_A), -1);
    ASSERT_INT(rcode(z, "cluster.local", DNS_A), DNS_NOERROR);
    ASSERT_INT(rcode(z, "svc.cluster.local", DNS_A), DNS_NOERROR);
    ASSERT_INT(rcode(z, "x.svc.cluster.local", DNS_A), DNS_NXDOMAIN);
    ASSERT_INT(rcode(z, "a.b.c.default.svc.cluster.local", DNS_A), DNS_NXDOMAIN);
    ASSERT_INT(rcode(z, "_a._tcp.web.default.svc.cluster.local", DNS_SRV), DNS_NXDOMAIN);
    ASSERT_INT(rcode(z, "other.cluster.local", DNS_A), DNS_NXDOMAIN);
    ASSERT_INT(rcode(z, "pod.cluster.local", DNS_A), DNS_NOERROR);
    ASSERT_INT(rcode(z, "1-2-3.default.pod.cluster.local", DNS_A), DNS_NXDOMAIN);
    dns_zone_put(z, STR("default"), STR("web"), NULL, NULL, 0);
    ASSERT_INT(rcode(z, "web.default.svc.cluster.local", DNS_A), DNS_NXDOMAIN);
    ASSERT_INT(rcode(z, "default.svc.cluster.local", DNS_A), DNS_NXDOMAIN);
    dns_zone_free(z);
}

TEST("answers come fast among 10,000 Services")
{
    enum { SERVICES = 10000, QUESTIONS = 100000 };
    struct dns_zone *z = dns_zone_new("cluster.local");
    char name[64], packet[512], out[DNS_UDP_MAX];
    int64_t start;
    size_t n;

    for (int i = 0; i < SERVICES; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        put(z, name, "10.96.0.1");
    }
    n = dns_build_query(packet, sizeof(packet), 1, STR("s777.default.svc.cluster.local"), DNS_A, true);
    start = test_now_ms();
    for (int i = 0; i < QUESTIONS; i++)
        ASSERT(ask(z, (struct str){ packet, n }, out, sizeof(out)) > n);
    printf("%d questions answered in %lld ms\n", QUESTIONS, (long long)(test_now_ms() - start));
    ASSERT(test_now_ms() - start < 3000); /* sanitizers */
    dns_zone_free(z);
}
