/* A real etcd under supervision: adopted, started again, stopped. */
#include "test.h"

#include "base/file.h"
#include "base/time.h"
#include "loop/watch.h"
#include "store/etcd_process.h"
#include "wire/pki.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char data[512]; /* of the running test; whatever etcd is left when the program ends is killed */

static void kill_left(void)
{
    pid_t pid = data[0] ? etcd_process_recorded(data) : 0;

    if (pid)
        kill(pid, SIGKILL);
}

static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(bind(fd, (struct sockaddr *)(void *)&a, sizeof(a)) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)(void *)&a, &n) == 0);
    return ntohs(a.sin_port);
}

static void write_pem(const char *name, struct buf *text)
{
    ASSERT(file_write(test_path(name), buf_str(text), 0600, NULL) == 0);
}

static void make_certificates(void)
{
    const struct str sans[] = { STR_INIT("127.0.0.1") };
    AUTO_BUF struct buf ca_text = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret key_text = { 0 };
    int64_t now_ms = env_wall_ms(env_system());
    struct pki_key *ca_key = pki_key_new(PKI_ECDSA_P256), *key = pki_key_new(PKI_ECDSA_P256);
    struct pki_cert *ca = pki_ca_new(ca_key, STR("etcd"), now_ms, HOUR_MS);
    struct pki_request request = { .common_name = STR("one"),
                                   .sans = sans,
                                   .sans_count = 1,
                                   .uses = PKI_SERVER | PKI_CLIENT,
                                   .now_ms = now_ms,
                                   .lifetime_ms = HOUR_MS };
    struct pki_cert *cert = pki_sign(ca, ca_key, key, &request, NULL);

    pki_cert_pem(ca, &ca_text);
    write_pem("ca.crt", &ca_text);
    pki_cert_pem(cert, &text);
    write_pem("etcd.crt", &text);
    pki_key_pem(key, &key_text);
    ASSERT(file_write(test_path("etcd.key"), secret_reveal(&key_text), 0600, NULL) == 0);
    pki_cert_free(cert);
    pki_cert_free(ca);
    pki_key_free(key);
    pki_key_free(ca_key);
}

struct world {
    struct loop *loop;
    struct etcd_process *etcd;
    struct etcd_process_options options;
    struct loop_timer tick;
    char cluster[64];
    bool stopped;
};

static void tick(void *arg)
{
    struct world *w = arg;

    loop_stop(w->loop);
}

/* Let the loop run a little. */
static void turn(struct world *w)
{
    loop_timer_start(&w->tick, 5);
    loop_run(w->loop);
}

#define RUN_UNTIL(w, condition, deadline_ms)                                                                           \
    for (int64_t until_ = test_now_ms() + (deadline_ms); !(condition); turn(w))                                        \
        if (test_now_ms() > until_)                                                                                    \
    FAIL("not within %d ms: %s", (int)(deadline_ms), #condition)

static void world_open(struct world *w)
{
    w->loop = loop_new_system(env_system());
    loop_timer_init(&w->tick, w->loop, tick, w);
}

static void world_init(struct world *w)
{
    static bool registered;

    if (!registered)
        atexit(kill_left);
    registered = true;
    *w = (struct world){ 0 };
    snprintf(data, sizeof(data), "%s", test_path("data"));
    make_certificates();
    w->options = (struct etcd_process_options){ .folder = data,
                                                .name = "one",
                                                .address = "127.0.0.1",
                                                .client_port = free_port(),
                                                .peer_port = free_port(),
                                                .ca_file = test_path("ca.crt"),
                                                .certificate_file = test_path("etcd.crt"),
                                                .key_file = test_path("etcd.key"),
                                                .cluster_token = "test",
                                                .initial_cluster = w->cluster };
    snprintf(w->cluster, sizeof(w->cluster), "one=https://127.0.0.1:%d", w->options.peer_port);
    world_open(w);
}

static pid_t world_start(struct world *w)
{
    AUTO_ERROR struct error err = { 0 };

    w->etcd = etcd_process_start(w->loop, &w->options, &err);
    ASSERT_OK(w->etcd, &err);
    return etcd_process_pid(w->etcd);
}

/* As if klein ended and the next one came. */
static void world_next(struct world *w)
{
    etcd_process_free(w->etcd);
    loop_free(w->loop);
    world_open(w);
}

static void on_stopped(void *arg)
{
    struct world *w = arg;

    w->stopped = true;
}

static void world_done(struct world *w)
{
    etcd_process_stop(w->etcd, on_stopped, w);
    RUN_UNTIL(w, w->stopped, 20000);
    ASSERT_INT(etcd_process_recorded(data), 0);
    ASSERT(!file_exists(test_path("data/etcd.json")));
    loop_free(w->loop);
    data[0] = '\0';
}

static bool answers(const struct world *w)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)w->options.client_port) };
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return connect(fd, (struct sockaddr *)(void *)&a, sizeof(a)) == 0;
}

TEST("etcd outlives its supervisor and is adopted by the next one")
{
    struct world w;

    world_init(&w);
    pid_t pid = world_start(&w);
    ASSERT(!etcd_process_adopted(w.etcd));
    RUN_UNTIL(&w, answers(&w), 20000);
    RUN_UNTIL(&w, etcd_process_has_data(data), 20000); /* it listens a moment before its data is there */
    world_next(&w);
    ASSERT_INT(etcd_process_recorded(data), pid);
    ASSERT_INT(world_start(&w), pid);
    ASSERT(etcd_process_adopted(w.etcd));
    ASSERT_INT(etcd_process_starts(w.etcd), 0);
    world_done(&w);
}

TEST("etcd outlives a supervisor that was killed, also before it wrote a record")
{
    struct world w;
    int status;

    world_init(&w);
    pid_t parent = fork();
    if (parent == 0) {
        world_open(&w);
        world_start(&w);
        unlink(test_path("data/etcd.json"));
        kill(getpid(), SIGKILL);
    }
    ASSERT_INT(waitpid(parent, &status, 0), parent);
    ASSERT(WIFSIGNALED(status));
    RUN_UNTIL(&w, answers(&w), 20000);
    pid_t pid = world_start(&w);
    ASSERT(etcd_process_adopted(w.etcd));
    /* Without a record nobody knows its arguments: it is started anew. */
    RUN_UNTIL(&w, etcd_process_pid(w.etcd) && etcd_process_pid(w.etcd) != pid, 20000);
    RUN_UNTIL(&w, answers(&w), 20000);
    world_done(&w);
}

TEST("an etcd that dies is started again, whoever started it")
{
    struct world w;

    world_init(&w);
    pid_t first = world_start(&w);
    RUN_UNTIL(&w, answers(&w), 20000);
    kill(first, SIGKILL);
    RUN_UNTIL(&w, etcd_process_starts(w.etcd) == 2 && answers(&w), 20000);
    pid_t second = etcd_process_pid(w.etcd);
    ASSERT(second != first);
    world_next(&w);
    ASSERT_INT(world_start(&w), second);
    kill(second, SIGKILL);
    RUN_UNTIL(&w, etcd_process_starts(w.etcd) == 1 && answers(&w), 20000);
    ASSERT_INT(etcd_process_recorded(data), etcd_process_pid(w.etcd));
    world_done(&w);
}

TEST("an etcd that cannot live is started with growing delays")
{
    struct world w;

    world_init(&w);
    w.options.program = "false";
    world_start(&w);
    int64_t began_ms = test_now_ms();
    RUN_UNTIL(&w, etcd_process_starts(w.etcd) == 4, 20000);
    ASSERT(test_now_ms() - began_ms >= 100 + 200 + 400 - 30);
    world_done(&w);
}

TEST("an etcd with other arguments than today's is started anew")
{
    struct world w;

    world_init(&w);
    pid_t first = world_start(&w);
    RUN_UNTIL(&w, answers(&w), 20000);
    world_next(&w);
    w.options.client_port = free_port();
    world_start(&w);
    RUN_UNTIL(&w, etcd_process_starts(w.etcd) == 1 && answers(&w), 20000);
    ASSERT(etcd_process_pid(w.etcd) != first);
    world_done(&w);
}

TEST("a pid that another process has by now is not adopted")
{
    struct world w;
    AUTO_BUF struct buf text = BUF_MAX(KIB);

    world_init(&w);
    ASSERT(file_mkdirs(data, 0700, NULL) == 0);
    buf_addf(&text, "{\"pid\":%d,\"startTime\":%llu,\"arguments\":\"\"}", (int)getpid(),
             (unsigned long long)pid_start_time(getpid()));
    ASSERT(file_write(test_path("data/etcd.json"), buf_str(&text), 0600, NULL) == 0);
    ASSERT_INT(etcd_process_recorded(data), 0);
    ASSERT(world_start(&w) != getpid());
    ASSERT(!etcd_process_adopted(w.etcd));
    world_done(&w);
}

TEST("etcd's log is turned when it has grown")
{
    struct world w;
    struct stat st;

    world_init(&w);
    ASSERT(file_mkdirs(data, 0700, NULL) == 0);
    ASSERT(file_write(test_path("data/etcd.log"), STR("begin\n"), 0600, NULL) == 0);
    ASSERT(truncate(test_path("data/etcd.log"), ETCD_LOG_MAX_BYTES + 1) == 0);
    world_start(&w);
    RUN_UNTIL(&w, stat(test_path("data/etcd.log"), &st) == 0 && st.st_size < (off_t)ETCD_LOG_MAX_BYTES, 20000);
    ASSERT(stat(test_path("data/etcd.log.1"), &st) == 0 && st.st_size > (off_t)ETCD_LOG_MAX_BYTES);
    world_done(&w);
}

TEST("a missing etcd is told in a sentence that names the package")
{
    AUTO_ERROR struct error err = { 0 };
    struct world w;

    world_init(&w);
    w.options.program = "etcd-that-is-not-there";
    ASSERT_FAILS(etcd_process_start(w.loop, &w.options, &err), &err, ERR_NOT_FOUND, "etcd-server");
    loop_free(w.loop);
    data[0] = '\0';
}
