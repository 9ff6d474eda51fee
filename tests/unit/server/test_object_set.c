/* The ordered set of objects behind the state. */
#include "test.h"

#include "base/env.h"
#include "kinds/kinds.h"
#include "server/object_set.h"

#include <stdio.h>

static struct object *object_of(const char *namespace_, const char *name, int version)
{
    AUTO_FREE char *text = xasprintf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"resourceVersion\":\"%d\"}}",
                                     name, namespace_, version);
    return object_parse(str_of(text), NULL);
}

static void put(struct object_set *s, const char *namespace_, const char *name, int version)
{
    object_unref(object_set_put(s, object_of(namespace_, name, version)));
}

/* Walks the whole set and says how many objects it holds; fails when they are not in order. */
static size_t walk(const struct object_set *s)
{
    struct object_cursor at;
    size_t n = 0;
    const struct object *before = NULL;
    object_set_seek(s, STR_NONE, STR_NONE, &at);
    for (const struct object *o; (o = object_cursor_next(&at)); n++) {
        if (before) {
            int c = str_cmp(object_namespace(before), object_namespace(o));
            ASSERT(c < 0 || (c == 0 && str_cmp(object_name(before), object_name(o)) < 0));
        }
        before = o;
    }
    return n;
}

TEST("objects come out ordered by namespace and name, each once")
{
    kinds_init();
    struct object_set s = { 0 };
    put(&s, "b", "one", 1);
    put(&s, "a", "two", 2);
    put(&s, "a", "one", 3);
    put(&s, "a", "one", 4);
    ASSERT_INT(object_set_count(&s), 3);
    ASSERT_INT(walk(&s), 3);
    ASSERT_INT(object_revision(object_set_get(&s, STR("a"), STR("one"))), 4);
    ASSERT(!object_set_get(&s, STR("c"), STR("one")));
    object_set_done(&s);
}

TEST("a snapshot does not see later changes")
{
    kinds_init();
    struct object_set s = { 0 };
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "o%04d", i);
        put(&s, "ns", name, 1);
    }
    struct object_set old = object_set_snapshot(&s);
    for (int i = 0; i < 500; i += 2) {
        snprintf(name, sizeof(name), "o%04d", i);
        object_unref(object_set_del(&s, STR("ns"), str_of(name)));
        snprintf(name, sizeof(name), "o%04d", i + 1);
        put(&s, "ns", name, 2);
    }
    ASSERT_INT(object_set_count(&old), 500);
    ASSERT_INT(walk(&old), 500);
    ASSERT_INT(object_revision(object_set_get(&old, STR("ns"), STR("o0001"))), 1);
    ASSERT_INT(object_set_count(&s), 250);
    ASSERT_INT(walk(&s), 250);
    ASSERT_INT(object_revision(object_set_get(&s, STR("ns"), STR("o0001"))), 2);
    object_set_done(&s);
    ASSERT_INT(walk(&old), 500);
    object_set_done(&old);
}

TEST("random puts and deletes keep count, order and ranks right, with snapshots taken in between")
{
    kinds_init();
    struct env_sim sim;
    env_sim_init(&sim, test_seed(), 0);
    struct object_set s = { 0 }, snapshot = { 0 };
    bool there[3][200] = { 0 };
    size_t count = 0, frozen = 0;
    char ns[8], name[8];
    for (int i = 0; i < 20000; i++) {
        unsigned n = (unsigned)env_random_below(&sim.env, 3), o = (unsigned)env_random_below(&sim.env, 200);
        snprintf(ns, sizeof(ns), "n%u", n);
        snprintf(name, sizeof(name), "o%03u", o);
        /* Long runs of mostly puts, then mostly deletes: the tree grows and becomes empty again. */
        if (env_random_below(&sim.env, 4) < ((i / 2000) % 2 ? 1u : 3u)) {
            put(&s, ns, name, i);
            count += !there[n][o];
            there[n][o] = true;
        } else {
            struct object *gone = object_set_del(&s, str_of(ns), str_of(name));
            ASSERT_INT(gone != NULL, there[n][o]);
            object_unref(gone);
            count -= there[n][o];
            there[n][o] = false;
        }
        if (i % 500 == 0) {
            ASSERT_INT(walk(&snapshot), frozen);
            object_set_done(&snapshot);
            snapshot = object_set_snapshot(&s);
            frozen = count;
            ASSERT_INT(walk(&s), count);
        }
        ASSERT_INT(object_set_count(&s), count);
    }
    size_t rank = 0;
    for (unsigned n = 0; n < 3; n++) {
        size_t in = 0;
        snprintf(ns, sizeof(ns), "n%u", n);
        for (unsigned o = 0; o < 200; o++) {
            snprintf(name, sizeof(name), "o%03u", o);
            ASSERT_INT(object_set_rank(&s, str_of(ns), str_of(name)), rank);
            rank += there[n][o];
            in += there[n][o];
        }
        ASSERT_INT(object_set_count_in(&s, str_of(ns)), in);
    }
    object_set_done(&s);
    object_set_done(&snapshot);
}

TEST("a seek stands at the first object at or behind the key")
{
    kinds_init();
    struct object_set s = { 0 };
    struct object_cursor at;
    char name[8];
    for (int i = 0; i < 300; i += 3) {
        snprintf(name, sizeof(name), "o%03d", i);
        put(&s, "ns", name, 1);
    }
    object_set_seek(&s, STR("ns"), STR("o100"), &at);
    ASSERT_STR(object_name(object_cursor_next(&at)), "o102");
    object_set_seek(&s, STR("ns"), STR("o297"), &at);
    ASSERT_STR(object_name(object_cursor_next(&at)), "o297");
    ASSERT(!object_cursor_next(&at));
    object_set_seek(&s, STR("zz"), STR_NONE, &at);
    ASSERT(!object_cursor_next(&at));
    object_set_done(&s);
}
