/*
 * Random life: whatever people and faults do to a cluster, once they stop it comes to rest as it was asked to be. And the same seed
 * gives the same life.
 */
#include "steps.h"

#include "kinds/fields.h"

#include <stdio.h>

#define STEPS 40

static struct world w;

static void say(const char *format, ...) PRINTF(1, 2);
static void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    struct str line = arena_vprintf(&w.arena, format, args);
    va_end(args);
    printf("%8.2f s  %.*s\n", (double)env_monotonic_ms(&w.env.env) / 1000, STR_ARG(line));
    step(&w, line);
}

static int below(int n)
{
    return (int)env_random_below(&w.env.env, (uint64_t)n);
}

static void something_happens(void)
{
    static const char *const images[] = { "v1", "v2", "slow", "bad" };
    struct pods pods;

    switch (below(8)) {
    case 0:
        pods_of(&w, STR("web"), false, &pods);
        if (pods.count)
            say("delete pod %d of web", below((int)pods.count));
        break;
    case 1:
        say("set image of Deployment/web to %s", images[below(4)]);
        break;
    case 2:
        say("scale Deployment/web to %d", below(9));
        break;
    case 3:
        say("node n%d falls silent", 1 + below(6));
        break;
    case 4:
        say("node n%d is heard again", 1 + below(6));
        break;
    case 5:
        say("patch Deployment/web {\"spec\":{\"paused\":%s}}", below(2) ? "true" : "false");
        break;
    case 6:
        say("patch Node/n%d {\"spec\":{\"unschedulable\":%s}}", 1 + below(6), below(2) ? "true" : "null");
        break;
    default:
        say("wait %dms", 50 * (1 + below(100)));
        break;
    }
    say("wait %dms", 50 * (1 + below(20)));
}

/* Ends and starts the server now and then: what was acknowledged is there, and nobody is judged meanwhile. */
static void live_with_restarts(void)
{
    AUTO_ARENA struct arena a = { 0 };
    static const char *const things[] = { "6 nodes in 3 zones", "Deployment/web with 6 replicas", "Service/web" };

    world_start(&w, 2, test_folder());
    for (size_t i = 0; i < ARRAY_SIZE(things); i++)
        given(&w, value_text(&a, things[i]));
    world_settle(&w);
    for (int i = 0; i < STEPS / 2; i++) {
        something_happens();
        if (below(4) == 0)
            say("restart the server");
    }
}

static void live(void)
{
    AUTO_ARENA struct arena a = { 0 };
    static const char *const things[] = { "6 nodes in 3 zones", "Deployment/web with 6 replicas", "Service/web" };

    world_start(&w, 2, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(things); i++)
        given(&w, value_text(&a, things[i]));
    world_settle(&w);
    for (int i = 0; i < STEPS; i++)
        something_happens();
}

static void calm_down(void)
{
    for (int i = 1; i <= 6; i++) {
        say("node n%d is heard again", i);
        say("patch Node/n%d {\"spec\":{\"unschedulable\":null}}", i);
    }
    say("patch Deployment/web {\"spec\":{\"paused\":false}}");
    say("set image of Deployment/web to v3");
    say("scale Deployment/web to 6");
    say("settle");
}

static void check_rest(void)
{
    static const char *const wanted[] = {
        "6 pods owned by web",
        "6 pods ready of web",
        "6 pods of web run v3",
        "6 endpoints of web",
        "Deployment/web status.updatedReplicas is 6",
        "Deployment/web status.availableReplicas is 6",
        "Deployment/web status.replicas is 6",
        "Deployment/web has no status.unavailableReplicas",
        "Deployment/web status.conditions[Progressing].reason is NewReplicaSetAvailable",
        "Deployment/web status.conditions[Available].status is True",
        "Node/n1 has no spec.taints",
        "Node/n6 has no spec.taints",
        "Node/n3 status.conditions[Ready].status is True",
    };

    calm_down();
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        expect(&w, str_of(wanted[i]));
    struct pods all;
    pods_of(&w, STR("web"), true, &all); /* nothing hangs on ending */
    ASSERT_INT(all.count, 6);
    world_stop(&w);
}

TEST("after whatever happened, the cluster comes to rest as it was asked to be")
{
    live();
    check_rest();
}

TEST("also when the server was restarted in between")
{
    live_with_restarts();
    check_rest();
}

static bool add_object(void *arg, const struct object *o)
{
    struct buf *to = arg;

    buf_add(to, object_json(o));
    buf_add_char(to, '\n');
    return true;
}

static void describe(struct buf *to)
{
    static const struct kind *const kinds_seen[] = { &kind_pod, &kind_node, &kind_replicaset, &kind_endpointslice };

    for (size_t i = 0; i < ARRAY_SIZE(kinds_seen); i++)
        state_each(server_state(w.server), kinds_seen[i], STR_NONE, add_object, to);
}

TEST("the same seed gives the same life, down to every name, time and revision")
{
    struct buf first = BUF_MAX(16 * MIB), second = BUF_MAX(16 * MIB);

    live();
    describe(&first);
    world_stop(&w);
    live();
    describe(&second);
    world_stop(&w);
    ASSERT(first.n > 1000);
    ASSERT_STR(second, buf_str(&first).p);
    buf_done(&first);
    buf_done(&second);
}
