/* Moving a state from a SQLite folder into another store. */
#include "test.h"

#include "backup/pour.h"
#include "base/file.h"
#include "store/seed.h"

struct fixture {
    struct loop *loop;
    struct store *to;
    struct buf text;
    uint64_t entries, revision;
    struct error err;
    struct loop_timer deadline;
};

static void on_deadline(void *arg)
{
    (void)arg;
    FAIL("not within 30 s");
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){ .loop = loop_new_system(env_system()), .text = BUF_MAX(64 * MIB) };
    f->to = store_open_memory(f->loop, env_system(), NULL, NULL);
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    loop_timer_start(&f->deadline, 30000);
}

static void closed(void *arg)
{
    loop_stop(arg);
}

static void end(struct fixture *f)
{
    store_close(f->to, closed, f->loop);
    loop_run(f->loop);
    loop_free(f->loop);
    buf_done(&f->text);
    error_done(&f->err);
}

static void on_poured(void *arg, uint64_t entries, const struct error *err)
{
    struct fixture *f = arg;

    f->entries = entries;
    if (err)
        fail(&f->err, err->code, "%s", error_text(err));
    loop_stop(f->loop);
}

static void pour(struct fixture *f)
{
    pour_start(f->to, test_path("source"), on_poured, f);
    loop_run(f->loop);
}

static void on_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct fixture *f = arg;

    (void)revision;
    buf_addf(&f->text, "%.*s=%.*s\n", STR_ARG(key), STR_ARG(value));
}

static void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct fixture *f = arg;

    ASSERT(!err);
    f->revision = revision;
    loop_stop(f->loop);
}

static void seed(int count)
{
    AUTO_ERROR struct error err = { 0 };
    struct store_seed *s = store_seed_new(test_path("source"), &err);

    ASSERT_OK(s, &err);
    ASSERT_OK(store_seed_add(s, STR("/klein/epoch"), STR("{}"), 7, &err), &err);
    for (int i = 0; i < count; i++) {
        AUTO_FREE char *key = xasprintf("/registry/x/%d", i);
        ASSERT_OK(store_seed_add(s, str_of(key), str_of(key), 10 + (uint64_t)i, &err), &err);
    }
    ASSERT_OK(store_seed_end(s, 1000000, &err), &err);
}

TEST("all objects come over, keys of the old engine do not")
{
    struct fixture f;

    seed(3);
    begin(&f);
    pour(&f);
    ASSERT_INT(f.err.code, 0);
    ASSERT_INT(f.entries, 3);
    store_list(f.to, STR("/"), on_entry, on_done, &f);
    loop_run(f.loop);
    ASSERT_STR(f.text, "/registry/x/0=/registry/x/0\n/registry/x/1=/registry/x/1\n/registry/x/2=/registry/x/2\n");
    end(&f);
}

TEST("more than a window comes over, and once more is the same")
{
    struct fixture f;

    seed(5000);
    begin(&f);
    pour(&f);
    ASSERT_INT(f.entries, 5000);
    pour(&f);
    ASSERT_INT(f.err.code, 0);
    ASSERT_INT(f.entries, 5000);
    end(&f);
}

TEST("a store that holds something else is left as it is")
{
    struct fixture f;

    seed(3);
    begin(&f);
    store_write(f.to,
                &(struct store_write){
                    .type = STORE_PUT, .key = STR("/registry/y/0"), .value = STR("other"), .expect = STORE_EXPECT_ANY },
                on_done, &f);
    loop_run(f.loop);
    pour(&f);
    ASSERT_INT(f.err.code, ERR_CONFLICT);
    ASSERT_CONTAINS(f.err.message, "'/registry/y/0'");
    store_list(f.to, STR("/"), on_entry, on_done, &f);
    loop_run(f.loop);
    ASSERT_STR(f.text, "/registry/y/0=other\n");
    end(&f);
}

TEST("a folder without a store is an error")
{
    struct fixture f;

    begin(&f);
    pour(&f);
    ASSERT_INT(f.err.code, ERR_NOT_FOUND);
    end(&f);
}

TEST("a seeded store goes on above its base, refuses to go back, and is not seeded twice")
{
    AUTO_ERROR struct error err = { 0 };
    uint64_t revision;

    seed(1);
    ASSERT_OK(store_sqlite_last_revision(test_path("source"), &revision, &err), &err);
    ASSERT_INT(revision, 1000000);
    ASSERT_FAILS(store_seed_new(test_path("source"), &err), &err, ERR_ALREADY_EXISTS, "there is a store");
    struct store_seed *s = store_seed_new(test_path("other"), &err);
    ASSERT_OK(store_seed_add(s, STR("/registry/a"), STR("v"), 50, &err), &err);
    ASSERT_FAILS(store_seed_end(s, 49, &err), &err, ERR_BAD_REQUEST, "would go back from revision 50 to 49");
}
