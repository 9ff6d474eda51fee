/*
 * kill -9 of a server's process at each named point of the engine's way to a real etcd: what it was told as done is there, what it
 * asked happened once or never, and another server's watch tells all of it in order (lib/history.h). Each point must have killed.
 *
 *     KLEIN_CRASH_RUNS=50 crash_etcd_points
 */
#include "base/crash_point.h"
#include "base/log.h"
#include "etcd_cluster.h"
#include "history.h"
#include "store/etcd.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPS      40
#define AT_ONCE  5
#define KEYS     7
#define HITS_MAX 12
#define CHILD_S  20
#define WAIT_MS  20000
#define PAUSE_MS 600 /* longer than an attempt: an answer is missing, the session is renewed */

static const struct {
    const char *name;
    bool paused; /* reached when etcd does not answer for a while */
} points[] = { { "etcd.before-open", false },    { "etcd.open-sent", false },    { "etcd.opened", false },
               { "etcd.before-send", false },    { "etcd.sent", false },         { "etcd.answered", false },
               { "etcd.before-telling", false }, { "etcd.before-reply", false }, { "etcd.after-reply", false },
               { "etcd.before-bump", true },     { "etcd.bump-sent", true },     { "etcd.bumped", true },
               { "etcd.settled", true } };

struct note {
    int op;
    bool told;
    enum error_code code;
    uint64_t revision;
};

static struct shared { /* with the child: what it was told survives it */
    volatile size_t count;
    struct note notes[2 * OPS];
    volatile uint64_t hits;
} * shared;

static struct etcd_cluster cluster;
static struct env_sim chance;
static size_t point;
static uint64_t hit, first;

struct text {
    char key[16], value[32];
};

static struct store_write write_of(uint64_t i, struct text *t)
{
    struct env_sim r;

    env_sim_init(&r, test_seed() * 1000003 + i, 0);
    snprintf(t->key, sizeof(t->key), "/k/%d", (int)env_random_below(&r.env, KEYS));
    snprintf(t->value, sizeof(t->value), "v-%llu", (unsigned long long)i);
    bool put = env_random_below(&r.env, 4) != 0;
    return (struct store_write){ .type = put ? STORE_PUT : STORE_DELETE,
                                 .key = str_of(t->key),
                                 .value = put ? str_of(t->value) : STR_NONE,
                                 .expect = STORE_EXPECT_ANY };
}

/* --- the child ---------------------------------------------------------------------------------------------------------------- */

static struct store *store;
static int next_op, on_the_way;
static struct text texts[OPS];

static void on_point(const char *name)
{
    if (strcmp(name, points[point].name) == 0 && ++shared->hits == hit)
        kill(getpid(), SIGKILL);
}

static void note(struct note n)
{
    shared->notes[shared->count] = n;
    shared->count++;
}

static void ask_more(void);

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    int i = (int)((struct text *)arg - texts);

    note((struct note){ .op = i, .told = true, .code = err ? err->code : ERR_NONE, .revision = revision });
    on_the_way--;
    ask_more();
}

static void ask_more(void)
{
    for (; on_the_way < AT_ONCE && next_op < OPS; on_the_way++) {
        int i = next_op++;
        struct store_write w = write_of(first + (uint64_t)i, &texts[i]);

        note((struct note){ .op = i });
        store_write(store, &w, on_written, &texts[i]);
    }
    if (next_op == OPS && !on_the_way)
        _exit(0);
}

static void live(void) NORETURN;
static void live(void)
{
    struct loop *loop = loop_new_system(env_system());

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CHILD_S);
    crash_point_hook = on_point;
    store = store_open_etcd(
        loop, env_system(),
        &(struct store_etcd_options){ .endpoints = cluster.endpoints, .endpoints_count = 1, .server = STR("victim") },
        NULL, NULL, NULL);
    ask_more();
    for (;;)
        loop_run(loop);
}

/* --- the parent ---------------------------------------------------------------------------------------------------------------- */

static struct loop *loop;
static struct history *history;
static struct history_watch *watch;
static struct store *observer;
static struct history_list *listed;
static bool done;

static void on_change(void *arg, const struct store_change *c)
{
    const char *wrong = history_event(watch, c);

    (void)arg;
    if (wrong)
        FAIL("the watch: %s", wrong);
}

static void on_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    (void)arg;
    history_list_entry(listed, key, value, revision);
}

static void on_listed(void *arg, uint64_t revision, const struct error *err)
{
    (void)arg;
    if (err)
        FAIL("list: %s", error_text(err));
    history_list_done(listed, revision);
    done = true;
    loop_stop(loop);
}

static void on_closed(void *arg)
{
    (void)arg;
    done = true;
}

static void list(void)
{
    int64_t end = test_now_ms() + WAIT_MS;

    done = false;
    listed = history_list(history, "observer", STR("/"));
    store_list(observer, STR("/"), on_entry, on_listed, NULL);
    for (; !done; etcd_cluster_settle(loop))
        if (test_now_ms() > end)
            FAIL("no list within %d ms", WAIT_MS);
}

/* What the child asked and was told, in its order. */
static void replay(void)
{
    struct history_op *ops[OPS] = { 0 };

    for (size_t i = 0; i < shared->count; i++) {
        const struct note *n = &shared->notes[i];
        struct text t;
        struct store_write w = write_of(first + (uint64_t)n->op, &t);

        if (!n->told)
            ops[n->op] = history_write(history, "victim", &w);
        else if (n->code)
            history_failed(ops[n->op], n->code);
        else
            history_written(ops[n->op], n->revision);
    }
}

static bool run(void)
{
    int status = 0;
    bool paused = false;

    memset(shared, 0, sizeof(*shared));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        live();
    int64_t end = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (points[point].paused && !paused && shared->count > AT_ONCE + 3) {
            etcd_member_signal(&cluster, 0, SIGSTOP);
            end = test_now_ms() + PAUSE_MS;
            paused = true;
        }
        if (end && test_now_ms() > end) {
            etcd_member_signal(&cluster, 0, SIGCONT);
            end = 0;
        }
        test_nap();
    }
    etcd_member_signal(&cluster, 0, SIGCONT);
    if (!WIFSIGNALED(status) && WEXITSTATUS(status))
        FAIL("the child ended with status %x", (unsigned)status);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        FAIL("the child ended by signal %d at %s", WTERMSIG(status), points[point].name);
    replay();
    list();
    first += OPS;
    return WIFSIGNALED(status);
}

TEST("a server dies at each point of its way to etcd: what it was told is there, what it asked happened once or never")
{
    AUTO_ARENA struct arena arena = { 0 };
    uint64_t killed[ARRAY_SIZE(points)] = { 0 }, runs = 2 * ARRAY_SIZE(points), wanted;
    const char *text = getenv("KLEIN_CRASH_RUNS"), *wrong;

    if (text && str_to_u64(str_of(text), &wanted))
        runs = MAX(wanted, (uint64_t)ARRAY_SIZE(points));
    env_sim_init(&chance, test_seed(), 0);
    log_set_level(LOG_WARN);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    etcd_cluster_start(&cluster, 1, NULL);
    loop = loop_new_system(env_system());
    history = history_new();
    watch = history_watch(history, "observer", STR_NONE, 0);
    observer = store_open_etcd(
        loop, env_system(),
        &(struct store_etcd_options){ .endpoints = cluster.endpoints, .endpoints_count = 1, .server = STR("observer") },
        on_change, NULL, NULL);
    list();
    for (uint64_t i = 0; i < runs; i++) {
        point = i % ARRAY_SIZE(points);
        hit = 1 + (killed[point] && !points[point].paused ? env_random_below(&chance.env, HITS_MAX) : 0);
        killed[point] += run();
    }
    wrong = history_check(history, &arena);
    if (wrong)
        FAIL("%s", wrong);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        if (!killed[i])
            FAIL("nothing ever died at %s", points[i].name);
    printf("%llu runs, %zu acknowledged writes\n", (unsigned long long)runs, history_acknowledged(history));
    done = false;
    store_close(observer, on_closed, NULL);
    WAIT_UNTIL((etcd_cluster_settle(loop), done), WAIT_MS);
    etcd_cluster_settle(loop);
    loop_free(loop);
    history_free(history);
    munmap(shared, sizeof(*shared));
    etcd_cluster_stop(&cluster);
}
