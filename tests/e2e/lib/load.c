/*
 * Steady HTTP load that notices every failure: load IP:PORT RATE SECONDS fresh|keep [HOST]
 *
 * Open loop: request n is due at n/RATE seconds whatever became of those before it. "fresh" opens a connection for each,
 * "keep" reuses idle ones. A request fails when it cannot connect, is cut, is not answered with 200 and the sample service's
 * page, or takes more than LIMIT_MS; a connection that ends between two requests is no failure. One JSON line at the end
 * (SIGTERM ends early): sent, ok, failed, the first reasons, p50, p99, max and the longest time without a good answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 2000
#define ANSWER_MAX      8192
#define REASONS_MAX     5
#define LIMIT_MS        5000

enum state { CLOSED, CONNECTING, WAITING, IDLE };

static struct connection {
    enum state state;
    double due_ms;
    size_t in_n;
    bool reused;
    char in[ANSWER_MAX + 1];
} connections[CONNECTIONS_MAX];
static struct pollfd fds[CONNECTIONS_MAX];

static struct sockaddr_in target;
static char request[512];
static size_t request_n;
static bool keep;
static long sent, ok, failed;
static float *latencies_ms;
static double began_ms, last_ok_ms, gap_ms, gap_at_ms;
static volatile sig_atomic_t stopped;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void hang_up(int i)
{
    close(fds[i].fd);
    fds[i].fd = -1;
    connections[i].state = CLOSED;
}

static void fail(int i, const char *why)
{
    if (failed++ < REASONS_MAX)
        fprintf(stderr, "%.3f s: %s%s after %.0f ms: %s\n", (now_ms() - began_ms) / 1e3, why,
                connections[i].reused ? " (reused)" : "", now_ms() - connections[i].due_ms,
                connections[i].in_n ? connections[i].in : "no answer");
    hang_up(i);
}

static void succeed(int i, bool closes)
{
    double now = now_ms();

    latencies_ms[ok++] = (float)(now - connections[i].due_ms);
    if (now - last_ok_ms > gap_ms) {
        gap_ms = now - last_ok_ms;
        gap_at_ms = last_ok_ms - began_ms;
    }
    last_ok_ms = now;
    if (closes || !keep) {
        hang_up(i);
        return;
    }
    connections[i].state = IDLE;
    connections[i].in_n = 0;
}

static void send_request(int i)
{
    ssize_t n = send(fds[i].fd, request, request_n, MSG_NOSIGNAL);

    connections[i].state = WAITING;
    connections[i].in_n = 0;
    fds[i].events = POLLIN;
    if (n != (ssize_t)request_n)
        fail(i, "could not send");
}

static void start(double due_ms)
{
    int free_place = -1, one = 1;

    sent++;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].state == IDLE) {
            connections[i].due_ms = due_ms;
            connections[i].reused = true;
            send_request(i);
            return;
        }
        if (connections[i].state == CLOSED && free_place < 0)
            free_place = i;
    }
    if (free_place < 0) {
        failed++;
        return;
    }
    struct connection *c = &connections[free_place];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fds[free_place] = (struct pollfd){ .fd = fd, .events = POLLOUT };
    c->state = CONNECTING;
    c->due_ms = due_ms;
    c->in_n = 0;
    c->reused = false;
    if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 && errno != EINPROGRESS)
        fail(free_place, strerror(errno));
}

/* The whole answer is there when its Content-Length is; the sample service always sends one. */
static bool is_complete(const struct connection *c)
{
    const char *body = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length:");

    return body && length && c->in_n >= (size_t)(body + 4 - c->in) + strtoul(length + 15, NULL, 10);
}

static void receive(int i)
{
    struct connection *c = &connections[i];
    ssize_t n = recv(fds[i].fd, c->in + c->in_n, ANSWER_MAX - c->in_n, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        if (c->state == IDLE)
            hang_up(i);
        else
            fail(i, n < 0 ? strerror(errno) : "cut off");
        return;
    }
    c->in_n += (size_t)n;
    c->in[c->in_n] = '\0';
    if (!is_complete(c)) {
        if (c->in_n == ANSWER_MAX)
            fail(i, "answer too large");
        return;
    }
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0 || !strstr(c->in, "Hello from klein"))
        fail(i, "wrong answer");
    else
        succeed(i, strcasestr(c->in, "connection: close"));
}

static void look(int i)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (connections[i].state == CONNECTING) {
        getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error)
            fail(i, strerror(error));
        else
            send_request(i);
        return;
    }
    receive(i);
}

static void look_all(int timeout_ms)
{
    double now;

    poll(fds, CONNECTIONS_MAX, timeout_ms);
    now = now_ms();
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        if (fds[i].fd >= 0 && fds[i].revents)
            look(i);
        if ((connections[i].state == CONNECTING || connections[i].state == WAITING) &&
            now - connections[i].due_ms > LIMIT_MS)
            fail(i, "no answer in time");
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static bool has_open(void)
{
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (connections[i].state == CONNECTING || connections[i].state == WAITING)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    char *port = argc >= 5 ? strchr(argv[1], ':') : NULL;

    if (!port) {
        fprintf(stderr, "usage: load IP:PORT RATE SECONDS fresh|keep [HOST]\n");
        return 2;
    }
    *port++ = '\0';
    target = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
    inet_pton(AF_INET, argv[1], &target.sin_addr);
    double rate = strtod(argv[2], NULL), seconds = strtod(argv[3], NULL);
    keep = strcmp(argv[4], "keep") == 0;
    request_n = (size_t)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                                 argc > 5 ? argv[5] : argv[1], keep ? "" : "Connection: close\r\n");
    latencies_ms = malloc(sizeof(float) * (size_t)(rate * seconds + 16));
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fds[i].fd = -1;
    began_ms = last_ok_ms = now_ms();
    while (!stopped && (double)sent < rate * seconds) {
        double due_ms = began_ms + (double)sent * 1e3 / rate, wait_ms = due_ms - now_ms();
        if (wait_ms <= 0)
            start(due_ms);
        look_all(wait_ms > 1 ? (int)wait_ms : 0);
    }
    while (has_open())
        look_all(10);
    qsort(latencies_ms, (size_t)ok, sizeof(float), compare);
    printf("{\"sent\": %ld, \"ok\": %ld, \"failed\": %ld, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, "
           "\"gap_ms\": %.0f, \"gap_at_ms\": %.0f}\n",
           sent, ok, failed, ok ? latencies_ms[ok / 2] : 0, ok ? latencies_ms[ok * 99 / 100] : 0,
           ok ? latencies_ms[ok - 1] : 0, gap_ms, gap_at_ms);
    return failed ? 1 : 0;
}
