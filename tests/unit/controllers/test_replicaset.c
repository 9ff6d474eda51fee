/* What the ReplicaSet controller plans for what it sees. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "seen.h"

static struct seen s;

static void add_set(int replicas)
{
    seen_add(&s, &kind_replicaset,
             "{'metadata':{'name':'web','generation':1},'spec':{'replicas':%d,'selector':{'matchLabels':{'app':'web'}},"
             "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'i'}]}}},"
             "'status':{'replicas':0}}",
             replicas);
}

/* owned: controlled by the set. ready_s: Ready for so long, -1 not Ready. */
static void add_pod(const char *name, bool owned, int ready_s, const char *more)
{
    char since[TIME_TEXT_SIZE];

    time_format(SEEN_NOW_MS - ready_s * SECOND_MS, since);
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'%s','labels':{'app':'web'}%s%s},'spec':{'nodeName':'n1'},"
             "'status':{'phase':'Running','conditions':[{'type':'Ready','status':'%s','lastTransitionTime':'%s'}]}}",
             name,
             owned ? ",'ownerReferences':[{'apiVersion':'apps/v1','kind':'ReplicaSet','name':'web','uid':'web-uid',"
                     "'controller':true}]"
                   : "",
             more, ready_s >= 0 ? "True" : "False", since);
}

static struct str plan(void)
{
    return seen_plan(&s, &controller_replicaset, "default", "web");
}

static int count_lines(struct str text, const char *start)
{
    struct str line;
    int n = 0;

    while (str_next(&text, '\n', &line))
        n += str_starts(line, str_of(start));
    return n;
}

TEST("missing pods are created, each with an Event that names it")
{
    seen_init(&s);
    add_set(3);
    struct str p = plan();
    ASSERT_INT(count_lines(p, "create Pod default/web-"), 3);
    ASSERT_INT(count_lines(p, "event SuccessfulCreate Created pod: web-"), 3);
    seen_done(&s);
}

TEST("the same input gives the same plan, other randomness other names")
{
    seen_init(&s);
    add_set(2);
    struct str first = plan(), again = plan();
    ASSERT_STR(first, again.p);
    s.random = 7;
    ASSERT(!str_eq(first, plan()));
    seen_done(&s);
}

TEST("a new pod has the template's labels and spec and is owned by the set")
{
    seen_init(&s);
    add_set(1);
    plan();
    struct str json = object_json(s.plan.steps[0].body);
    ASSERT_CONTAINS(json, "\"labels\":{\"app\":\"web\"}");
    ASSERT_CONTAINS(json, "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\","
                          "\"uid\":\"web-uid\",\"controller\":true,\"blockOwnerDeletion\":true}]");
    ASSERT_CONTAINS(json, "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}");
    seen_done(&s);
}

TEST("of too many pods the one that is not ready goes first")
{
    seen_init(&s);
    add_set(2);
    add_pod("web-a", true, 100, "");
    add_pod("web-b", true, -1, "");
    add_pod("web-c", true, 100, "");
    struct str p = plan();
    ASSERT_CONTAINS(p, "delete Pod default/web-b\n");
    ASSERT_INT(count_lines(p, "delete Pod"), 1);
    seen_done(&s);
}

TEST("a lower deletion cost goes before a younger pod")
{
    seen_init(&s);
    add_set(1);
    add_pod("web-a", true, 1000, ",'annotations':{'controller.kubernetes.io/pod-deletion-cost':'-5'}");
    add_pod("web-b", true, 10, "");
    ASSERT_CONTAINS(plan(), "delete Pod default/web-a\n");
    seen_done(&s);
}

TEST("a matching orphan is adopted instead of creating one more")
{
    seen_init(&s);
    add_set(1);
    add_pod("web-a", false, 100, "");
    struct str p = plan();
    ASSERT_CONTAINS(p, "patch Pod default/web-a {\"metadata\":{\"ownerReferences\":[{");
    ASSERT_INT(count_lines(p, "create"), 0);
    seen_done(&s);
}

TEST("pods that end, have ended or belong to others do not count")
{
    seen_init(&s);
    add_set(1);
    add_pod("web-a", true, 100, ",'deletionTimestamp':'2026-11-20T23:59:00Z'");
    ASSERT_INT(count_lines(plan(), "create Pod"), 1);
    seen_done(&s);
}

TEST("the status tells what is ready and available, and is written only when it changed")
{
    seen_init(&s);
    add_set(2);
    add_pod("web-a", true, 100, "");
    add_pod("web-b", true, -1, "");
    ASSERT_STR(plan(),
               "update ReplicaSet/status default/web {\"replicas\":2,\"fullyLabeledReplicas\":2,\"readyReplicas\":1,"
               "\"availableReplicas\":1,\"observedGeneration\":1}\n");
    seen_done(&s);
}

TEST("a pod that just became Ready is available once every node has applied its endpoint")
{
    seen_init(&s);
    add_set(1);
    add_pod("web-a", true, 0, "");
    seen_add(&s, &kind_service, "{'metadata':{'name':'web'},'spec':{'selector':{'app':'web'}}}");
    seen_add(
        &s, &kind_endpointslice,
        "{'metadata':{'name':'web-x','resourceVersion':'50','ownerReferences':[{'apiVersion':'v1','kind':'Service',"
        "'name':'web','uid':'web-uid','controller':true}]},'endpoints':[{'addresses':['10.0.0.1'],"
        "'conditions':{'ready':true},'targetRef':{'kind':'Pod','uid':'web-a-uid'}}]}");
    facts_set_node(&s.facts, STR("n1"), &(struct fact_node){ .connected = true, .applied_endpointslices = 49 });
    ASSERT_CONTAINS(plan(), "\"readyReplicas\":1,\"observedGeneration\":1}");
    ASSERT(s.plan.wake_after_ms > 0);
    facts_set_node(&s.facts, STR("n1"), &(struct fact_node){ .connected = true, .applied_endpointslices = 50 });
    ASSERT_CONTAINS(plan(), "\"availableReplicas\":1");
    seen_done(&s);
}

static void add_node(const char *name, const char *ready)
{
    seen_add(&s, &kind_node, "{'metadata':{'name':'%s'},'status':{'conditions':[{'type':'Ready','status':'%s'}]}}",
             name, ready);
}

TEST("pods of a node that is not heard are not available, and go first")
{
    seen_init(&s);
    add_set(2);
    add_node("n1", "Unknown");
    add_node("n2", "True");
    add_pod("web-a", true, 100, "");
    for (int i = 0; i < 2; i++)
        seen_add(
            &s, &kind_pod,
            "{'metadata':{'name':'web-%c','labels':{'app':'web'},'ownerReferences':[{'apiVersion':'apps/v1','kind':"
            "'ReplicaSet','name':'web','uid':'web-uid','controller':true}]},'spec':{'nodeName':'n2'},'status':{"
            "'phase':'Running','conditions':[{'type':'Ready','status':'True','lastTransitionTime':"
            "'2026-11-20T23:00:00Z'}]}}",
            'b' + i);
    struct str p = plan();
    ASSERT_CONTAINS(p, "\"readyReplicas\":3,\"availableReplicas\":2");
    ASSERT_CONTAINS(p, "delete Pod default/web-a\n");
    seen_done(&s);
}

TEST("applying the plan and planning again comes to rest")
{
    seen_init(&s);
    add_set(3);
    add_pod("web-a", true, 100, "");
    add_pod("web-b", false, 100, "");
    ASSERT_INT(seen_settle(&s, &controller_replicaset, "default", "web"), 3);
    ASSERT_STR(plan(), "");
    add_set(1);
    seen_settle(&s, &controller_replicaset, "default", "web");
    ASSERT_STR(plan(), "");
    seen_done(&s);
}
