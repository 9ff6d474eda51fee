/* Namespaces: emptying them, what every one of them holds, and pods whose node is gone. */
#include "controllers/controllers.h"
#include "kinds/fields.h"
#include "seen.h"

static struct seen s;

static void begin(void)
{
    seen_init(&s);
    for (size_t i = 0; i < kinds_count; i++)
        if (kinds[i]->verbs & VERB_WATCH)
            cluster_cache(s.cluster, kinds[i]);
}

static void add_terminating(void)
{
    seen_add(&s, &kind_namespace,
             "{'metadata':{'name':'shop','deletionTimestamp':'2026-11-20T23:59:00Z'},"
             "'spec':{'finalizers':['kubernetes']},'status':{'phase':'Terminating'}}");
}

static struct str plan(void)
{
    return seen_plan(&s, &controller_namespace, "", "shop");
}

TEST("a namespace nobody deletes keeps what it holds")
{
    begin();
    seen_add(&s, &kind_namespace, "{'metadata':{'name':'shop'},'spec':{'finalizers':['kubernetes']}}");
    seen_add(&s, &kind_configmap, "{'metadata':{'name':'a','namespace':'shop'}}");
    ASSERT_STR(plan(), "");
    seen_done(&s);
}

TEST("everything in a namespace that is being deleted is deleted, nothing elsewhere; then it is let go")
{
    begin();
    add_terminating();
    seen_add(&s, &kind_configmap, "{'metadata':{'name':'a','namespace':'shop'}}");
    seen_add(&s, &kind_secret, "{'metadata':{'name':'b','namespace':'shop'}}");
    seen_add(&s, &kind_configmap, "{'metadata':{'name':'c','namespace':'default'}}");
    ASSERT_CONTAINS(plan(), "delete ConfigMap shop/a Background\n");
    ASSERT_CONTAINS(plan(), "delete Secret shop/b Background\n");
    ASSERT(!str_contains(plan(), STR("default/c")));
    ASSERT_CONTAINS(plan(), "SomeResourcesRemain");
    seen_apply(&s);
    ASSERT_CONTAINS(plan(), "update Namespace/finalize shop");
    ASSERT_CONTAINS(object_json(s.plan.steps[0].body), "\"finalizers\":[]");
    seen_done(&s);
}

TEST("what a finalizer holds stands in the conditions, and is asked to end only once")
{
    begin();
    add_terminating();
    seen_add(&s, &kind_configmap, "{'metadata':{'name':'a','namespace':'shop','finalizers':['example.com/hold']}}");
    seen_add(&s, &kind_configmap, "{'metadata':{'name':'b','namespace':'shop','finalizers':['example.com/hold']}}");
    plan();
    seen_apply(&s);
    struct str p = plan();
    ASSERT(!str_contains(p, STR("delete")));
    const struct object *o = seen_get(&s, &kind_namespace, STR_NONE, STR("shop"));
    ASSERT_CONTAINS(object_json(o), "Some content in the namespace has finalizers remaining: example.com/hold in 2 "
                                    "resource instances");
    ASSERT_CONTAINS(object_json(o), "Some resources are remaining: configmaps. has 2 resource instances");
    ASSERT(s.plan.wake_after_ms > 0);
    ASSERT_STR(p, "");
    seen_done(&s);
}

TEST("every namespace gets its ServiceAccount and the CA, once, and gets them back")
{
    begin();
    seen_add(&s, &kind_namespace, "{'metadata':{'name':'shop'}}");
    ASSERT_STR(seen_plan(&s, &controller_serviceaccount, "", "shop"),
               "create ServiceAccount shop/default\ncreate ConfigMap shop/kube-root-ca.crt\n");
    ASSERT_INT(seen_settle(&s, &controller_serviceaccount, "", "shop"), 2);
    seen_add(&s, &kind_configmap,
             "{'metadata':{'name':'kube-root-ca.crt','namespace':'shop'},'data':{'ca.crt':'forged'}}");
    seen_settle(&s, &controller_serviceaccount, "", "shop");
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_configmap, STR("shop"), STR("kube-root-ca.crt"))),
                    "\"ca.crt\":\"CA\"");
    seen_remove(&s, &kind_serviceaccount, "shop", "default");
    ASSERT_STR(seen_plan(&s, &controller_serviceaccount, "", "shop"), "create ServiceAccount shop/default\n");
    seen_done(&s);
}

TEST("a namespace that is being deleted is not given anything new")
{
    begin();
    add_terminating();
    ASSERT_STR(seen_plan(&s, &controller_serviceaccount, "", "shop"), "");
    seen_done(&s);
}

/* --- pods whose node is gone ----------------------------------------------------------------------------------------------------------- */

TEST("a pod whose node does not exist goes by force, once a live look confirmed it")
{
    begin();
    seen_add(&s, &kind_pod, "{'metadata':{'name':'p'},'spec':{'nodeName':'gone'}}");
    ASSERT_STR(seen_plan(&s, &controller_podgc, "default", "p"), "read Node gone\n");
    seen_apply(&s);
    ASSERT_CONTAINS(seen_plan(&s, &controller_podgc, "default", "p"), "delete Pod default/p\n");
    ASSERT_INT(s.plan.steps[s.plan.count - 1].grace_seconds, 0);
    seen_settle(&s, &controller_podgc, "default", "p");
    ASSERT(!seen_get(&s, &kind_pod, STR("default"), STR("p")));
    seen_done(&s);
}

TEST("pods on nodes that exist, and pods without a node, stay")
{
    begin();
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'}}");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'p'},'spec':{'nodeName':'n1'}}");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'q'},'spec':{}}");
    ASSERT_STR(seen_plan(&s, &controller_podgc, "default", "p"), "");
    ASSERT_STR(seen_plan(&s, &controller_podgc, "default", "q"), "");
    seen_done(&s);
}
