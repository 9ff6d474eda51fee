/* What clients of several servers on one store are promised. */
#include "several.h"

#include "kinds/fields.h"
#include "server/fresh.h"
#include "server/leader.h"
#include "server/raw_keys.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

struct many {
    struct http_call_request request;
    int status;
    struct arena arena;
    struct str ip, port;
    bool done;
};

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
    ASSERT_INT(ask(b, "GET", "/readyz", NULL), 500);
    ASSERT_INT(ask(b, "GET", "/livez", NULL), 200);
    shared_store_cut(c.store, 1, false);
    several_advance(&c, 1000);
    ASSERT_INT(ask(b, "GET", "/readyz", NULL), 200);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 404);
    ASSERT_STR(b->warning, "");
    ASSERT_INT(make_object(b, MAPS, "y", "{}"), 201);
    several_stop(&c);
}

static void on_late(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct many *m = arg;
    m->status = head ? head->status : -1;
    arena_str(&m->arena, body);
    ASSERT(head || error_text(err));
    m->ip = arena_str(&m->arena, body);
    m->done = true;
}

TEST("a write whose outcome is not known is answered with what that means, and may happen")
{
    static const struct http_header type = { STR_INIT("content-type"), STR_INIT("application/json") };
    struct many m = { 0 };
    start();
    m.request = (struct http_call_request){ .method = STR("POST"),
                                            .target = STR(MAPS),
                                            .headers = &type,
                                            .headers_count = 1,
                                            .body = STR("{\"metadata\":{\"name\":\"x\"}}") };
    http_client_fetch(b->client, &m.request, MIB, on_late, &m);
    several_advance(&c, 100); /* sent, not heard of yet */
    shared_store_cut(c.store, 1, true);
    several_advance(&c, 9000);
    ASSERT(!m.done);
    several_advance(&c, 2000);
    ASSERT_INT(m.status, 504);
    ASSERT_CONTAINS(m.ip, "the write may still happen");
    ASSERT_INT(ask(a, "GET", MAPS "/x", NULL), 200);
    shared_store_cut(c.store, 1, false);
    several_advance(&c, 1000);
    ASSERT_INT(merge(b, MAPS "/x", "{\"data\":{\"k\":\"v\"}}"), 200); /* its lock was given back */
    arena_done(&m.arena);
    several_stop(&c);
}

TEST("a server that nobody asks anything finds out by itself that it is cut off")
{
    start();
    shared_store_cut(c.store, 1, true);
    several_advance(&c, 8000);
    ASSERT_INT(ask(b, "GET", "/readyz", NULL), 500);
    ASSERT_INT(ask(a, "GET", "/readyz", NULL), 200);
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

/* --- what several servers give out ------------------------------------------------------------------------------------------ */

#define SERVICES "/api/v1/namespaces/default/services"

static void on_service(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct many *m = arg;
    ASSERT(head || !error_text(err));
    struct value *v = value_parse(&m->arena, arena_str(&m->arena, body), NULL, NULL);
    struct value *spec = value_get(v, F_SERVICE_SPEC), *ports = value_get(spec, F_SERVICE_SPEC_PORTS);
    m->status = head->status;
    m->ip = value_to_str(value_get(spec, F_SERVICE_SPEC_CLUSTER_IP));
    if (value_type(ports) == VALUE_ARRAY)
        m->port = arena_printf(&m->arena, "%lld",
                               (long long)value_to_int(value_get(ports->items[0], F_SERVICE_PORT_NODE_PORT), 0));
    m->done = true;
}

static void post_service(struct world *w, struct many *m, const char *json)
{
    static const struct http_header type = { STR_INIT("content-type"), STR_INIT("application/json") };
    *m = (struct many){ 0 };
    m->request = (struct http_call_request){ .method = STR("POST"),
                                             .target = STR(SERVICES),
                                             .headers = &type,
                                             .headers_count = 1,
                                             .body = arena_str(&m->arena, str_of(json)) };
    http_client_fetch(w->client, &m->request, MIB, on_service, m);
}

static bool all_done(void *arg)
{
    struct many *m = arg;
    for (int i = 0; i < 24; i++)
        if (!m[i].done)
            return false;
    return true;
}

static bool no_reservation(void *arg, const struct raw_value *v)
{
    (void)arg;
    FAIL("left behind: %.*s", STR_ARG(v->key));
    return false;
}

TEST("two servers at once never give out an address or a node port twice")
{
    struct many m[24];
    several_start_with(&c, 2,
                       &(struct server_config){ .service_cidr = "10.96.0.0/27", .node_port_range = "30000-30023" });
    for (int i = 0; i < 24; i++) {
        AUTO_FREE char *json = xasprintf(
            "{\"metadata\":{\"name\":\"s%d\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80}]}}", i);
        post_service(&c.servers[i % 2], &m[i], json);
    }
    ASSERT(loop_sim_run_until(c.loop, all_done, m, 60000));
    for (int i = 0; i < 24; i++) {
        ASSERT_INT(m[i].status, 201);
        for (int j = 0; j < i; j++) {
            ASSERT(!str_eq(m[i].ip, m[j].ip));
            ASSERT(!str_eq(m[i].port, m[j].port));
        }
    }
    several_advance(&c, 1000);
    raw_each(server_state(c.servers[0].server), STR("/klein/allocations/"), no_reservation, NULL);
    for (int i = 0; i < 24; i++)
        arena_done(&m[i].arena);
    several_stop(&c);
}

TEST("an address that two Services ask for on two servers goes to one of them")
{
    struct many m[24] = { 0 };
    several_start(&c, 2);
    for (int i = 0; i < 2; i++) {
        AUTO_FREE char *json = xasprintf(
            "{\"metadata\":{\"name\":\"s%d\"},\"spec\":{\"clusterIP\":\"10.96.0.99\",\"ports\":[{\"port\":80}]}}", i);
        post_service(&c.servers[i], &m[i], json);
    }
    for (int i = 2; i < 24; i++)
        m[i].done = true;
    ASSERT(loop_sim_run_until(c.loop, all_done, m, 60000));
    ASSERT_INT(m[0].status + m[1].status, 201 + 422);
    for (int i = 0; i < 2; i++)
        arena_done(&m[i].arena);
    several_stop(&c);
}

static void on_elected(void *arg, uint64_t epoch)
{
    (void)arg;
    ASSERT(epoch);
}

static void on_lost(void *arg)
{
    (void)arg;
}

TEST("what a server reserved before it died is free again")
{
    static const struct leader_callbacks nobody = { on_elected, on_lost };
    struct raw_value v;
    several_start(&c, 2);
    raw_write(server_state(c.servers[0].server),
              &(struct raw_write){ .type = STORE_PUT,
                                   .key = STR("/klein/allocations/dead"),
                                   .value = STR("{\"holder\":\"server-9\",\"wanted\":[\"10.96.0.99\"]}"),
                                   .expect = STORE_EXPECT_ABSENT },
              NULL, NULL);
    several_advance(&c, 1000);
    const char *json =
        "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"clusterIP\":\"10.96.0.99\",\"ports\":[{\"port\":80}]}}";
    ASSERT_INT(ask(&c.servers[1], "POST", SERVICES, json), 422);
    struct leader_listener *x = leader_listen(server_leader(c.servers[0].server), &nobody, NULL);
    several_advance(&c, 80000);
    ASSERT(!raw_get(server_state(c.servers[1].server), STR("/klein/allocations/dead"), &v));
    ASSERT_INT(ask(&c.servers[1], "POST", SERVICES, json), 201);
    leader_unlisten(x);
    several_stop(&c);
}
