/* The prober and its books: a server that loses, doubles or mixes answers is found out. */
#include "chaos/prober.h"
#include "test.h"

#include "base/time.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the server does to request number n (from 0). */
enum misdeed { HONEST, LOSE_FIFTH, DOUBLE_FIFTH, MIX_FIFTH, CLOSE_FIFTH, ERROR_FIFTH };

static void answer_one(int fd, unsigned id, unsigned n, enum misdeed misdeed)
{
    char text[512];
    bool fifth = n % 5 == 4;
    int length =
        snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: 2\r\nX-Pod: pod-%u\r\nX-Request: %u\r\n\r\nok",
                 misdeed == ERROR_FIFTH && fifth ? 503 : 200, n % 2, misdeed == MIX_FIFTH && fifth ? id + 1 : id);

    if (misdeed == LOSE_FIFTH && fifth)
        return;
    for (int copy = 0; copy < (misdeed == DOUBLE_FIFTH && fifth ? 2 : 1); copy++)
        (void)!send(fd, text, (size_t)length, MSG_NOSIGNAL);
}

/* A server of its own process, one request a read: the prober never sends two at once on a connection. */
static void serve(int listener, enum misdeed misdeed)
{
    struct pollfd fds[200] = { { .fd = listener, .events = POLLIN } };
    nfds_t count = 1;
    unsigned n = 0;

    for (;;) {
        poll(fds, count, -1);
        for (nfds_t i = 1; i < count; i++) {
            char in[1024];
            ssize_t got = fds[i].revents ? recv(fds[i].fd, in, sizeof(in) - 1, 0) : -1;
            if (!fds[i].revents)
                continue;
            in[MAX(got, 0)] = '\0';
            const char *id = got > 0 ? strstr(in, "X-Request: ") : NULL;
            if (id && !(misdeed == CLOSE_FIFTH && n % 5 == 4)) {
                answer_one(fds[i].fd, (unsigned)strtoul(id + 11, NULL, 10), n++, misdeed);
                continue;
            }
            n += id != NULL;
            close(fds[i].fd);
            fds[i--] = fds[--count];
        }
        if (fds[0].revents && count < ARRAY_SIZE(fds))
            fds[count++] = (struct pollfd){ .fd = accept(listener, NULL, NULL), .events = POLLIN };
    }
}

static struct sockaddr_in start_server(enum misdeed misdeed, pid_t *ret_pid)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 100) == 0);
    getsockname(listener, (struct sockaddr *)&at, &n);
    *ret_pid = fork();
    if (*ret_pid == 0)
        serve(listener, misdeed);
    close(listener);
    return at;
}

static struct probe_log *probe(enum misdeed misdeed, uint32_t requests, int rate, bool fresh, uint32_t first_id)
{
    AUTO_ERROR struct error err = { 0 };
    struct probe_log *log = probe_log_new(requests, first_id);
    pid_t pid;
    struct prober_flow flow = { "it", start_server(misdeed, &pid), "host", fresh };
    struct prober_options o = { .flows = &flow, .flows_count = 1, .rate = rate };

    ASSERT_OK(prober_run(log, &o, &err), &err);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return log;
}

static struct probe_summary all_of(const struct probe_log *log)
{
    struct probe_summary s;

    probe_summarise(log, -1, 0, INT64_MAX, &s);
    ASSERT_INT(s.sent, s.ok + s.failed);
    return s;
}

TEST("every request of an honest server is answered, on kept and on fresh connections, on schedule")
{
    for (int fresh = 0; fresh < 2; fresh++) {
        struct probe_log *log = probe(HONEST, 100, 500, fresh, 1000);
        struct probe_summary s = all_of(log);
        ASSERT_INT(s.ok, 100);
        ASSERT_INT(log->unasked, 0);
        ASSERT_INT(log->pods_count, 2);
        for (uint32_t i = 1; i < 100; i++)
            ASSERT_INT(log->probes[i].due_us - log->probes[i - 1].due_us, 2000);
        probe_log_free(log);
    }
}

TEST("lost answers are failures after two seconds, counted from when the request was due")
{
    struct probe_log *log = probe(LOSE_FIFTH, 50, 500, false, 0);
    struct probe_summary s = all_of(log);

    ASSERT_INT(s.by_cause[PROBE_TIMEOUT], 10);
    ASSERT_INT(s.ok, 40);
    for (uint32_t i = 0; i < 50; i++)
        if (log->probes[i].cause == PROBE_TIMEOUT)
            ASSERT(log->probes[i].latency_us >= PROBE_LIMIT_US);
    probe_log_free(log);
}

TEST("an answer that comes twice, or is another request's, is found out")
{
    struct probe_log *log = probe(DOUBLE_FIFTH, 50, 200, false, 0);
    struct probe_summary s = all_of(log);

    ASSERT(log->unasked + s.by_cause[PROBE_WRONG] >=
           8); /* read at once, on the idle connection, or as the next one's */
    probe_log_free(log);
    log = probe(MIX_FIFTH, 50, 500, true, 7);
    s = all_of(log);
    ASSERT_INT(s.by_cause[PROBE_WRONG], 10);
    probe_log_free(log);
}

TEST("closed connections, errors and refused connections are told apart")
{
    struct probe_log *log = probe(CLOSE_FIFTH, 50, 500, true, 0);
    ASSERT_INT(all_of(log).by_cause[PROBE_CLOSED], 10);
    probe_log_free(log);

    log = probe(ERROR_FIFTH, 50, 500, false, 0);
    ASSERT_INT(all_of(log).by_cause[PROBE_STATUS], 10);
    probe_log_free(log);

    AUTO_ERROR struct error err = { 0 };
    struct prober_flow flow = {
        "it", { .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, "h", true
    };
    struct prober_options o = { .flows = &flow, .flows_count = 1, .rate = 500 };
    log = probe_log_new(20, 0);
    ASSERT_OK(prober_run(log, &o, &err), &err);
    ASSERT_INT(all_of(log).by_cause[PROBE_REFUSED], 20);
    probe_log_free(log);
}

/* --- books ------------------------------------------------------------------------------------------------------------------------- */

static struct probe_log *book(const char *marks)
{
    struct probe_log *log = probe_log_new(100, 10);

    for (size_t i = 0; marks[i]; i++) {
        log->probes[i] = (struct probe){ .due_us = 1000000 + (int64_t)i * 10000, .pod = PROBE_NO_POD };
        probe_finish(&log->probes[i], marks[i] == 'o' ? PROBE_OK : PROBE_REFUSED, 200,
                     log->probes[i].due_us + 1000 * (int64_t)(i + 1));
        atomic_store(&log->sent, (uint32_t)i + 1);
    }
    return log;
}

TEST("sent, answered and served agree only when every request is accounted for")
{
    struct probe_log *log = book("oooxo");
    const struct probe_log *const logs[] = { log };
    uint8_t served[20] = { [10] = 1, [11] = 1, [12] = 2, [13] = 1, [14] = 1 };
    struct probe_counts c;

    probe_compare(logs, 1, served, sizeof(served), &c);
    ASSERT_INT(c.sent, 5);
    ASSERT_INT(c.answered, 4);
    ASSERT_INT(c.served, 6);
    ASSERT_INT(c.lost, 1);     /* 13: answered, and the answer was lost */
    ASSERT_INT(c.repeated, 1); /* 12: a proxy asked twice */
    ASSERT(probe_counts_agree(&c));
    served[14] = 0; /* an answer that the service never gave */
    probe_compare(logs, 1, served, sizeof(served), &c);
    ASSERT_INT(c.invented, 1);
    ASSERT(!probe_counts_agree(&c));
    served[14] = 1;
    served[3] = 1; /* an answer to what was never sent */
    probe_compare(logs, 1, served, sizeof(served), &c);
    ASSERT_INT(c.unknown, 1);
    ASSERT(!probe_counts_agree(&c));
    probe_log_free(log);
}

TEST("the longest gap is between two good answers, or until the last failure when none follows")
{
    struct probe_log *log = book("oxxxoo");
    struct probe_summary s = all_of(log);

    ASSERT_INT(s.gap_us, 40000);
    ASSERT_INT(s.failed, 3);
    ASSERT_INT(s.last_failed_us, 1030000);
    ASSERT_INT(s.max_us, 6000);
    probe_log_free(log);
    log = book("ooxxx");
    ASSERT_INT(all_of(log).gap_us, 30000);
    probe_log_free(log);
}

TEST("an answer after the limit is a failure, and nines are what so many requests can show")
{
    struct probe p = { .due_us = 1000 };

    probe_finish(&p, PROBE_OK, 200, 1000 + PROBE_LIMIT_US + 1);
    ASSERT_INT(p.cause, PROBE_TIMEOUT);
    ASSERT_INT((int)(probe_nines(1000, 1) * 100 + 0.5), 300);
    ASSERT_INT((int)(probe_nines(999, 0) * 100 + 0.5), 300);
    ASSERT_INT((int)probe_nines(0, 0), 0);
}
