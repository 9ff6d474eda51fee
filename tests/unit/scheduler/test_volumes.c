/* Where pods with claims go, and what they are told when they go nowhere. */
#include "fixture.h"

#include "kinds/kinds.h"

static struct place p;

static void three(void)
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "");
    place_node(&p, "n3", "c", "");
}

#define POD                                                                                                            \
    "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c'}],'volumes':[{'name':'v','persistentVolumeClaim':"     \
    "{'claimName':'data'}}]}}"
#define CLAIM(metadata, spec)                                                                                          \
    "{'metadata':{'name':'data'" metadata "},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':"         \
    "{'storage':'1Gi'}}" spec "}}"
#define ON(node)                                                                                                       \
    "'nodeAffinity':{'required':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'kubernetes.io/hostname',"           \
    "'operator':'In','values':['" node "']}]}]}}"
#define BOUND ",'annotations':{'pv.kubernetes.io/bind-completed':'yes'}"

static void add_class(const char *provisioner, const char *mode)
{
    AUTO_FREE char *json =
        xasprintf("{'metadata':{'name':'c'},'provisioner':'%s','volumeBindingMode':'%s'}", provisioner, mode);

    place_storage(&p, &kind_storageclass, json);
}

TEST("a pod whose claim is absent, going or bound to nothing says so")
{
    three();
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: persistentvolumeclaim \"data\" not found.");
    place_done(&p);
    three();
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM(",'deletionTimestamp':'2026-11-20T23:59:00Z'", ""));
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: persistentvolumeclaim \"data\" is being deleted.");
    place_done(&p);
    three();
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM(BOUND, ",'volumeName':'v'"));
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: persistentvolumeclaim \"data\" bound to non-existent "
                               "persistentvolume \"v\".");
    place_done(&p);
}

TEST("an unbound claim that waits for nobody keeps its pod waiting")
{
    three();
    add_class("klein.dev/local-folder", "Immediate");
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM("", ",'storageClassName':'c'"));
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    place_done(&p);
}

TEST("a bound claim decides the node")
{
    three();
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM(BOUND, ",'volumeName':'v'"));
    place_storage(&p, &kind_persistentvolume, "{'metadata':{'name':'v'},'spec':{" ON("n2") "}}");
    ASSERT_STR(place(&p, POD), "n2");
    place_done(&p);
    three();
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM(BOUND, ",'volumeName':'v'"));
    place_storage(&p, &kind_persistentvolume, "{'metadata':{'name':'v'},'spec':{" ON("n9") "}}");
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity.");
    place_done(&p);
}

TEST("a claim whose volume is made anywhere restricts nothing, until its node is chosen")
{
    place_init(&p);
    place_node(&p, "n1", "a", "");
    place_node(&p, "n2", "b", "'unschedulable':true");
    add_class("klein.dev/local-folder", "WaitForFirstConsumer");
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM("", ",'storageClassName':'c'"));
    ASSERT_STR(place(&p, POD), "n1");
    place_done(&p);
    three();
    add_class("klein.dev/local-folder", "WaitForFirstConsumer");
    place_storage(&p, &kind_persistentvolumeclaim,
                  CLAIM(",'annotations':{'volume.kubernetes.io/selected-node':'n3'}", ",'storageClassName':'c'"));
    ASSERT_STR(place(&p, POD), "n3");
    place_done(&p);
}

TEST("without a provisioner the pod goes where a free volume fits")
{
    three();
    add_class("kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    place_storage(&p, &kind_persistentvolumeclaim, CLAIM("", ",'storageClassName':'c'"));
    ASSERT_STR(place(&p, POD), "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.");
    place_storage(&p, &kind_persistentvolume,
                  "{'metadata':{'name':'small'},'spec':{'storageClassName':'c','accessModes':['ReadWriteOnce'],"
                  "'capacity':{'storage':'1Mi'}," ON("n1") "}}");
    place_storage(&p, &kind_persistentvolume,
                  "{'metadata':{'name':'taken'},'spec':{'storageClassName':'c','accessModes':['ReadWriteOnce'],"
                  "'capacity':{'storage':'1Gi'},'claimRef':{'name':'x'}," ON("n3") "}}");
    place_storage(&p, &kind_persistentvolume,
                  "{'metadata':{'name':'fits'},'spec':{'storageClassName':'c','accessModes':['ReadWriteOnce'],"
                  "'capacity':{'storage':'1Gi'}," ON("n2") "}}");
    ASSERT_STR(place(&p, POD), "n2");
    place_done(&p);
}

TEST("a claim for one pod alone keeps a second one waiting, on every node")
{
    three();
    place_storage(&p, &kind_persistentvolumeclaim,
                  "{'metadata':{'name':'data'" BOUND "},'spec':{'accessModes':['ReadWriteOncePod'],'volumeName':'v'}}");
    place_storage(&p, &kind_persistentvolume, "{'metadata':{'name':'v'},'spec':{}}");
    place_pod(&p, "n1", POD);
    ASSERT_STR(place(&p, POD),
               "0/3 nodes are available: node has pod using PersistentVolumeClaim with the same name and "
               "ReadWriteOncePod access mode.");
    place_done(&p);
}
