/* DNS: reading queries, and looking into packets that pass through. */
#include "wire/dns_internal.h"

#include <stdio.h>

#define HEADER_SIZE 12
#define RECORDS_MAX 16 /* of the additional section of a query: one OPT, perhaps a TSIG */

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
}

/* One label as lower case text; returns the new length of the text or -1. */
static int add_label(char *text, int n, const uint8_t *label, size_t size)
{
    if (n && n < DNS_NAME_MAX)
        text[n++] = '.';
    for (size_t i = 0; i < size; i++) {
        uint8_t c = label[i];

        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c + ('a' - 'A'));
        if (is_plain(c)) {
            if (n >= DNS_NAME_MAX)
                return -1;
            text[n++] = (char)c;
        } else {
            if (n + 4 > DNS_NAME_MAX)
                return -1;
            snprintf(text + n, 5, "\\%03u", c);
            n += 4;
        }
    }
    return n;
}

/*
 * The name at `at`: its text into `text` (DNS_NAME_MAX + 1 bytes; may be NULL) and where it ends. Compression pointers
 * are followed, backwards only, so there is no loop.
 */
bool dns_read_name(const uint8_t *p, size_t size, size_t at, char *text, size_t *ret_n, size_t *ret_end)
{
    size_t end = 0, limit = at;
    int n = 0;
    size_t wire = 0;

    for (;;) {
        uint8_t length;

        if (at >= size)
            return false;
        length = p[at];
        if ((length & 0xc0) == 0xc0) {
            size_t to = at + 1 < size ? (size_t)(length & 0x3f) << 8 | p[at + 1] : size;

            if (!end)
                end = at + 2;
            if (to >= limit || to < HEADER_SIZE)
                return false;
            at = limit = to;
            continue;
        }
        if (length & 0xc0)
            return false;
        wire += length + 1u;
        if (wire > DNS_NAME_MAX || at + 1 + length > size)
            return false;
        if (!length)
            break;
        if (text && (n = add_label(text, n, p + at + 1, length)) < 0)
            return false;
        at += 1u + length;
    }
    if (text)
        text[n] = 0;
    if (ret_n)
        *ret_n = (size_t)n;
    *ret_end = end ? end : at + 1;
    return true;
}

static void read_edns(const uint8_t *p, size_t size, size_t at, size_t count, struct dns_query *q)
{
    for (size_t i = 0; i < MIN(count, (size_t)RECORDS_MAX); i++) {
        size_t end;

        if (!dns_read_name(p, size, at, NULL, NULL, &end) || end + 10 > size)
            return;
        if (u16(p + end) == DNS_OPT) {
            q->malformed |= q->edns || p[at] != 0; /* RFC 6891, 6.1.1: one, at the root */
            q->edns = true;
            q->udp_size = MAX(u16(p + end + 2), (uint16_t)512);
            q->edns_version = p[end + 5];
            q->dnssec_ok = p[end + 6] & 0x80;
        }
        at = end + 10 + u16(p + end + 8);
    }
}

int dns_parse_query(struct str packet, struct dns_query *ret)
{
    const uint8_t *p = (const uint8_t *)packet.p;
    size_t end, name_n;

    if (packet.n < HEADER_SIZE || (p[2] & 0x80))
        return -1;
    ret->id = u16(p);
    ret->opcode = (p[2] >> 3) & 0x0f;
    ret->recursion_desired = p[2] & 1;
    ret->checking_disabled = p[3] & 0x10;
    ret->dnssec_ok = ret->edns = ret->malformed = false;
    ret->edns_version = 0;
    ret->udp_size = 512;
    ret->type = ret->class = 0;
    ret->question_length = 0;
    ret->name_length = 0;
    ret->name[0] = 0;
    if (u16(p + 4) != 1 || u16(p + 6) != 0 || !dns_read_name(p, packet.n, HEADER_SIZE, ret->name, &name_n, &end) ||
        end + 4 > packet.n || end + 4 - HEADER_SIZE > sizeof(ret->question)) {
        ret->malformed = true;
        ret->name[0] = 0; /* half a name may stand there */
        return 0;
    }
    ret->name_length = (uint8_t)name_n;
    ret->type = u16(p + end);
    ret->class = u16(p + end + 2);
    ret->question_length = (uint16_t)(end + 4 - HEADER_SIZE);
    memcpy(ret->question, p + HEADER_SIZE, ret->question_length);
    read_edns(p, packet.n, end + 4, u16(p + 8) + (size_t)u16(p + 10), ret);
    return 0;
}

int dns_query_check(const struct dns_query *q)
{
    if (q->opcode != 0)
        return DNS_NOTIMP;
    if (q->malformed || !q->question_length)
        return DNS_FORMERR;
    if (q->edns && q->edns_version > 0)
        return 16;
    if (q->class != 1 && q->class != 255)
        return DNS_REFUSED;
    return DNS_NOERROR;
}

/* --- packets that pass through --- */

uint16_t dns_packet_id(struct str packet)
{
    return packet.n < HEADER_SIZE ? 0 : u16((const uint8_t *)packet.p);
}

void dns_packet_set_id(void *packet, uint16_t id)
{
    uint8_t *p = packet;

    p[0] = (uint8_t)(id >> 8);
    p[1] = (uint8_t)id;
}

bool dns_packet_is_response(struct str packet)
{
    return packet.n >= HEADER_SIZE && ((uint8_t)packet.p[2] & 0x80);
}

int dns_packet_rcode(struct str packet)
{
    return packet.n < HEADER_SIZE ? DNS_FORMERR : packet.p[3] & 0x0f;
}

bool dns_packet_is_truncated(struct str packet)
{
    return packet.n >= HEADER_SIZE && (packet.p[2] & 0x02);
}

bool dns_packet_same_question(struct str response, const struct dns_query *q)
{
    const uint8_t *p = (const uint8_t *)response.p;
    char name[DNS_NAME_MAX + 1];
    size_t n, end;

    return response.n >= HEADER_SIZE && u16(p + 4) == 1 && dns_read_name(p, response.n, HEADER_SIZE, name, &n, &end) &&
           end + 4 <= response.n && str_eq((struct str){ name, n }, dns_query_name(q)) && u16(p + end) == q->type &&
           u16(p + end + 2) == q->class;
}

bool dns_is_name(struct str name)
{
    struct str rest = name, label;

    if (!name.n || name.n > 253)
        return false;
    while (str_next(&rest, '.', &label))
        if (!label.n || label.n > 63)
            return false;
    return name.p[name.n - 1] != '.';
}

static bool reverse_ipv4(struct str name, uint8_t ip[16])
{
    struct str part;
    uint64_t n;
    int i = 4;

    while (i > 0 && str_next(&name, '.', &part)) {
        if (!str_to_u64(part, &n) || n > 255 || part.n > 3 || (part.n > 1 && part.p[0] == '0'))
            return false;
        ip[--i] = (uint8_t)n;
    }
    return i == 0 && !name.n;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t dns_reverse_address(struct str name, uint8_t ret_ip[16])
{
    if (str_ends(name, STR(".in-addr.arpa")))
        return reverse_ipv4(str_part(name, 0, name.n - 13), ret_ip) ? 4 : 0;
    if (!str_ends(name, STR(".ip6.arpa")) || name.n != 63 + 9)
        return 0;
    memset(ret_ip, 0, 16);
    for (size_t i = 0; i < 32; i++) {
        int v = nibble(name.p[2 * i]);

        if (v < 0 || (i < 31 && name.p[2 * i + 1] != '.'))
            return 0;
        ret_ip[15 - i / 2] |= (uint8_t)(v << (i % 2 ? 4 : 0));
    }
    return 16;
}
