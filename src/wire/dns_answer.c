/* DNS: building answers, with name compression and truncation. */
#include "wire/dns_internal.h"

#define HEADER_SIZE 12
#define OPT_SIZE    11
#define POINTER_MAX 0x3fff

static void put16(uint8_t *p, uint16_t n)
{
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

static bool room(struct dns_writer *w, size_t n)
{
    if (w->n + n <= w->max)
        return true;
    w->truncated = true;
    return false;
}

static bool add_u16(struct dns_writer *w, uint16_t n)
{
    if (!room(w, 2))
        return false;
    put16(w->p + w->n, n);
    w->n += 2;
    return true;
}

static bool add_u32(struct dns_writer *w, uint32_t n)
{
    return add_u16(w, (uint16_t)(n >> 16)) && add_u16(w, (uint16_t)n);
}

static bool add_bytes(struct dns_writer *w, const void *p, size_t n)
{
    if (!room(w, n))
        return false;
    memcpy(w->p + w->n, p, n);
    w->n += n;
    return true;
}

/* --- names --- */

/* The next byte of a label in text, "\DDD" undone; moves *i. */
static uint8_t text_byte(struct str text, size_t *i)
{
    const char *p = text.p + *i;
    uint8_t c = (uint8_t)*p;

    if (c == '\\' && *i + 3 < text.n) {
        *i += 4;
        return (uint8_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    }
    (*i)++;
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Does the name written at `at` read like this text? */
static bool same_name(const struct dns_writer *w, size_t at, struct str text)
{
    size_t i = 0;

    for (int jumps = 0; at < w->n;) {
        uint8_t length = w->p[at];

        if ((length & 0xc0) == 0xc0) {
            if (++jumps > 16)
                return false;
            at = (size_t)(length & 0x3f) << 8 | w->p[at + 1];
            continue;
        }
        if (!length)
            return i >= text.n;
        for (size_t k = 1; k <= length; k++)
            if (i >= text.n || text.p[i] == '.' || text_byte(text, &i) != lower(w->p[at + k]))
                return false;
        if (i < text.n && text.p[i++] != '.')
            return false;
        at += 1u + length;
    }
    return false;
}

static bool add_label(struct dns_writer *w, struct str label)
{
    size_t start = w->n, n = 0;

    if (!room(w, 1))
        return false;
    w->n++;
    for (size_t i = 0; i < label.n;) {
        uint8_t c = text_byte(label, &i);

        if (++n > 63 || !add_bytes(w, &c, 1))
            return false;
    }
    w->p[start] = (uint8_t)n;
    return true;
}

static void remember(struct dns_writer *w, size_t at)
{
    if (w->names_count < ARRAY_SIZE(w->names) && at <= POINTER_MAX)
        w->names[w->names_count++] = (uint16_t)at;
}

/* Suffixes that were written before become a pointer. */
static bool add_name(struct dns_writer *w, struct str name, bool compress)
{
    while (name.n) {
        struct str label;

        for (size_t i = 0; compress && i < w->names_count; i++)
            if (same_name(w, w->names[i], name))
                return add_u16(w, (uint16_t)(0xc000 | w->names[i]));
        remember(w, w->n);
        str_cut(&name, '.', &label);
        if (!label.n || !add_label(w, label))
            return false;
    }
    return add_bytes(w, "", 1);
}

/* --- records --- */

struct mark {
    size_t n, names_count;
};

/* Owner, type, class, time to live, and room for the length, which finish() fills in. */
static bool begin_record(struct dns_writer *w, struct mark *mark, struct str name, enum dns_type type, uint32_t ttl_s)
{
    *mark = (struct mark){ w->n, w->names_count };
    return !w->truncated && add_name(w, name, true) && add_u16(w, (uint16_t)type) && add_u16(w, 1) &&
           add_u32(w, ttl_s) && add_u16(w, 0);
}

static bool finish(struct dns_writer *w, const struct mark *mark, enum dns_section s, bool ok, size_t data_at)
{
    if (!ok) {
        w->truncated = true;
        w->n = mark->n;
        w->names_count = mark->names_count;
        return false;
    }
    put16(w->p + data_at - 2, (uint16_t)(w->n - data_at));
    w->counts[1 + s]++;
    return true;
}

void dns_begin(struct dns_writer *w, void *out, size_t max, const struct dns_query *q, int rcode, unsigned flags,
               bool tcp)
{
    size_t limit = tcp ? DNS_TCP_MAX : MIN(q->edns ? q->udp_size : 512, DNS_UDP_MAX);

    w->p = out;
    w->max = MIN(max, limit);
    w->n = HEADER_SIZE;
    w->truncated = false;
    w->names_count = 0;
    w->edns = q->edns;
    w->rcode_high = (uint8_t)(rcode >> 4);
    memset(w->counts, 0, sizeof(w->counts));
    assert(w->max >= 512);
    put16(w->p, q->id);
    w->p[2] = (uint8_t)(0x80 | q->opcode << 3 | (flags & DNS_AUTHORITATIVE ? 4 : 0) | q->recursion_desired);
    w->p[3] =
        (uint8_t)((flags & DNS_RECURSION_AVAILABLE ? 0x80 : 0) | (q->checking_disabled ? 0x10 : 0) | (rcode & 0x0f));
    if (q->question_length) {
        size_t at = w->n;

        memcpy(w->p + w->n, q->question, q->question_length);
        w->n += q->question_length;
        w->counts[0] = 1;
        /* Every suffix of the question can be pointed to. */
        for (; w->p[at] && at < w->n; at += 1u + w->p[at])
            remember(w, at);
    }
    if (w->edns)
        w->max -= OPT_SIZE;
}

bool dns_add_a(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, const uint8_t ip[4])
{
    struct mark m;
    bool ok = begin_record(w, &m, name, DNS_A, ttl_s);
    size_t at = w->n;

    return finish(w, &m, s, ok && add_bytes(w, ip, 4), at);
}

bool dns_add_aaaa(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, const uint8_t ip[16])
{
    struct mark m;
    bool ok = begin_record(w, &m, name, DNS_AAAA, ttl_s);
    size_t at = w->n;

    return finish(w, &m, s, ok && add_bytes(w, ip, 16), at);
}

bool dns_add_srv(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, uint16_t priority,
                 uint16_t weight, uint16_t port, struct str target)
{
    struct mark m;
    bool ok = begin_record(w, &m, name, DNS_SRV, ttl_s);
    size_t at = w->n;

    /* RFC 2782: the target is not compressed. */
    ok = ok && add_u16(w, priority) && add_u16(w, weight) && add_u16(w, port) && add_name(w, target, false);
    return finish(w, &m, s, ok, at);
}

bool dns_add_name(struct dns_writer *w, enum dns_section s, enum dns_type type, struct str name, uint32_t ttl_s,
                  struct str target)
{
    struct mark m;
    bool ok = begin_record(w, &m, name, type, ttl_s);
    size_t at = w->n;

    return finish(w, &m, s, ok && add_name(w, target, true), at);
}

bool dns_add_txt(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, struct str text)
{
    struct mark m;
    bool ok = begin_record(w, &m, name, DNS_TXT, ttl_s);
    size_t at = w->n;

    do {
        struct str part = str_part(text, 0, 255);
        uint8_t n = (uint8_t)part.n;

        ok = ok && add_bytes(w, &n, 1) && add_bytes(w, part.p ? part.p : "", part.n);
        text = str_from(text, part.n);
    } while (text.n && ok);
    return finish(w, &m, s, ok, at);
}

bool dns_add_soa(struct dns_writer *w, enum dns_section s, struct str name, uint32_t ttl_s, struct str primary,
                 struct str mailbox, uint32_t serial, uint32_t minimum_s)
{
    struct mark m;
    bool ok = begin_record(w, &m, name, DNS_SOA, ttl_s);
    size_t at = w->n;

    ok = ok && add_name(w, primary, true) && add_name(w, mailbox, true) && add_u32(w, serial) && add_u32(w, 7200) &&
         add_u32(w, 1800) && add_u32(w, 86400) && add_u32(w, minimum_s);
    return finish(w, &m, s, ok, at);
}

size_t dns_finish(struct dns_writer *w)
{
    if (w->edns) {
        uint8_t *p = w->p + w->n;

        memset(p, 0, OPT_SIZE);
        put16(p + 1, DNS_OPT);
        put16(p + 3, DNS_UDP_MAX);
        p[5] = w->rcode_high;
        w->n += OPT_SIZE;
        w->counts[3]++;
    }
    if (w->truncated)
        w->p[2] |= 0x02;
    for (size_t i = 0; i < 4; i++)
        put16(w->p + 4 + 2 * i, w->counts[i]);
    return w->n;
}

size_t dns_build_query(void *out, size_t max, uint16_t id, struct str name, uint16_t type, bool edns)
{
    struct dns_writer w = { .p = out, .n = HEADER_SIZE, .max = max };

    if (max < HEADER_SIZE + OPT_SIZE || (name.n && !dns_is_name(name)))
        return 0;
    memset(out, 0, HEADER_SIZE);
    put16(w.p, id);
    w.p[2] = 1; /* recursion desired */
    if (!add_name(&w, name, false) || !add_u16(&w, type) || !add_u16(&w, 1) || (edns && !room(&w, OPT_SIZE)))
        return 0;
    w.counts[0] = 1;
    w.edns = edns;
    return dns_finish(&w);
}
