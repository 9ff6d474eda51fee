/*
 * What the store does on three etcd members on one machine: durable creates of 600 bytes through the engine, how long a commit takes, how
 * far a second server's watch is behind, and how long no write goes through after the leader was killed. Beside it, in the same
 * run, what `etcdctl check perf --load=l` gets out of the same members.
 *
 *     bench_etcd [--kills N] [--seconds N] [--writers N] [--batches N] [--writes N] [--no-perf]
 */
#include "base/log.h"
#include "base/time.h"
#include "etcd_cluster.h"
#include "loop/process.h"
#include "store/etcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SAMPLES_MAX   1000000
#define WRITERS_MAX   9000
#define VALUE_BYTES   600
#define PERF_LIMIT_MS 180000
#define WAIT_MS       30000

static int kills = 20, seconds = 5, writers_count = 1000, batches, writes_max;
static bool perf = true;

struct samples {
    int64_t *us;
    size_t count;
};

struct bench {
    struct etcd_cluster cluster;
    struct loop *loop;
    struct loop_timer timer;
    bool over, stopping;
    struct store *a, *b;
    uint64_t number, done, failed;
    struct samples commit, lag;
    int64_t killed_us, recovered_us;
    /* when A was told of a revision, for B's lag: both watches go up, so the two positions only go forward */
    uint64_t *a_revisions;
    int64_t *a_us;
    size_t a_count, b_at;
};

struct writer {
    struct bench *bench;
    char key[40];
    int64_t started_us;
};

static struct bench bench;
static struct writer writers[WRITERS_MAX];
static char value[VALUE_BYTES];

static void sample(struct samples *s, int64_t us)
{
    if (!s->us)
        s->us = xcalloc(SAMPLES_MAX, sizeof(*s->us));
    if (s->count < SAMPLES_MAX)
        s->us[s->count++] = us;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double at_ms(struct samples *s, double part)
{
    size_t i = (size_t)((double)s->count * part);

    if (!s->count)
        return 0;
    qsort(s->us, s->count, sizeof(s->us[0]), compare);
    return (double)s->us[MIN(i, s->count - 1)] / 1000;
}

static void on_timer(void *arg)
{
    struct bench *b = arg;

    b->over = true;
    loop_stop(b->loop);
}

static void run_for(int64_t ms)
{
    bench.over = false;
    loop_timer_start(&bench.timer, ms);
    while (!bench.over)
        loop_run(bench.loop);
}

static void write_next(struct writer *w);

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct writer *w = arg;
    struct bench *b = w->bench;
    int64_t now_us = time_monotonic_us();

    (void)revision;
    if (err) {
        b->failed++;
        fprintf(stderr, "%s\n", error_text(err));
    } else {
        b->done++;
        sample(&b->commit, now_us - w->started_us);
        if (b->killed_us && w->started_us >= b->killed_us && !b->recovered_us)
            b->recovered_us = now_us;
    }
    if (!b->stopping)
        write_next(w);
    w->started_us = b->stopping ? 0 : w->started_us;
}

static void write_next(struct writer *w)
{
    struct bench *b = w->bench;

    snprintf(w->key, sizeof(w->key), "/registry/bench/%llu", (unsigned long long)++b->number);
    w->started_us = time_monotonic_us();
    store_write(
        b->a,
        &(struct store_write){
            .type = STORE_PUT, .key = str_of(w->key), .value = { value, VALUE_BYTES }, .expect = STORE_EXPECT_ABSENT },
        on_written, w);
}

static void on_change_a(void *arg, const struct store_change *c)
{
    struct bench *b = arg;

    if (b->a_count < SAMPLES_MAX) {
        b->a_revisions[b->a_count] = c->revision;
        b->a_us[b->a_count++] = time_monotonic_us();
    }
}

static void on_change_b(void *arg, const struct store_change *c)
{
    struct bench *b = arg;

    while (b->b_at < b->a_count && b->a_revisions[b->b_at] < c->revision)
        b->b_at++;
    if (b->b_at < b->a_count && b->a_revisions[b->b_at] == c->revision)
        sample(&b->lag, time_monotonic_us() - b->a_us[b->b_at]);
    else
        sample(&b->lag, 0); /* told before A was */
}

static struct store *open_store(const char *server, store_change_fn *fn)
{
    AUTO_ERROR struct error err = { 0 };
    struct str endpoints[3];

    for (size_t i = 0; i < 3; i++)
        endpoints[i] = bench.cluster.endpoints[(i + (size_t)server[strlen(server) - 1]) % 3];
    struct store *s = store_open_etcd(bench.loop, env_system(),
                                      &(struct store_etcd_options){ .endpoints = endpoints,
                                                                    .endpoints_count = 3,
                                                                    .server = str_of(server),
                                                                    .batches_max = (size_t)batches,
                                                                    .batch_writes_max = (size_t)writes_max },
                                      fn, &bench, &err);
    struct store_etcd_health health = { 0 };

    if (!s) {
        fprintf(stderr, "%s\n", error_text(&err));
        exit(1);
    }
    while (!health.ready) {
        run_for(10);
        store_etcd_health(s, &health);
    }
    return s;
}

static void start(int count)
{
    bench.stopping = false;
    for (int i = 0; i < count; i++) {
        writers[i].bench = &bench;
        write_next(&writers[i]);
    }
}

static void stop(int count)
{
    bench.stopping = true;
    for (int i = 0; i < count; i++)
        for (int64_t end = time_monotonic_ms() + WAIT_MS; writers[i].started_us && time_monotonic_ms() < end;)
            run_for(5);
}

static void creates(void)
{
    struct store_etcd_health health;

    start(writers_count);
    run_for(1000);
    bench.done = 0;
    bench.commit.count = bench.lag.count = 0;
    int64_t from_us = time_monotonic_us();
    run_for(seconds * 1000);
    double took = (double)(time_monotonic_us() - from_us) / 1e6;
    double rate = (double)bench.done / took;
    stop(writers_count);
    store_etcd_health(bench.a, &health);
    printf("durable creates of %d bytes, %d writers: %.0f/s, p50 %.1f ms, p99 %.1f ms (transactions p50 %.1f ms, p99 "
           "%.1f ms, settled %llu)\n",
           VALUE_BYTES, writers_count, rate, at_ms(&bench.commit, 0.5), at_ms(&bench.commit, 0.99),
           (double)health.commit_p50_us / 1000, (double)health.commit_p99_us / 1000,
           (unsigned long long)health.settlements);
    printf("a second server is told later: p50 %.2f ms, p99 %.2f ms (%zu changes)\n", at_ms(&bench.lag, 0.5),
           at_ms(&bench.lag, 0.99), bench.lag.count);
    bench.commit.count = 0;
    start(1);
    run_for(1000);
    stop(1);
    printf("one writer alone: %zu/s, p50 %.2f ms, p99 %.2f ms\n", bench.commit.count, at_ms(&bench.commit, 0.5),
           at_ms(&bench.commit, 0.99));
}

static void failover(void)
{
    struct samples took = { 0 };

    start(16);
    for (int i = 0; i < kills; i++) {
        int leader = -1;

        while ((leader = etcd_cluster_leader(&bench.cluster)) < 0)
            run_for(20);
        bench.recovered_us = 0;
        etcd_member_kill(&bench.cluster, leader);
        bench.killed_us = time_monotonic_us();
        for (int64_t end = time_monotonic_ms() + WAIT_MS; !bench.recovered_us && time_monotonic_ms() < end;)
            run_for(2);
        if (!bench.recovered_us) {
            struct store_etcd_health h;

            store_etcd_health(bench.a, &h);
            fprintf(
                stderr,
                "no write within %d ms after kill %d: ready %d, quorum %d, waiting %zu, in doubt %zu, settled %llu, "
                "asked %.*s, watch %.*s, %.*s\n",
                WAIT_MS, i, h.ready, h.quorum, h.waiting, h.in_doubt, (unsigned long long)h.settlements,
                STR_ARG(h.endpoint), STR_ARG(h.watch_endpoint), STR_ARG(h.error));
            exit(1);
        }
        sample(&took, bench.recovered_us - bench.killed_us);
        bench.killed_us = 0;
        etcd_member_start(&bench.cluster, leader);
        etcd_cluster_wait(&bench.cluster);
        run_for(200 + i * 37 % 500); /* kills at all points of the members' timers */
    }
    stop(16);
    printf("first write begun after a kill of the leader, %d kills: p50 %.0f ms, p99 %.0f ms, longest %.0f ms\n", kills,
           at_ms(&took, 0.5), at_ms(&took, 0.99), at_ms(&took, 1));
}

struct perf {
    bool done;
    struct buf out, trouble;
};

static void on_perf(void *arg, const struct process_result *result, const struct error *err)
{
    struct perf *p = arg;

    p->done = true;
    if (err)
        buf_add_text(&p->trouble, error_text(err));
    if (!result)
        return;
    buf_add(&p->out, result->out);
    buf_add(&p->trouble, result->err_out);
}

/* Prints etcdctl's own lines. */
static void check_perf(void)
{
    AUTO_BUF struct buf endpoints = BUF_MAX(1024);
    struct perf p = { .out = BUF_MAX(MIB), .trouble = BUF_MAX(MIB) };
    const char *argv[] = { "etcdctl", "check", "perf", "--load=l", "--endpoints", NULL, NULL };
    const char *const env[] = { "ETCDCTL_API=3", "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
    struct str text, line;

    for (int i = 0; i < 3; i++)
        buf_addf(&endpoints, "%s%s", i ? "," : "", bench.cluster.members[i].url);
    argv[5] = endpoints.p;
    /* On the loop, so that the servers go on as they would: their watches stay near the end of what others write. */
    process_capture(bench.loop, &(struct process_options){ .argv = argv, .env = env }, STR_NONE, MIB, PERF_LIMIT_MS,
                    on_perf, &p);
    while (!p.done)
        run_for(20);
    text = buf_str(&p.out);
    bool told = false;
    while (str_next(&text, '\n', &line)) {
        if (!str_contains(line, STR("PASS")) && !str_contains(line, STR("FAIL")))
            continue;
        printf("etcdctl check perf --load=l: %.*s\n", STR_ARG(line));
        told = true;
    }
    if (!told)
        printf("etcdctl check perf --load=l gave no result: %.*s\n", STR_ARG(str_part(buf_str(&p.trouble), 0, 300)));
    buf_done(&p.out);
    buf_done(&p.trouble);
}

static void on_closed(void *arg)
{
    ++*(int *)arg;
}

static void read_arguments(int argc, char **argv)
{
    struct {
        const char *name;
        int *to;
    } numbers[] = { { "--kills", &kills },
                    { "--seconds", &seconds },
                    { "--writers", &writers_count },
                    { "--batches", &batches },
                    { "--writes", &writes_max } };
    int64_t number;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-perf"))
            perf = false;
        for (size_t k = 0; k < ARRAY_SIZE(numbers) && i + 1 < argc; k++)
            if (!strcmp(argv[i], numbers[k].name) && str_to_i64(str_of(argv[i + 1]), &number))
                *numbers[k].to = (int)number;
    }
    writers_count = MIN(writers_count, WRITERS_MAX);
}

static void stop_cluster(void)
{
    etcd_cluster_stop(&bench.cluster);
}

int main(int argc, char **argv)
{
    int closed = 0;

    read_arguments(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_WARN);
    memset(value, 'v', sizeof(value));
    bench.a_revisions = xcalloc(SAMPLES_MAX, sizeof(*bench.a_revisions));
    bench.a_us = xcalloc(SAMPLES_MAX, sizeof(*bench.a_us));
    atexit(stop_cluster);
    etcd_cluster_start(&bench.cluster, 3, NULL);
    bench.loop = loop_new_system(env_system());
    loop_timer_init(&bench.timer, bench.loop, on_timer, &bench);
    bench.a = open_store("server-a", on_change_a);
    bench.b = open_store("server-b", on_change_b);
    creates();
    if (perf)
        check_perf();
    if (kills)
        failover();
    store_close(bench.a, on_closed, &closed);
    store_close(bench.b, on_closed, &closed);
    while (closed < 2)
        run_for(10);
    return bench.failed > 0;
}
