/* The DNS Service's sockets: questions in, answers of the zone or of the upstream server out. */
#include "network/dns_server.h"

#include "base/file.h"
#include "base/list.h"
#include "loop/stream.h"
#include "loop/udp.h"
#include "network/dns_forward.h"
#include "network/dns_zone.h"
#include "network/ip.h"

#include <stdlib.h>

#define DNS_PORT           53
#define CONNECTIONS_MAX    256
#define CONNECTION_IDLE_MS 10000
#define PACKET_MIN         12
#define ALIASES_MAX        8 /* ExternalNames of ExternalNames */
#define UDP_BUFFER_BYTES   (4 * MIB)

struct dns_server {
    struct loop *loop;
    struct env *env;
    struct dns_zone *zone;
    struct dns_forward *forward; /* NULL: other names are refused */
    bool complete;
    struct udp *udp;
    struct listener *listener;
    struct list connections, waiting;
    size_t connections_count;
};

struct connection {
    struct list link;
    struct dns_server *server;
    struct stream *stream;
    struct buf received;
    struct loop_timer idle;
};

/* A datagram whose answer comes from upstream. */
struct waiting {
    struct list link; /* in the server's list, to be freed with it */
    struct dns_server *server;
    struct address from;
};

static void ignore_read(UNUSED struct stream *s, UNUSED struct str bytes, UNUSED void *arg)
{
}

static void ignore_closed(UNUSED struct stream *s, UNUSED const struct error *err, UNUSED void *arg)
{
}

static const struct stream_callbacks ignore = { .on_read = ignore_read, .on_closed = ignore_closed };

static size_t refuse(const struct dns_query *q, int rcode, bool tcp, void *out, size_t max)
{
    struct dns_writer w;

    dns_begin(&w, out, max, q, rcode, 0, tcp);
    return dns_finish(&w);
}

/*
 * An ExternalName that names another Service: follow it here, for no other server knows the answer. Length of the answer, or 0: the
 * last name, in *alias, is not of the cluster. Chains end after ALIASES_MAX names, as a loop would not.
 */
static size_t follow_alias(struct dns_server *s, const struct dns_query *q, bool tcp, void *out, size_t max,
                           struct str *alias)
{
    AUTO_FREE uint8_t *answer = xmalloc(DNS_TCP_MAX);
    struct dns_query next = *q;

    for (int i = 0; i < ALIASES_MAX; i++) {
        struct str further;
        size_t n;

        if (alias->n > DNS_NAME_MAX)
            break;
        memcpy(next.name, alias->p, alias->n);
        next.name[alias->n] = '\0';
        next.name_length = (uint8_t)alias->n;
        n = dns_zone_answer(s->zone, &next, true, answer, DNS_TCP_MAX, &further);
        if (n)
            return dns_forward_alias(q, *alias, answer, n, tcp, out, max);
        if (!further.n)
            return 0;
        *alias = further;
    }
    return refuse(q, DNS_SERVFAIL, tcp, out, max);
}

/* Length of the answer, 0: to be forwarded. */
static size_t answer_now(struct dns_server *s, const struct dns_query *q, bool tcp, void *out, size_t max,
                         struct str *ret_alias)
{
    int rcode = dns_query_check(q);
    size_t n;

    *ret_alias = STR_NONE;
    if (rcode != DNS_NOERROR)
        return refuse(q, rcode, tcp, out, max);
    n = dns_zone_answer(s->zone, q, tcp, out, max, ret_alias);
    if ((n || ret_alias->n) && !s->complete)
        return refuse(q, DNS_SERVFAIL, tcp, out, max); /* "does not exist" would be remembered */
    if (ret_alias->n)
        n = follow_alias(s, q, tcp, out, max, ret_alias);
    if (n || s->forward)
        return n;
    return refuse(q, DNS_REFUSED, tcp, out, max);
}

/* --- UDP -------------------------------------------------------------------------------------------------------------- */

static void udp_forwarded(void *arg, struct str answer)
{
    struct waiting *w = arg;

    if (w->server->udp)
        udp_send(w->server->udp, &w->from, answer);
    list_del(&w->link);
    free(w);
}

static void on_datagram(struct udp *u, const struct address *from, struct str bytes, void *arg)
{
    struct dns_server *s = arg;
    uint8_t out[DNS_UDP_MAX];
    struct dns_query q;
    struct waiting *w;
    struct str alias;
    size_t n;

    if (dns_parse_query(bytes, &q) < 0)
        return;
    n = answer_now(s, &q, false, out, sizeof(out), &alias);
    if (n) {
        udp_send(u, from, (struct str){ (char *)out, n });
        return;
    }
    w = xnew(struct waiting);
    w->server = s;
    w->from = *from;
    list_add_tail(&s->waiting, &w->link);
    dns_forward_ask(s->forward, &q, alias, false, udp_forwarded, w);
}

/* --- TCP -------------------------------------------------------------------------------------------------------------- */

static void send_framed(struct connection *c, struct str answer)
{
    uint8_t length[2] = { (uint8_t)(answer.n >> 8), (uint8_t)answer.n };

    if (!c->stream)
        return;
    stream_write(c->stream, (struct str){ (char *)length, sizeof(length) });
    stream_write(c->stream, answer);
}

static void tcp_forwarded(void *arg, struct str answer)
{
    send_framed(arg, answer);
}

static void take_question(struct connection *c, struct str bytes)
{
    struct dns_server *s = c->server;
    AUTO_FREE uint8_t *out = xmalloc(DNS_TCP_MAX);
    struct dns_query q;
    struct str alias;
    size_t n;

    if (dns_parse_query(bytes, &q) < 0) {
        stream_close(c->stream);
        return;
    }
    n = answer_now(s, &q, true, out, DNS_TCP_MAX, &alias);
    if (n)
        send_framed(c, (struct str){ (char *)out, n });
    else
        dns_forward_ask(s->forward, &q, alias, true, tcp_forwarded, c);
}

static void on_read(struct stream *stream, struct str bytes, void *arg)
{
    struct connection *c = arg;

    loop_timer_start(&c->idle, CONNECTION_IDLE_MS);
    buf_add(&c->received, bytes);
    if (c->received.full) {
        stream_close(stream);
        return;
    }
    while (c->received.n >= 2) {
        size_t n = (size_t)((uint8_t)c->received.p[0] << 8 | (uint8_t)c->received.p[1]);
        if (n < PACKET_MIN) {
            stream_close(stream);
            return;
        }
        if (c->received.n < 2 + n)
            return;
        take_question(c, (struct str){ c->received.p + 2, n });
        buf_drop(&c->received, 2 + n);
    }
}

static void connection_free(struct connection *c)
{
    if (c->server->forward)
        dns_forward_cancel(c->server->forward, c);
    loop_timer_stop(&c->idle);
    list_del(&c->link);
    c->server->connections_count--;
    buf_done(&c->received);
    free(c);
}

static void on_closed(UNUSED struct stream *stream, UNUSED const struct error *err, void *arg)
{
    connection_free(arg);
}

static void on_idle(void *arg)
{
    struct connection *c = arg;

    stream_close(c->stream);
}

static void on_stream(UNUSED struct listener *l, struct stream *stream, void *arg)
{
    static const struct stream_callbacks cb = { .on_read = on_read, .on_closed = on_closed };
    struct dns_server *s = arg;
    struct connection *c;

    if (s->connections_count >= CONNECTIONS_MAX) {
        stream_set_callbacks(stream, &ignore, NULL);
        stream_close(stream);
        return;
    }
    c = xnew(struct connection);
    c->server = s;
    c->stream = stream;
    c->received = (struct buf)BUF_MAX(DNS_TCP_MAX + 2);
    loop_timer_init(&c->idle, s->loop, on_idle, c);
    loop_timer_start(&c->idle, CONNECTION_IDLE_MS);
    list_add_tail(&s->connections, &c->link);
    s->connections_count++;
    stream_set_callbacks(stream, &cb, c);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

/* The first nameserver of a resolv.conf that is not ourselves. */
static void resolv_conf(uint32_t own_ip, struct address *ret)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, line;
    uint32_t ip;

    if (file_read("/etc/resolv.conf", &text, NULL) < 0)
        return;
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        struct str word;
        line = str_trim(line);
        if (!str_starts(line, STR("nameserver")))
            continue;
        word = str_trim(str_from(line, strlen("nameserver")));
        if ((!ip_parse(word, &ip) || ip != own_ip) && address_of_ip(word, DNS_PORT, ret, NULL) == 0)
            return;
    }
}

static int find_upstream(const char *text, uint32_t own_ip, struct address *ret, struct error *err)
{
    uint32_t ip;

    *ret = (struct address){ 0 };
    if (!text)
        resolv_conf(own_ip, ret); /* none there: refuse */
    if (!text || !*text)
        return 0;
    if (ip_parse(str_of(text), &ip))
        return address_of_ip(str_of(text), DNS_PORT, ret, err);
    return address_parse(str_of(text), ret, err);
}

static int open_sockets(struct dns_server *s, uint32_t ip, struct error *err)
{
    static const struct udp_callbacks udp_cb = { .on_datagram = on_datagram };
    static const struct listener_callbacks listener_cb = { .on_stream = on_stream };
    const struct udp_options udp_options = { .buffer_bytes = UDP_BUFFER_BYTES };
    char text[IP_TEXT_SIZE];
    struct address at;

    if (address_of_ip(str_of(ip_format(ip, text)), DNS_PORT, &at, err) < 0)
        return -1;
    s->udp = udp_open(s->loop, &at, &udp_options, &udp_cb, s, err);
    if (!s->udp)
        return -1;
    s->listener = listener_new(s->loop, &at, NULL, &listener_cb, s, err);
    return s->listener ? 0 : -1;
}

struct dns_server *dns_server_new(struct loop *loop, struct env *env, const char *cluster_domain, uint32_t ip,
                                  const char *upstream, struct error *err)
{
    struct dns_server *s = xnew(struct dns_server);
    struct address to;

    s->loop = loop;
    s->env = env;
    s->zone = dns_zone_new(cluster_domain);
    list_init(&s->connections);
    list_init(&s->waiting);
    if (find_upstream(upstream, ip, &to, err) < 0 || open_sockets(s, ip, err) < 0) {
        dns_server_free(s);
        error_context(err, "start cluster DNS");
        return NULL;
    }
    if (to.length)
        s->forward = dns_forward_new(loop, env, &to);
    return s;
}

void dns_server_free(struct dns_server *s)
{
    if (!s)
        return;
    list_each (&s->connections, struct connection, link, c) {
        stream_set_callbacks(c->stream, &ignore, NULL);
        stream_close(c->stream);
        connection_free(c);
    }
    dns_forward_free(s->forward);
    list_each (&s->waiting, struct waiting, link, w)
        free(w);
    udp_close(s->udp);
    listener_close(s->listener);
    dns_zone_free(s->zone);
    free(s);
}

void dns_server_put_service(struct dns_server *s, struct str key, const struct object *service,
                            const struct object *const *slices, size_t slices_count)
{
    struct str name = key, namespace_;

    str_cut(&name, '/', &namespace_);
    dns_zone_put(s->zone, namespace_, name, service, slices, slices_count);
}

void dns_server_set_complete(struct dns_server *s)
{
    s->complete = true;
}
