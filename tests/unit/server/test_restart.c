/* What a restart of the server must not change: objects, revisions, watches that come back. */
#include "world.h"

#define SECRETS "/api/v1/namespaces/default/secrets"

static void start(struct world *w)
{
    world_start_with(w, &(struct server_config){ .data_folder = test_path("data") });
}

TEST("objects and revisions survive, and no revision is given twice")
{
    struct world w;
    start(&w);
    ASSERT_INT(make_object(&w, SECRETS, "a", "{\"x\":\"1\"}"), 201);
    AUTO_FREE char *uid = xstrdup(keep_at(&w, "metadata.uid")),
                   *revision = xstrdup(keep_at(&w, "metadata.resourceVersion"));
    ASSERT_INT(make_object(&w, SECRETS, "gone", "{}"), 201);
    ASSERT_INT(ask(&w, "DELETE", SECRETS "/gone", NULL), 200);
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    uint64_t before, after;
    ASSERT(str_to_u64(text_at(&w, "metadata.resourceVersion"), &before));
    world_stop(&w);
    start(&w);
    ASSERT_INT(ask(&w, "GET", SECRETS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "metadata.uid"), (const char *)uid);
    ASSERT_STR(text_at(&w, "metadata.resourceVersion"), (const char *)revision);
    ASSERT_INT(ask(&w, "GET", SECRETS "/gone", NULL), 404);
    ASSERT_INT(make_object(&w, SECRETS, "b", "{}"), 201);
    ASSERT(str_to_u64(text_at(&w, "metadata.resourceVersion"), &after));
    ASSERT(after > before);
    world_stop(&w);
}

TEST("a watch resumes where it was, with and without a selector")
{
    struct world w;
    struct follower f;
    start(&w);
    make_object(&w, SECRETS, "a", "{\"x\":\"1\"}");
    AUTO_FREE char *revision = xstrdup(keep_at(&w, "metadata.resourceVersion"));
    make_object(&w, SECRETS, "b", "{\"x\":\"1\"}");
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", SECRETS "/a", "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}"), 200);
    ASSERT_INT(ask(&w, "PATCH", SECRETS "/a", "{\"metadata\":{\"labels\":{\"y\":\"2\"}}}"), 200);
    w.content_type = NULL;
    ASSERT_INT(ask(&w, "DELETE", SECRETS "/b", NULL), 200);
    world_stop(&w);
    start(&w);
    AUTO_FREE char *all = xasprintf(SECRETS "?watch=1&resourceVersion=%s", revision);
    AUTO_FREE char *selected = xasprintf(SECRETS "?watch=1&resourceVersion=%s&labelSelector=x%%3D1", revision);
    follow(&w, &f, all);
    ASSERT_STR(next_event(&f), "ADDED b");
    ASSERT_STR(next_event(&f), "MODIFIED a");
    ASSERT_STR(next_event(&f), "MODIFIED a");
    ASSERT_STR(next_event(&f), "DELETED b");
    make_object(&w, SECRETS, "c", "{}");
    ASSERT_STR(next_event(&f), "ADDED c");
    unfollow(&f);
    follow(&w, &f, selected);
    ASSERT_STR(next_event(&f), "ADDED b");
    ASSERT_STR(next_event(&f), "DELETED a");
    ASSERT_STR(next_event(&f), "DELETED b");
    ASSERT_STR(next_event(&f), "");
    unfollow(&f);
    world_stop(&w);
}

TEST("a page of a list that changed before the restart expires")
{
    struct world w;
    start(&w);
    make_object(&w, SECRETS, "a", "{}");
    make_object(&w, SECRETS, "b", "{}");
    ASSERT_INT(ask(&w, "GET", SECRETS "?limit=1", NULL), 200);
    AUTO_FREE char *token = xstrdup(keep_at(&w, "metadata.continue"));
    make_object(&w, SECRETS, "c", "{}");
    world_stop(&w);
    start(&w);
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?limit=1&continue=%s", token), 410);
    ASSERT_STR(text_at(&w, "reason"), "Expired");
    world_stop(&w);
}
