/* Ask the upstream server, wait, try again, remember. */
#include "network/dns_forward.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "loop/stream.h"
#include "loop/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TTL_MAX_S     30 /* no answer is remembered longer */
#define TTL_ERROR_S   5  /* without records */
#define ADDRESSES_MAX 32 /* behind an alias */
#define HEADER_BYTES  12

struct asked {
    struct list link;
    struct dns_forward *forward;
    struct dns_query query;
    char alias[DNS_NAME_MAX + 1];
    uint8_t packet[2 + 512]; /* length (TCP) and question */
    size_t packet_n;
    uint16_t id;
    int fd, tries;
    struct fd_watch *watch;
    struct stream *stream;
    struct buf received; /* TCP */
    struct loop_timer timer;
    bool tcp;
    dns_forwarded *done;
    void *arg;
};

struct remembered {
    int64_t since_ms, until_ms;
    size_t n;
    uint8_t packet[];
};

struct dns_forward {
    struct loop *loop;
    struct env *env;
    struct address upstream;
    struct list asked;
    size_t asked_count;
    struct map cache; /* type and name -> struct remembered */
};

/* --- records of a packet --------------------------------------------------------------------------------------------- */

typedef void record_seen(void *arg, uint16_t type, uint8_t *ttl, const uint8_t *data, size_t n);

static size_t skip_name(const uint8_t *p, size_t n, size_t at)
{
    while (at < n && p[at]) {
        if (p[at] >= 0xc0)
            return at + 2;
        at += (size_t)p[at] + 1;
    }
    return at + 1;
}

/* Every record after the question; false when the packet ends inside one. */
static bool each_record(uint8_t *p, size_t n, record_seen *seen, void *arg)
{
    size_t questions = n >= HEADER_BYTES ? (size_t)(p[4] << 8 | p[5]) : 0, at = HEADER_BYTES, records = 0;

    for (int section = 6; section < 12 && n >= HEADER_BYTES; section += 2)
        records += (size_t)(p[section] << 8 | p[section + 1]);
    while (questions-- > 0 && at < n)
        at = skip_name(p, n, at) + 4;
    for (; records > 0; records--) {
        size_t data;
        at = skip_name(p, n, at);
        if (at + 10 > n)
            return false;
        data = (size_t)(p[at + 8] << 8 | p[at + 9]);
        if (at + 10 + data > n)
            return false;
        seen(arg, (uint16_t)(p[at] << 8 | p[at + 1]), p + at + 4, p + at + 10, data);
        at += 10 + data;
    }
    return true;
}

static uint32_t read_ttl(const uint8_t *ttl)
{
    return (uint32_t)ttl[0] << 24 | (uint32_t)ttl[1] << 16 | (uint32_t)ttl[2] << 8 | ttl[3];
}

static void least_ttl(void *arg, uint16_t type, uint8_t *ttl, UNUSED const uint8_t *data, UNUSED size_t n)
{
    uint32_t *least = arg;

    if (type != DNS_OPT)
        *least = MIN(*least, read_ttl(ttl));
}

static void age_ttl(void *arg, uint16_t type, uint8_t *ttl, UNUSED const uint8_t *data, UNUSED size_t n)
{
    uint32_t age = *(uint32_t *)arg, now = read_ttl(ttl);

    if (type == DNS_OPT)
        return;
    now = now > age ? now - age : 0;
    for (int i = 0; i < 4; i++)
        ttl[i] = (uint8_t)(now >> (24 - 8 * i));
}

/* --- cache --------------------------------------------------------------------------------------------------------------- */

static struct str cache_key(char text[DNS_NAME_MAX + 16], const struct asked *a)
{
    int n = snprintf(text, DNS_NAME_MAX + 16, "%u %d%d %s", a->query.type, a->tcp, a->query.edns,
                     a->alias[0] ? a->alias : a->query.name);

    return (struct str){ text, (size_t)n };
}

static void remember(const struct asked *a, struct str answer)
{
    struct dns_forward *f = a->forward;
    char text[DNS_NAME_MAX + 16];
    struct remembered *r;
    uint32_t ttl = TTL_MAX_S;
    int rcode = dns_packet_rcode(answer);

    if ((rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) || dns_packet_is_truncated(answer) || answer.n > 4096)
        return;
    r = xmalloc(sizeof(*r) + answer.n);
    memcpy(r->packet, answer.p, answer.n);
    r->n = answer.n;
    if (!each_record(r->packet, r->n, least_ttl, &ttl) || ttl == 0) {
        free(r);
        return;
    }
    if (rcode == DNS_NXDOMAIN)
        ttl = MIN(ttl, TTL_ERROR_S);
    r->since_ms = loop_now_ms(f->loop);
    r->until_ms = r->since_ms + ttl * SECOND_MS;
    free(map_put(&f->cache, cache_key(text, a), r));
    if (f->cache.count > FORWARD_CACHE_MAX) {
        size_t i = 0;
        struct str oldest;
        void *value;
        if (map_next(&f->cache, &i, &oldest, &value)) {
            AUTO_FREE char *copy = str_dup(oldest);
            free(map_del(&f->cache, (struct str){ copy, oldest.n }));
        }
    }
}

static const struct remembered *recall(const struct asked *a)
{
    char text[DNS_NAME_MAX + 16];
    struct str key = cache_key(text, a);
    struct remembered *r = map_get(&a->forward->cache, key);

    if (r && r->until_ms <= loop_now_ms(a->forward->loop)) {
        free(map_del(&a->forward->cache, key));
        return NULL;
    }
    return r;
}

/* --- answers ---------------------------------------------------------------------------------------------------------------- */

static void ignore_read(UNUSED struct stream *s, UNUSED struct str bytes, UNUSED void *arg)
{
}

static void ignore_closed(UNUSED struct stream *s, UNUSED const struct error *err, UNUSED void *arg)
{
}

static void end_attempt(struct asked *a)
{
    static const struct stream_callbacks ignore = { .on_read = ignore_read, .on_closed = ignore_closed };

    fd_watch_free(TAKE(a->watch));
    if (a->fd >= 0)
        close(TAKE_FD(a->fd));
    if (a->stream) {
        stream_set_callbacks(a->stream, &ignore, NULL);
        stream_close(TAKE(a->stream));
    }
    buf_clear(&a->received);
}

static void asked_free(struct asked *a)
{
    end_attempt(a);
    loop_timer_stop(&a->timer);
    list_del(&a->link);
    a->forward->asked_count--;
    buf_done(&a->received);
    free(a);
}

struct addresses {
    uint8_t ips[ADDRESSES_MAX][4];
    size_t count;
    uint32_t ttl;
};

static void take_address(void *arg, uint16_t type, uint8_t *ttl, const uint8_t *data, size_t n)
{
    struct addresses *found = arg;

    if (type != DNS_A || n != 4 || found->count == ADDRESSES_MAX)
        return;
    memcpy(found->ips[found->count++], data, 4);
    found->ttl = MIN(found->ttl, read_ttl(ttl));
}

size_t dns_forward_alias(const struct dns_query *q, struct str alias, uint8_t *packet, size_t n, bool tcp, void *out,
                         size_t max)
{
    struct addresses found = { .ttl = TTL_MAX_S };
    struct dns_writer w;

    if (!each_record(packet, n, take_address, &found))
        found.count = 0;
    dns_begin(&w, out, max, q, DNS_NOERROR, DNS_RECURSION_AVAILABLE | DNS_AUTHORITATIVE, tcp);
    dns_add_name(&w, DNS_ANSWER, DNS_CNAME, dns_query_name(q), TTL_ERROR_S, alias);
    for (size_t i = 0; i < found.count; i++)
        if (!dns_add_a(&w, DNS_ANSWER, alias, found.ttl, found.ips[i]))
            break;
    return dns_finish(&w);
}

/* Make an upstream packet the client's own: its id, and its question as it spelt it. */
static void give(const struct asked *a, struct str answer, uint32_t age_s)
{
    AUTO_FREE uint8_t *packet = xmalloc(answer.n), *out = NULL;

    memcpy(packet, answer.p, answer.n);
    if (a->alias[0]) {
        out = xmalloc(DNS_TCP_MAX);
        a->done(a->arg, (struct str){ (char *)out, dns_forward_alias(&a->query, str_of(a->alias), packet, answer.n,
                                                                     a->tcp, out, DNS_TCP_MAX) });
        return;
    }
    each_record(packet, answer.n, age_ttl, &age_s);
    dns_packet_set_id(packet, a->query.id);
    memcpy(packet + HEADER_BYTES, a->query.question, a->query.question_length);
    a->done(a->arg, (struct str){ (char *)packet, answer.n });
}

static void give_failure(const struct asked *a)
{
    uint8_t out[1024];
    struct dns_writer w;

    dns_begin(&w, out, sizeof(out), &a->query, DNS_SERVFAIL, DNS_RECURSION_AVAILABLE, a->tcp);
    a->done(a->arg, (struct str){ (char *)out, dns_finish(&w) });
}

static bool is_answer(const struct asked *a, struct str packet)
{
    struct dns_query alias;

    if (packet.n < (size_t)HEADER_BYTES + a->query.question_length || dns_packet_id(packet) != a->id ||
        !dns_packet_is_response(packet))
        return false;
    if (!a->alias[0])
        return dns_packet_same_question(packet, &a->query);
    return dns_parse_query((struct str){ (const char *)a->packet + 2, a->packet_n }, &alias) == 0 &&
           dns_packet_same_question(packet, &alias);
}

static bool take_answer(struct asked *a, struct str packet)
{
    if (!is_answer(a, packet))
        return false;
    remember(a, packet);
    give(a, packet, 0);
    asked_free(a);
    return true;
}

/* --- questions -------------------------------------------------------------------------------------------------------------- */

static void on_datagram(UNUSED struct fd_watch *w, UNUSED unsigned events, void *arg)
{
    struct asked *a = arg;
    char packet[4096];

    for (;;) {
        ssize_t n = recv(a->fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; /* nothing more; or refused, and the next try comes with the timer */
        if (take_answer(a, (struct str){ packet, (size_t)n }))
            return;
    }
}

static void on_stream_read(UNUSED struct stream *s, struct str bytes, void *arg)
{
    struct asked *a = arg;
    size_t wanted;

    buf_add(&a->received, bytes);
    if (a->received.full || a->received.n < 2)
        return;
    wanted = (size_t)((uint8_t)a->received.p[0] << 8 | (uint8_t)a->received.p[1]);
    if (a->received.n >= 2 + wanted)
        take_answer(a, (struct str){ a->received.p + 2, wanted });
}

static void on_stream_closed(UNUSED struct stream *s, UNUSED const struct error *err, void *arg)
{
    struct asked *a = arg;

    a->stream = NULL; /* the timer decides what happens next */
}

static void start_tcp(struct asked *a)
{
    static const struct stream_callbacks cb = { .on_read = on_stream_read, .on_closed = on_stream_closed };

    a->stream = stream_connect(a->forward->loop, &a->forward->upstream, NULL, &cb, a);
    stream_write(a->stream, (struct str){ (char *)a->packet, a->packet_n + 2 });
}

static void start_udp(struct asked *a)
{
    const struct address *to = &a->forward->upstream;

    a->fd = socket(to->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0 || connect(a->fd, (const struct sockaddr *)&to->sa, to->length) < 0)
        return;
    a->watch = fd_watch_new(a->forward->loop, a->fd, FD_READABLE, on_datagram, a, NULL);
    send(a->fd, a->packet + 2, a->packet_n, MSG_NOSIGNAL); /* lost: the timer tries again */
}

static void attempt(void *arg)
{
    struct asked *a = arg;

    end_attempt(a);
    if (a->tries++ >= FORWARD_TRIES) {
        give_failure(a);
        asked_free(a);
        return;
    }
    loop_timer_start(&a->timer, FORWARD_TIMEOUT_MS / FORWARD_TRIES);
    if (a->tcp)
        start_tcp(a);
    else
        start_udp(a);
}

static bool build(struct asked *a)
{
    struct str name = a->alias[0] ? str_of(a->alias) : dns_query_name(&a->query);

    a->id = (uint16_t)env_random_u64(a->forward->env);
    a->packet_n =
        dns_build_query(a->packet + 2, sizeof(a->packet) - 2, a->id, name, a->query.type, a->query.edns && !a->tcp);
    a->packet[0] = (uint8_t)(a->packet_n >> 8);
    a->packet[1] = (uint8_t)a->packet_n;
    return a->packet_n > 0;
}

void dns_forward_ask(struct dns_forward *f, const struct dns_query *q, struct str alias, bool tcp, dns_forwarded *done,
                     void *arg)
{
    struct asked *a = xnew(struct asked);
    const struct remembered *r;

    a->forward = f;
    a->query = *q;
    a->tcp = tcp;
    a->fd = -1;
    a->done = done;
    a->arg = arg;
    a->received = (struct buf)BUF_MAX(DNS_TCP_MAX + 2);
    snprintf(a->alias, sizeof(a->alias), "%.*s", STR_ARG(alias));
    loop_timer_init(&a->timer, f->loop, attempt, a);
    list_add_tail(&f->asked, &a->link);
    f->asked_count++;
    r = recall(a);
    if (r)
        give(a, (struct str){ (const char *)r->packet, r->n },
             (uint32_t)((loop_now_ms(f->loop) - r->since_ms) / SECOND_MS));
    else if (f->asked_count > FORWARD_MAX || !build(a))
        give_failure(a);
    else {
        attempt(a);
        return;
    }
    asked_free(a);
}

void dns_forward_cancel(struct dns_forward *f, void *arg)
{
    list_each (&f->asked, struct asked, link, a)
        if (a->arg == arg)
            asked_free(a);
}

struct dns_forward *dns_forward_new(struct loop *loop, struct env *env, const struct address *upstream)
{
    struct dns_forward *f = xnew(struct dns_forward);

    f->loop = loop;
    f->env = env;
    f->upstream = *upstream;
    list_init(&f->asked);
    return f;
}

void dns_forward_free(struct dns_forward *f)
{
    size_t i = 0;
    struct str key;
    void *value;

    if (!f)
        return;
    list_each (&f->asked, struct asked, link, a)
        asked_free(a);
    while (map_next(&f->cache, &i, &key, &value))
        free(value);
    map_done(&f->cache);
    free(f);
}
