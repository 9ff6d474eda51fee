/* DNS: any packet as a query and as a response; an answer to it, with its name in every record, is well formed. */
#include "wire/dns.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void answer(const struct dns_query *q, bool tcp)
{
    static uint8_t out[DNS_TCP_MAX];
    static const uint8_t ip[16] = { 0xfd };
    struct dns_writer w;
    struct dns_query again;
    struct str packet;
    size_t limit = tcp ? sizeof(out) : MIN(q->edns ? q->udp_size : 512, DNS_UDP_MAX);

    dns_begin(&w, out, sizeof(out), q, DNS_NOERROR, DNS_AUTHORITATIVE, tcp);
    for (int i = 0; i < 20; i++) {
        dns_add_a(&w, DNS_ANSWER, dns_query_name(q), 5, ip);
        dns_add_aaaa(&w, DNS_ANSWER, STR("a.example"), 5, ip);
        dns_add_srv(&w, DNS_ANSWER, dns_query_name(q), 5, 0, 1, 80, dns_query_name(q));
        dns_add_name(&w, DNS_ADDITIONAL, DNS_CNAME, STR("b.example"), 5, dns_query_name(q));
    }
    packet = (struct str){ (char *)out, dns_finish(&w) };
    MUST(packet.n <= limit);
    MUST(dns_packet_is_response(packet) && dns_packet_same_question(packet, q));
    out[2] &= 0x7f; /* the answer, taken for a query, has answers: malformed, but its question must not break us */
    dns_parse_query(packet, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str packet = { (const char *)data, size };
    struct dns_query q;
    uint8_t ip[16], out[600];

    dns_packet_rcode(packet);
    dns_packet_is_truncated(packet);
    dns_reverse_address(packet, ip);
    dns_build_query(out, sizeof(out), 1, packet, DNS_A, true);
    if (dns_parse_query(packet, &q) < 0)
        return 0;
    MUST(strlen(q.name) == q.name_length);
    dns_packet_same_question(packet, &q);
    dns_reverse_address(dns_query_name(&q), ip);
    if (dns_query_check(&q) == DNS_NOERROR) {
        answer(&q, false);
        answer(&q, true);
    }
    return 0;
}
