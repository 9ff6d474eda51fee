/* Keys that are no objects: raw_keys.h. */
#include "front.h"

#include "server/raw_keys.h"

#include <stdio.h>

struct answer {
    bool done;
    uint64_t revision;
    enum error_code code;
};

static struct front f;
static struct state *state;

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct answer *a = arg;
    *a = (struct answer){ true, revision, err ? err->code : ERR_NONE };
}

static struct answer write_raw(enum store_change_type type, const char *key, const char *value, uint64_t expect,
                               uint64_t epoch)
{
    struct answer a = { 0 };
    char own_key[64], own_value[64];
    snprintf(own_key, sizeof(own_key), "%s", key);
    snprintf(own_value, sizeof(own_value), "%s", value);
    raw_write(state, &(struct raw_write){ type, str_of(own_key), str_of(own_value), expect, epoch }, on_done, &a);
    memset(own_key, 'x', sizeof(own_key)); /* everything was copied */
    memset(own_value, 'x', sizeof(own_value));
    ASSERT(loop_sim_run_until(f.loop, is_true, &a.done, 1000));
    return a;
}

static bool add_line(void *arg, const struct raw_value *v)
{
    buf_addf(arg, "%.*s=%.*s ", STR_ARG(v->key), STR_ARG(v->value));
    return true;
}

static void note_change(void *arg, const struct raw_value *now, bool gone)
{
    buf_addf(arg, "%s%.*s=%.*s ", gone ? "-" : "+", STR_ARG(now->key), STR_ARG(now->value));
}

static void start(void)
{
    front_start(&f, NULL);
    state = server_state(f.server);
}

TEST("a raw key is written under a condition and read back with its revision")
{
    struct raw_value v;
    start();
    ASSERT(!raw_get(state, STR("/klein/test/a"), &v));
    struct answer made = write_raw(STORE_PUT, "/klein/test/a", "1", STORE_EXPECT_ABSENT, 0);
    ASSERT_INT(made.code, ERR_NONE);
    ASSERT(raw_get(state, STR("/klein/test/a"), &v));
    ASSERT_STR(v.value, "1");
    ASSERT_INT(v.revision, made.revision);
    ASSERT_INT(write_raw(STORE_PUT, "/klein/test/a", "2", STORE_EXPECT_ABSENT, 0).code, ERR_ALREADY_EXISTS);
    ASSERT_INT(write_raw(STORE_PUT, "/klein/test/a", "2", made.revision, 0).code, ERR_NONE);
    struct answer late = write_raw(STORE_DELETE, "/klein/test/a", "", made.revision, 0);
    ASSERT_INT(late.code, ERR_CONFLICT);
    ASSERT_INT(write_raw(STORE_DELETE, "/klein/test/a", "", late.revision, 0).code, ERR_NONE);
    ASSERT(!raw_get(state, STR("/klein/test/a"), &v));
    front_stop(&f);
}

TEST("raw keys are listed by prefix in order and told to who listens")
{
    AUTO_BUF struct buf lines = BUF_MAX(KIB), told = BUF_MAX(KIB);
    start();
    struct raw_listener *l = raw_listen(state, STR("/klein/test/"), note_change, &told);
    write_raw(STORE_PUT, "/klein/test/b", "2", STORE_EXPECT_ANY, 0);
    write_raw(STORE_PUT, "/klein/test/a", "1", STORE_EXPECT_ANY, 0);
    write_raw(STORE_PUT, "/klein/testament", "no", STORE_EXPECT_ANY, 0);
    write_raw(STORE_DELETE, "/klein/test/b", "", STORE_EXPECT_ANY, 0);
    write_raw(STORE_PUT, "/klein/test/c", "3", STORE_EXPECT_ANY, 0);
    raw_unlisten(l);
    write_raw(STORE_PUT, "/klein/test/d", "4", STORE_EXPECT_ANY, 0);
    raw_each(state, STR("/klein/test/"), add_line, &lines);
    ASSERT_STR(buf_str(&lines), "/klein/test/a=1 /klein/test/c=3 /klein/test/d=4 ");
    ASSERT_STR(buf_str(&told), "+/klein/test/b=2 +/klein/test/a=1 -/klein/test/b=2 +/klein/test/c=3 ");
    front_stop(&f);
}

TEST("a write of a term that is over is refused as such")
{
    struct raw_value epoch;
    start();
    raw_get(state, STR("/klein/epoch"), &epoch);
    ASSERT_INT(write_raw(STORE_PUT, "/klein/test/a", "1", STORE_EXPECT_ANY, epoch.revision + 1).code, ERR_TERM_OVER);
    front_stop(&f);
}
