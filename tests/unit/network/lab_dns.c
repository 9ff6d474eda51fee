/* Questions to the cluster's DNS over a real socket, answers as text. */
#include "lab.h"

#include "wire/dns.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct dns_ask {
    int netns, protocol;
    const char *server, *name;
    uint16_t type, port;
    unsigned char answer[65536];
    ssize_t n;
    volatile bool done;
};

static void ask(void *arg)
{
    struct dns_ask *a = arg;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(a->port) };
    struct timeval timeout = { .tv_sec = 3 };
    unsigned char query[2 + 512];
    size_t n = dns_build_query(query + 2, 512, 4711, str_of(a->name), a->type, true);
    int fd = socket(AF_INET, a->protocol == LAB_UDP ? SOCK_DGRAM : SOCK_STREAM, 0);

    query[0] = (unsigned char)(n >> 8);
    query[1] = (unsigned char)n;
    inet_pton(AF_INET, a->server, &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    a->n = -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        bool tcp = a->protocol == LAB_TCP;
        ssize_t got;
        send(fd, query + (tcp ? 0 : 2), n + (tcp ? 2 : 0), MSG_NOSIGNAL);
        got = recv(fd, a->answer, sizeof(a->answer), 0);
        while (tcp && got >= 2 && got < 2 + (a->answer[0] << 8 | a->answer[1])) {
            ssize_t more = recv(fd, a->answer + got, sizeof(a->answer) - (size_t)got, 0);
            if (more <= 0)
                break;
            got += more;
        }
        if (got > 0 && tcp)
            memmove(a->answer, a->answer + 2, (size_t)(got -= 2));
        a->n = got;
    }
    close(fd);
}

static void *ask_thread(void *arg)
{
    struct dns_ask *a = arg;

    lab_run(a->netns, ask, a);
    a->done = true;
    return NULL;
}

static size_t read_name(const unsigned char *p, size_t at, char *to, size_t size)
{
    size_t after = 0, n = 0;

    while (p[at]) {
        if (p[at] >= 0xc0) {
            after = after ? after : at + 2;
            at = (size_t)(p[at] & 0x3f) << 8 | p[at + 1];
            continue;
        }
        n += (size_t)snprintf(to + n, size - n, "%s%.*s", n ? "." : "", p[at], p + at + 1);
        at += p[at] + 1u;
    }
    return after ? after : at + 1;
}

/* "NOERROR A 1.2.3.4 CNAME x" of the answer section. */
static void describe(const struct dns_ask *a, char *text, size_t size)
{
    const unsigned char *p = a->answer;
    size_t at = 12, n = 0;
    char name[256] = "";

    if (a->n < 12) {
        snprintf(text, size, "no answer");
        return;
    }
    n = (size_t)snprintf(text, size, "%s%s", (p[2] & 2) ? "TC " : "",
                         (p[3] & 15) == 0   ? "NOERROR"
                         : (p[3] & 15) == 3 ? "NXDOMAIN"
                         : (p[3] & 15) == 5 ? "REFUSED"
                                            : "ERROR");
    at = read_name(p, at, name, sizeof(name)) + 4;
    for (int records = p[6] << 8 | p[7]; records > 0 && n < size; records--) {
        size_t type, data;
        at = read_name(p, at, name, sizeof(name));
        type = (size_t)(p[at] << 8 | p[at + 1]);
        data = at + 10;
        at = data + (size_t)(p[at + 8] << 8 | p[at + 9]);
        if (type == DNS_A) {
            n += (size_t)snprintf(text + n, size - n, " %d.%d.%d.%d", p[data], p[data + 1], p[data + 2], p[data + 3]);
        } else {
            read_name(p, type == DNS_SRV ? data + 6 : data, name, sizeof(name));
            n += (size_t)snprintf(text + n, size - n, " %s", name);
            if (type == DNS_SRV)
                n += (size_t)snprintf(text + n, size - n, ":%d", p[data + 4] << 8 | p[data + 5]);
        }
    }
}

const char *lab_dns(struct lab_node *n, int netns, int protocol, const char *server, uint16_t type, const char *name)
{
    static struct dns_ask a;
    static char text[4096];
    pthread_t thread;

    a = (struct dns_ask){
        .netns = netns, .protocol = protocol, .server = server, .name = name, .type = type, .port = 53
    };
    ASSERT_INT(pthread_create(&thread, NULL, ask_thread, &a), 0);
    LAB_UNTIL(n, a.done, 10000);
    pthread_join(thread, NULL);
    describe(&a, text, sizeof(text));
    return text;
}

/* --- an upstream server that knows one address for every name --------------------------------------------------------- */

static int upstream_fd;

static void open_upstream(UNUSED void *arg)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(5353) };

    upstream_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(upstream_fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        abort();
}

static void *upstream(UNUSED void *arg)
{
    static const uint8_t ip[4] = { 192, 0, 2, 7 };
    struct sockaddr_in from;
    char packet[2048], out[2048];
    struct dns_query q;
    struct dns_writer w;

    for (;;) {
        socklen_t n = sizeof(from);
        ssize_t got = recvfrom(upstream_fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &n);
        if (got < 0 || dns_parse_query((struct str){ packet, (size_t)got }, &q) < 0)
            continue;
        dns_begin(&w, out, sizeof(out), &q, DNS_NOERROR, DNS_RECURSION_AVAILABLE, false);
        dns_add_a(&w, DNS_ANSWER, dns_query_name(&q), 60, ip);
        sendto(upstream_fd, out, dns_finish(&w), 0, (struct sockaddr *)&from, n);
    }
    return NULL;
}

void lab_upstream_dns(void)
{
    pthread_t thread;

    lab_run(lab_router(), open_upstream, NULL);
    ASSERT_INT(pthread_create(&thread, NULL, upstream, NULL), 0);
    pthread_detach(thread);
}
