/* Watches under random writes: whoever starts anywhere and applies every event ends with what a list shows. */
#include "world.h"

#include <stdio.h>

#define SECRETS   "/api/v1/namespaces/default/secrets"
#define NAMES     12
#define STEPS     400
#define FOLLOWERS 12

/* What one reader believes: the revision of each object, 0 = not there. */
struct belief {
    uint64_t revision[NAMES];
};

struct reader {
    struct follower follower;
    struct belief belief;
    uint64_t last;
    bool selective; /* label x=1 only */
};

/* The truth after each revision that a list has shown. */
struct point {
    uint64_t revision;
    struct belief all, selected;
};

static int index_of(struct str name)
{
    int64_t i;
    ASSERT(str_to_i64(str_from(name, 1), &i) && i >= 0 && i < NAMES);
    return (int)i;
}

static void learn(struct world *w, const char *query, struct belief *ret, uint64_t *ret_revision)
{
    *ret = (struct belief){ 0 };
    ASSERT_INT(askf(w, "GET", NULL, SECRETS "%s", query), 200);
    struct value *items = value_get_str(w->tree, STR("items"));
    for (uint32_t i = 0; i < items->items_count; i++) {
        struct value *meta = value_get_str(items->items[i], STR("metadata"));
        uint64_t revision;
        ASSERT(str_to_u64(value_to_str(value_get_str(meta, STR("resourceVersion"))), &revision));
        ret->revision[index_of(value_to_str(value_get_str(meta, STR("name"))))] = revision;
    }
    ASSERT(str_to_u64(text_at(w, "metadata.resourceVersion"), ret_revision));
}

static void apply_line(struct reader *r, struct str line)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, line, NULL, NULL),
                 *meta = value_get_str(value_get_str(v, STR("object")), STR("metadata"));
    struct str type = value_to_str(value_get_str(v, STR("type")));
    uint64_t revision;
    ASSERT(str_to_u64(value_to_str(value_get_str(meta, STR("resourceVersion"))), &revision));
    int i = index_of(value_to_str(value_get_str(meta, STR("name"))));
    if (revision <= r->last)
        FAIL("revision %llu came after %llu", (unsigned long long)revision, (unsigned long long)r->last);
    r->last = revision;
    bool there = r->belief.revision[i] != 0;
    if (str_is(type, "ADDED") ? there : !there)
        FAIL("%.*s of s%d, which is %sthere", STR_ARG(type), i, there ? "" : "not ");
    r->belief.revision[i] = str_is(type, "DELETED") ? 0 : revision;
}

static void catch_up(struct reader *r)
{
    struct str line, rest = buf_str(&r->follower.lines);
    while (str_find(rest, '\n') >= 0) {
        str_cut(&rest, '\n', &line);
        apply_line(r, line);
    }
    buf_clear(&r->follower.lines);
}

static void write_something(struct world *w)
{
    struct env *env = &w->sim.env;
    int i = (int)env_random_below(env, NAMES), label = (int)env_random_below(env, 3);
    AUTO_FREE char *body = xasprintf("{\"metadata\":{\"name\":\"s%d\",\"labels\":{\"x\":\"%d\",\"n\":\"%u\"}}}", i,
                                     label, (unsigned)env_random_below(env, 1000));
    switch (env_random_below(env, 3)) {
    case 0:
        ask(w, "POST", SECRETS, body);
        break;
    case 1:
        w->content_type = "application/merge-patch+json";
        askf(w, "PATCH", body, SECRETS "/s%d", i);
        w->content_type = NULL;
        break;
    default:
        askf(w, "DELETE", NULL, SECRETS "/s%d", i);
    }
    ASSERT(w->status < 500);
}

static void start(struct world *w, struct reader *r, const struct point *from, bool selective)
{
    AUTO_FREE char *target = xasprintf(SECRETS "?watch=1&resourceVersion=%llu%s", (unsigned long long)from->revision,
                                       selective ? "&labelSelector=x%3D1" : "");
    *r = (struct reader){ .belief = selective ? from->selected : from->all,
                          .last = from->revision,
                          .selective = selective };
    follow(w, &r->follower, target);
    ASSERT_INT(r->follower.status, 200);
}

TEST("a reader that starts at any revision it was given ends with what is there")
{
    struct world w;
    struct reader readers[FOLLOWERS];
    struct point points[STEPS];
    size_t readers_count = 0, points_count = 0;
    world_start(&w);
    for (int step = 0; step < STEPS; step++) {
        write_something(&w);
        if (step % 5 == 0) {
            struct point *p = &points[points_count++];
            uint64_t again;
            learn(&w, "", &p->all, &p->revision);
            learn(&w, "?labelSelector=x%3D1", &p->selected, &again);
            ASSERT_INT(again, p->revision);
        }
        if (step % (STEPS / FOLLOWERS) == 20 && readers_count < FOLLOWERS) {
            start(&w, &readers[readers_count], &points[env_random_below(&w.sim.env, points_count)], readers_count % 2);
            readers_count++;
        }
    }
    struct belief all, selected;
    uint64_t revision;
    learn(&w, "", &all, &revision);
    learn(&w, "?labelSelector=x%3D1", &selected, &revision);
    for (size_t i = 0; i < readers_count; i++) {
        loop_sim_run_until_idle(w.loop);
        catch_up(&readers[i]);
        ASSERT(memcmp(&readers[i].belief, readers[i].selective ? &selected : &all, sizeof(all)) == 0);
        unfollow(&readers[i].follower);
    }
    world_stop(&w);
}

TEST("a list at an exact older revision shows what was there then")
{
    struct world w;
    struct point points[40];
    world_start(&w);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        for (int n = 0; n < 5; n++)
            write_something(&w);
        learn(&w, "", &points[i].all, &points[i].revision);
    }
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        struct belief then;
        uint64_t revision;
        AUTO_FREE char *query =
            xasprintf("?resourceVersionMatch=Exact&resourceVersion=%llu", (unsigned long long)points[i].revision);
        learn(&w, query, &then, &revision);
        ASSERT_INT(revision, points[i].revision);
        ASSERT(memcmp(&then, &points[i].all, sizeof(then)) == 0);
    }
    world_stop(&w);
}
