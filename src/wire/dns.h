/*
 * DNS messages: parse a query, build an answer, without allocating. Names are lower case text without the final dot.
 *
 *     struct dns_query q;
 *     if (dns_parse_query(packet, &q) < 0) drop;
 *     struct dns_writer w;
 *     dns_begin(&w, out, sizeof(out), &q, DNS_NOERROR, DNS_AUTHORITATIVE, false);
 *     dns_add_a(&w, DNS_ANSWER, dns_query_name(&q), 5, ip);
 *     size_t n = dns_finish(&w);              truncated (TC set) when it did not fit the client's limit
 *
 * Sources: RFC 1035, RFC 2782 (SRV), RFC 3596 (AAAA), RFC 6891 (EDNS0), RFC 2308 (negative answers), RFC 8482 (ANY).
 */
#ifndef WIRE_DNS_H
#define WIRE_DNS_H

#include "base/error.h"
#include "base/str.h"

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_ANY = 255
};
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5
};
enum dns_flags { DNS_AUTHORITATIVE = 1, DNS_RECURSION_AVAILABLE = 2 };
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

#define DNS_NAME_MAX 255  /* text and a zero byte fit too */
#define DNS_UDP_MAX  1232 /* what we send at most over UDP (no fragments) */
#define DNS_TCP_MAX  65535

struct dns_query {
    uint16_t id, type, class;
    bool recursion_desired, checking_disabled, dnssec_ok;
    bool malformed; /* see dns_query_check() */
    bool edns;
    uint8_t edns_version;
    uint16_t udp_size; /* 512 without EDNS */
    uint8_t opcode;
    char name[DNS_NAME_MAX +
              1]; /* lower case; "" is the root. Bytes other than letters, digits, "-", "_" appear as \DDD */
    uint8_t name_length;
    uint8_t question[DNS_NAME_MAX + 4]; /* the question as it was sent, for the answer (keeps upper case) */
    uint16_t question_length;
};
/* 0; -1: not a query worth an answer (too short, a response): drop. then ask dns_query_check(). */
int dns_parse_query(struct str packet, struct dns_query *ret);
/* DNS_NOERROR, or what to answer at once: FORMERR, NOTIMP (opcode), REFUSED (class), 16 (BADVERS). */
int dns_query_check(const struct dns_query *q);
static inline struct str dns_query_name(const struct dns_query *q)
{
    return (struct str){ q->name, q->name_length };
}

struct dns_writer {
    uint8_t *p;
    size_t n, max;
    bool truncated;
    uint16_t counts[4];
    bool edns;
    uint8_t rcode_high;
    uint16_t names[32]; /* offsets of names written, for compression */
    size_t names_count;
};
/* `max`: size of out; over UDP the client's limit and DNS_UDP_MAX apply as well (tcp false). */
void dns_begin(struct dns_writer *w, void *out, size_t max, const struct dns_query *q, int rcode, unsigned flags,
               bool tcp);
/* Each: false when it no longer fits (the writer is truncated and keeps whole records only). */
bool dns_add_a(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, const uint8_t ip[4]);
bool dns_add_aaaa(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, const uint8_t ip[16]);
bool dns_add_srv(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, uint16_t priority,
                 uint16_t weight, uint16_t port, struct str target);
bool dns_add_name(struct dns_writer *w, enum dns_section s, enum dns_type type, struct str name, uint32_t ttl_s,
                  struct str target); /* PTR, CNAME, NS */
bool dns_add_txt(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, struct str text);
bool dns_add_soa(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, struct str primary,
                 struct str mailbox, uint32_t serial, uint32_t minimum_s);
size_t dns_finish(struct dns_writer *w); /* total length; fills counts, TC and the OPT record */

/* --- forwarding: packets of others pass through, only the id is ours --- */
uint16_t dns_packet_id(struct str packet);
void dns_packet_set_id(void *packet, uint16_t id);
bool dns_packet_is_response(struct str packet);
int dns_packet_rcode(struct str packet);
bool dns_packet_is_truncated(struct str packet);
bool dns_packet_same_question(struct str response,
                              const struct dns_query *q); /* name, type and class; against spoofing */
size_t dns_build_query(void *out, size_t max, uint16_t id, struct str name, uint16_t type, bool edns); /* 0: bad name */
bool dns_is_name(struct str name); /* labels of 1-63 bytes, at most 253 in all */
/* "4.3.2.1.in-addr.arpa" or "...ip6.arpa" to an address (4 or 16 bytes); 0 when it is neither. */
size_t dns_reverse_address(struct str name, uint8_t ret_ip[16]);

#endif
