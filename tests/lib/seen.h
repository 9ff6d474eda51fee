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
 * A plan's line is: VERB Kind[/subresource] namespace/name [detail]; Events are: event REASON message. Nothing is carried out; seen_put()
 * replaces an object, seen_remove() takes it away.
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
    struct arena arena;
    struct arena plan_arena;
    struct plan plan; /* of the last seen_plan() */
};

void seen_init(struct seen *s);
void seen_done(struct seen *s);
/* Single quotes stand for double ones. apiVersion and kind are added; metadata gets uid "NAME-uid" and resourceVersion when absent. */
const struct object *seen_add(struct seen *s, const struct kind *kind, const char *format, ...) PRINTF(3, 4);
void seen_remove(struct seen *s, const struct kind *kind, const char *namespace_, const char *name);
/* Run one pass; the text lives until seen_done(). A failed pass gives "failed: MESSAGE". */
struct str seen_plan(struct seen *s, const struct controller *c, const char *namespace_, const char *name);

#endif
