/* Nodes: silence, conditions, taints, what taints do to pods, and address ranges. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "seen.h"

#include <stdio.h>

static struct seen s;

#define READY(status)                                                                                                  \
    "'status':{'conditions':[{'type':'Ready','status':'" status                                                        \
    "','reason':'KubeletReady','message':'ready','lastTransitionTime':'2026-11-20T23:00:00Z'}]}"

static void add_node(const char *name)
{
    seen_add(&s, &kind_node, "{'metadata':{'name':'%s'},'spec':{}," READY("True") "}", name);
}

/* A silent node is confirmed here unless a sentence says otherwise. */
static void hear(const char *name, bool silent)
{
    facts_set_node(
        &s.facts, str_of(name),
        &(struct fact_node){ .connected = !silent, .silent = silent, .confirmed = silent, .last_seen_ms = 0 });
}

static void start(int nodes)
{
    seen_init(&s);
    env_sim_advance(&s.env, 60000);
    facts_set_settled(&s.facts, true, 0);
    for (int i = 0; i < nodes; i++) {
        char name[] = { 'n', (char)('1' + i), 0 };
        add_node(name);
        hear(name, false);
    }
}

static struct str plan(const char *name)
{
    return seen_plan(&s, &controller_node, "", name);
}

static struct str taints(const char *name)
{
    const struct object *o = seen_get(&s, &kind_node, STR_NONE, str_of(name));
    struct view_iter it = { 0 };
    struct buf text = BUF_MAX(KIB);

    while (view_next(view_get_str(view_get_str(object_root(o), STR("spec")), STR("taints")), &it))
        buf_addf(&text, "%.*s:%.*s ", STR_ARG(view_str(view_get_str(it.value, STR("key")))),
                 STR_ARG(view_str(view_get_str(it.value, STR("effect")))));
    struct str copy = arena_str(&s.arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

TEST("a node that is heard and well is left alone")
{
    start(3);
    ASSERT_STR(plan("n1"), "");
    seen_done(&s);
}

TEST("a silent node becomes Unknown first, then tainted; coming back takes the taints away")
{
    start(3);
    hear("n1", true);
    struct str p = plan("n1");
    ASSERT_CONTAINS(p, "update Node/status n1");
    ASSERT_CONTAINS(p, "\"type\":\"Ready\",\"status\":\"Unknown\"");
    ASSERT_CONTAINS(p, "event NodeNotReady Node n1 status is now: NodeNotReady\n");
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute ");
    ASSERT_STR(plan("n1"), "");
    hear("n1", false);
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_CONTAINS(taints("n1"), "unreachable"); /* heard again, but what it says of itself is still unknown */
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1'},'spec':{'taints':[{'key':'mine','effect':'NoSchedule'},"
             "{'key':'node.kubernetes.io/unreachable','effect':'NoSchedule'},"
             "{'key':'node.kubernetes.io/unreachable','effect':'NoExecute'}]}," READY("True") "}");
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"), "mine:NoSchedule ");
    seen_done(&s);
}

TEST("a node that lost its connection is not silent before the server says so: an agent may restart")
{
    start(3);
    facts_set_node(&s.facts, STR("n1"), &(struct fact_node){ .connected = false, .silent = false });
    ASSERT_STR(plan("n1"), "");
    seen_done(&s);
}

TEST("before the reconnect window is over nobody is judged; after it, who never came is silent")
{
    start(3);
    add_node("n4");
    facts_set_settled(&s.facts, false, 0);
    ASSERT_STR(plan("n4"), "");
    facts_set_settled(&s.facts, true, 60000);
    ASSERT_CONTAINS(plan("n4"), "\"status\":\"Unknown\"");
    seen_done(&s);
}

TEST("when every node is silent it is the control plane that is cut off: nothing happens")
{
    start(3);
    hear("n1", true), hear("n2", true), hear("n3", true);
    ASSERT_STR(plan("n1"), "");
    ASSERT(s.plan.wake_after_ms > 0);
    seen_done(&s);
}

TEST("nodes that fell silent one after the other until all were: evictions that began are called off")
{
    start(3);
    hear("n1", true);
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_CONTAINS(taints("n1"), "unreachable:NoExecute");
    hear("n2", true), hear("n3", true);
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule ");
    hear("n2", false), hear("n3", false);
    seen_settle(&s, &controller_node, "", "n1"); /* it was n1 alone after all */
    ASSERT_CONTAINS(taints("n1"), "unreachable:NoExecute");
    seen_done(&s);
}

TEST("a silent node looks again by itself, since the fate of the others decides about it")
{
    start(3);
    hear("n1", true);
    plan("n1");
    ASSERT(s.plan.wake_after_ms > 0 && s.plan.wake_after_ms <= 1000);
    seen_done(&s);
}

TEST("at most half of the nodes are evicted for silence; the others are only kept free of new pods")
{
    start(5);
    for (int i = 1; i <= 4; i++) {
        char name[] = { 'n', (char)('0' + i), 0 };
        hear(name, true);
        seen_settle(&s, &controller_node, "", name);
    }
    ASSERT_CONTAINS(taints("n1"), "unreachable:NoExecute");
    ASSERT_CONTAINS(taints("n2"), "unreachable:NoExecute");
    ASSERT_STR(taints("n3"), "node.kubernetes.io/unreachable:NoSchedule ");
    ASSERT_STR(taints("n4"), "node.kubernetes.io/unreachable:NoSchedule ");
    seen_done(&s);
}

TEST("when most nodes are silent nobody is evicted: two silent zones of three are the control plane's own trouble")
{
    seen_init(&s);
    env_sim_advance(&s.env, 60000);
    facts_set_settled(&s.facts, true, 0);
    for (int i = 0; i < 9; i++) {
        char name[] = { 'n', (char)('1' + i), 0 };
        seen_add(&s, &kind_node,
                 "{'metadata':{'name':'%s','labels':{'topology.kubernetes.io/zone':'%c'}},'spec':{}," READY("True") "}",
                 name, 'a' + i % 3);
        hear(name, i % 3 != 0);
    }
    int evicted = 0;
    for (int i = 0; i < 9; i++) {
        char name[] = { 'n', (char)('1' + i), 0 };
        seen_settle(&s, &controller_node, "", name);
        evicted += str_contains(taints(name), STR("NoExecute"));
    }
    ASSERT_INT(evicted, 0);
    ASSERT_CONTAINS(taints("n2"), "unreachable:NoSchedule");
    seen_done(&s);
}

TEST("no more nodes than the largest zone has are evicted for silence")
{
    seen_init(&s);
    env_sim_advance(&s.env, 60000);
    facts_set_settled(&s.facts, true, 0);
    for (int i = 0; i < 9; i++) {
        char name[] = { 'n', (char)('1' + i), 0 };
        seen_add(&s, &kind_node,
                 "{'metadata':{'name':'%s','labels':{'topology.kubernetes.io/zone':'%c'}},'spec':{}," READY("True") "}",
                 name, 'a' + i % 4);
        hear(name, i < 4);
    }
    int evicted = 0;
    for (int i = 0; i < 9; i++) {
        char name[] = { 'n', (char)('1' + i), 0 };
        seen_settle(&s, &controller_node, "", name);
        evicted += str_contains(taints(name), STR("NoExecute"));
    }
    ASSERT_INT(evicted, 3);
    seen_done(&s);
}

TEST("a silent node that other nodes hear leaves the endpoints and gets nothing new, and keeps its pods")
{
    start(3);
    facts_set_node(&s.facts, STR("n1"), &(struct fact_node){ .silent = true });
    ASSERT_CONTAINS(plan("n1"), "\"type\":\"Ready\",\"status\":\"Unknown\"");
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule ");
    hear("n1", true);
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_CONTAINS(taints("n1"), "unreachable:NoExecute");
    facts_set_node(&s.facts, STR("n1"), &(struct fact_node){ .silent = true });
    seen_settle(&s, &controller_node, "", "n1"); /* another way to it was found */
    ASSERT_STR(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule ");
    seen_done(&s);
}

TEST("a confirmed node is given a moment before its pods leave: the others may be falling silent, too")
{
    start(3);
    facts_set_node(&s.facts, STR("n1"),
                   &(struct fact_node){ .silent = true, .confirmed = true, .last_seen_ms = 60000 - 1200 });
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule ");
    ASSERT(s.plan.wake_after_ms > 0 && s.plan.wake_after_ms <= 300);
    env_sim_advance(&s.env, 300);
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_CONTAINS(taints("n1"), "unreachable:NoExecute");
    seen_done(&s);
}

TEST("conditions and cordoning become taints that keep new pods away")
{
    start(2);
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1'},'spec':{'unschedulable':true},'status':{'conditions':["
             "{'type':'Ready','status':'False'},{'type':'DiskPressure','status':'True'}]}}");
    seen_settle(&s, &controller_node, "", "n1");
    ASSERT_STR(taints("n1"),
               "node.kubernetes.io/not-ready:NoSchedule node.kubernetes.io/not-ready:NoExecute "
               "node.kubernetes.io/disk-pressure:NoSchedule node.kubernetes.io/unschedulable:NoSchedule ");
    seen_done(&s);
}

/* --- eviction by taints ------------------------------------------------------------------------------------------------------------ */

/* A node tainted `age_s` ago with a pod on it that has these tolerations. */
static struct str evict(int age_s, const char *tolerations)
{
    char added[TIME_TEXT_SIZE];

    seen_init(&s);
    time_format(SEEN_NOW_MS - age_s * SECOND_MS, added);
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1'},'spec':{'taints':[{'key':'node.kubernetes.io/unreachable','effect':'NoExecute',"
             "'timeAdded':'%s'}]}}",
             added);
    seen_add(&s, &kind_pod, "{'metadata':{'name':'p'},'spec':{'nodeName':'n1','tolerations':[%s]}}", tolerations);
    seen_add(&s, &kind_pod, "{'metadata':{'name':'done'},'spec':{'nodeName':'n1'},'status':{'phase':'Succeeded'}}");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'elsewhere'},'spec':{'nodeName':'n2'}}");
    struct str p = seen_plan(&s, &controller_tainteviction, "", "n1");
    return p;
}

#define UNREACHABLE "'key':'node.kubernetes.io/unreachable','operator':'Exists','effect':'NoExecute'"

TEST("a pod that does not tolerate a NoExecute taint leaves at once, with an Event")
{
    ASSERT_STR(evict(0, ""), "event TaintManagerEviction Marking for deletion Pod default/p\ndelete Pod default/p\n");
    seen_done(&s);
    ASSERT_CONTAINS(evict(0, "{'key':'node.kubernetes.io/unreachable','operator':'Exists','effect':'NoSchedule'}"),
                    "delete Pod default/p\n");
    seen_done(&s);
}

TEST("tolerationSeconds count from when the taint was added")
{
    ASSERT_STR(evict(1, "{" UNREACHABLE ",'tolerationSeconds':2}"), "");
    ASSERT_INT(s.plan.wake_after_ms, 1000);
    seen_done(&s);
    ASSERT_CONTAINS(evict(2, "{" UNREACHABLE ",'tolerationSeconds':2}"), "delete Pod default/p\n");
    seen_done(&s);
}

TEST("a toleration without a limit keeps the pod; of several limits the shortest counts")
{
    ASSERT_STR(evict(3600, "{" UNREACHABLE "}"), "");
    ASSERT_INT(s.plan.wake_after_ms, -1);
    seen_done(&s);
    ASSERT_STR(evict(3600, "{'operator':'Exists'}"), "");
    seen_done(&s);
    ASSERT_CONTAINS(evict(3, "{" UNREACHABLE "},{" UNREACHABLE ",'tolerationSeconds':2}"), "delete Pod default/p\n");
    seen_done(&s);
}

/* --- pods that must be one ------------------------------------------------------------------------------------------------------- */

#define ORDINAL                                                                                                        \
    "'ownerReferences':[{'apiVersion':'apps/v1','kind':'StatefulSet','name':'db','uid':'u','controller':true}]"

static struct str evict_single(const char *taint, const struct fact_node *fact, const char *metadata, const char *spec)
{
    seen_init(&s);
    env_sim_advance(&s.env, 60000);
    facts_set_settled(&s.facts, true, 0);
    facts_set_node(&s.facts, STR("n1"), fact);
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'},'spec':{'taints':[{'key':'%s','effect':'NoExecute'}]}}", taint);
    seen_add(&s, &kind_pod, "{'metadata':{'name':'db-0'%s},'spec':{'nodeName':'n1'%s}}", metadata, spec);
    return seen_plan(&s, &controller_tainteviction, "", "n1");
}

TEST("a pod that must be one is replaced only when its node is fenced, and then without grace")
{
    static const struct fact_node silent = { .silent = true, .confirmed = true },
                                  fenced = { .silent = true, .confirmed = true, .fenced = true },
                                  heard = { .connected = true };
    static const char unreachable[] = "node.kubernetes.io/unreachable";
    static const char force[] = "event NodeGone Deleting Pod default/db-0 at once: node n1 is fenced: it has stopped "
                                "the pod itself\ndelete Pod default/db-0\n";
    static const struct {
        const char *metadata, *spec;
    } singles[] = { { "," ORDINAL, "" },
                    { "", ",'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'c'}}]" },
                    { ",'deletionTimestamp':'2026-11-21T00:00:00Z'," ORDINAL, "" } };

    for (size_t i = 0; i < ARRAY_SIZE(singles); i++) {
        ASSERT_STR(evict_single(unreachable, &silent, singles[i].metadata, singles[i].spec), "");
        seen_done(&s);
        ASSERT_STR(evict_single(unreachable, &heard, singles[i].metadata, singles[i].spec), "");
        seen_done(&s);
        ASSERT_STR(evict_single(unreachable, &fenced, singles[i].metadata, singles[i].spec), force);
        ASSERT_INT(s.plan.steps[1].grace_seconds, 0);
        seen_done(&s);
    }
    ASSERT_CONTAINS(evict_single(unreachable, &silent, "", ""), "delete Pod default/db-0\n"); /* any other pod */
    seen_done(&s);
}

TEST("a node that somebody calls out of service is believed when it is silent, and only then")
{
    static const struct fact_node silent = { .silent = true }, heard = { .connected = true };

    ASSERT_CONTAINS(evict_single("node.kubernetes.io/out-of-service", &silent, "," ORDINAL, ""),
                    "delete Pod default/db-0\n");
    ASSERT_INT(s.plan.steps[1].grace_seconds, 0);
    seen_done(&s);
    ASSERT_CONTAINS(evict_single("node.kubernetes.io/out-of-service", &heard, "," ORDINAL, ""),
                    "delete Pod default/db-0\n");
    ASSERT_INT(s.plan.steps[1].grace_seconds, -1);
    seen_done(&s);
}

TEST("a taint of a person's own ends a pod that must be one in the ordinary way")
{
    static const struct fact_node heard = { .connected = true };

    ASSERT_STR(evict_single("maintenance", &heard, "," ORDINAL, ""),
               "event TaintManagerEviction Marking for deletion Pod default/db-0\ndelete Pod default/db-0\n");
    seen_done(&s);
}

/* --- address ranges ------------------------------------------------------------------------------------------------------------------ */

TEST("each node gets the first /24 of the pod network that is free, and only once")
{
    seen_init(&s);
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'},'spec':{'podCIDR':'10.244.0.0/24'}}");
    seen_add(&s, &kind_node, "{'metadata':{'name':'n3'},'spec':{'podCIDR':'10.244.2.0/24'}}");
    add_node("n2");
    ASSERT_CONTAINS(seen_plan(&s, &controller_nodeipam, "", "n2"),
                    "\"podCIDR\":\"10.244.1.0/24\",\"podCIDRs\":[\"10.244.1.0/24\"]");
    ASSERT_INT(seen_settle(&s, &controller_nodeipam, "", "n2"), 2);
    add_node("n4");
    ASSERT_CONTAINS(seen_plan(&s, &controller_nodeipam, "", "n4"), "\"podCIDR\":\"10.244.3.0/24\"");
    seen_done(&s);
}

TEST("a used up pod network is told by an Event")
{
    seen_init(&s);
    s.config.pod_cidr = "10.9.0.0/23";
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'},'spec':{'podCIDR':'10.9.0.0/24'}}");
    seen_add(&s, &kind_node, "{'metadata':{'name':'n2'},'spec':{'podCIDR':'10.9.1.0/24'}}");
    add_node("n3");
    ASSERT_CONTAINS(seen_plan(&s, &controller_nodeipam, "", "n3"), "event CIDRNotAvailable");
    seen_done(&s);
}

TEST("a node that has just been registered is given time to connect")
{
    start(2);
    seen_add(&s, &kind_node, "{'metadata':{'name':'n9','creationTimestamp':'2026-11-20T23:59:58Z'}," READY("True") "}");
    ASSERT_STR(plan("n9"), "");
    ASSERT_INT(s.plan.wake_after_ms, 3000);
    s.now_ms += 3000;
    ASSERT_CONTAINS(plan("n9"), "\"status\":\"Unknown\"");
    seen_done(&s);
}
