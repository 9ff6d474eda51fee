/* What the garbage collector plans: owners that are gone, foreground and orphan deletions. */
#include "controllers/controllers.h"
#include "seen.h"

static struct seen s;

static void add_owner(const char *metadata)
{
    seen_add(&s, &kind_deployment, "{'metadata':{'name':'web'%s},'spec':{}}", metadata);
}

/* A ReplicaSet with this owner reference (without its braces), and one more when given. */
static void add_dependent(const char *owner, const char *second)
{
    seen_add(&s, &kind_replicaset, "{'metadata':{'name':'web-1','ownerReferences':[{%s}%s]},'spec':{}}", owner, second);
}

#define WEB                                                                                                            \
    "'apiVersion':'apps/"                                                                                              \
    "v1','kind':'Deployment','name':'web','uid':'web-uid','controller':true,'blockOwnerDeletion':true"

static struct str plan(const char *plural_group, const char *name)
{
    AUTO_FREE char *key = xasprintf("default/%s", name);

    return seen_plan(&s, &controller_garbagecollector, plural_group, key);
}

static struct str plan_dependent(void)
{
    return plan("replicasets.apps", "web-1");
}

static void begin(void)
{
    seen_init(&s);
    for (size_t i = 0; i < kinds_count; i++)
        if (kinds[i]->verbs & VERB_WATCH)
            cluster_cache(s.cluster, kinds[i]);
}

TEST("an object whose owner is there stays")
{
    begin();
    add_owner("");
    add_dependent(WEB, "");
    ASSERT_STR(plan_dependent(), "");
    seen_done(&s);
}

TEST("an owner that no cache shows is looked up live before anything is deleted for it")
{
    begin();
    add_dependent(WEB, "");
    ASSERT_STR(plan_dependent(), "read Deployment default/web\n");
    seen_apply(&s);
    ASSERT_STR(plan_dependent(), "delete ReplicaSet default/web-1 Background\n");
    seen_apply(&s);
    ASSERT_STR(plan_dependent(), "");
    seen_done(&s);
}

TEST("an owner of the same name but another uid is not the owner")
{
    begin();
    add_owner(",'uid':'another'");
    add_dependent(WEB, "");
    ASSERT_STR(plan_dependent(), "read Deployment default/web\n");
    seen_apply(&s);
    ASSERT_STR(plan_dependent(), "delete ReplicaSet default/web-1 Background\n");
    seen_done(&s);
}

TEST("while one of two owners lives, only the reference to the gone one goes")
{
    begin();
    add_owner("");
    add_dependent(WEB, ",{'apiVersion':'v1','kind':'ConfigMap','name':'gone','uid':'gone-uid'}");
    plan_dependent();
    seen_apply(&s);
    ASSERT_CONTAINS(plan_dependent(),
                    "patch ReplicaSet default/web-1 {\"metadata\":{\"ownerReferences\":[{\"apiVersion\":"
                    "\"apps/v1\",\"kind\":\"Deployment\"");
    ASSERT(!str_contains(object_json(s.plan.steps[0].body), STR("gone-uid")));
    seen_settle(&s, &controller_garbagecollector, "replicasets.apps", "default/web-1");
    seen_done(&s);
}

TEST("an owner of a kind nobody serves cannot be judged: its dependents stay")
{
    begin();
    add_dependent("'apiVersion':'example.com/v1','kind':'Thing','name':'t','uid':'t-uid'", "");
    ASSERT_STR(plan_dependent(), "");
    seen_done(&s);
}

TEST("in the foreground the dependents go first, then their owner")
{
    begin();
    add_owner(",'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['foregroundDeletion']");
    add_dependent(WEB, "");
    ASSERT_STR(plan("deployments.apps", "web"), "");
    ASSERT_STR(plan_dependent(), "delete ReplicaSet default/web-1 Background\n");
    seen_apply(&s);
    ASSERT_CONTAINS(plan("deployments.apps", "web"), "patch Deployment default/web {\"metadata\":{\"finalizers\":null");
    seen_apply(&s);
    ASSERT(!seen_get(&s, &kind_deployment, STR("default"), STR("web")));
    seen_done(&s);
}

TEST("a dependent that has dependents itself is deleted in the foreground too")
{
    begin();
    add_owner(",'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['foregroundDeletion']");
    add_dependent(WEB, "");
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p','ownerReferences':[{'apiVersion':'apps/v1','kind':'ReplicaSet','name':'web-1',"
             "'uid':'web-1-uid','controller':true,'blockOwnerDeletion':true}]}}");
    ASSERT_STR(plan_dependent(), "delete ReplicaSet default/web-1 Foreground\n");
    seen_done(&s);
}

TEST("a dependent that does not block its owner is not waited for")
{
    begin();
    add_owner(",'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['foregroundDeletion']");
    add_dependent("'apiVersion':'apps/v1','kind':'Deployment','name':'web','uid':'web-uid','controller':true", "");
    ASSERT_CONTAINS(plan("deployments.apps", "web"), "\"finalizers\":null");
    seen_done(&s);
}

TEST("orphaned dependents lose the reference and live on; then the owner goes")
{
    begin();
    add_owner(",'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['orphan','example.com/keep']");
    add_dependent(WEB, "");
    ASSERT_CONTAINS(plan("deployments.apps", "web"),
                    "patch ReplicaSet default/web-1 {\"metadata\":{\"ownerReferences\":null");
    seen_apply(&s);
    ASSERT_CONTAINS(plan("deployments.apps", "web"), "\"finalizers\":[\"example.com/keep\"]");
    seen_apply(&s);
    ASSERT_STR(plan_dependent(), "");
    seen_done(&s);
}

/* --- what a change triggers ----------------------------------------------------------------------------------------------------------- */

static void note(void *arg, struct str namespace_, struct str name)
{
    buf_addf(arg, "%.*s/%.*s ", STR_ARG(namespace_), STR_ARG(name));
}

TEST("an owner that waits is told when a dependent is gone, even one that was deleted in one step")
{
    struct buf keys = BUF_MAX(KIB);

    begin();
    add_owner(",'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['foregroundDeletion']");
    add_dependent(WEB, "");
    plan_dependent();
    struct object *dependent = object_ref(seen_get(&s, &kind_replicaset, STR("default"), STR("web-1")));
    controller_garbagecollector.keys_all(s.cluster, dependent, note, &keys);
    ASSERT_STR(keys, "replicasets.apps/default/web-1 ");
    seen_remove(&s, &kind_replicaset, "default", "web-1");
    buf_clear(&keys);
    controller_garbagecollector.keys_all(s.cluster, dependent, note, &keys);
    ASSERT_CONTAINS(keys, "deployments.apps/default/web ");
    object_unref(dependent);
    buf_done(&keys);
    seen_done(&s);
}

TEST("dependents look again when their owner is being deleted or gone")
{
    struct buf keys = BUF_MAX(KIB);

    begin();
    add_owner("");
    add_dependent(WEB, "");
    plan_dependent();
    struct object *owner = object_ref(seen_get(&s, &kind_deployment, STR("default"), STR("web")));
    controller_garbagecollector.keys_all(s.cluster, owner, note, &keys);
    ASSERT_STR(keys, "");
    seen_remove(&s, &kind_deployment, "default", "web");
    controller_garbagecollector.keys_all(s.cluster, owner, note, &keys);
    ASSERT_STR(keys, "replicasets.apps/default/web-1 ");
    object_unref(owner);
    buf_done(&keys);
    seen_done(&s);
}
