/* A real etcd for tests: fork, exec, wait; asked through etcd_admin on a loop of its own. */
#include "etcd_cluster.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/time.h"
#include "loop/loop.h"
#include "store/etcd_admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_DEADLINE_MS 30000

static void die(const char *what)
{
    fprintf(stderr, "etcd of the test: %s\n", what);
    abort();
}

/* Two ports that were free a moment ago. */
static void find_ports(int *ports, int n)
{
    int fds[2 * ETCD_MEMBERS_MAX];

    for (int i = 0; i < n; i++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(a);

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&a, sizeof(a)) < 0 ||
            getsockname(fds[i], (struct sockaddr *)&a, &length) < 0)
            die("no free port");
        ports[i] = ntohs(a.sin_port);
    }
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void nap(int ms)
{
    poll(NULL, 0, ms);
}

void etcd_member_start(struct etcd_cluster *c, int i)
{
    struct etcd_test_member *m = &c->members[i];
    AUTO_BUF struct buf cluster = BUF_MAX(4096);
    AUTO_FREE char *data = xasprintf("%s/%s", c->folder, m->name);
    AUTO_FREE char *log = xasprintf("%s/%s.log", c->folder, m->name);
    const char *argv[] = { "etcd",      "--name",
                           m->name,     "--data-dir",
                           data,        "--listen-client-urls",
                           m->url,      "--advertise-client-urls",
                           m->url,      "--listen-peer-urls",
                           m->peer_url, "--initial-advertise-peer-urls",
                           m->peer_url, "--initial-cluster",
                           NULL,        "--initial-cluster-token",
                           c->folder,   "--heartbeat-interval",
                           "50",        "--election-timeout",
                           "300",       "--snapshot-count",
                           "10000",     "--max-request-bytes",
                           "8388608",   "--logger",
                           "zap",       "--log-level",
                           "error",     "--pre-vote",
                           NULL,        NULL,
                           NULL,        NULL,
                           NULL,        NULL,
                           NULL,        NULL,
                           NULL,        NULL };
    size_t n = ARRAY_SIZE(argv) - 10;
    AUTO_FREE char *quota = xasprintf("%lld", (long long)c->quota_bytes);
    pid_t parent = getpid();

    for (int k = 0; k < c->count; k++)
        buf_addf(&cluster, "%s%s=%s", k ? "," : "", c->members[k].name, c->members[k].peer_url);
    argv[14] = cluster.p;
    if (c->certificate_file) {
        argv[n++] = "--cert-file";
        argv[n++] = c->certificate_file;
        argv[n++] = "--key-file";
        argv[n++] = c->key_file;
        argv[n++] = "--client-cert-auth";
        argv[n++] = "--trusted-ca-file";
        argv[n++] = c->client_ca_file;
    }
    if (c->quota_bytes) {
        argv[n++] = "--quota-backend-bytes";
        argv[n++] = quota;
    }
    m->pid = fork();
    if (m->pid < 0)
        die("fork failed");
    if (m->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp("etcd", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

void etcd_member_signal(struct etcd_cluster *c, int i, int signal)
{
    if (c->members[i].pid)
        kill(c->members[i].pid, signal);
}

void etcd_member_kill(struct etcd_cluster *c, int i)
{
    struct etcd_test_member *m = &c->members[i];

    if (!m->pid)
        return;
    kill(m->pid, SIGKILL);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    m->pid = 0;
}

void etcd_cluster_stop(struct etcd_cluster *c)
{
    for (int i = 0; i < c->count; i++)
        etcd_member_kill(c, i);
    if (c->own_folder)
        file_remove_tree(c->folder, NULL);
    c->own_folder = false;
}

/* GET /health over plain HTTP; over TLS a listening port has to do. */
static bool is_healthy(const struct etcd_cluster *c, const struct etcd_test_member *m)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)m->client_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[4096];
    size_t n = 0;
    struct timeval limit = { .tv_sec = 2 };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return false;
    if (c->certificate_file)
        return true;
    if (write(fd, request, sizeof(request) - 1) < 0)
        return false;
    for (ssize_t got; n < sizeof(answer) - 1 && (got = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0;)
        n += (size_t)got;
    answer[n] = 0;
    return strstr(answer, "\"true\"") != NULL;
}

void etcd_cluster_wait(struct etcd_cluster *c)
{
    int64_t end = time_monotonic_ms() + START_DEADLINE_MS;

    for (int i = 0; i < c->count; i++) {
        while (c->members[i].pid && !is_healthy(c, &c->members[i])) {
            if (time_monotonic_ms() > end || waitpid(c->members[i].pid, NULL, WNOHANG) == c->members[i].pid)
                die("a member did not become healthy");
            nap(20);
        }
    }
}

void etcd_cluster_start(struct etcd_cluster *c, int count, const char *folder)
{
    int ports[2 * ETCD_MEMBERS_MAX];
    const char *scheme = c->certificate_file ? "https" : "http";

    c->count = count;
    snprintf(c->folder, sizeof(c->folder), "%s", folder ? folder : "/tmp/klein-etcd-XXXXXX");
    if (!folder && !mkdtemp(c->folder))
        die("no temporary folder");
    c->own_folder = !folder;
    find_ports(ports, 2 * count);
    for (int i = 0; i < count; i++) {
        struct etcd_test_member *m = &c->members[i];

        m->client_port = ports[2 * i];
        m->peer_port = ports[2 * i + 1];
        snprintf(m->name, sizeof(m->name), "m%d", i);
        snprintf(m->url, sizeof(m->url), "%s://127.0.0.1:%d", scheme, m->client_port);
        snprintf(m->peer_url, sizeof(m->peer_url), "http://127.0.0.1:%d", m->peer_port);
        c->endpoints[i] = m->endpoint = str_of(m->url);
    }
    for (int i = 0; i < count; i++)
        etcd_member_start(c, i);
    etcd_cluster_wait(c);
}

struct moment {
    struct loop *loop;
    bool over;
};

static void on_moment(void *arg)
{
    struct moment *m = arg;

    m->over = true;
    loop_stop(m->loop);
}

void etcd_cluster_settle(struct loop *loop)
{
    struct moment m = { .loop = loop };
    struct loop_timer t = { 0 };

    loop_timer_init(&t, loop, on_moment, &m);
    loop_timer_start(&t, 20);
    while (!m.over)
        loop_run(loop);
}

/* --- who leads --- */

struct question {
    struct loop *loop;
    uint64_t member, leader;
};

static void on_status(void *arg, const struct etcd_status *status, const struct error *err)
{
    struct question *q = arg;

    (void)err;
    if (status) {
        q->member = status->member_id;
        q->leader = status->leader;
    }
    loop_stop(q->loop);
}

int etcd_cluster_leader(struct etcd_cluster *c)
{
    struct loop *loop = loop_new_system(env_system());
    struct etcd_admin_options o = { .endpoints = c->endpoints, .endpoints_count = (size_t)c->count, .timeout_ms = 300 };
    struct etcd_admin *admin = etcd_admin_new(loop, &o, NULL);
    int found = -1;

    if (!admin)
        die("no administration");
    for (int i = 0; i < c->count && found < 0; i++) {
        struct question q = { .loop = loop };

        if (!c->members[i].pid)
            continue;
        etcd_admin_status(admin, c->endpoints[i], on_status, &q);
        loop_run(loop);
        if (q.member && q.member == q.leader)
            found = i;
    }
    etcd_admin_free(admin);
    etcd_cluster_settle(loop);
    loop_free(loop);
    return found;
}
