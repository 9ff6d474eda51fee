/* Two whole control planes on one store: controllers and scheduler act on one server at a time, and go on where another stopped. */
#include "several.h"

#include "kinds/fields.h"
#include "main_control.h"
#include "server/leader.h"

#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define PODS        "/api/v1/namespaces/default/pods"

static struct several c;
static struct control *controls[3];

static void start(size_t count)
{
    static const struct control_config config = { .pod_cidr = "10.244.0.0/16" };
    several_start(&c, count);
    for (size_t i = 0; i < count; i++)
        controls[i] = control_new(c.servers[i].server, &config);
    several_advance(&c, 500);
}

static void stop_one(size_t i)
{
    control_free(TAKE(controls[i]));
    several_stop_one(&c, i);
}

static void stop(void)
{
    for (size_t i = 0; i < c.count; i++)
        if (controls[i])
            stop_one(i);
    several_stop(&c);
}

static size_t acting(void)
{
    size_t n = 0;
    for (size_t i = 0; i < c.count; i++)
        n += controls[i] && control_is_acting(controls[i]);
    return n;
}

static size_t leader(void)
{
    for (size_t i = 0; i < c.count; i++)
        if (controls[i] && leader_is_me(server_leader(c.servers[i].server)))
            return i;
    FAIL("nobody leads");
    return 0;
}

static void deploy(struct world *w, const char *name, int replicas)
{
    AUTO_FREE char *json = xasprintf(
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":{\"app\":\"%s\"}},"
        "\"template\":"
        "{\"metadata\":{\"labels\":{\"app\":\"%s\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}",
        name, replicas, name, name);
    ASSERT_INT(ask(w, "POST", DEPLOYMENTS, json), 201);
}

static size_t pods(struct world *w)
{
    ASSERT_INT(ask(w, "GET", PODS, NULL), 200);
    return value_get_str(w->tree, STR("items"))->items_count;
}

static uint64_t made(void)
{
    return shared_store_created(c.store, "/registry/core/pods/");
}

static int scale(struct world *w, const char *name, int replicas)
{
    AUTO_FREE char *json = xasprintf("{\"spec\":{\"replicas\":%d}}", replicas);
    w->content_type = "application/merge-patch+json";
    int status = askf(w, "PATCH", json, DEPLOYMENTS "/%s", name);
    w->content_type = NULL;
    return status;
}

TEST("one server acts, and what is asked of another is done")
{
    start(2);
    ASSERT_INT(acting(), 1);
    deploy(&c.servers[1 - leader()], "web", 3);
    several_advance(&c, 2000);
    ASSERT_INT(pods(&c.servers[0]), 3);
    ASSERT_INT(pods(&c.servers[1]), 3);
    stop();
}

TEST("the next leader goes on at once, and nothing is made twice")
{
    start(3);
    deploy(&c.servers[0], "web", 5);
    several_advance(&c, 2000);
    for (int round = 1; round <= 10; round++) {
        size_t old = leader();
        /* In the middle of work: the old one's plans are on their way. */
        uint64_t before = made();
        ASSERT_INT(scale(&c.servers[old], "web", 5 + round), 200);
        several_advance(&c, 5 * round);
        leader_release(server_leader(c.servers[old].server));
        several_advance(&c, 1000);
        ASSERT(leader() != old);
        ASSERT_INT(acting(), 1);
        ASSERT_INT(pods(&c.servers[old]), 5 + (size_t)round);
        ASSERT_INT(made(), before + 1);
    }
    stop();
}

TEST("a leader that is cut off in the middle of its work is followed, and what it still sends is refused")
{
    start(3);
    deploy(&c.servers[0], "web", 5);
    several_advance(&c, 2000);
    for (int round = 1; round <= 20; round++) {
        size_t old = leader();
        uint64_t before = made();
        ASSERT_INT(scale(&c.servers[old], "web", 5 + round), 200);
        several_advance(&c, 5 * round); /* each time at another point of its work */
        shared_store_cut(c.store, old, true);
        several_advance(&c, 1600);
        ASSERT_INT(acting(), 2); /* it cannot know */
        shared_store_cut(c.store, old, false);
        several_advance(&c, 3000);
        ASSERT_INT(acting(), 1);
        ASSERT(leader() != old);
        ASSERT_INT(pods(&c.servers[old]), 5 + (size_t)round);
        ASSERT_INT(made(), before + 1);
    }
    stop();
}

TEST("what a leader sent before it lost its term and the store gets afterwards is refused")
{
    start(3);
    ASSERT_INT(
        ask(&c.servers[0], "POST", "/apis/apps/v1/namespaces/default/replicasets",
            "{\"metadata\":{\"name\":\"set\"},\"spec\":{\"replicas\":1,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
            "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
            "\"image\":\"i\"}]}}}}"),
        201);
    several_advance(&c, 1000);
    for (int round = 1; round <= 5; round++) {
        size_t old = leader();
        struct world *other = &c.servers[(old + 1) % 3];
        uint64_t before = made();
        shared_store_send_lag(c.store, old, 1400);
        AUTO_FREE char *json = xasprintf("{\"spec\":{\"replicas\":%d}}", 1 + round);
        other->content_type = "application/merge-patch+json";
        ASSERT_INT(ask(other, "PATCH", "/apis/apps/v1/namespaces/default/replicasets/set", json), 200);
        other->content_type = NULL;
        several_advance(&c, 1300);
        ASSERT(leader() != old);
        ASSERT_INT(made(), before + 1); /* by the new one; the old one's is still on its way */
        several_advance(&c, 3000);
        ASSERT_INT(made(), before + 1);
        shared_store_send_lag(c.store, old, 0);
        several_advance(&c, 3000);
        ASSERT_INT(pods(other), 1 + (size_t)round);
    }
    stop();
}

TEST("a server that stops hands over, one that starts is warm")
{
    start(3);
    deploy(&c.servers[0], "web", 2);
    several_advance(&c, 1000);
    stop_one(leader());
    several_advance(&c, 200);
    ASSERT_INT(acting(), 1);
    struct world *left = &c.servers[leader()];
    ASSERT_INT(scale(left, "web", 4), 200);
    several_advance(&c, 1000);
    ASSERT_INT(pods(left), 4);
    stop();
}
