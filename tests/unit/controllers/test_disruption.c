/* Disruption budgets: the numbers eviction goes by. */
#include "controllers/controllers.h"
#include "kinds/fields.h"
#include "seen.h"

#include <stdio.h>

static struct seen s;

static void begin(const char *limit, int replicas)
{
    seen_init(&s);
    seen_add(&s, &kind_poddisruptionbudget,
             "{'metadata':{'name':'web','generation':1},'spec':{%s,'selector':{'matchLabels':{'app':'web'}}}}", limit);
    seen_add(&s, &kind_replicaset, "{'metadata':{'name':'set'},'spec':{'replicas':%d}}", replicas);
}

static void add_pods(int ready, int not_ready)
{
    for (int i = 0; i < ready + not_ready; i++)
        seen_add(&s, &kind_pod,
                 "{'metadata':{'name':'p%d','labels':{'app':'web'},'ownerReferences':[{'apiVersion':'apps/v1','kind':"
                 "'ReplicaSet','name':'set','uid':'set-uid','controller':true}]},'status':{'phase':'Running',"
                 "'conditions':[{'type':'Ready','status':'%s'}]}}",
                 i, i < ready ? "True" : "False");
}

/* "expected desired healthy allowed" as the status tells after the pass. */
static const char *numbers(void)
{
    static char text[64];

    seen_settle(&s, &controller_disruption, "default", "web");
    struct view status = view_get(object_root(seen_get(&s, &kind_poddisruptionbudget, STR("default"), STR("web"))),
                                  F_POD_DISRUPTION_BUDGET_STATUS);
    snprintf(text, sizeof(text), "%d %d %d %d",
             (int)view_int_at(status, -1, F_POD_DISRUPTION_BUDGET_STATUS_EXPECTED_PODS),
             (int)view_int_at(status, -1, F_POD_DISRUPTION_BUDGET_STATUS_DESIRED_HEALTHY),
             (int)view_int_at(status, -1, F_POD_DISRUPTION_BUDGET_STATUS_CURRENT_HEALTHY),
             (int)view_int_at(status, -1, F_POD_DISRUPTION_BUDGET_STATUS_DISRUPTIONS_ALLOWED));
    return text;
}

TEST("minAvailable as a number counts the pods there are")
{
    begin("'minAvailable':2", 3);
    add_pods(3, 0);
    ASSERT_STR(numbers(), "3 2 3 1");
    add_pods(2, 1);
    ASSERT_STR(numbers(), "3 2 2 0");
    seen_done(&s);
}

TEST("maxUnavailable and percents count the pods there should be, rounded up")
{
    begin("'maxUnavailable':1", 4);
    add_pods(4, 0);
    ASSERT_STR(numbers(), "4 3 4 1");
    seen_done(&s);
    begin("'maxUnavailable':'30%'", 10);
    add_pods(8, 0); /* two are missing altogether */
    ASSERT_STR(numbers(), "10 7 8 1");
    seen_done(&s);
    begin("'minAvailable':'50%'", 5);
    add_pods(5, 0);
    ASSERT_STR(numbers(), "5 3 5 2");
    seen_done(&s);
}

TEST("a budget over no pods allows nothing, one over pods of nobody counts them as they are")
{
    begin("'minAvailable':1", 1);
    ASSERT_STR(numbers(), "0 1 0 0");
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'bare','labels':{'app':'web'}},'status':{'phase':'Running','conditions':[{'type':"
             "'Ready','status':'True'}]}}");
    ASSERT_STR(numbers(), "1 1 1 0");
    seen_done(&s);
}

TEST("a pod that was just let go does not count as healthy, for two minutes at most")
{
    begin("'minAvailable':1", 2);
    add_pods(2, 0);
    seen_add(
        &s, &kind_poddisruptionbudget,
        "{'metadata':{'name':'web','generation':1},'spec':{'minAvailable':1,'selector':{'matchLabels':{'app':'web'}}},"
        "'status':{'disruptedPods':{'p0':'2026-11-21T00:00:00Z'}}}");
    ASSERT_STR(numbers(), "2 1 1 0");
    s.now_ms += 121 * 1000;
    ASSERT_STR(numbers(), "2 1 2 1");
    ASSERT(!str_contains(object_json(seen_get(&s, &kind_poddisruptionbudget, STR("default"), STR("web"))),
                         STR("disruptedPods")));
    seen_done(&s);
}

TEST("pods that end or have ended are not healthy")
{
    begin("'minAvailable':1", 2);
    add_pods(2, 0);
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p1','labels':{'app':'web'},'deletionTimestamp':'2026-11-20T23:59:00Z'},'status':{"
             "'conditions':[{'type':'Ready','status':'True'}]}}");
    ASSERT_STR(numbers(), "2 1 1 0");
    seen_done(&s);
}

TEST("a budget whose pods have no scale says that it failed, and allows nothing")
{
    begin("'maxUnavailable':1", 2);
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p','labels':{'app':'web'},'ownerReferences':[{'apiVersion':'example.com/v1','kind':"
             "'Thing','name':'t','uid':'t','controller':true}]},'status':{'conditions':[{'type':'Ready','status':'True'"
             "}]}}");
    numbers();
    struct str json = object_json(seen_get(&s, &kind_poddisruptionbudget, STR("default"), STR("web")));
    ASSERT_CONTAINS(json, "\"disruptionsAllowed\":0");
    ASSERT_CONTAINS(json, "\"reason\":\"SyncFailed\"");
    ASSERT_CONTAINS(json, "found no controllers for pod \\\"p\\\"");
    seen_done(&s);
}

TEST("a pod of a node that is not heard is nothing to count on")
{
    begin("'minAvailable':1", 2);
    add_pods(2, 0);
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1'},'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}");
    seen_add(
        &s, &kind_pod,
        "{'metadata':{'name':'p1','labels':{'app':'web'}},'spec':{'nodeName':'n1'},'status':{'conditions':[{'type':"
        "'Ready','status':'True'}]}}");
    ASSERT_STR(numbers(), "2 1 1 0");
    seen_done(&s);
}
