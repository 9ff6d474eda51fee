/* Servers and clients inside namespaces: blocking sockets on threads. */
#include "lab.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 700

struct server {
    int fd, protocol;
    uint16_t port;
    char name[64];
};

static void answer(const struct server *s, int fd, const struct sockaddr_in *from, bool datagram)
{
    char text[128], ip[INET_ADDRSTRLEN];
    int n;

    inet_ntop(AF_INET, &from->sin_addr, ip, sizeof(ip));
    n = snprintf(text, sizeof(text), "%s %s", s->name, ip);
    sendto(fd, text, (size_t)n, MSG_NOSIGNAL, datagram ? (const struct sockaddr *)from : NULL,
           datagram ? sizeof(*from) : 0);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    struct sockaddr_in from;
    socklen_t n = sizeof(from);
    char request[256];

    for (;;) {
        n = sizeof(from);
        if (s->protocol == LAB_UDP) {
            if (recvfrom(s->fd, request, sizeof(request), 0, (struct sockaddr *)&from, &n) >= 0)
                answer(s, s->fd, &from, true);
        } else {
            int fd = accept(s->fd, (struct sockaddr *)&from, &n);
            if (fd < 0)
                continue;
            answer(s, fd, &from, false);
            close(fd);
        }
    }
    return NULL;
}

static void open_server(void *arg)
{
    struct server *s = arg;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(s->port) };
    int on = 1;

    s->fd = socket(AF_INET, (s->protocol == LAB_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (s->protocol == LAB_TCP && listen(s->fd, 64) < 0))
        abort();
}

void lab_serve(int netns, int protocol, uint16_t port, const char *name)
{
    static struct server servers[64]; /* live as long as the program: their threads never end */
    static size_t count;
    struct server *s = &servers[count++];
    pthread_t thread;

    ASSERT(count <= ARRAY_SIZE(servers));
    s->protocol = protocol;
    s->port = port;
    snprintf(s->name, sizeof(s->name), "%s", name);
    lab_run(netns, open_server, s);
    ASSERT_INT(pthread_create(&thread, NULL, serve, s), 0);
    pthread_detach(thread);
}

struct question {
    int protocol;
    const char *ip, *bind_ip;
    uint16_t port, from_port;
    char answer[128];
};

static const char *why(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "refused";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "unreachable";
    case EAGAIN:
    case EINPROGRESS:
    case ETIMEDOUT:
        return "timeout";
    default:
        return strerror(error);
    }
}

static int converse(int fd, struct question *q)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(q->port) }, from = { .sin_family = AF_INET };
    ssize_t n;

    inet_pton(AF_INET, q->ip, &to.sin_addr);
    if (q->bind_ip || q->from_port) {
        from.sin_port = htons(q->from_port);
        if (q->bind_ip)
            inet_pton(AF_INET, q->bind_ip, &from.sin_addr);
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
            return -1;
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || send(fd, "?", 1, MSG_NOSIGNAL) < 0)
        return -1;
    n = recv(fd, q->answer, sizeof(q->answer) - 1, 0);
    if (n < 0)
        return -1;
    q->answer[n] = 0;
    return 0;
}

static void ask(void *arg)
{
    struct question *q = arg;
    struct timeval timeout = { .tv_usec = TIMEOUT_MS * 1000 };
    int fd = socket(AF_INET, (q->protocol == LAB_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (converse(fd, q) < 0)
        snprintf(q->answer, sizeof(q->answer), "%s", why(errno));
    close(fd);
}

const char *lab_ask(int netns, int protocol, const char *ip, uint16_t port, const char *bind_ip)
{
    static __thread struct question q;

    q = (struct question){ .protocol = protocol, .ip = ip, .bind_ip = bind_ip, .port = port };
    lab_run(netns, ask, &q);
    return q.answer;
}

const char *lab_ask_from(int netns, int protocol, const char *ip, uint16_t port, uint16_t from_port)
{
    static __thread struct question q;

    q = (struct question){ .protocol = protocol, .ip = ip, .port = port, .from_port = from_port };
    lab_run(netns, ask, &q);
    return q.answer;
}
