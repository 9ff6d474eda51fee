/*
 * The contract of store.h as tests: every engine includes this file after defining
 *
 *     static struct store *open_engine(struct fixture *f, struct error *err);     (again after a close, too)
 *     #define ENGINE_KEEPS 1       whether content survives close and open
 *
 * The fixture runs a real loop until the condition a test waits for holds, with a deadline.
 */
#include "base/log.h"
#include "base/map.h"
#include "loop/loop.h"
#include "store/store.h"
#include "test.h"

#include <stdio.h>

struct fixture {
    struct loop *loop;
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

static void dump_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct dump *d = arg;

    buf_addf(&d->text, "%.*s=%.*s@%llu ", STR_ARG(key), STR_ARG(value), (unsigned long long)revision);
}

static void dump_change(void *arg, const struct store_change *c)
{
    struct dump *d = arg;

    buf_addf(&d->text, "%llu:%s:%.*s=%.*s(was %.*s@%llu) ", (unsigned long long)c->revision,
             c->type == STORE_PUT ? "put" : "del", STR_ARG(c->key), STR_ARG(c->value), STR_ARG(c->previous_value),
             (unsigned long long)c->previous_revision);
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
    f->loop = loop_new_system(env_system());
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    fixture_open_store(f);
}

static void fixture_cleanup(struct fixture *f);

static void fixture_done(struct fixture *f)
{
    if (f->store)
        fixture_close_store(f);
    loop_free(f->loop);
    fixture_cleanup(f);
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
    ASSERT_INT(d.answer.revision, last);
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
    put(&fix, "/a", "3");
    struct dump d = history(&fix, first);
    ASSERT_STR(buf_str(&d.text), "2:put:/a=2(was 1@1) 3:del:/a=2(was 2@2) 4:put:/a=3(was @0) ");
    buf_done(&d.text);
    d = history(&fix, 4);
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
    put(&fix, "/a", "1");
    put(&fix, "/b", "1");
    uint64_t last = del(&fix, "/b", STORE_EXPECT_ANY).revision;
    fixture_close_store(&fix);
    fixture_open_store(&fix);
    struct dump d = history(&fix, 1);
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
