/* DNS messages: queries as clients send them, answers byte by byte, limits. */
#include "test.h"
#include "wire/dns.h"

static uint8_t packet[4096], out[70000];

static struct str query(const char *name, uint16_t type, bool edns)
{
    return (struct str){ (char *)packet, dns_build_query(packet, sizeof(packet), 0x1234, str_of(name), type, edns) };
}

static struct str finish(struct dns_writer *w)
{
    return (struct str){ (char *)out, dns_finish(w) };
}

TEST("a query is read: name in lower case, type, EDNS")
{
    struct dns_query q;
    struct str p = query("web.default.svc.cluster.local", DNS_A, true);

    packet[13] = 'W';
    ASSERT_INT(dns_parse_query(p, &q), 0);
    ASSERT_INT(dns_query_check(&q), DNS_NOERROR);
    ASSERT_STR(dns_query_name(&q), "web.default.svc.cluster.local");
    ASSERT_INT(q.type, DNS_A);
    ASSERT_INT(q.id, 0x1234);
    ASSERT(q.recursion_desired && q.edns);
    ASSERT_INT(q.udp_size, DNS_UDP_MAX);
    ASSERT_INT(q.question[1], 'W');
    p = query("web.default.svc.cluster.local", DNS_A, false);
    ASSERT_INT(dns_parse_query(p, &q), 0);
    ASSERT(!q.edns);
    ASSERT_INT(q.udp_size, 512);
}

TEST("an answer points back at the question and keeps its spelling")
{
    struct dns_query q;
    struct dns_writer w;
    struct str answer;
    static const uint8_t ip[4] = { 10, 0, 0, 7 };
    static const uint8_t expected[] = { 0x12, 0x34, 0x85, 0x00, 0,  1, 0, 1, 0, 0, 0, 0, 1, 'W', 2, 'n', 's', 0, 0,
                                        1,    0,    1,    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0,   4, 10,  0,   0, 7 };
    struct str p = query("w.ns", DNS_A, false);

    packet[13] = 'W';
    ASSERT_INT(dns_parse_query(p, &q), 0);
    dns_begin(&w, out, sizeof(out), &q, DNS_NOERROR, DNS_AUTHORITATIVE, false);
    ASSERT(dns_add_a(&w, DNS_ANSWER, dns_query_name(&q), 5, ip));
    answer = finish(&w);
    ASSERT_INT(answer.n, sizeof(expected));
    ASSERT(memcmp(out, expected, sizeof(expected)) == 0);
    ASSERT(dns_packet_same_question(answer, &q));
    ASSERT(dns_packet_is_response(answer));
}

TEST("SRV, PTR, AAAA, TXT, SOA and the OPT record fit together")
{
    struct dns_query q;
    struct dns_writer w;
    struct str answer;
    static const uint8_t ip[16] = { 0xfd, [15] = 1 };

    ASSERT_INT(dns_parse_query(query("_http._tcp.web.default.svc.cluster.local", DNS_SRV, true), &q), 0);
    dns_begin(&w, out, sizeof(out), &q, DNS_NOERROR, DNS_AUTHORITATIVE, false);
    ASSERT(dns_add_srv(&w, DNS_ANSWER, dns_query_name(&q), 5, 0, 100, 80, STR("web.default.svc.cluster.local")));
    ASSERT(dns_add_aaaa(&w, DNS_ADDITIONAL, STR("web.default.svc.cluster.local"), 5, ip));
    ASSERT(
        dns_add_name(&w, DNS_ANSWER, DNS_PTR, STR("7.0.0.10.in-addr.arpa"), 5, STR("web.default.svc.cluster.local")));
    ASSERT(dns_add_txt(&w, DNS_ANSWER, STR("dns-version.cluster.local"), 5, STR("1.1.0")));
    ASSERT(dns_add_soa(&w, DNS_AUTHORITY, STR("cluster.local"), 5, STR("ns.dns.cluster.local"),
                       STR("hostmaster.cluster.local"), 1, 5));
    answer = finish(&w);
    ASSERT_INT(out[7], 3);
    ASSERT_INT(out[9], 1);
    ASSERT_INT(out[11], 2); /* AAAA and OPT */
    ASSERT(answer.n < 330); /* compressed */
    ASSERT_INT(out[answer.n - 10], DNS_OPT >> 8);
    ASSERT_INT(out[answer.n - 9], DNS_OPT);
}

TEST("an answer that does not fit keeps whole records and says so")
{
    for (int way = 0; way < 3; way++) {
        struct dns_query q;
        struct dns_writer w;
        struct str answer;
        static const uint8_t ip[4] = { 10, 0, 0, 7 };
        size_t added = 0, limit = way == 0 ? 512 : way == 1 ? DNS_UDP_MAX : 4096;

        ASSERT_INT(dns_parse_query(query("headless.default.svc.cluster.local", DNS_A, way == 1), &q), 0);
        dns_begin(&w, out, 4096, &q, DNS_NOERROR, DNS_AUTHORITATIVE, way == 2);
        while (added < 1000 && dns_add_a(&w, DNS_ANSWER, dns_query_name(&q), 5, ip))
            added++;
        answer = finish(&w);
        ASSERT(dns_packet_is_truncated(answer));
        ASSERT(answer.n <= limit && answer.n > limit - 16);
        ASSERT_INT(out[6] << 8 | out[7], added);
    }
}

TEST("what is no query is dropped, what is a bad one is told")
{
    struct dns_query q;
    struct str p = query("a.b", DNS_A, false);
    uint8_t loop[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1 };

    ASSERT_INT(dns_parse_query(STR("short"), &q), -1);
    packet[2] |= 0x80;
    ASSERT_INT(dns_parse_query(p, &q), -1);
    p = query("a.b", DNS_A, false);
    packet[2] = 5 << 3;
    ASSERT_INT(dns_parse_query(p, &q), 0);
    ASSERT_INT(dns_query_check(&q), DNS_NOTIMP);
    ASSERT_INT(dns_parse_query((struct str){ (char *)loop, sizeof(loop) }, &q), 0);
    ASSERT_INT(dns_query_check(&q), DNS_FORMERR);
    p = query("a.b", DNS_A, false);
    for (size_t n = 12; n < p.n; n++) {
        ASSERT_INT(dns_parse_query(str_part(p, 0, n), &q), 0);
        ASSERT_INT(dns_query_check(&q), DNS_FORMERR);
    }
    p = query("a.b", DNS_A, true);
    packet[p.n - 5] = 1; /* EDNS version */
    ASSERT_INT(dns_parse_query(p, &q), 0);
    ASSERT_INT(dns_query_check(&q), 16);
}

TEST("odd bytes in a name survive as text")
{
    static const uint8_t odd[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'a', '.', 0, 1, 'B', 0, 0, 1, 0, 1 };
    struct dns_query q;
    struct dns_writer w;
    static const uint8_t ip[4] = { 1, 2, 3, 4 };

    ASSERT_INT(dns_parse_query((struct str){ (const char *)odd, sizeof(odd) }, &q), 0);
    ASSERT_STR(dns_query_name(&q), "a\\046\\000.b");
    dns_begin(&w, out, sizeof(out), &q, DNS_NOERROR, 0, false);
    ASSERT(dns_add_a(&w, DNS_ANSWER, dns_query_name(&q), 5, ip));
    ASSERT_INT(finish(&w).n, sizeof(odd) + 16);
}

TEST("reverse names are addresses")
{
    uint8_t ip[16];

    ASSERT_INT(dns_reverse_address(STR("4.3.2.1.in-addr.arpa"), ip), 4);
    ASSERT_INT(ip[0], 1);
    ASSERT_INT(ip[3], 4);
    ASSERT_INT(dns_reverse_address(STR("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa"), ip),
               16);
    ASSERT_INT(ip[0], 0xfd);
    ASSERT_INT(ip[15], 1);
    ASSERT_INT(dns_reverse_address(STR("3.2.1.in-addr.arpa"), ip), 0);
    ASSERT_INT(dns_reverse_address(STR("256.3.2.1.in-addr.arpa"), ip), 0);
    ASSERT_INT(dns_reverse_address(STR("5.4.3.2.1.in-addr.arpa"), ip), 0);
    ASSERT_INT(dns_reverse_address(STR("x.ip6.arpa"), ip), 0);
}

TEST("only names are names")
{
    AUTO_BUF struct buf label = BUF_MAX(100);

    buf_add_repeat(&label, 'x', 64);
    ASSERT(dns_is_name(STR("a.b-c.d_e")));
    ASSERT(!dns_is_name(STR("")));
    ASSERT(!dns_is_name(STR("a..b")));
    ASSERT(!dns_is_name(STR("a.")));
    ASSERT(!dns_is_name(buf_str(&label)));
    ASSERT_INT(dns_build_query(out, sizeof(out), 1, STR("a..b"), DNS_A, false), 0);
}
