/* The check of histories finds what it is there for; a true history passes. */
#include "history.h"
#include "test.h"

static struct history *h;
static struct history_watch *watch;
static struct arena arena;

static void begin(void)
{
    arena_done(&arena);
    h = history_new();
    watch = history_watch(h, "watch", STR_NONE, 0);
}

static void check(const char *part)
{
    const char *wrong = history_check(h, &arena);

    if (part)
        ASSERT_CONTAINS(wrong ? wrong : "", part);
    else if (wrong)
        FAIL("a true history is called false: %s", wrong);
    history_free(h);
}

static struct history_op *put(const char *key, const char *value, uint64_t expect)
{
    return history_write(h, "client",
                         &(struct store_write){ .key = str_of(key), .value = str_of(value), .expect = expect });
}

static void tell(struct history_watch *w, uint64_t revision, const char *key, const char *value, uint64_t previous)
{
    history_event(
        w, &(struct store_change){
               .revision = revision, .key = str_of(key), .value = str_of(value), .previous_revision = previous });
}

TEST("what can be true passes")
{
    begin();
    struct history_op *a = put("/a", "1", STORE_EXPECT_ABSENT), *b = put("/a", "2", STORE_EXPECT_ANY);
    struct history_op *unknown = put("/b", "3", STORE_EXPECT_ANY);
    tell(watch, 5, "/a", "1", 0);
    history_written(a, 5);
    tell(watch, 7, "/b", "3", 0);
    tell(watch, 9, "/a", "2", 5);
    history_written(b, 9);
    struct history_op *refused = put("/a", "4", 5);
    history_failed(refused, ERR_CONFLICT);
    struct history_op *read = history_read(h, "client", STR("/a"));
    history_read_done(read, STR("2"), 0);
    struct history_list *l = history_list(h, "client", STR("/"));
    history_list_entry(l, STR("/a"), STR("2"), 9);
    history_list_entry(l, STR("/b"), STR("3"), 7);
    history_list_done(l, 10);
    history_progress(watch, 20);
    (void)unknown;
    ASSERT_INT(history_acknowledged(h), 2);
    check(NULL);
}

TEST("a lost acknowledged write is found")
{
    begin();
    history_written(put("/a", "1", STORE_EXPECT_ANY), 5);
    check("told to nobody: lost");
}

TEST("a write that was told as failed and happened is found, and so is one that happened twice")
{
    begin();
    history_failed(put("/a", "1", STORE_EXPECT_ANY), ERR_UNAVAILABLE);
    tell(watch, 5, "/a", "1", 0);
    check("was told as failed");
    begin();
    put("/a", "1", STORE_EXPECT_ANY);
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 6, "/a", "1", 5);
    check("happened twice");
}

TEST("a refusal without a reason is found, and a condition that was ignored")
{
    begin();
    history_failed(put("/a", "1", STORE_EXPECT_ABSENT), ERR_ALREADY_EXISTS);
    check("a reason that never was");
    begin();
    struct history_op *a = put("/a", "1", STORE_EXPECT_ANY), *b = put("/a", "2", 99);
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 6, "/a", "2", 5);
    history_written(a, 5);
    history_written(b, 6);
    check("against its condition");
}

TEST("a watch that skips, repeats, goes back or tells something else is found")
{
    begin();
    struct history_watch *other = history_watch(h, "other", STR_NONE, 0);
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 6, "/a", "2", 5);
    tell(other, 6, "/a", "2", 5);
    check("other since 0: was not told of revision 5");
    begin();
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 5, "/a", "1", 0);
    check("was told of revision 5 after 5");
    begin();
    other = history_watch(h, "other", STR_NONE, 0);
    tell(watch, 5, "/a", "1", 0);
    tell(other, 5, "/a", "9", 0);
    check("elsewhere");
    begin();
    tell(watch, 5, "/a", "1", 0);
    history_progress(watch, 9);
    history_relisted(watch, 8);
    check("went back");
}

TEST("a stale read is found, also of a list and of a barrier")
{
    begin();
    struct history_op *a = put("/a", "1", STORE_EXPECT_ANY), *b = put("/a", "2", STORE_EXPECT_ANY);
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 6, "/a", "2", 5);
    history_written(a, 5);
    history_written(b, 6);
    history_read_done(history_read(h, "client", STR("/a")), STR("1"), 0);
    check("never true after it began");
    begin();
    history_written(put("/a", "1", STORE_EXPECT_ANY), 5);
    tell(watch, 5, "/a", "1", 0);
    history_barrier_done(history_barrier(h, "client"), 4);
    check("a barrier was passed at 4");
    begin();
    history_written(put("/a", "1", STORE_EXPECT_ANY), 5);
    tell(watch, 5, "/a", "1", 0);
    struct history_list *l = history_list(h, "client", STR("/"));
    history_list_done(l, 5);
    check("without /a");
}

TEST("a revision that goes down is found, and a chain of changes with a hole")
{
    begin();
    tell(watch, 9, "/b", "0", 0);
    history_written(put("/a", "1", STORE_EXPECT_ANY), 5);
    check("though 9 was known");
    begin();
    tell(watch, 5, "/a", "1", 0);
    tell(watch, 7, "/a", "2", 6);
    check("but replaces 6");
}
