/* One decision of the scheduler: every plugin, and the sentence that says why a pod fits nowhere. */
#include "fixture.h"

#include <stdio.h>

static struct place p;

/* Three empty nodes, one a zone. */
static void three(void)
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "");
    place_node(&p, "n3", "c", "");
}

#define WANTS(cpu, memory)                                                                                             \
    "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','resources':{'requests':{'cpu':'" cpu                  \
    "','memory':'" memory "'}}}]}}"
#define PLAIN      "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c'}]}}"
#define WITH(spec) "{'metadata':{'name':'p','labels':{'app':'web'}},'spec':{'containers':[{'name':'c'}]," spec "}}"

/* --- why not -------------------------------------------------------------------------------------------------------- */

TEST("a pod that fits nowhere says how many nodes lack what, in order")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "'taints':[{'key':'node.kubernetes.io/unreachable','effect':'NoSchedule'}]");
    place_node(&p, "n3", "c", "'taints':[{'key':'node.kubernetes.io/unreachable','effect':'NoSchedule'}]");
    ASSERT_STR(place(&p, WANTS("5", "1Gi")), "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated "
                                             "taint {node.kubernetes.io/unreachable: }.");
    place_done(&p);
}

TEST("a node that lacks two things tells both")
{
    three();
    ASSERT_STR(place(&p, WANTS("5", "9Gi")), "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory.");
    place_done(&p);
}

TEST("without nodes it says so")
{
    place_init(&p);
    ASSERT_STR(place(&p, PLAIN), "no nodes available to schedule pods");
    place_done(&p);
}

/* --- resources -------------------------------------------------------------------------------------------------------- */

TEST("what running pods requested is gone, to the last millicore")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_pod(&p, "n1", WANTS("1500m", "1Gi"));
    place_pod(&p, "n1", WANTS("1500m", "1Gi"));
    ASSERT_STR(place(&p, WANTS("1", "1Gi")), "n1");
    ASSERT_STR(place(&p, WANTS("1001m", "1Gi")), "0/1 nodes are available: 1 Insufficient cpu.");
    ASSERT_STR(place(&p, WANTS("1", "6Gi")), "n1");
    ASSERT_STR(place(&p, WANTS("1", "6145Mi")), "0/1 nodes are available: 1 Insufficient memory.");
    place_done(&p);
}

TEST("a pod that is gone gives back what it had")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_pod(&p, "n1", WANTS("4", "1Gi"));
    ASSERT_STR(place(&p, WANTS("1", "1Gi")), "0/1 nodes are available: 1 Insufficient cpu.");
    scheduler_view_remove_pod(&p.view, STR("bound-0"));
    ASSERT_STR(place(&p, WANTS("4", "1Gi")), "n1");
    place_done(&p);
}

TEST("a node takes no more pods than it has room for")
{
    place_init(&p);
    place_node_json(&p, "{'metadata':{'name':'n1'},'status':{'allocatable':{'cpu':'4','memory':'8Gi','pods':'1'}}}");
    place_pod(&p, "n1", PLAIN);
    ASSERT_STR(place(&p, PLAIN), "0/1 nodes are available: 1 Too many pods.");
    place_done(&p);
}

#define REQUEST(cpu) "'resources':{'requests':{'cpu':'" cpu "'}}"

/* Does this pod fit with exactly so many millicores, and not with one less? */
static void needs(const char *spec, int milli_cpu)
{
    AUTO_FREE char *pod = xasprintf("{'metadata':{'name':'p'},'spec':{%s}}", spec);

    for (int less = 0; less <= 1; less++) {
        AUTO_FREE char *node =
            xasprintf("{'metadata':{'name':'n1'},'status':{'allocatable':{'cpu':'%dm','memory':'1Gi',"
                      "'pods':'9'}}}",
                      milli_cpu - less);
        place_init(&p);
        place_node_json(&p, node);
        ASSERT_STR(place(&p, pod), less ? "0/1 nodes are available: 1 Insufficient cpu." : "n1");
        place_done(&p);
    }
}

TEST("containers run together, init containers one at a time before them")
{
    needs("'containers':[{" REQUEST("100m") "},{" REQUEST("200m") "}]", 300);
    needs("'containers':[{" REQUEST("100m") "}],'initContainers':[{" REQUEST("500m") "},{" REQUEST("400m") "}]", 500);
    needs("'containers':[{" REQUEST("600m") "}],'initContainers':[{" REQUEST("500m") "}]", 600);
}

TEST("a sidecar runs beside the containers and beside the init containers after it, not those before")
{
    needs("'containers':[{" REQUEST("300m") "}],'initContainers':[{'restartPolicy':'Always'," REQUEST("100m") "}]",
          400);
    needs("'containers':[{" REQUEST("300m") "}],'initContainers':[{'restartPolicy':'Always'," REQUEST(
              "100m") "},{" REQUEST("500m") "}]",
          600);
    needs("'containers':[{" REQUEST("300m") "}],'initContainers':[{" REQUEST(
              "500m") "},{'restartPolicy':'Always'," REQUEST("100m") "}]",
          500);
}

TEST("overhead counts on top")
{
    needs("'containers':[{" REQUEST("300m") "}],'overhead':{'cpu':'50m'}", 350);
}

TEST("extended resources count by name")
{
    place_init(&p);
    place_node_json(&p, "{'metadata':{'name':'n1'},'status':{'allocatable':{'cpu':'4','memory':'8Gi','pods':'9',"
                        "'example.com/gpu':'1'}}}");
    static const char wants[] = "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','resources':{'requests':{"
                                "'example.com/gpu':'1'}}}]}}";
    ASSERT_STR(place(&p, wants), "n1");
    place_pod(&p, "n1", wants);
    ASSERT_STR(place(&p, wants), "0/1 nodes are available: 1 Insufficient example.com/gpu.");
    place_done(&p);
}

TEST("of nodes that have room the emptier one is taken")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "a", "");
    place_pod(&p, "n1", WANTS("2", "4Gi"));
    for (uint64_t random = 0; random < 4; random++)
        ASSERT_STR(place_random(&p, WANTS("1", "1Gi"), random), "n2");
    place_done(&p);
}

/* --- which nodes ------------------------------------------------------------------------------------------------------ */

TEST("a cordoned node takes nobody who does not tolerate it")
{
    place_init(&p);
    place_node(&p, "n1", "a", "'unschedulable':true");
    ASSERT_STR(place(&p, PLAIN), "0/1 nodes are available: 1 node(s) were unschedulable.");
    ASSERT_STR(place(&p, WITH("'tolerations':[{'key':'node.kubernetes.io/unschedulable','operator':'Exists'}]")), "n1");
    place_done(&p);
}

TEST("taints keep away who does not tolerate their key, value and effect")
{
    place_init(&p);
    place_node(&p, "n1", "a", "'taints':[{'key':'team','value':'x','effect':'NoSchedule'}]");
    ASSERT_STR(place(&p, PLAIN), "0/1 nodes are available: 1 node(s) had untolerated taint {team: x}.");
    ASSERT_STR(place(&p, WITH("'tolerations':[{'key':'team','value':'x'}]")), "n1");
    ASSERT_STR(place(&p, WITH("'tolerations':[{'key':'team','operator':'Exists','effect':'NoSchedule'}]")), "n1");
    ASSERT_STR(place(&p, WITH("'tolerations':[{'operator':'Exists'}]")), "n1");
    ASSERT_CONTAINS(place(&p, WITH("'tolerations':[{'key':'team','value':'y'}]")), "untolerated");
    ASSERT_CONTAINS(place(&p, WITH("'tolerations':[{'key':'team','operator':'Exists','effect':'NoExecute'}]")),
                    "untolerated");
    place_done(&p);
}

TEST("PreferNoSchedule only costs")
{
    place_init(&p);
    place_node(&p, "n1", "a", "'taints':[{'key':'x','effect':'PreferNoSchedule'}]");
    ASSERT_STR(place(&p, PLAIN), "n1");
    place_node(&p, "n2", "a", "");
    for (uint64_t random = 0; random < 4; random++)
        ASSERT_STR(place_random(&p, PLAIN, random), "n2");
    place_done(&p);
}

#define REQUIRED "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':["

TEST("node selector and required node affinity")
{
    three();
    ASSERT_STR(place(&p, WITH("'nodeSelector':{'topology.kubernetes.io/zone':'b'}")), "n2");
    ASSERT_STR(place(&p, WITH("'nodeSelector':{'topology.kubernetes.io/zone':'d'}")),
               "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.");
    ASSERT_STR(place(&p, WITH(REQUIRED "{'matchExpressions':[{'key':'topology.kubernetes.io/zone','operator':'NotIn',"
                                       "'values':['a','b']}]}]}}}")),
               "n3");
    ASSERT_STR(
        place(&p, WITH(REQUIRED "{'matchFields':[{'key':'metadata.name','operator':'In','values':['n1']}]}]}}}")),
        "n1");
    place_done(&p);
}

TEST("preferred node affinity decides between nodes that are otherwise equal")
{
    three();
    for (uint64_t random = 0; random < 6; random++)
        ASSERT_STR(place_random(&p,
                                WITH("'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{"
                                     "'weight':10,'preference':{'matchExpressions':[{'key':'kubernetes.io/hostname',"
                                     "'operator':'In','values':['n3']}]}}]}}"),
                                random),
                   "n3");
    place_done(&p);
}

#define PORT(number, more)                                                                                             \
    "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','ports':[{'hostPort':" number more "}]}]}}"

TEST("a host port is given once a node, protocol and address")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_pod(&p, "n1", PORT("80", ""));
    ASSERT_STR(place(&p, PORT("80", "")),
               "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
    ASSERT_STR(place(&p, PORT("81", "")), "n1");
    ASSERT_STR(place(&p, PORT("80", ",'protocol':'UDP'")), "n1");
    ASSERT_CONTAINS(place(&p, PORT("80", ",'hostIP':'10.0.0.1'")), "free ports"); /* the other took all addresses */
    place_pod(&p, "n1", PORT("90", ",'hostIP':'10.0.0.1'"));
    ASSERT_STR(place(&p, PORT("90", ",'hostIP':'10.0.0.2'")), "n1");
    ASSERT_CONTAINS(place(&p, PORT("90", ",'hostIP':'10.0.0.1'")), "free ports");
    place_done(&p);
}

/* --- spreading -------------------------------------------------------------------------------------------------------- */

#define OWNED                                                                                                          \
    "{'metadata':{'name':'p','namespace':'default','labels':{'app':'web'},'ownerReferences':[{'uid':'set','"           \
    "controller':"                                                                                                     \
    "true}]},'spec':{'containers':[{'name':'c'}]}}"

TEST("pods of one set are spread over zones first, then over nodes, whatever the numbers")
{
    int zones[3] = { 0 }, nodes[6] = { 0 };

    place_init(&p);
    for (int i = 0; i < 6; i++) {
        char name[] = { 'n', (char)('0' + i), 0 }, zone[] = { (char)('a' + i % 3), 0 };
        place_node(&p, name, zone, "");
    }
    place_pod(&p, "n0", WANTS("3", "6Gi")); /* a stranger that fills n0 */
    for (int i = 0; i < 60; i++) {
        const char *where = place_random(&p, OWNED, test_seed() + (uint64_t)i);
        ASSERT_INT(where[0], 'n');
        place_pod(&p, where, OWNED);
        nodes[where[1] - '0']++;
        zones[(where[1] - '0') % 3]++;
        for (int z = 0; z < 3; z++)
            ASSERT(zones[z] <= i / 3 + 1);
    }
    for (int z = 0; z < 3; z++)
        ASSERT_INT(zones[z], 20);
    for (int n = 0; n < 6; n++)
        ASSERT(nodes[n] >= 8 && nodes[n] <= 12); /* an emptier node may weigh against one pod more */
    place_done(&p);
}

TEST("pods that are ending do not count where the next one goes")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "");
    place_pod(&p, "n1", OWNED);
    place_pod(&p, "n2",
              "{'metadata':{'name':'x','deletionTimestamp':'2026-11-21T00:00:00Z','ownerReferences':[{'uid':'set',"
              "'controller':true}]},'spec':{'containers':[{'name':'c'}]}}");
    for (uint64_t random = 0; random < 4; random++)
        ASSERT_STR(place_random(&p, OWNED, random), "n2");
    place_done(&p);
}

#define SPREAD(key, skew, when)                                                                                        \
    "'topologySpreadConstraints':[{'maxSkew':" skew ",'topologyKey':'" key "','whenUnsatisfiable':'" when              \
    "','labelSelector':{'matchLabels':{'app':'web'}}}]"
#define RUNNING "{'metadata':{'name':'x','labels':{'app':'web'}},'spec':{'containers':[{'name':'c'}]}}"

TEST("a hard spread constraint is kept, a soft one preferred")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "'unschedulable':true");
    place_pod(&p, "n1", RUNNING);
    ASSERT_STR(place(&p, WITH(SPREAD("topology.kubernetes.io/zone", "1", "DoNotSchedule"))),
               "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were "
               "unschedulable.");
    ASSERT_STR(place(&p, WITH(SPREAD("topology.kubernetes.io/zone", "2", "DoNotSchedule"))), "n1");
    ASSERT_STR(place(&p, WITH(SPREAD("topology.kubernetes.io/zone", "1", "ScheduleAnyway"))), "n1");
    place_node(&p, "n3", "c", "");
    for (uint64_t random = 0; random < 4; random++)
        ASSERT_STR(place_random(&p, WITH(SPREAD("topology.kubernetes.io/zone", "1", "ScheduleAnyway")), random), "n3");
    place_done(&p);
}

TEST("a node without the label of a hard constraint is no place; nodes the pod cannot use do not count as empty")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "");
    place_pod(&p, "n1", RUNNING);
    ASSERT_CONTAINS(place(&p, WITH(SPREAD("rack", "1", "DoNotSchedule"))), "(missing required label)");
    ASSERT_STR(place(&p, WITH("'nodeSelector':{'topology.kubernetes.io/zone':'a'}," SPREAD(
                             "topology.kubernetes.io/zone", "1", "DoNotSchedule"))),
               "n1");
    place_done(&p);
}

/* --- near and away ---------------------------------------------------------------------------------------------------- */

#define TERM(key) "{'topologyKey':'" key "','labelSelector':{'matchLabels':{'app':'web'}}}"
#define NEAR(key) "'affinity':{'podAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[" TERM(key) "]}}"
#define AWAY(key) "'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[" TERM(key) "]}}"
#define ZONE      "topology.kubernetes.io/zone"
#define HOST      "kubernetes.io/hostname"

TEST("a pod goes near those it wants to be with, and the first of its kind goes anywhere")
{
    three();
    ASSERT(strlen(place(&p, WITH(NEAR(ZONE)))) == 2); /* it matches its own term */
    ASSERT_STR(place(&p, "{'metadata':{'name':'p','labels':{'app':'other'}},'spec':{'containers':[{'name':'c'}]," NEAR(
                             ZONE) "}}"),
               "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.");
    place_pod(&p, "n2", RUNNING);
    place_node(&p, "n4", "b", "'unschedulable':true");
    for (uint64_t random = 0; random < 4; random++)
        ASSERT_STR(place_random(&p, WITH(NEAR(ZONE)), random), "n2");
    place_done(&p);
}

TEST("a pod keeps away from those it does not want, and they from it")
{
    three();
    place_pod(&p, "n1", RUNNING);
    place_pod(&p, "n2", RUNNING);
    ASSERT_STR(place(&p, WITH(AWAY(HOST))), "n3");
    place_pod(&p, "n3", WITH(AWAY(HOST)));
    ASSERT_STR(place(&p, WITH(AWAY(HOST))), "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.");
    scheduler_view_remove_pod(&p.view, STR("bound-0"));
    scheduler_view_remove_pod(&p.view, STR("bound-1"));
    place_node(&p, "n1", "a", "'unschedulable':true");
    place_node(&p, "n2", "b", "'unschedulable':true");
    /* This one has nothing against anybody, but the one on n3 has something against it. */
    ASSERT_CONTAINS(place(&p, RUNNING), "1 node(s) didn't satisfy existing pods anti-affinity rules");
    ASSERT_STR(place(&p, PLAIN), "n3");
    place_done(&p);
}

TEST("terms look at the pod's own namespace unless they say otherwise")
{
    three();
    place_pod(&p, "n1", "{'metadata':{'name':'x','namespace':'other','labels':{'app':'web'}},'spec':{}}");
    place_node(&p, "n2", "b", "'unschedulable':true");
    place_node(&p, "n3", "c", "'unschedulable':true");
    ASSERT_STR(place(&p, WITH(AWAY(HOST))), "n1");
    ASSERT_CONTAINS(place(&p, WITH("'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{"
                                   "'topologyKey':'" HOST "','namespaces':['other'],'labelSelector':{'matchLabels':{"
                                   "'app':'web'}}}]}}")),
                    "didn't match pod anti-affinity rules");
    place_done(&p);
}

TEST("preferred affinity pulls, preferred anti-affinity pushes")
{
    three();
    place_pod(&p, "n2", RUNNING);
    for (uint64_t random = 0; random < 6; random++) {
        ASSERT_STR(place_random(&p,
                                WITH("'affinity':{'podAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{"
                                     "'weight':100,'podAffinityTerm':" TERM(HOST) "}]}}"),
                                random),
                   "n2");
        ASSERT(strcmp(place_random(&p,
                                   WITH("'affinity':{'podAntiAffinity':{'preferredDuringSchedulingIgnoredDuring"
                                        "Execution':[{'weight':100,'podAffinityTerm':" TERM(HOST) "}]}}"),
                                   random),
                      "n2"));
    }
    place_done(&p);
}

/* --- the decision as a whole -------------------------------------------------------------------------------------------- */

TEST("equal nodes are chosen by chance, and every one can be")
{
    int seen[3] = { 0 };

    three();
    for (uint64_t random = 0; random < 30; random++)
        seen[place_random(&p, PLAIN, random)[1] - '1']++;
    ASSERT(seen[0] && seen[1] && seen[2]);
    place_done(&p);
}

TEST("a node that is gone takes nobody; its pods count again when it is back")
{
    three();
    place_pod(&p, "n1", WANTS("4", "1Gi"));
    scheduler_view_remove_node(&p.view, STR("n1"));
    ASSERT_STR(place(&p, WITH("'nodeSelector':{'topology.kubernetes.io/zone':'a'}")),
               "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
    place_node(&p, "n1", "a", "");
    ASSERT_CONTAINS(place(&p, "{'metadata':{'name':'p'},'spec':{'nodeSelector':{'topology.kubernetes.io/zone':'a'},"
                              "'containers':[{'resources':{'requests':{'cpu':'1'}}}]}}"),
                    "1 Insufficient cpu");
    place_done(&p);
}
