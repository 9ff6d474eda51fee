/*
 * The contract of store.h as tests: every engine includes this file after defining
 *
 *     static struct store *open_engine(struct fixture *f, struct error *err);     (again after a close, too)
 *     #define ENGINE_KEEPS 1       whether content survives close and open
 *     #define ENGINE_SHARED 1      several stores may stand on the same content: then also
 *     static struct store *open_another(struct fixture *f, store_change_fn *on_change, void *arg, struct error *err);
 *     #define ENGINE_LOOP(f) ...   the loop to use; a system loop when it is not defined
 *
 * The fixture runs its loop until the condition a test waits for holds, with a deadline. Revisions are told as their rank
 * among those seen, because engines are free in how far they go up.
 */
#include "base/log.h"
#include "base/map.h"
#include "loop/loop.h"
#include "store/store.h"
#include "test.h"

#include <stdio.h>

#ifndef ENGINE_SHARED
#define ENGINE_SHARED 0
#endif
#ifndef ENGINE_LOOP
#define ENGINE_LOOP(f) loop_new_system(env_system())
#endif

struct fixture {
    struct loop *loop;
    struct env_sim world; /* for engines in virtual time */
    struct store *store;
    char folder[64];
    /* what on_change was told */
    uint64_t seen[20000];
    size_t seen_count;
    struct loop_timer deadline;
};

struct answer {
    struct fixture *f;
    bool done;
    uint64_t revision;
    enum error_code code;
    size_t seen_before; /* changes told before `done` */
};

static struct store *open_engine(struct fixture *f, struct error *err);

static void on_change(void *arg, const struct store_change *c)
{
    struct fixture *f = arg;

    if (f->seen_count)
        ASSERT(c->revision > f->seen[f->seen_count - 1]);
    ASSERT(f->seen_count < ARRAY_SIZE(f->seen));
    f->seen[f->seen_count++] = c->revision;
}

static void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct answer *a = arg;

    ASSERT(!a->done);
    a->done = true;
    a->revision = revision;
    a->code = err ? err->code : ERR_NONE;
    a->seen_before = a->f->seen_count;
    loop_stop(a->f->loop);
}

static void on_deadline(void *arg)
{
    (void)arg;
    FAIL("no answer from the store within 20 s");
}

static void wait_for(struct answer *a)
{
    loop_timer_start(&a->f->deadline, 20000);
    while (!a->done)
        loop_run(a->f->loop);
    loop_timer_stop(&a->f->deadline);
}

static struct answer write_expect(struct fixture *f, struct str key, struct str value, uint64_t expect)
{
    struct answer a = { .f = f };
    struct store_write w = { .type = STORE_PUT, .key = key, .value = value, .expect = expect };

    store_write(f->store, &w, on_done, &a);
    wait_for(&a);
    return a;
}

static uint64_t put(struct fixture *f, const char *key, const char *value)
{
    struct answer a = write_expect(f, str_of(key), str_of(value), STORE_EXPECT_ANY);

    ASSERT_INT(a.code, ERR_NONE);
    return a.revision;
}

static struct answer del(struct fixture *f, const char *key, uint64_t expect)
{
    struct answer a = { .f = f };
    struct store_write w = { .type = STORE_DELETE, .key = str_of(key), .expect = expect };

    store_write(f->store, &w, on_done, &a);
    wait_for(&a);
    return a;
}

struct dump {
    struct answer answer;
    struct buf text;
};

/* The number of the change with this revision: 1 is the first one seen, 0 is none; one nobody was told of is itself. */
static size_t rank(const struct fixture *f, uint64_t revision)
{
    for (size_t i = 0; i < f->seen_count; i++)
        if (f->seen[i] == revision)
            return i + 1;
    return (size_t)revision;
}

static void dump_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct dump *d = arg;

    buf_addf(&d->text, "%.*s=%.*s@%zu ", STR_ARG(key), STR_ARG(value), rank(d->answer.f, revision));
}

static void dump_change(void *arg, const struct store_change *c)
{
    struct dump *d = arg;

    buf_addf(&d->text, "%zu:%s:%.*s=%.*s(was %.*s@%zu) ", rank(d->answer.f, c->revision),
             c->type == STORE_PUT ? "put" : "del", STR_ARG(c->key), STR_ARG(c->value), STR_ARG(c->previous_value),
             rank(d->answer.f, c->previous_revision));
}

static struct dump list(struct fixture *f, const char *prefix)
{
    struct dump d = { .answer = { .f = f }, .text = BUF_MAX(64 * MIB) };

    store_list(f->store, str_of(prefix), dump_entry, on_done, &d);
    wait_for(&d.answer);
    return d;
}

static struct dump history(struct fixture *f, uint64_t from)
{
    struct dump d = { .answer = { .f = f }, .text = BUF_MAX(64 * MIB) };

    store_history(f->store, from, dump_change, on_done, &d);
    wait_for(&d.answer);
    return d;
}

static void on_closed(void *arg)
{
    struct answer *a = arg;

    a->done = true;
    loop_stop(a->f->loop);
}

static void fixture_close_store(struct fixture *f)
{
    struct answer a = { .f = f };

    store_close(f->store, on_closed, &a);
    wait_for(&a);
    f->store = NULL;
}

static void fixture_open_store(struct fixture *f)
{
    AUTO_ERROR struct error err = { 0 };

    f->store = open_engine(f, &err);
    if (!f->store)
        FAIL("open: %s", error_text(&err));
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->loop = ENGINE_LOOP(f);
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    fixture_open_store(f);
}

static void fixture_cleanup(struct fixture *f);

static void fixture_done(struct fixture *f)
{
    if (f->store)
        fixture_close_store(f);
    fixture_cleanup(f); /* may still need the loop */
    loop_free(f->loop);
}

static struct fixture fix;

TEST("every change has a revision of its own and revisions grow")
{
    fixture_init(&fix);
    uint64_t a = put(&fix, "/a", "1"), b = put(&fix, "/b", "1"), c = put(&fix, "/a", "2");
    ASSERT(a < b && b < c);
    struct answer d = del(&fix, "/b", b);
    ASSERT_INT(d.code, ERR_NONE);
    ASSERT(d.revision > c);
    fixture_done(&fix);
}

TEST("on_change is told of a write before its done")
{
    fixture_init(&fix);
    struct answer a = write_expect(&fix, STR("/a"), STR("1"), STORE_EXPECT_ANY);
    ASSERT_INT(a.seen_before, 1);
    ASSERT_INT(fix.seen[0], a.revision);
    fixture_done(&fix);
}

TEST("a write with a wrong expectation fails and says what the key has")
{
    fixture_init(&fix);
    uint64_t rev = put(&fix, "/a", "1");
    struct answer a = write_expect(&fix, STR("/a"), STR("2"), STORE_EXPECT_ABSENT);
    ASSERT_INT(a.code, ERR_ALREADY_EXISTS);
    ASSERT_INT(a.revision, rev);
    a = write_expect(&fix, STR("/a"), STR("2"), rev + 1);
    ASSERT_INT(a.code, ERR_CONFLICT);
    ASSERT_INT(a.revision, rev);
    a = write_expect(&fix, STR("/none"), STR("2"), rev);
    ASSERT_INT(a.code, ERR_NOT_FOUND);
    ASSERT_INT(del(&fix, "/none", STORE_EXPECT_ANY).code, ERR_NOT_FOUND);
    ASSERT_INT(del(&fix, "/a", rev + 7).code, ERR_CONFLICT);
    a = write_expect(&fix, STR("/a"), STR("2"), rev);
    ASSERT_INT(a.code, ERR_NONE);
    ASSERT_INT(fix.seen_count, 2);
    fixture_done(&fix);
}

TEST("of many writers with the same expectation exactly one wins")
{
    enum { WRITERS = 50 };
    static struct answer answers[WRITERS];

    fixture_init(&fix);
    memset(answers, 0, sizeof(answers));
    uint64_t rev = put(&fix, "/a", "0");
    for (int i = 0; i < WRITERS; i++) {
        struct store_write w = { .type = STORE_PUT, .key = STR("/a"), .value = STR("x"), .expect = rev };
        answers[i].f = &fix;
        store_write(fix.store, &w, on_done, &answers[i]);
    }
    int won = 0;
    for (int i = 0; i < WRITERS; i++) {
        wait_for(&answers[i]);
        won += answers[i].code == ERR_NONE;
    }
    ASSERT_INT(won, 1);
    fixture_done(&fix);
}

TEST("a write on top of one still on its way goes through when that one did, else not")
{
    enum { WRITERS = 20 };
    static struct answer answers[WRITERS], broken[2];
    static char values[WRITERS][8];

    fixture_init(&fix);
    memset(answers, 0, sizeof(answers));
    memset(broken, 0, sizeof(broken));
    uint64_t rev = put(&fix, "/a", "start");
    for (int i = 0; i < WRITERS; i++) {
        snprintf(values[i], sizeof(values[i]), "v%d", i);
        struct store_write w = { .type = STORE_PUT,
                                 .key = STR("/a"),
                                 .value = str_of(values[i]),
                                 .expect = i ? STORE_EXPECT_VALUE : rev,
                                 .expect_value = i ? str_of(values[i - 1]) : STR_NONE };
        answers[i].f = &fix;
        store_write(fix.store, &w, on_done, &answers[i]);
    }
    /* The first of these fails, so what was built on it must not be written. */
    for (int i = 0; i < 2; i++) {
        struct store_write w = { .type = STORE_PUT,
                                 .key = STR("/a"),
                                 .value = i ? STR("lost2") : STR("lost1"),
                                 .expect = i ? STORE_EXPECT_VALUE : rev,
                                 .expect_value = STR("lost1") };
        broken[i].f = &fix;
        store_write(fix.store, &w, on_done, &broken[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        wait_for(&answers[i]);
        ASSERT_INT(answers[i].code, ERR_NONE);
        ASSERT(i == 0 || answers[i].revision > answers[i - 1].revision);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&broken[i]);
        ASSERT_INT(broken[i].code, ERR_CONFLICT);
    }
    ASSERT_INT(write_expect(&fix, STR("/none"), STR("2"), STORE_EXPECT_VALUE).code, ERR_NOT_FOUND);
    fixture_done(&fix);
}

TEST("a guard that has changed refuses the write of an old leader")
{
    fixture_init(&fix);
    uint64_t term = put(&fix, "/lease", "one");
    struct store_write w = { .type = STORE_PUT,
                             .key = STR("/a"),
                             .value = STR("x"),
                             .expect = STORE_EXPECT_ANY,
                             .guard_key = STR("/lease"),
                             .guard_revision = term };
    struct answer a = { .f = &fix };
    store_write(fix.store, &w, on_done, &a);
    wait_for(&a);
    ASSERT_INT(a.code, ERR_NONE);
    put(&fix, "/lease", "two");
    struct answer b = { .f = &fix };
    store_write(fix.store, &w, on_done, &b);
    wait_for(&b);
    ASSERT_INT(b.code, ERR_TERM_OVER);
    fixture_done(&fix);
}

TEST("a list is in the order of keys, limited to its prefix, and says its revision")
{
    fixture_init(&fix);
    put(&fix, "/pods/b", "2");
    put(&fix, "/pods/a", "1");
    put(&fix, "/podsx", "no");
    put(&fix, "/pods/c", "gone");
    uint64_t last = del(&fix, "/pods/c", STORE_EXPECT_ANY).revision;
    struct dump d = list(&fix, "/pods/");
    ASSERT(d.answer.revision >= last);
    ASSERT_STR(buf_str(&d.text), "/pods/a=1@2 /pods/b=2@1 ");
    buf_done(&d.text);
    fixture_done(&fix);
}

TEST("history gives exactly the later changes, with what they replaced")
{
    fixture_init(&fix);
    uint64_t first = put(&fix, "/a", "1");
    put(&fix, "/a", "2");
    del(&fix, "/a", STORE_EXPECT_ANY);
    uint64_t last = put(&fix, "/a", "3");
    struct dump d = history(&fix, first);
    ASSERT_STR(buf_str(&d.text), "2:put:/a=2(was 1@1) 3:del:/a=2(was 2@2) 4:put:/a=3(was @0) ");
    buf_done(&d.text);
    d = history(&fix, last);
    ASSERT_STR(buf_str(&d.text), "");
    buf_done(&d.text);
    fixture_done(&fix);
}

static uint64_t compact(struct fixture *f, uint64_t revision)
{
    struct answer a = { .f = f };

    store_compact(f->store, revision, on_done, &a);
    wait_for(&a);
    ASSERT_INT(a.code, ERR_NONE);
    return a.revision;
}

TEST("after compaction current values stay, older history is expired, later history is whole")
{
    fixture_init(&fix);
    put(&fix, "/a", "1");
    put(&fix, "/b", "1");
    put(&fix, "/a", "2");
    uint64_t at = del(&fix, "/b", STORE_EXPECT_ANY).revision;
    put(&fix, "/a", "3");
    compact(&fix, at);
    struct dump d = history(&fix, at - 1);
    ASSERT_INT(d.answer.code, ERR_EXPIRED);
    buf_done(&d.text);
    d = history(&fix, at);
    ASSERT_STR(buf_str(&d.text), "5:put:/a=3(was 2@3) ");
    buf_done(&d.text);
    d = list(&fix, "/");
    ASSERT_STR(buf_str(&d.text), "/a=3@5 ");
    buf_done(&d.text);
    fixture_done(&fix);
}

TEST("a barrier is done after the writes made before it")
{
    fixture_init(&fix);
    struct answer w = { .f = &fix }, b = { .f = &fix };
    struct store_write write = { .type = STORE_PUT, .key = STR("/a"), .value = STR("1"), .expect = STORE_EXPECT_ANY };
    store_write(fix.store, &write, on_done, &w);
    store_barrier(fix.store, on_done, &b);
    wait_for(&b);
    ASSERT(w.done);
    ASSERT_INT(b.seen_before, 1);
    fixture_done(&fix);
}

#if ENGINE_KEEPS
TEST("content, revisions and history survive a close; no revision is given twice, also after compaction of a deletion")
{
    fixture_init(&fix);
    uint64_t first = put(&fix, "/a", "1");
    put(&fix, "/b", "1");
    uint64_t last = del(&fix, "/b", STORE_EXPECT_ANY).revision;
    fixture_close_store(&fix);
    fixture_open_store(&fix);
    struct dump d = history(&fix, first);
    ASSERT_STR(buf_str(&d.text), "2:put:/b=1(was @0) 3:del:/b=1(was 1@2) ");
    buf_done(&d.text);
    compact(&fix, last);
    fixture_close_store(&fix);
    fixture_open_store(&fix);
    d = list(&fix, "/");
    ASSERT_STR(buf_str(&d.text), "/a=1@1 ");
    buf_done(&d.text);
    ASSERT(put(&fix, "/c", "1") > last);
    fixture_done(&fix);
}
#endif

#if ENGINE_SHARED
static struct store *open_another(struct fixture *f, store_change_fn *fn, void *arg, struct error *err);

static void close_another(struct fixture *f, struct store *s)
{
    struct answer a = { .f = f };

    store_close(s, on_closed, &a);
    wait_for(&a);
}

static void on_another_change(void *arg, const struct store_change *c)
{
    struct buf *seen = arg;

    buf_addf(seen, "%s:%.*s=%.*s(%.*s) ", c->type == STORE_PUT ? "put" : "del", STR_ARG(c->key), STR_ARG(c->value),
             STR_ARG(c->previous_value));
    ASSERT(!c->cookie);
}

TEST("what one server writes, another is told of after a barrier, in order and once")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf seen = BUF_MAX(1 * MIB);
    struct answer b = { .f = &fix };

    fixture_init(&fix);
    put(&fix, "/before", "1");
    struct store *another = open_another(&fix, on_another_change, &seen, &err);
    ASSERT(another);
    store_barrier(another, on_done, &b);
    wait_for(&b);
    buf_clear(&seen); /* whether it is told of what happened while it opened is its own affair */
    put(&fix, "/a", "1");
    put(&fix, "/a", "2");
    uint64_t last = del(&fix, "/a", STORE_EXPECT_ANY).revision;
    struct answer c = { .f = &fix };
    store_barrier(another, on_done, &c);
    wait_for(&c);
    ASSERT(c.revision >= last);
    ASSERT_STR(buf_str(&seen), "put:/a=1() put:/a=2(1) del:/a=2(2) ");
    close_another(&fix, another);
    fixture_done(&fix);
}

TEST("a write against what another server changed meanwhile fails, and whoever is told has seen that change")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf seen = BUF_MAX(1 * MIB);
    struct answer a = { .f = &fix };

    fixture_init(&fix);
    uint64_t first = put(&fix, "/a", "1");
    struct store *another = open_another(&fix, on_another_change, &seen, &err);
    ASSERT(another);
    uint64_t second = put(&fix, "/a", "2");
    struct store_write w = { .type = STORE_PUT, .key = STR("/a"), .value = STR("3"), .expect = first };
    store_write(another, &w, on_done, &a);
    wait_for(&a);
    ASSERT_INT(a.code, ERR_CONFLICT);
    ASSERT_INT(a.revision, second);
    struct store_stats stats;
    store_stats(another, &stats);
    ASSERT(stats.revision >= second);
    close_another(&fix, another);
    fixture_done(&fix);
}
#endif
