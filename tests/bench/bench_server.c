/*
 * What the API server does: durable creates, gets, pages of a list, patches of one object, each at the connections of the
 * design's table, over TLS with a token, against a `klein server` process on a disk. Every answer is checked.
 *
 * Client and server share the machine, as in the figures of Kubernetes 1.24 printed beside ours.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "object/value.h"
#include "transport/http_client.h"

#include "loop/process.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADDRESS     "127.0.0.1:26443"
#define MEASURE_MS  4000
#define SAMPLES_MAX 1000000
#define SETUP_MS    30000

struct bench {
    struct loop *loop;
    const char *klein;
    char folder[PATH_MAX];
    struct process *server;
    struct secret token;
    struct str ca;
    struct arena arena;
    bool stopping;
};

/* One sort of request, repeated on some connections. */
struct load {
    const char *name, *kubernetes;
    int connections;
    const char *method, *target, *content_type, *body, *expect;
    int status;
};

static const struct load loads[] = {
    { "durable creates", "2,040/s, p50 14 ms", 32, "POST", "/api/v1/namespaces/default/configmaps", "application/json",
      "{\"metadata\":{\"generateName\":\"bench-\"},\"data\":{\"a\":\""
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxx"
      "\"}}",
      "\"creationTimestamp\"", 201 },
    { "gets of one object", "4,020/s, p50 7 ms", 32, "GET", "/api/v1/namespaces/default/configmaps/one", "", "",
      "\"name\":\"one\"", 200 },
    { "pages of 500", "150/s", 8, "GET", "/api/v1/namespaces/default/configmaps?limit=500", "", "", "\"ConfigMapList\"",
      200 },
    { "merge patches of one object", "288/s", 8, "PATCH", "/api/v1/namespaces/default/configmaps/one",
      "application/merge-patch+json", "{\"data\":{\"count\":\"%d\"}}", "\"count\":\"", 200 },
};

struct runner {
    struct bench *b;
    const struct load *load;
    struct http_client **clients;
    int64_t *samples_us;
    size_t count, failed;
    int64_t end_us;
    int running;
};

struct slot {
    struct runner *r;
    struct http_client *client;
    int64_t sent_us;
};

static void send_next(struct slot *s);

static void on_answer(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct slot *s = arg;
    struct runner *r = s->r;
    int64_t now = time_monotonic_us();
    bool good = head && head->status == r->load->status && str_contains(body, str_of(r->load->expect));
    if (!good && r->failed++ == 0)
        fprintf(stderr, "%s: %d %.*s %s\n", r->load->name, head ? head->status : 0, (int)MIN(body.n, 300),
                body.p ? body.p : "", err ? error_text(err) : "");
    if (r->count < SAMPLES_MAX)
        r->samples_us[r->count++] = now - s->sent_us;
    if (now < r->end_us)
        send_next(s);
    else if (--r->running == 0)
        loop_stop(r->b->loop);
}

static void send_next(struct slot *s)
{
    const struct load *l = s->r->load;
    struct http_header type = { STR("content-type"), str_of(l->content_type) };
    char body[1024];
    static int counter;
    if (strstr(l->body, "%d"))
        snprintf(body, sizeof(body), "{\"data\":{\"count\":\"%d\"}}", counter++);
    else
        snprintf(body, sizeof(body), "%s", l->body);
    struct http_call_request request = {
        .method = str_of(l->method),
        .target = str_of(l->target),
        .headers = &type,
        .headers_count = l->content_type[0] ? 1 : 0,
        .bearer = &s->r->b->token,
        .body = str_of(body),
    };
    s->sent_us = time_monotonic_us();
    http_client_fetch(s->client, &request, 64 * MIB, on_answer, s);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* --- one request at a time, for setting up --------------------------------------------------------------------------------- */

static struct http_client_options options(struct bench *b, struct str *server, struct tls_context *tls)
{
    (void)b;
    *server = STR("https://" ADDRESS);
    return (struct http_client_options){
        .servers = server, .servers_count = 1, .tls = tls, .connections_max = 1, .http1_only = true
    };
}

static struct tls_context *tls_of(struct bench *b, bool admin)
{
    struct error err = { 0 };
    struct buf certificate = BUF_MAX(64 * KIB), key = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret secret = { 0 };
    if (admin) {
        file_read(arena_printf(&b->arena, "%s/pki/admin.crt", b->folder).p, &certificate, NULL);
        file_read(arena_printf(&b->arena, "%s/pki/admin.key", b->folder).p, &key, NULL);
        secret_set(&secret, buf_str(&key));
    }
    struct tls_context *tls =
        tls_context_new_client(&(struct tls_client_options){ .ca_pem = b->ca,
                                                             .certificate_pem = buf_str(&certificate),
                                                             .key_pem = admin ? &secret : NULL,
                                                             .http1_only = true },
                               &err);
    buf_done(&certificate);
    buf_done(&key);
    if (!tls)
        fprintf(stderr, "TLS: %s\n", error_text(&err));
    return tls;
}

static int ask(struct bench *b, const char *method, const char *target, const char *body, struct buf *ret)
{
    struct str server;
    struct tls_context *tls = tls_of(b, true);
    struct http_client_options o = options(b, &server, tls);
    struct http_header type = { STR("content-type"), STR("application/json") };
    struct http_call_request request = {
        .method = str_of(method), .target = str_of(target), .headers = &type, .headers_count = 1, .body = str_of(body)
    };
    int status = 0;
    buf_clear(ret);
    http_fetch_blocking(&o, &request, &status, ret, NULL);
    tls_context_unref(tls);
    return status;
}

static void on_exit_of_server(struct process *p, struct process_exit how, void *arg)
{
    (void)p;
    struct bench *b = arg;
    if (b->stopping)
        loop_stop(b->loop);
    else
        fprintf(stderr, "the server ended: code %d, signal %d\n", how.code, how.signal);
}

static void stop_loop(void *arg)
{
    loop_stop(((struct bench *)arg)->loop);
}

static int setup(struct bench *b)
{
    const char *argv[] = { b->klein, "server", "--data", b->folder, "--listen", ADDRESS, NULL };
    struct error err = { 0 };
    struct buf answer = BUF_MAX(MIB), ca = BUF_MAX(64 * KIB);
    b->server = process_spawn(b->loop, &(struct process_options){ .argv = argv }, on_exit_of_server, b, &err);
    if (!b->server) {
        fprintf(stderr, "%s: %s\n", b->klein, error_text(&err));
        return -1;
    }
    struct str path = arena_printf(&b->arena, "%s/pki/ca.crt", b->folder);
    int64_t deadline = time_monotonic_ms() + SETUP_MS;
    struct loop_timer pause;
    loop_timer_init(&pause, b->loop, stop_loop, b);
    while (time_monotonic_ms() < deadline) {
        buf_clear(&ca);
        if (file_read(path.p, &ca, NULL) == 0) {
            b->ca = buf_str(&ca);
            if (ask(b, "GET", "/readyz", "", &answer) == 200)
                break;
        }
        loop_timer_start(&pause, 20);
        loop_run(b->loop);
    }
    ask(b, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"bench\"}}", &answer);
    ask(b, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "{\"metadata\":{\"name\":\"bench\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
        "\"ClusterRole\",\"name\":"
        "\"cluster-admin\"},\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":\"bench\",\"namespace\":\"default\"}]}",
        &answer);
    ask(b, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"one\"},\"data\":{\"a\":\"b\"}}",
        &answer);
    if (ask(b, "POST", "/api/v1/namespaces/default/serviceaccounts/bench/token",
            "{\"spec\":{\"expirationSeconds\":3600}}", &answer) != 201) {
        fprintf(stderr, "no token: %.*s\n", STR_ARG(buf_str(&answer)));
        return -1;
    }
    struct value *v = value_parse(&b->arena, buf_str(&answer), NULL, NULL);
    secret_set(&b->token, value_to_str(value_get_str(value_get_str(v, STR("status")), STR("token"))));
    buf_done(&answer);
    return 0;
}

static double metric(struct bench *b, const char *name)
{
    struct buf text = BUF_MAX(16 * MIB);
    ask(b, "GET", "/metrics", "", &text);
    struct str rest = buf_str(&text), line;
    double value = 0;
    while (str_next(&rest, '\n', &line))
        if (str_starts(line, str_of(name)) && line.n > strlen(name) && line.p[strlen(name)] == ' ')
            value = strtod(line.p + strlen(name) + 1, NULL);
    buf_done(&text);
    return value;
}

/* "2,040/s, p50 14 ms" -> 2040 */
static double rate_of(const char *figure)
{
    double rate = 0;
    for (; *figure && *figure != '/'; figure++)
        if (*figure != ',')
            rate = rate * 10 + (*figure - '0');
    return rate;
}

static int run_load(struct bench *b, const struct load *l)
{
    struct runner r = { .b = b, .load = l, .running = l->connections };
    struct slot slots[64];
    struct str server;
    struct tls_context *tls = tls_of(b, false);
    struct http_client_options o = options(b, &server, tls);
    r.samples_us = xcalloc(SAMPLES_MAX, sizeof(*r.samples_us));
    double fsyncs = metric(b, "klein_store_fsyncs_total");
    int64_t start = time_monotonic_us();
    r.end_us = start + MEASURE_MS * 1000;
    for (int i = 0; i < l->connections; i++) {
        slots[i] = (struct slot){ .r = &r, .client = http_client_new(b->loop, &o, NULL) };
        send_next(&slots[i]);
    }
    loop_run(b->loop);
    double seconds = (double)(time_monotonic_us() - start) / 1e6;
    fsyncs = metric(b, "klein_store_fsyncs_total") - fsyncs;
    qsort(r.samples_us, r.count, sizeof(*r.samples_us), by_time);
    printf("%-28s %3d connections  %8.0f/s  p50 %6.2f ms  p99 %6.2f ms  %6.0f fsyncs  %zu wrong   %5.1f x Kubernetes' "
           "%s\n",
           l->name, l->connections, (double)r.count / seconds, (double)r.samples_us[r.count / 2] / 1000,
           (double)r.samples_us[r.count * 99 / 100] / 1000, fsyncs, r.failed,
           (double)r.count / seconds / rate_of(l->kubernetes), l->kubernetes);
    fflush(stdout);
    for (int i = 0; i < l->connections; i++)
        http_client_free(slots[i].client);
    tls_context_unref(tls);
    free(r.samples_us);
    return r.failed ? -1 : 0;
}

static void teardown(struct bench *b)
{
    if (b->server) {
        b->stopping = true;
        process_kill(b->server, SIGTERM);
        loop_run(b->loop);
    }
    loop_free(b->loop);
    file_remove_tree(b->folder, NULL);
    secret_done(&b->token);
    arena_done(&b->arena);
}

int main(int argc, char **argv)
{
    struct bench b = { .klein = argc > 1 ? argv[1] : "klein" };
    log_set_level(LOG_WARN);
    /* Beside the program: on a disk, where figures of durable writes mean something, and never in a tmpfs. */
    AUTO_FREE char *here = realpath(".", NULL), *program = realpath(b.klein, NULL);
    snprintf(b.folder, sizeof(b.folder), "%s/bench-server-%d", here ? here : ".", (int)getpid());
    b.klein = program ? program : b.klein;
    b.loop = loop_new_system(env_system());
    int rc = setup(&b);
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(loads); i++)
        rc = run_load(&b, &loads[i]);
    if (rc == 0)
        printf("%-28s %.1f MB resident\n", "memory after all of it", metric(&b, "process_resident_memory_bytes") / 1e6);
    teardown(&b);
    return rc < 0;
}
