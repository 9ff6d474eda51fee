/*
 * kill -9 at each named point of the write path, again and again on the same data: the state afterwards is a prefix of what was asked
 * for that contains everything acknowledged. What was not synced is gone with the process (dropping_vfs.h).
 *
 *     crash_sqlite [--runs N] [--seed S] [--mutant NAME]
 *
 * A run is a child that opens the store, writes what the run's number says, and dies at the n-th time it comes by a point. The
 * parent then opens the store itself and looks. Every point of points.def must have ended a process, else the test fails.
 */
#include "base/crash_point.h"
#include "base/file.h"
#include "base/map.h"
#include "dropping_vfs.h"
#include "store/store.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPS       60 /* a run asks for at most so many */
#define KEYS      9
#define HITS_MAX  40
#define CHILD_S   30
#define AT_ONCE   5
#define VALUE_MAX 6000

static const char *const points[] = {
#define POINT(name) name,
#include "points.def"
#undef POINT
};

struct shared {                     /* with the child: what it was told survives it */
    volatile uint64_t acknowledged; /* operations told as done, from the first on */
    volatile uint64_t asked;
    volatile uint64_t hits[ARRAY_SIZE(points)];
    volatile uint64_t note;
    volatile uint64_t noted; /* told as written */
};

struct op {
    enum store_change_type type;
    int key;
    size_t n; /* bytes of the value */
};

static struct shared *shared;
static char folder[64];
static size_t wanted_point;
static uint64_t wanted_hit;
static uint64_t seed = 1;

static void stop(const char *format, ...) PRINTF(1, 2) NORETURN;
static void stop(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n  point %s, hit %llu; again: crash_sqlite --seed %llu\ntest result: 0 passed, 1 failed\n",
           points[wanted_point], (unsigned long long)wanted_hit, (unsigned long long)seed);
    exit(1);
}

static void on_point(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        if (strcmp(points[i], name))
            continue;
        if (++shared->hits[i] == wanted_hit && i == wanted_point)
            kill(getpid(), SIGKILL);
        return;
    }
}

/* Operation `i` of all runs together: the same for whoever asks. */
static struct op op_of(uint64_t i)
{
    struct env_sim r;

    env_sim_init(&r, seed * 1000003 + i, 0);
    return (struct op){ .type = env_random_below(&r.env, 4) ? STORE_PUT : STORE_DELETE,
                        .key = (int)env_random_below(&r.env, KEYS),
                        .n = env_random_below(&r.env, 3) ? 20 : 20 + (size_t)env_random_below(&r.env, VALUE_MAX) };
}

static char *value_of(uint64_t i, size_t n)
{
    char *text = xmalloc(n + 1);

    memset(text, 'a' + (int)(i % 26), n);
    snprintf(text, n, "%019llu", (unsigned long long)i);
    text[19] = ' ';
    text[n] = '\0';
    return text;
}

/* --- the child ---------------------------------------------------------------------------------------------------------------- */

struct child {
    struct loop *loop;
    struct store *store;
    uint64_t next, end;
    size_t on_the_way;
    uint64_t revision;
};

struct asked {
    struct child *child;
    uint64_t op;
    char *value;
};

static void ask_more(struct child *c);

static void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;
    struct child *c = x->child;

    if (err && err->code != ERR_NOT_FOUND) {
        fprintf(stderr, "op %llu: %s\n", (unsigned long long)x->op, error_text(err));
        _exit(1);
    }
    c->revision = MAX(c->revision, revision);
    shared->acknowledged = x->op + 1; /* they are answered in the order they were asked */
    free(x->value);
    free(x);
    c->on_the_way--;
    ask_more(c);
}

static void on_compacted(void *arg, uint64_t revision, const struct error *err)
{
    (void)arg, (void)revision, (void)err;
}

static void note(uint64_t i)
{
    AUTO_FREE char *path = xasprintf("%s/note", folder);
    AUTO_FREE char *text = xasprintf("%llu %0400llu\n", (unsigned long long)i, (unsigned long long)i);

    shared->note = i;
    if (file_write(path, str_of(text), 0600, NULL) == 0)
        shared->noted = i;
}

static void ask_more(struct child *c)
{
    while (c->on_the_way < AT_ONCE && c->next < c->end) {
        struct op o = op_of(c->next);
        struct asked *x = xnew(struct asked);
        char key[16];
        snprintf(key, sizeof(key), "/k/%d", o.key);
        *x = (struct asked){ c, c->next++, value_of(c->next, o.n) };
        c->on_the_way++;
        shared->asked = c->next;
        store_write(c->store,
                    &(struct store_write){ .type = o.type,
                                           .key = str_of(key),
                                           .value = o.type == STORE_PUT ? str_of(x->value) : STR_NONE,
                                           .expect = STORE_EXPECT_ANY },
                    on_done, x);
        if (c->next % 13 == 0)
            store_compact(c->store, c->revision, on_compacted, NULL);
        if (c->next % 17 == 0)
            note(c->next);
    }
    if (c->next == c->end && !c->on_the_way)
        loop_stop(c->loop);
}

static void closed(void *arg)
{
    loop_stop(arg);
}

static void live(uint64_t first)
{
    AUTO_ERROR struct error err = { 0 };
    struct child c = { .loop = loop_new_system(env_system()), .next = first, .end = first + OPS };

    crash_point_hook = on_point;
    alarm(CHILD_S);
    c.store = store_open_sqlite(c.loop, env_system(), folder, NULL, NULL, &err);
    if (!c.store) {
        fprintf(stderr, "%s\n", error_text(&err));
        _exit(1);
    }
    ask_more(&c);
    loop_run(c.loop);
    store_close(c.store, closed, c.loop);
    loop_run(c.loop);
    _exit(0);
}

/* --- the parent ---------------------------------------------------------------------------------------------------------------- */

struct state { /* the operation that wrote each key; 0: absent */
    uint64_t writer[KEYS];
};

static void apply(struct state *s, uint64_t i)
{
    struct op o = op_of(i);

    s->writer[o.key] = o.type == STORE_PUT ? i + 1 : 0;
}

struct look {
    struct loop *loop;
    struct state found;
    bool done;
};

static void look_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct look *l = arg;
    uint64_t writer = strtoull(value.p, NULL, 10);
    AUTO_FREE char *want = value_of(writer, value.n);

    if (!revision || !str_is(value, want) || op_of(writer - 1).n != value.n)
        stop("the value of %.*s is not what operation %llu wrote", STR_ARG(key), (unsigned long long)writer);
    l->found.writer[key.p[key.n - 1] - '0'] = writer;
}

static void look_done(void *arg, uint64_t revision, const struct error *err)
{
    struct look *l = arg;

    (void)revision;
    if (err)
        stop("the state cannot be read: %s", error_text(err));
    l->done = true;
    loop_stop(l->loop);
}

static struct state look(void)
{
    AUTO_ERROR struct error err = { 0 };
    struct look l = { .loop = loop_new_system(env_system()) };
    struct store *s = store_open_sqlite(l.loop, env_system(), folder, NULL, NULL, &err);

    if (!s)
        stop("the store does not open again: %s", error_text(&err));
    store_list(s, STR("/k/"), look_entry, look_done, &l);
    while (!l.done)
        loop_run(l.loop);
    store_close(s, closed, l.loop);
    loop_run(l.loop);
    loop_free(l.loop);
    return l.found;
}

static bool same(const struct state *a, const struct state *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The state after some number of operations, at least the acknowledged and at most the asked; that number. */
static uint64_t check(struct state *at, uint64_t first)
{
    struct state found = look();
    uint64_t i = first;

    for (; i < shared->acknowledged; i++)
        apply(at, i);
    while (!same(at, &found) && i < shared->asked)
        apply(at, i++);
    if (!same(at, &found))
        stop("the state is none that can be: %llu operations were acknowledged, %llu asked",
             (unsigned long long)shared->acknowledged, (unsigned long long)shared->asked);
    return i;
}

static void check_note(void)
{
    AUTO_FREE char *path = xasprintf("%s/note", folder);
    AUTO_BUF struct buf text = BUF_MAX(4096);
    unsigned long long a, b;

    if (!shared->noted && !file_exists(path))
        return;
    if (file_read(path, &text, NULL) < 0 || sscanf(buf_str(&text).p, "%llu %llu\n", &a, &b) != 2 || a != b ||
        a < shared->noted || a > shared->note)
        stop("the note is '%.*s', though %llu was told as written", STR_ARG(buf_str(&text)),
             (unsigned long long)shared->noted);
}

static uint64_t run(uint64_t first, struct state *state, bool *ret_killed)
{
    int status;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        live(first);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        stop("cannot run a child");
    *ret_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!*ret_killed && (!WIFEXITED(status) || WEXITSTATUS(status)))
        stop("the child ended with status %x", (unsigned)status);
    check_note();
    return check(state, first);
}

static int crash(uint64_t runs)
{
    static uint64_t killed[ARRAY_SIZE(points)];
    struct env_sim r;
    struct state state = { 0 };
    uint64_t first = 0, kills = 0, missing = 0;

    env_sim_init(&r, seed, 0);
    for (uint64_t i = 0; i < runs; i++) {
        bool dead;
        wanted_point = i % ARRAY_SIZE(points);
        wanted_hit = 1 + env_random_below(&r.env, killed[wanted_point] ? HITS_MAX : 1);
        for (size_t k = 0; k < ARRAY_SIZE(points); k++)
            shared->hits[k] = 0;
        shared->acknowledged = shared->asked = first;
        first = run(first, &state, &dead);
        killed[wanted_point] += dead;
        kills += dead;
    }
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        if (killed[i])
            continue;
        printf("nothing ever died at %s\n", points[i]);
        missing++;
    }
    printf("%llu runs, %llu kills, %llu operations\n", (unsigned long long)runs, (unsigned long long)kills,
           (unsigned long long)first);
    printf("test result: %zu passed, %llu failed\n", ARRAY_SIZE(points) - (size_t)missing, (unsigned long long)missing);
    return missing > 0;
}

int main(int argc, char **argv)
{
    uint64_t runs = 200;
    const char *temporary = getenv("TMPDIR");

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--mutant") == 0)
            mutant_planted = argv[i + 1];
        else if (!str_to_u64(str_of(argv[i + 1]), strcmp(argv[i], "--runs") ? &seed : &runs))
            return 2;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(folder, sizeof(folder), "%s/klein-crash-XXXXXX", temporary ? temporary : "/tmp");
    if (shared == MAP_FAILED || !mkdtemp(folder))
        return 2;
    dropping_vfs_mount();
    int failed = crash(runs);
    file_remove_tree(folder, NULL);
    return failed;
}
