/* Watches: from the present, from a revision, through a restart; selectors, bookmarks, ends. */
#include "world.h"

#include <stdio.h>

#define SECRETS "/api/v1/namespaces/default/secrets"

static void patch_labels(struct world *w, const char *name, const char *labels)
{
    AUTO_FREE char *body = xasprintf("{\"metadata\":{\"labels\":%s}}", labels);
    w->content_type = "application/merge-patch+json";
    ASSERT_INT(askf(w, "PATCH", body, SECRETS "/%s", name), 200);
    w->content_type = NULL;
}

TEST("a watch without a revision begins with what is there")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "a", "{}");
    follow(&w, &f, SECRETS "?watch=1");
    ASSERT_INT(f.status, 200);
    ASSERT_STR(next_event(&f), "ADDED a");
    make_object(&w, SECRETS, "b", "{}");
    patch_labels(&w, "a", "{\"x\":\"y\"}");
    ask(&w, "DELETE", SECRETS "/b", NULL);
    ASSERT_STR(next_event(&f), "ADDED b");
    ASSERT_STR(next_event(&f), "MODIFIED a");
    ASSERT_STR(next_event(&f), "DELETED b");
    ASSERT_STR(next_event(&f), "");
    unfollow(&f);
    world_stop(&w);
}

TEST("a watch from a revision sees exactly what came after it")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "a", "{}");
    make_object(&w, SECRETS, "b", "{}");
    const char *revision = keep_at(&w, "metadata.resourceVersion");
    make_object(&w, SECRETS, "c", "{}");
    ask(&w, "DELETE", SECRETS "/a", NULL);
    AUTO_FREE char *target = xasprintf(SECRETS "?watch=1&resourceVersion=%s", revision);
    follow(&w, &f, target);
    ASSERT_STR(next_event(&f), "ADDED c");
    ASSERT_STR(next_event(&f), "DELETED a");
    ASSERT_STR(next_event(&f), "");
    unfollow(&f);
    world_stop(&w);
}

TEST("through a selector, objects come and go as their labels change")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "a", "{\"x\":\"1\"}");
    make_object(&w, SECRETS, "b", "{}");
    follow(&w, &f, SECRETS "?watch=1&labelSelector=x%3D1");
    ASSERT_STR(next_event(&f), "ADDED a");
    patch_labels(&w, "b", "{\"x\":\"1\"}");
    ASSERT_STR(next_event(&f), "ADDED b");
    patch_labels(&w, "b", "{\"x\":\"1\",\"y\":\"1\"}");
    ASSERT_STR(next_event(&f), "MODIFIED b");
    patch_labels(&w, "a", "{\"x\":null}");
    ASSERT_STR(next_event(&f), "DELETED a");
    patch_labels(&w, "a", "{\"z\":\"1\"}");
    ask(&w, "DELETE", SECRETS "/a", NULL);
    ASSERT_STR(next_event(&f), "");
    unfollow(&f);
    follow(&w, &f, SECRETS "?watch=1&fieldSelector=metadata.name%3Db");
    ASSERT_STR(next_event(&f), "ADDED b");
    unfollow(&f);
    world_stop(&w);
}

TEST("a streaming list ends its initial events with a bookmark that says so")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "a", "{}");
    follow(&w, &f,
           SECRETS "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    ASSERT_STR(next_event(&f), "ADDED a");
    ASSERT_CONTAINS(last_event_json(&f), "\"k8s.io/initial-events-end\":\"true\"");
    ASSERT_STR(next_event(&f), "BOOKMARK ");
    unfollow(&f);
    follow(&w, &f, SECRETS "?watch=1&sendInitialEvents=true");
    ASSERT_INT(f.status, 422);
    unfollow(&f);
    world_stop(&w);
}

TEST("bookmarks come every minute to who allows them, and carry the newest revision")
{
    struct world w;
    struct follower f, quiet;
    world_start(&w);
    follow(&w, &f, SECRETS "?watch=1&allowWatchBookmarks=true");
    follow(&w, &quiet, SECRETS "?watch=1");
    ask(&w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
    world_advance(&w, 61000);
    ask(&w, "GET", "/api/v1/nodes", NULL);
    AUTO_FREE char *part = xasprintf("\"resourceVersion\":\"%s\"", keep_at(&w, "metadata.resourceVersion"));
    ASSERT_CONTAINS(last_event_json(&f), part);
    ASSERT_STR(next_event(&f), "BOOKMARK ");
    ASSERT_STR(next_event(&quiet), "");
    unfollow(&f);
    unfollow(&quiet);
    world_stop(&w);
}

TEST("a watch ends after its timeout")
{
    struct world w;
    struct follower f;
    world_start(&w);
    follow(&w, &f, SECRETS "?watch=1&timeoutSeconds=7");
    world_advance(&w, 6900);
    ASSERT(!f.done);
    world_advance(&w, 200);
    ASSERT(f.done);
    unfollow(&f);
    world_stop(&w);
}

TEST("history older than the compaction is gone, and the watch is told so")
{
    struct world w;
    struct follower f;
    struct server_config config = { .compact_every_ms = 60000, .history_min_revisions = 5 };
    world_start_with(&w, &config);
    make_object(&w, SECRETS, "a", "{}");
    char name[16];
    for (int i = 0; i < 1200; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        make_object(&w, SECRETS, name, "{}");
    }
    world_advance(&w, 180000);
    follow(&w, &f, SECRETS "?watch=1&resourceVersion=3");
    const char *event = next_event(&f);
    ASSERT_CONTAINS(event, "ERROR too old resource version: 3 (");
    loop_sim_run_until_idle(w.loop);
    ASSERT(f.done);
    unfollow(&f);
    ASSERT_INT(ask(&w, "GET", SECRETS "?limit=1&resourceVersion=3", NULL), 410);
    ASSERT_STR(text_at(&w, "reason"), "Expired");
    world_stop(&w);
}

TEST("a table watch sends the columns once")
{
    struct world w;
    struct follower f;
    world_start(&w);
    w.accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    follow(&w, &f, SECRETS "?watch=1");
    w.accept = NULL;
    make_object(&w, SECRETS, "a", "{}");
    make_object(&w, SECRETS, "b", "{}");
    loop_sim_run_until_idle(w.loop);
    ASSERT_CONTAINS(last_event_json(&f), "\"columnDefinitions\":[{\"name\":\"Name\"");
    next_event(&f);
    ASSERT_CONTAINS(last_event_json(&f), "\"columnDefinitions\":null");
    ASSERT_CONTAINS(last_event_json(&f), "\"cells\":[\"b\"");
    unfollow(&f);
    world_stop(&w);
}

static size_t count_events(struct follower *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->lines.n; i++)
        n += f->lines.p[i] == '\n';
    return n;
}

static void write_big(struct world *w, int count)
{
    AUTO_FREE char *data = xmalloc(20001);
    memset(data, 'x', 20000);
    data[20000] = 0;
    for (int i = 0; i < count; i++) {
        AUTO_FREE char *body = xasprintf("{\"stringData\":{\"k\":\"%s%d\"}}", data, i);
        w->content_type = "application/merge-patch+json";
        ASSERT_INT(ask(w, "PATCH", SECRETS "/big", body), 200);
    }
    w->content_type = NULL;
}

TEST("a reader that pauses stops nobody and gets everything when it goes on")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "big", "{}");
    follow(&w, &f, SECRETS "?watch=1");
    http_call_pause(f.call);
    write_big(&w, 100);
    ASSERT(count_events(&f) < 20);
    http_call_resume(f.call);
    world_advance(&w, 1000);
    ASSERT_INT(count_events(&f), 101);
    unfollow(&f);
    world_stop(&w);
}

TEST("a reader that is too slow is told to begin anew")
{
    struct world w;
    struct follower f;
    world_start(&w);
    make_object(&w, SECRETS, "big", "{}");
    follow(&w, &f, SECRETS "?watch=1");
    http_call_pause(f.call);
    write_big(&w, 1500); /* more than the ring remembers */
    http_call_resume(f.call);
    world_advance(&w, 1000);
    ASSERT(f.done);
    ASSERT(count_events(&f) < 1500);
    ASSERT_CONTAINS(buf_str(&f.lines), "too old resource version");
    unfollow(&f);
    world_stop(&w);
}
