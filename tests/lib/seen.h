/*
 * A cluster as somebody sees it, for testing pure functions: objects are given as JSON, a controller's pass is run, and its
 * plan comes back as text.
 *
 *     struct seen s;
 *     seen_init(&s);
 *     seen_add(&s, &kind_pod, "{...}");
 *     ASSERT_STR(seen_plan(&s, &controller_replicaset, "default", "web"), "create Pod default/web-xxxxx\n...");
 *     seen_done(&s);
 *
 * A plan's line is: VERB Kind[/subresource] namespace/name [detail]; Events are: event REASON message. seen_plan() carries nothing
 * out; seen_apply() does, the way the API server would, so that "apply, then plan again: nothing" is two lines of a test:
 * seen_settle(). seen_add() of an object that is there replaces it, seen_remove() takes it away.
 */
#ifndef TESTS_LIB_SEEN_H
#define TESTS_LIB_SEEN_H

#include "client/controller.h"
#include "base/env.h"
#include "test.h"

#define SEEN_NOW_MS ((int64_t)1795219200000) /* 2026-11-21T00:00:00Z */

struct seen {
    struct api api;
    struct env_sim env;
    struct loop *loop;
    struct cluster *cluster;
    struct facts facts;
    struct controller_config config;
    struct api_watch *watches;
    const struct object *objects[4096];
    const struct kind *kinds[4096];
    size_t count;
    uint64_t revision;
    int64_t now_ms;
    uint64_t random;
    uint64_t uids;   /* given to objects that plans create */
    struct map live; /* answers of live reads, as the running controllers keep them for the next pass */
    struct arena arena;
    struct arena plan_arena;
    struct plan plan; /* of the last seen_plan() */
};

void seen_init(struct seen *s);
void seen_done(struct seen *s);
/* Single quotes stand for double ones. apiVersion and kind are added; metadata gets uid "NAME-uid" and resourceVersion when absent. */
const struct object *seen_add(struct seen *s, const struct kind *kind, const char *format, ...) PRINTF(3, 4);
/* A whole object as a tree; replaces what has its name. A resourceVersion in it is kept. */
const struct object *seen_put(struct seen *s, const struct kind *kind, const struct value *tree);
const struct object *seen_get(const struct seen *s, const struct kind *kind, struct str namespace_, struct str name);
void seen_remove(struct seen *s, const struct kind *kind, const char *namespace_, const char *name);
/* Run one pass; the text lives until seen_done(). A failed pass gives "failed: MESSAGE". */
struct str seen_plan(struct seen *s, const struct controller *c, const char *namespace_, const char *name);

/*
 * Carry out the last plan: uids and creation times are given, a changed spec raises the generation, deletions wait for
 * finalizers and (pods on a node) for their grace period, a change guarded by a resourceVersion that has passed fails the
 * test. Live reads are answered from the objects. Returns how many writes there were; Events and POSTs are not writes.
 */
size_t seen_apply(struct seen *s);
/* Plan and apply until a plan writes nothing more: returns after how many passes. More than 20 fail the test. */
int seen_settle(struct seen *s, const struct controller *c, const char *namespace_, const char *name);

#endif
