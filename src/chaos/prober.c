/* The open-loop prober: epoll, a timer on an absolute schedule, and as many connections as it needs. */
#include "chaos/prober.h"

#include "base/buf.h"
#include "base/time.h"
#include "chaos/step.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CONNECTIONS_MAX 8192
#define ANSWER_MAX      4096
#define EVENTS_MAX      256
#define IDLE_MAX        64 /* kept a flow */

enum state { FREE, CONNECTING, WAITING, IDLE };

struct connection {
    enum state state;
    int fd, flow;
    uint32_t request; /* index in the log */
    uint32_t next;    /* of the free or the idle ones, + 1 */
    size_t in_n;
    char in[ANSWER_MAX];
};

struct prober {
    struct probe_log *log;
    const struct prober_options *o;
    int epoll_fd, timer_fd;
    struct connection *connections;
    uint32_t used;                  /* slots ever used */
    uint32_t free_head;             /* + 1 */
    uint32_t idle[PROBE_FLOWS_MAX]; /* + 1 */
    int idle_count[PROBE_FLOWS_MAX];
    uint32_t *slot_of; /* by request: slot + 1 while it is open */
    uint32_t oldest;   /* requests before it are finished */
    int64_t began_us;
};

/* --- connections ---------------------------------------------------------------------------------------------------------------- */

static void release(struct prober *p, struct connection *c)
{
    close(c->fd);
    c->fd = -1;
    c->state = FREE;
    c->next = p->free_head;
    p->free_head = (uint32_t)(c - p->connections) + 1;
}

static void finish(struct prober *p, struct connection *c, enum probe_cause cause, int status)
{
    probe_finish(&p->log->probes[c->request], cause, status, time_monotonic_us());
    p->slot_of[c->request] = 0;
}

static void fail_request(struct prober *p, struct connection *c, enum probe_cause cause)
{
    finish(p, c, cause, 0);
    release(p, c);
}

static enum probe_cause cause_of(int sys)
{
    switch (sys) {
    case ECONNREFUSED:
        return PROBE_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return PROBE_RESET;
    case ETIMEDOUT:
        return PROBE_TIMEOUT;
    default:
        return PROBE_UNREACHABLE;
    }
}

static struct connection *take_idle(struct prober *p, int flow)
{
    struct connection *c;

    if (!p->idle[flow])
        return NULL;
    c = &p->connections[p->idle[flow] - 1];
    p->idle[flow] = c->next;
    p->idle_count[flow]--;
    return c;
}

static void drop_idle(struct prober *p, struct connection *c)
{
    for (uint32_t *at = &p->idle[c->flow]; *at; at = &p->connections[*at - 1].next)
        if (&p->connections[*at - 1] == c) {
            *at = c->next;
            p->idle_count[c->flow]--;
            break;
        }
    release(p, c);
}

static struct connection *open_connection(struct prober *p, int flow, int *ret_sys)
{
    struct connection *c;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *ret_sys = EMFILE;
    if (fd < 0 || (!p->free_head && p->used == CONNECTIONS_MAX)) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (p->free_head) {
        c = &p->connections[p->free_head - 1];
        p->free_head = c->next;
    } else {
        c = &p->connections[p->used++];
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->fd = fd;
    c->flow = flow;
    c->in_n = 0;
    c->state = CONNECTING;
    const struct sockaddr_in *to = &p->o->flows[flow].to;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.u32 = (uint32_t)(c - p->connections) };
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS) {
        *ret_sys = errno;
        release(p, c);
        return NULL;
    }
    epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return c;
}

/* --- requests and answers ---------------------------------------------------------------------------------------------------------- */

static void send_request(struct prober *p, struct connection *c)
{
    const struct prober_flow *flow = &p->o->flows[c->flow];
    char text[512];
    int n = snprintf(text, sizeof(text), "GET /?json HTTP/1.1\r\nHost: %s\r\nX-Request: %u\r\n%s\r\n", flow->host,
                     (unsigned)(p->log->first_id + c->request), flow->fresh ? "Connection: close\r\n" : "");

    c->state = WAITING;
    c->in_n = 0;
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        fail_request(p, c, cause_of(errno));
}

static struct str header(struct str head, struct str name)
{
    struct str line, key;

    while (str_next(&head, '\n', &line))
        if (str_cut(&line, ':', &key) && str_eq_nocase(key, name))
            return str_trim(line);
    return STR_NONE;
}

/* Bytes of a whole answer at the front, 0 while it is not whole, -1 when it is none. */
static ssize_t answer_size(struct str in, struct str *ret_head, int *ret_status)
{
    const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
    int64_t status, body = 0;

    if (in.n >= 7 && !str_starts(in, STR("HTTP/1.")))
        return -1;
    if (!end)
        return in.n == ANSWER_MAX ? -1 : 0;
    *ret_head = str_part(in, 0, (size_t)(end - in.p));
    if (!str_to_i64(str_part(in, 9, 3), &status) || !str_to_i64(header(*ret_head, STR("content-length")), &body) ||
        body < 0 || body > ANSWER_MAX)
        return -1;
    *ret_status = (int)status;
    size_t size = ret_head->n + 4 + (size_t)body;
    return size > ANSWER_MAX ? -1 : in.n < size ? 0 : (ssize_t)size;
}

static void keep(struct prober *p, struct connection *c, struct str head)
{
    if (p->o->flows[c->flow].fresh || p->idle_count[c->flow] == IDLE_MAX ||
        str_eq_nocase(header(head, STR("connection")), STR("close"))) {
        release(p, c);
        return;
    }
    c->state = IDLE;
    c->next = p->idle[c->flow];
    p->idle[c->flow] = (uint32_t)(c - p->connections) + 1;
    p->idle_count[c->flow]++;
}

/* False when the connection is gone. */
static bool take_answer(struct prober *p, struct connection *c)
{
    struct probe_log *log = p->log;
    struct str head = STR_NONE, in = { c->in, c->in_n };
    int status = 0;
    ssize_t size = answer_size(in, &head, &status);
    uint64_t id = 0;

    if (size == 0)
        return true;
    if (size < 0) {
        fail_request(p, c, PROBE_WRONG);
        return false;
    }
    log->probes[c->request].pod = (uint8_t)probe_log_pod(log, header(head, STR("x-pod")));
    if (status != 200) {
        finish(p, c, PROBE_STATUS, status); /* a proxy's own answer carries no id */
    } else if (!str_to_u64(header(head, STR("x-request")), &id) || id != (uint64_t)log->first_id + c->request) {
        fail_request(p, c, PROBE_WRONG);
        return false;
    } else {
        finish(p, c, PROBE_OK, status);
    }
    if ((size_t)size < c->in_n) {
        log->unasked++;
        release(p, c);
        return false;
    }
    keep(p, c, head);
    return c->state == IDLE;
}

static void receive(struct prober *p, struct connection *c)
{
    for (;;) {
        char unwanted[64];
        bool idle = c->state == IDLE;
        ssize_t n =
            recv(c->fd, idle ? unwanted : c->in + c->in_n, idle ? sizeof(unwanted) : sizeof(c->in) - c->in_n, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (idle) { /* its end between two requests is no failure; bytes nobody asked for are told */
            p->log->unasked += n > 0;
            drop_idle(p, c);
            return;
        }
        if (n <= 0) {
            fail_request(p, c, n == 0 ? PROBE_CLOSED : cause_of(errno));
            return;
        }
        c->in_n += (size_t)n;
        if (!take_answer(p, c))
            return;
    }
}

static void handle(struct prober *p, struct connection *c, uint32_t events)
{
    if (c->state == CONNECTING) {
        int sys = 0;
        socklen_t n = sizeof(sys);
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &n);
        if (sys) {
            fail_request(p, c, cause_of(sys));
            return;
        }
        send_request(p, c);
    }
    if (c->state == WAITING || c->state == IDLE)
        receive(p, c);
}

/* --- the schedule ------------------------------------------------------------------------------------------------------------------- */

static int64_t due_us(const struct prober *p, uint32_t request)
{
    return p->began_us + (int64_t)request * 1000000 / p->o->rate;
}

static void begin_request(struct prober *p, int64_t now_us)
{
    struct probe_log *log = p->log;
    uint32_t request = atomic_load(&log->sent);
    struct probe *probe = &log->probes[request];
    int flow = (int)(request % (uint32_t)p->o->flows_count), sys = 0;
    struct connection *c;

    *probe = (struct probe){ .due_us = due_us(p, request), .flow = (uint8_t)flow, .pod = PROBE_NO_POD };
    log->lag_max_us = MAX(log->lag_max_us, now_us - probe->due_us);
    atomic_store(&log->sent, request + 1);
    c = p->o->flows[flow].fresh ? NULL : take_idle(p, flow);
    if (c) {
        c->request = request;
        p->slot_of[request] = (uint32_t)(c - p->connections) + 1;
        send_request(p, c);
        return;
    }
    c = open_connection(p, flow, &sys);
    if (!c) {
        probe_finish(probe, cause_of(sys), 0, time_monotonic_us());
        return;
    }
    c->request = request;
    p->slot_of[request] = (uint32_t)(c - p->connections) + 1;
}

/* Requests are due in order, so those that waited too long are at the front. */
static void end_late(struct prober *p, int64_t now_us)
{
    uint32_t sent = atomic_load(&p->log->sent);

    for (; p->oldest < sent; p->oldest++) {
        const struct probe *probe = &p->log->probes[p->oldest];
        uint32_t slot = p->slot_of[p->oldest];
        if (probe->cause != PROBE_OPEN)
            continue;
        if (now_us - probe->due_us < PROBE_LIMIT_US)
            return;
        if (slot)
            fail_request(p, &p->connections[slot - 1], PROBE_TIMEOUT);
    }
}

static void arm(const struct prober *p, int64_t at_us)
{
    struct itimerspec when = { .it_value = { at_us / 1000000, at_us % 1000000 * 1000 } };

    timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void run_loop(struct prober *p)
{
    struct probe_log *log = p->log;
    struct epoll_event events[EVENTS_MAX];
    bool stopping = false;

    for (;;) {
        int64_t now_us = time_monotonic_us();
        uint32_t sent = atomic_load(&log->sent);
        stopping |= atomic_load(&log->stop) || sent == log->capacity;
        while (!stopping && due_us(p, sent) <= now_us) {
            begin_request(p, now_us);
            sent++;
            stopping = sent == log->capacity;
        }
        end_late(p, now_us);
        if (stopping && p->oldest == sent)
            return;
        arm(p, stopping ? now_us + 10000 : due_us(p, sent));
        int n = epoll_wait(p->epoll_fd, events, EVENTS_MAX, 1000);
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.u32 == UINT32_MAX)
                (void)!read(p->timer_fd, &ticks, sizeof(ticks));
            else
                handle(p, &p->connections[events[i].data.u32], events[i].events);
        }
    }
}

int prober_run(struct probe_log *log, const struct prober_options *o, struct error *err)
{
    struct prober p = { .log = log, .o = o, .began_us = time_monotonic_us() + 1000 };
    AUTO_FD int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    AUTO_FD int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = UINT32_MAX };

    if (epoll_fd < 0 || timer_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event) < 0)
        return fail_sys(err, errno, "prepare the prober");
    p.epoll_fd = epoll_fd;
    p.timer_fd = timer_fd;
    p.connections = xcalloc(CONNECTIONS_MAX, sizeof(*p.connections));
    p.slot_of = xcalloc(log->capacity + 1, sizeof(*p.slot_of));
    log->flows_count = o->flows_count;
    for (int i = 0; i < o->flows_count; i++)
        snprintf(log->flows[i], sizeof(log->flows[i]), "%s", o->flows[i].name);
    run_loop(&p);
    for (uint32_t i = 0; i < p.used; i++)
        if (p.connections[i].state != FREE)
            close(p.connections[i].fd);
    free(p.connections);
    free(p.slot_of);
    atomic_store(&log->done, true);
    return 0;
}

NORETURN static void be_prober(struct probe_log *log, const struct prober_options *o, pid_t parent)
{
    AUTO_ERROR struct error err = { 0 };
    int before = -1, result = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, "klein-prober");
    signal(SIGINT, SIG_IGN); /* Ctrl-C ends the command, which then stops us */
    /* Its schedule must hold on a busy machine, and it needs little: before everybody else, or at least before most. */
    if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 }) < 0)
        setpriority(PRIO_PROCESS, 0, -10);
    if (o->netns_pid && (before = net_enter(o->netns_pid, &err)) < 0)
        result = -1;
    if (result == 0)
        result = prober_run(log, o, &err);
    if (result < 0)
        fprintf(stderr, "klein prove: the prober: %s\n", error_text(&err));
    atomic_store(&log->done, true);
    _exit(result < 0);
}

int prober_start(struct probe_log *log, const struct prober_options *o, pid_t *ret_pid, struct error *err)
{
    pid_t parent = getpid();

    *ret_pid = fork();
    if (*ret_pid < 0)
        return fail_sys(err, errno, "start the prober");
    if (*ret_pid == 0)
        be_prober(log, o, parent);
    return 0;
}
