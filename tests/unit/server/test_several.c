/* What clients of several servers on one store are promised. */
#include "several.h"

#include "kinds/fields.h"
#include "server/fresh.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

static struct several c;
static struct world *a, *b;

static void start(void)
{
    several_start(&c, 2);
    a = &c.servers[0];
    b = &c.servers[1];
    /* The second hears of everything so late that an answer from what it knows would be wrong. */
    shared_store_lag(c.store, 1, 300);
}

static int merge(struct world *w, const char *target, const char *body)
{
    w->content_type = "application/merge-patch+json";
    int status = ask(w, "PATCH", target, body);
    w->content_type = NULL;
    return status;
}

TEST("what was written on one server is read on another")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    ASSERT_INT(make_object(a, MAPS, "y", "{}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS, NULL), 200);
    ASSERT_STR(text_at(b, "items.1.metadata.name"), "y");
    ASSERT_INT(ask(a, "DELETE", MAPS "/y", NULL), 200);
    ASSERT_INT(ask(b, "GET", MAPS "/y", NULL), 404);
    several_stop(&c);
}

TEST("a read that takes any revision is answered at once, from what the server knows")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS "/x?resourceVersion=0", NULL), 404);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    several_stop(&c);
}

TEST("a revision from another server is waited for")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    const char *revision = keep_at(a, "metadata.resourceVersion");
    ASSERT_INT(askf(b, "GET", NULL, MAPS "/x?resourceVersion=%s", revision), 200);
    ASSERT_INT(make_object(a, MAPS, "y", "{}"), 201);
    revision = keep_at(a, "metadata.resourceVersion");
    ASSERT_INT(askf(b, "GET", NULL, MAPS "?resourceVersion=%s&resourceVersionMatch=Exact", revision), 200);
    ASSERT_STR(text_at(b, "metadata.resourceVersion"), revision);
    ASSERT_STR(text_at(b, "items.1.metadata.name"), "y");
    several_stop(&c);
}

TEST("a revision nobody gave out is refused after three seconds")
{
    start();
    int64_t before = env_monotonic_ms(loop_env(c.loop));
    ASSERT_INT(ask(b, "GET", MAPS "?resourceVersion=99999999", NULL), 504);
    ASSERT_STR(text_at(b, "details.causes.0.reason"), "ResourceVersionTooLarge");
    int64_t took = env_monotonic_ms(loop_env(c.loop)) - before;
    ASSERT(took >= 3000 && took < 3500);
    several_stop(&c);
}

TEST("an object another server has just made is found by every verb")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "p", "{}"), 201);
    ASSERT_INT(merge(b, MAPS "/p", "{\"data\":{\"k\":\"v\"}}"), 200);
    ASSERT_INT(make_object(a, MAPS, "u", "{}"), 201);
    ASSERT_INT(ask(b, "PUT", MAPS "/u", "{\"metadata\":{\"name\":\"u\"},\"data\":{\"k\":\"v\"}}"), 200);
    ASSERT_INT(make_object(a, MAPS, "d", "{}"), 201);
    ASSERT_INT(ask(b, "DELETE", MAPS "/d", NULL), 200);
    ASSERT_INT(ask(a, "GET", MAPS "/d", NULL), 404);
    ASSERT_INT(make_object(a, "/api/v1/namespaces", "new", "{}"), 201);
    ASSERT_INT(make_object(b, "/api/v1/namespaces/new/configmaps", "x", "{}"), 201);
    ASSERT_INT(ask(b, "DELETE", MAPS, NULL), 200);
    ASSERT_INT(ask(a, "GET", MAPS, NULL), 200);
    ASSERT_STR(text_at(a, "items"), "[]");
    several_stop(&c);
}

TEST("what is gone on another server is gone: it is made again, and is not patched")
{
    start();
    ASSERT_INT(make_object(b, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(a, "DELETE", MAPS "/x", NULL), 200);
    ASSERT_INT(make_object(b, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(a, "DELETE", MAPS "/x", NULL), 200);
    ASSERT_INT(merge(b, MAPS "/x", "{\"data\":{\"k\":\"v\"}}"), 404);
    several_stop(&c);
}

TEST("changes of one object on two servers are all kept")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    for (int i = 0; i < 10; i++) {
        AUTO_FREE char *one = xasprintf("{\"data\":{\"a%d\":\"1\"}}", i),
                       *two = xasprintf("{\"data\":{\"b%d\":\"1\"}}", i);
        ASSERT_INT(merge(a, MAPS "/x", one), 200);
        ASSERT_INT(merge(b, MAPS "/x", two), 200);
    }
    ASSERT_INT(ask(a, "GET", MAPS "/x", NULL), 200);
    for (int i = 0; i < 10; i++) {
        AUTO_FREE char *one = xasprintf("data.a%d", i), *two = xasprintf("data.b%d", i);
        ASSERT_STR(text_at(a, one), "1");
        ASSERT_STR(text_at(a, two), "1");
    }
    several_stop(&c);
}

TEST("a change back to what this server still believes is made")
{
    start();
    ASSERT_INT(ask(a, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"},\"data\":{\"k\":\"old\"}}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    ASSERT_INT(merge(a, MAPS "/x", "{\"data\":{\"k\":\"new\"}}"), 200);
    ASSERT_INT(merge(b, MAPS "/x", "{\"data\":{\"k\":\"old\"}}"), 200);
    ASSERT_INT(ask(a, "GET", MAPS "/x", NULL), 200);
    ASSERT_STR(text_at(a, "data.k"), "old");
    several_stop(&c);
}

TEST("an update or delete that names a revision is judged by the newest, not by what this server knows")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    const char *first = keep_at(a, "metadata.resourceVersion");
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    ASSERT_INT(merge(a, MAPS "/x", "{\"data\":{\"k\":\"1\"}}"), 200);
    const char *second = keep_at(a, "metadata.resourceVersion");
    AUTO_FREE char *fits =
        xasprintf("{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"%s\"},\"data\":{\"k\":\"2\"}}", second);
    ASSERT_INT(ask(b, "PUT", MAPS "/x", fits), 200);
    AUTO_FREE char *old = xasprintf("{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"%s\"}}", first);
    ASSERT_INT(merge(a, MAPS "/x", "{\"data\":{\"k\":\"3\"}}"), 200);
    ASSERT_INT(ask(b, "PUT", MAPS "/x", old), 409);
    AUTO_FREE char *condition = xasprintf("{\"preconditions\":{\"resourceVersion\":\"%s\"}}", second);
    ASSERT_INT(ask(b, "DELETE", MAPS "/x", condition), 409);
    several_stop(&c);
}

TEST("a generated name and a uid are found by one server alone")
{
    start();
    ASSERT_INT(make_object(a, "/api/v1/namespaces", "new", "{}"), 201);
    /* Begun again on the second server, which did not know the namespace: no name of the first attempt stays. */
    ASSERT_INT(ask(b, "POST", "/api/v1/namespaces/new/configmaps", "{\"metadata\":{\"generateName\":\"x-\"}}"), 201);
    ASSERT_INT(text_at(b, "metadata.name").n, 7);
    several_stop(&c);
}

TEST("pages of a list continue on another server, at the same revision")
{
    start();
    for (int i = 0; i < 6; i++) {
        AUTO_FREE char *name = xasprintf("x%d", i);
        ASSERT_INT(make_object(a, MAPS, name, "{}"), 201);
    }
    ASSERT_INT(ask(a, "GET", MAPS "?limit=3", NULL), 200);
    const char *revision = keep_at(a, "metadata.resourceVersion"), *token = keep_at(a, "metadata.continue");
    ASSERT_INT(make_object(a, MAPS, "x9", "{}"), 201);
    ASSERT_INT(askf(b, "GET", NULL, MAPS "?limit=3&continue=%s", token), 200);
    ASSERT_STR(text_at(b, "metadata.resourceVersion"), revision);
    ASSERT_STR(text_at(b, "items.0.metadata.name"), "x3");
    ASSERT_STR(text_at(b, "items.2.metadata.name"), "x5");
    ASSERT_STR(text_at(b, "items.3.metadata.name"), "");
    several_stop(&c);
}

TEST("a watch goes on at another server where it was, also when that server is behind")
{
    struct follower f;
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    ASSERT_INT(make_object(a, MAPS, "y", "{}"), 201);
    AUTO_FREE char *after = xasprintf(MAPS "?watch=1&resourceVersion=%s", keep_at(a, "metadata.resourceVersion"));
    follow(b, &f, after); /* it has not seen that revision yet */
    ASSERT_INT(make_object(a, MAPS, "z", "{}"), 201);
    AUTO_FREE char *revision = xstrdup(keep_at(a, "metadata.resourceVersion"));
    several_advance(&c, 1000);
    ASSERT_CONTAINS(last_event_json(&f), revision);
    ASSERT_STR(next_event(&f), "ADDED z");
    ASSERT_STR(next_event(&f), "");
    unfollow(&f);
    several_stop(&c);
}

TEST("a watch without a revision begins with everything that was acknowledged")
{
    struct follower f;
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    follow(b, &f, MAPS "?watch=1");
    ASSERT_STR(next_event(&f), "ADDED x");
    unfollow(&f);
    several_stop(&c);
}

TEST("a role given on one server counts on another as soon as it has heard of it")
{
    start();
    /* Authorization uses what is known: see the design page. Here only that it comes by itself. */
    ASSERT_INT(ask(a, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                   "{\"metadata\":{\"name\":\"r\"},\"rules\":[]}"),
               201);
    ASSERT_INT(ask(b, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/r", NULL), 200);
    several_stop(&c);
}

TEST("cut off, a read waits five seconds once, then comes with a warning; writes are refused in words")
{
    start();
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    ASSERT_STR(b->warning, "");
    shared_store_cut(c.store, 1, true);
    ASSERT_INT(ask(a, "DELETE", MAPS "/x", NULL), 200);
    int64_t before = env_monotonic_ms(loop_env(c.loop));
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    ASSERT_CONTAINS(b->warning, "this answer may be old");
    int64_t took = env_monotonic_ms(loop_env(c.loop)) - before;
    ASSERT(took >= 4900 && took < 6000);
    before = env_monotonic_ms(loop_env(c.loop));
    ASSERT_INT(ask(b, "GET", MAPS, NULL), 200);
    ASSERT_CONTAINS(b->warning, "this answer may be old");
    ASSERT(env_monotonic_ms(loop_env(c.loop)) - before < 100);
    ASSERT_INT(ask(b, "GET", MAPS "?resourceVersion=0", NULL), 200);
    ASSERT_STR(b->warning, "");
    ASSERT_INT(make_object(b, MAPS, "y", "{}"), 503);
    ASSERT(text_at(b, "message").n > 10);
    ASSERT_INT(merge(b, MAPS "/none", "{}"), 503); /* whether it is there is not known */
    ASSERT_INT(ask(b, "DELETE", MAPS, NULL), 503);
    shared_store_cut(c.store, 1, false);
    several_advance(&c, 1000);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 404);
    ASSERT_STR(b->warning, "");
    ASSERT_INT(make_object(b, MAPS, "y", "{}"), 201);
    several_stop(&c);
}

TEST("three servers that start at the same time make what every cluster has once")
{
    several_start(&c, 3);
    for (size_t i = 0; i < 3; i++) {
        ASSERT_INT(ask(&c.servers[i], "GET", "/api/v1/namespaces", NULL), 200);
        ASSERT_STR(text_at(&c.servers[i], "items.3.metadata.name"), "kube-system");
        ASSERT_STR(text_at(&c.servers[i], "items.4.metadata.name"), "");
    }
    several_stop(&c);
}
