/* Running controllers: when a pass begins, what holds it back, and what becomes of its plan. */
#include "client/controller.h"
#include "client/internal.h"
#include "fake.h"
#include "kinds/fields.h"

#include <stdio.h>

static struct fake f;
static struct cluster *cluster;
static struct facts facts;
static struct controllers *controllers;

/* What the controller under test did and shall do. */
static struct {
    int passes;
    char last[64];
    bool fails, creates, reads_live, deletes, tells;
    enum live live;
    int64_t wake_ms;
} pass;

static int reconcile(struct reconcile *r, struct error *err)
{
    pass.passes++;
    snprintf(pass.last, sizeof(pass.last), "%.*s", STR_ARG(r->name));
    if (pass.fails)
        return fail(err, ERR_INTERNAL, "as told");
    pass.live = reconcile_live(r, &kind_node, STR_NONE, STR("n"), NULL);
    if (pass.reads_live && pass.live == LIVE_UNKNOWN)
        plan_live_read(r, &kind_node, STR_NONE, STR("n"));
    if (pass.wake_ms)
        plan_wake(r, pass.wake_ms);
    if (pass.deletes && r->object)
        plan_delete(r, &kind_configmap, r->object, NULL, -1);
    if (pass.creates && !reconcile_get(r, &kind_secret, r->namespace_, r->name)) {
        struct value *tree = value_object(r->arena);
        value_set_text(r->arena, tree, F_POD_API_VERSION, "v1");
        value_set_text(r->arena, tree, F_POD_KIND, "Secret");
        value_set(r->arena, value_make_object(r->arena, tree, F_POD_METADATA), F_OBJECT_META_NAME, r->name);
        plan_create(r, &kind_secret, r->namespace_, tree);
        if (pass.tells)
            plan_event(r, &kind_configmap, r->object, "Normal", "Made", "made it");
    }
    return 0;
}

static const struct controller controller = {
    .name = "test",
    .kind = &kind_configmap,
    .triggers = { { &kind_secret, BY_SAME_NAME }, { &kind_pod, BY_OWNER } },
    .reconcile = reconcile,
};

static void start(void)
{
    static const struct controller *const list[] = { &controller, NULL };

    cluster = cluster_new(f.loop, &f.api);
    controllers = controllers_start(cluster, &f.env.env, list, &(struct controller_config){ 0 }, &facts);
    fake_run(&f);
}

static void begin(void)
{
    fake_init(&f);
    facts_init(&facts);
    memset(&pass, 0, sizeof(pass));
    start();
}

static void stop(void)
{
    controllers_stop(controllers);
    cluster_free(cluster);
    facts_done(&facts);
}

static void end(void)
{
    stop();
    fake_done(&f);
}

static void add(const char *name)
{
    AUTO_FREE char *json = xasprintf("{'metadata':{'name':'%s'}}", name);

    fake_put(&f, &kind_configmap, json);
    fake_run(&f);
}

TEST("a changed object is reconciled, once for several changes of the same round")
{
    begin();
    add("a");
    ASSERT_INT(pass.passes, 1);
    ASSERT_STR((const char *)pass.last, "a");
    for (int i = 0; i < 5; i++)
        fake_put(&f, &kind_configmap, "{'metadata':{'name':'b'}}");
    fake_run(&f);
    ASSERT(pass.passes <= 6);
    end();
}

TEST("an object that is gone is reconciled too")
{
    begin();
    add("a");
    fake_remove(&f, &kind_configmap, "a");
    fake_run(&f);
    ASSERT_INT(pass.passes, 2);
    end();
}

TEST("no pass begins before every cache it reads has its first list")
{
    fake_init(&f);
    facts_init(&facts);
    memset(&pass, 0, sizeof(pass));
    f.hold_lists = true;
    fake_put(&f, &kind_configmap, "{'metadata':{'name':'a'}}");
    start();
    ASSERT_INT(pass.passes, 0);
    ASSERT(!controllers_are_idle(controllers));
    fake_release_lists(&f);
    ASSERT_INT(pass.passes, 1);
    ASSERT(controllers_are_idle(controllers));
    end();
}

TEST("other objects trigger their owners and their namesakes")
{
    begin();
    fake_put(&f, &kind_secret, "{'metadata':{'name':'s'}}");
    fake_run(&f);
    ASSERT_STR((const char *)pass.last, "s");
    fake_put(
        &f, &kind_pod,
        "{'metadata':{'name':'p','ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'mine','uid':'u'},"
        "{'apiVersion':'example.com/v1','kind':'ConfigMap','name':'other','uid':'v'}]}}");
    fake_run(&f);
    ASSERT_STR((const char *)pass.last, "mine");
    ASSERT_INT(pass.passes, 2);
    end();
}

TEST("while a write is under way its key waits, also when it is triggered again")
{
    begin();
    pass.creates = true;
    add("a");
    ASSERT_STR(fake_calls(&f), "create Secret default/a\n");
    add("a");
    add("a");
    ASSERT_INT(pass.passes, 1);
    end();
}

TEST("the next pass begins only when the cache has seen what the last one wrote: nothing is made twice")
{
    begin();
    pass.creates = true;
    add("a");
    add("a"); /* dirty */
    fake_answer(&f, 0, "{'metadata':{'name':'a'}}", ERR_NONE);
    uint64_t written = f.revision;
    fake_advance(&f, 5000); /* the answer is there, the watch is late */
    ASSERT_INT(pass.passes, 1);
    ASSERT_STR(fake_calls(&f), "");
    fake_put(&f, &kind_secret, "{'metadata':{'name':'a'}}");
    ASSERT(f.revision > written);
    fake_run(&f);
    ASSERT(pass.passes >= 2);
    ASSERT_STR(fake_calls(&f), "");
    end();
}

TEST("a cache whose watch is down does not hold a key for ever")
{
    begin();
    pass.creates = true;
    add("a");
    fake_answer(&f, 0, "{'metadata':{'name':'a'}}", ERR_NONE);
    add("a");
    ASSERT_INT(pass.passes, 1);
    fake_advance(&f, 10000);
    ASSERT_INT(pass.passes, 2);
    end();
}

TEST("a failed pass and a failed write are tried again after a pause that grows")
{
    begin();
    pass.fails = true;
    add("a");
    ASSERT_INT(pass.passes, 1);
    fake_advance(&f, 5 + 10 + 20 + 40);
    ASSERT_INT(pass.passes, 5);
    pass.fails = false;
    pass.creates = true;
    fake_advance(&f, 80);
    ASSERT_INT(pass.passes, 6);
    fake_answer(&f, 0, NULL, ERR_CONFLICT);
    fake_advance(&f, 60000);
    ASSERT_INT(pass.passes, 7);
    end();
}

TEST("deleting what is gone already is what was wanted")
{
    begin();
    pass.deletes = true;
    add("a");
    ASSERT_STR(fake_calls(&f), "delete ConfigMap default/a\n");
    fake_answer(&f, 0, NULL, ERR_NOT_FOUND);
    fake_advance(&f, 60000);
    ASSERT_INT(pass.passes, 1);
    end();
}

TEST("a key that asked to be woken is reconciled then")
{
    begin();
    pass.wake_ms = 1000;
    add("a");
    fake_advance(&f, 999);
    ASSERT_INT(pass.passes, 1);
    fake_advance(&f, 1);
    ASSERT_INT(pass.passes, 2);
    end();
}

TEST("a live read brings the key back at once, with the answer")
{
    begin();
    pass.reads_live = true;
    add("a");
    ASSERT_STR(fake_calls(&f), "get Node /n\n");
    fake_answer(&f, 0, NULL, ERR_NOT_FOUND);
    fake_run(&f);
    ASSERT_INT(pass.passes, 2);
    ASSERT_INT(pass.live, LIVE_ABSENT);
    add("a"); /* an answer counts for one pass */
    fake_answer(&f, 0, "{'metadata':{'name':'n'}}", ERR_NONE);
    fake_run(&f);
    ASSERT_INT(pass.live, LIVE_PRESENT);
    end();
}

TEST("stopped with writes on the way, nothing of it is touched when the answers come")
{
    begin();
    pass.creates = true;
    pass.reads_live = true;
    add("a");
    add("b");
    ASSERT_INT(f.calls_count, 4);
    stop();
    while (f.calls_count)
        fake_answer(&f, 0, "{'metadata':{'name':'a'}}", ERR_NONE);
    fake_done(&f);
}

TEST("at most 16 keys of a controller are in work at once, the others follow")
{
    begin();
    pass.creates = true;
    for (int i = 0; i < 40; i++) {
        char name[] = { 'k', (char)('a' + i / 10), (char)('0' + i % 10), 0 };
        add(name);
    }
    ASSERT_INT(f.calls_count, 16);
    for (int i = 0; i < 40; i++)
        fake_answer(&f, 0, NULL, ERR_ALREADY_EXISTS), fake_run(&f);
    ASSERT(pass.passes >= 40);
    end();
}

TEST("an Event is recorded when the write before it has succeeded")
{
    begin();
    pass.creates = pass.tells = true;
    add("a");
    ASSERT_STR(fake_calls(&f), "create Secret default/a\n");
    fake_answer(&f, 0, NULL, ERR_CONFLICT);
    fake_advance(&f, 5);
    ASSERT_STR(fake_calls(&f), "create Secret default/a\n"); /* tried again, nothing told */
    fake_answer(&f, 0, "{'metadata':{'name':'a'}}", ERR_NONE);
    ASSERT_INT(f.calls_count, 1);
    ASSERT_CONTAINS((const char *)f.calls[0].text, "\"reason\":\"Made\"");
    end();
}

TEST("what may not be created as it is, is told to who looks at the owner")
{
    begin();
    pass.creates = pass.tells = true;
    add("a");
    fake_answer(&f, 0, NULL, ERR_FORBIDDEN);
    fake_run(&f);
    ASSERT_INT(f.calls_count, 1);
    ASSERT_CONTAINS((const char *)f.calls[0].text,
                    "\"reason\":\"FailedCreate\",\"message\":\"Error creating: the test says no");
    end();
}
