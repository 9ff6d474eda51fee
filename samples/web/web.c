/*
 * The sample service: a small HTTP/1.1 server for trying klein out and for its own tests.
 *
 *   GET /            says which pod, node, zone and version answered; ?json for machines
 *   GET /healthz     200 while it serves; 500 after POST /fail until POST /heal
 *   GET /slow?ms=N   answers after N milliseconds (at most 60 s)
 *   GET /fail        500
 *   GET /count       requests answered so far
 *
 * A request's `X-Request: NUMBER` comes back in the answer. With COUNT_FOLDER set, each answer to such a request is also counted in
 * COUNT_FOLDER/POD.PID.START, a file with one byte a request, which outlives the process: `klein prove` compares it with what arrived.
 *
 * Graceful stop: on SIGTERM it goes on serving, but every answer closes its connection; it ends when no connection is left,
 * after DRAIN_MS at the latest. So nobody who was promised a connection loses a request. One thread, no allocation.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000
#define REQUEST_MAX     8192
#define ANSWER_MAX      4096
#define SLOW_MAX_MS     60000
#define DRAIN_MS        10000
#define IDLE_MAX_MS     60000
#define COUNTED_MAX     (4 * 1024 * 1024) /* requests with numbers below are counted one by one */

struct connection {
    char in[REQUEST_MAX], out[ANSWER_MAX];
    size_t in_n, out_n, out_sent;
    int64_t answer_at_ms; /* 0: no request waits */
    int64_t last_ms;
    bool close_after;
    long request; /* the number it came with, -1: none */
};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd fds[CONNECTIONS_MAX + 2]; /* 0: listener, 1: signals, then connections */
static nfds_t fds_count = 2;
static bool stopping, failing;
static int64_t stop_at_ms;
static unsigned long long answered;
static unsigned char *counts; /* of COUNTED_MAX, shared with a file; NULL: not wanted */
static const char *pod, *node, *zone, *version;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

static void answer(struct connection *c, int status, const char *type, const char *body)
{
    const char *text = status == 200   ? "OK"
                       : status == 404 ? "Not Found"
                       : status == 400 ? "Bad Request"
                                       : "Internal Server Error";
    char number[48] = "";

    if (c->request >= 0)
        snprintf(number, sizeof(number), "X-Request: %ld\r\n", c->request);
    int n = snprintf(c->out, sizeof(c->out),
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nX-Pod: %s\r\nX-Version: "
                     "%s\r\n%sConnection: %s\r\n\r\n%s",
                     status, text, type, strlen(body), pod, version, number,
                     c->close_after || stopping ? "close" : "keep-alive", body);

    c->out_n = n > 0 && (size_t)n < sizeof(c->out) ? (size_t)n : 0;
    c->out_sent = 0;
    c->close_after |= stopping || !c->out_n;
    answered++;
    if (counts && c->request >= 0 && c->request < COUNTED_MAX && counts[c->request] < 255)
        counts[c->request]++;
}

static void page(struct connection *c, bool json)
{
    char body[1024];

    snprintf(body, sizeof(body),
             json ? "{\"pod\":\"%s\",\"node\":\"%s\",\"zone\":\"%s\",\"version\":\"%s\"}\n"
                  : "Hello from klein\n\npod      %s\nnode     %s\nzone     %s\nversion  %s\n",
             pod, node, zone, version);
    answer(c, 200, json ? "application/json" : "text/plain", body);
}

static bool is_path(const char *target, const char *path)
{
    size_t n = strlen(path);

    return strncmp(target, path, n) == 0 && (target[n] == '\0' || target[n] == '?');
}

static void serve(struct connection *c, const char *method, const char *target)
{
    char body[64];

    if (is_path(target, "/"))
        page(c, strstr(target, "?json") != NULL);
    else if (is_path(target, "/healthz"))
        answer(c, failing ? 500 : 200, "text/plain", failing ? "failing\n" : "ok\n");
    else if (is_path(target, "/slow"))
        answer(c, 200, "text/plain", "slow\n");
    else if (is_path(target, "/count"))
        snprintf(body, sizeof(body), "%llu\n", answered), answer(c, 200, "text/plain", body);
    else if (is_path(target, "/fail") && strcmp(method, "POST") == 0)
        failing = true, answer(c, 200, "text/plain", "failing from now on\n");
    else if (is_path(target, "/heal") && strcmp(method, "POST") == 0)
        failing = false, answer(c, 200, "text/plain", "healthy from now on\n");
    else if (is_path(target, "/fail"))
        answer(c, 500, "text/plain", "failed, as asked\n");
    else
        answer(c, 404, "text/plain", "not found\n");
}

/* The request at the front of the buffer; requests with a body are read up to Content-Length and the body is dropped. */
static void take_request(struct connection *c)
{
    char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4), method[16], target[512], *length, *number;
    size_t size;

    c->request = -1;
    if (!end) {
        if (c->in_n == sizeof(c->in))
            c->close_after = true, answer(c, 400, "text/plain", "request too long\n");
        return;
    }
    size = (size_t)(end - c->in) + 4;
    *end = '\0';
    length = strcasestr(c->in, "\r\ncontent-length:");
    if (length)
        size += strtoul(length + 17, NULL, 10);
    if (size > c->in_n && size <= sizeof(c->in)) {
        *end = '\r';
        return;
    }
    number = strcasestr(c->in, "\r\nx-request:");
    c->request = number ? strtol(number + 12, NULL, 10) : -1;
    c->close_after |= size > sizeof(c->in) || strcasestr(c->in, "\r\nconnection: close") != NULL;
    if (sscanf(c->in, "%15s %511s", method, target) != 2) {
        c->close_after = true;
        answer(c, 400, "text/plain", "bad request\n");
    } else if (is_path(target, "/slow") && c->answer_at_ms == 0) {
        char *ms = strstr(target, "ms=");
        long wait = ms ? strtol(ms + 3, NULL, 10) : 1000;
        c->answer_at_ms = now_ms() + (wait < 0 ? 0 : wait > SLOW_MAX_MS ? SLOW_MAX_MS : wait);
        *end = '\r';
        return;
    } else {
        serve(c, method, target);
    }
    c->answer_at_ms = 0;
    size = size > c->in_n ? c->in_n : size;
    memmove(c->in, c->in + size, c->in_n - size);
    c->in_n -= size;
}

static void drop(nfds_t i)
{
    close(fds[i].fd);
    fds_count--;
    fds[i] = fds[fds_count];
    if (i != fds_count)
        connections[i - 2] = connections[fds_count - 2];
}

/* Returns false when the connection is over. */
static bool step(struct connection *c, struct pollfd *fd)
{
    int64_t now = now_ms();

    if (fd->revents & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t n = c->in_n < sizeof(c->in) ? read(fd->fd, c->in + c->in_n, sizeof(c->in) - c->in_n) : 0;
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        c->in_n += n > 0 ? (size_t)n : 0;
        c->last_ms = now;
    }
    for (;;) {
        if (c->out_sent < c->out_n) {
            ssize_t n = write(fd->fd, c->out + c->out_sent, c->out_n - c->out_sent);
            if (n < 0 && errno == EAGAIN)
                break;
            if (n <= 0)
                return false;
            c->out_sent += (size_t)n;
            continue;
        }
        if (c->out_n && c->close_after)
            return false;
        c->out_n = c->out_sent = 0;
        if (c->in_n == 0 || (c->answer_at_ms && c->answer_at_ms > now))
            break;
        take_request(c);
        if (!c->out_n)
            break;
    }
    fd->events = POLLIN | (c->out_sent < c->out_n ? POLLOUT : 0);
    return now - c->last_ms < IDLE_MAX_MS || c->answer_at_ms;
}

static void accept_all(void)
{
    while (fds_count < CONNECTIONS_MAX + 2) {
        int fd = accept4(fds[0].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        memset(&connections[fds_count - 2], 0, sizeof(struct connection));
        connections[fds_count - 2].last_ms = now_ms();
        fds[fds_count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 1024) < 0) {
        fprintf(stderr, "web: listen on port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static void open_counts(const char *folder)
{
    char path[512];
    struct timespec t;

    if (!*folder)
        return;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(path, sizeof(path), "%s/%s.%d.%lld%09ld", folder, pod, (int)getpid(), (long long)t.tv_sec, t.tv_nsec);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, COUNTED_MAX) < 0)
        goto failed;
    counts = mmap(NULL, COUNTED_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (counts != MAP_FAILED)
        return;
failed:
    fprintf(stderr, "web: count in '%s': %s\n", path, strerror(errno));
    exit(1);
}

static int next_wait(void)
{
    int64_t now = now_ms(), wait = stopping ? 50 : 1000;

    for (nfds_t i = 2; i < fds_count; i++)
        if (connections[i - 2].answer_at_ms && connections[i - 2].answer_at_ms - now < wait)
            wait = connections[i - 2].answer_at_ms - now;
    return wait < 0 ? 0 : (int)wait;
}

static void run(void)
{
    for (;;) {
        poll(fds, fds_count, next_wait());
        if (fds[1].revents && !stopping) {
            fprintf(stderr, "web: SIGTERM, finishing %lu connections\n", (unsigned long)fds_count - 2);
            stopping = true;
            stop_at_ms = now_ms() + DRAIN_MS;
            fds[1].fd = -1;
        }
        for (nfds_t i = fds_count; i-- > 2;)
            if (!step(&connections[i - 2], &fds[i]))
                drop(i);
        if (fds[0].revents)
            accept_all();
        if (stopping && (fds_count == 2 || now_ms() >= stop_at_ms))
            return;
    }
}

int main(void)
{
    sigset_t mask;

    pod = setting("POD_NAME", setting("HOSTNAME", "unknown"));
    node = setting("NODE_NAME", "unknown");
    zone = setting("ZONE", "unknown");
    version = setting("VERSION", "1");
    open_counts(setting("COUNT_FOLDER", ""));
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    fds[0] = (struct pollfd){ .fd = listen_on((uint16_t)strtoul(setting("PORT", "8080"), NULL, 10)), .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = signalfd(-1, &mask, SFD_CLOEXEC), .events = POLLIN };
    fprintf(stderr, "web: version %s serves on port %s\n", version, setting("PORT", "8080"));
    run();
    fprintf(stderr, "web: done after %llu answers\n", answered);
    return 0;
}
