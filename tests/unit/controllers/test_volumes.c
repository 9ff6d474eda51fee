/* How claims and volumes find each other, and what becomes of a volume without its claim. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "seen.h"

static struct seen s;

static void add_class(const char *name, const char *provisioner, const char *mode)
{
    seen_add(&s, &kind_storageclass,
             "{'metadata':{'name':'%s'},'provisioner':'%s','reclaimPolicy':'Delete','volumeBindingMode':'%s'}", name,
             provisioner, mode);
}

static void add_local(void)
{
    add_class("klein-local", "klein.dev/local-folder", "WaitForFirstConsumer");
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1','labels':{'kubernetes.io/hostname':'host1'}}}");
}

/* more: further members of metadata; spec: of spec; each with a leading comma. */
static void add_claim(const char *class, const char *size, const char *more, const char *spec)
{
    seen_add(&s, &kind_persistentvolumeclaim,
             "{'metadata':{'name':'data','finalizers':['kubernetes.io/pvc-protection']%s},'spec':{'accessModes':"
             "['ReadWriteOnce'],'storageClassName':'%s','volumeMode':'Filesystem','resources':{'requests':{'storage':"
             "'%s'}}%s},'status':{'phase':'Pending'}}",
             more, class, size, spec);
}

static void add_volume(const char *name, const char *size, const char *metadata, const char *spec)
{
    seen_add(&s, &kind_persistentvolume,
             "{'metadata':{'name':'%s','finalizers':['kubernetes.io/pv-protection']%s},'spec':{'capacity':{'storage':"
             "'%s'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':'/x'},'volumeMode':'Filesystem',"
             "'persistentVolumeReclaimPolicy':'Delete'%s},'status':{'phase':'Available'}}",
             name, metadata, size, spec);
}

static struct str plan_claim(void)
{
    return seen_plan(&s, &controller_persistentvolumeclaim, "default", "data");
}

static struct str plan_volume(const char *name)
{
    return seen_plan(&s, &controller_persistentvolume, "", name);
}

static struct str claim_field(const char *part, const char *name)
{
    const struct object *o = seen_get(&s, &kind_persistentvolumeclaim, STR("default"), STR("data"));

    return view_str(view_get_str(view_get_str(object_root(o), str_of(part)), str_of(name)));
}

TEST("a claim waits for its first consumer, then gets a volume on the node the scheduler chose")
{
    seen_init(&s);
    add_local();
    add_claim("klein-local", "1Gi", "", "");
    ASSERT_STR(plan_claim(), "event WaitForFirstConsumer waiting for first consumer to be created before binding\n");
    add_claim("klein-local", "1Gi", ",'annotations':{'volume.kubernetes.io/selected-node':'n1'}", "");
    seen_settle(&s, &controller_persistentvolumeclaim, "default", "data");
    ASSERT_STR(claim_field("spec", "volumeName"), "pvc-data-uid");
    ASSERT_STR(claim_field("status", "phase"), "Bound");
    struct str json = object_json(seen_get(&s, &kind_persistentvolume, STR_NONE, STR("pvc-data-uid")));
    ASSERT_CONTAINS(json, "\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":"
                          "\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[\"host1\"]}]}]}}");
    ASSERT_CONTAINS(json, "\"klein.dev/node\":\"n1\"");
    ASSERT_CONTAINS(json, "\"klein.dev/local-folder\"");
    ASSERT_CONTAINS(json, "\"local\":{\"path\":\"pvc-data-uid\"}");
    ASSERT_STR(plan_claim(), "");
    ASSERT_CONTAINS(plan_volume("pvc-data-uid"), "update PersistentVolume/status");
    seen_settle(&s, &controller_persistentvolume, "", "pvc-data-uid");
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_persistentvolume, STR_NONE, STR("pvc-data-uid"))),
                    "\"phase\":\"Bound\"");
    seen_done(&s);
}

TEST("what a folder of one node cannot be is refused with a reason")
{
    seen_init(&s);
    add_local();
    seen_add(&s, &kind_persistentvolumeclaim,
             "{'metadata':{'name':'data','annotations':{'volume.kubernetes.io/selected-node':'n1'}},'spec':{"
             "'accessModes':['ReadWriteMany'],'storageClassName':'klein-local','resources':{'requests':{'storage':"
             "'1Gi'}}}}");
    ASSERT_CONTAINS(plan_claim(),
                    "event ProvisioningFailed failed to provision volume with StorageClass \"klein-local\": its "
                    "volumes are folders of one node: ask for ReadWriteOnce or ReadWriteOncePod");
    seen_done(&s);
}

TEST("a node that is gone is taken back, when it is certain")
{
    seen_init(&s);
    add_local();
    add_claim("klein-local", "1Gi", ",'annotations':{'volume.kubernetes.io/selected-node':'n9'}", "");
    ASSERT_CONTAINS(plan_claim(), "read Node n9");
    seen_apply(&s);
    ASSERT_CONTAINS(plan_claim(), "{\"metadata\":{\"annotations\":{\"volume.kubernetes.io/selected-node\":null}");
    seen_done(&s);
}

TEST("of the volumes made by hand the smallest that fits is bound")
{
    seen_init(&s);
    add_volume("small", "1Gi", "", ",'storageClassName':'hand'");
    add_volume("large", "9Gi", "", ",'storageClassName':'hand'");
    add_volume("right", "5Gi", "", ",'storageClassName':'hand'");
    add_volume("foreign", "5Gi", "", ",'storageClassName':'else'");
    add_volume("another", "5Gi", "", ",'storageClassName':'hand','claimRef':{'namespace':'x','name':'y','uid':'z'}");
    add_claim("hand", "4Gi", "", "");
    seen_settle(&s, &controller_persistentvolumeclaim, "default", "data");
    ASSERT_STR(claim_field("spec", "volumeName"), "right");
    ASSERT_STR(claim_field("status", "phase"), "Bound");
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_persistentvolume, STR_NONE, STR("right"))),
                    "\"claimRef\":{\"kind\":\"PersistentVolumeClaim\",\"apiVersion\":\"v1\",\"namespace\":\"default\","
                    "\"name\":\"data\",\"uid\":\"data-uid\"}");
    seen_done(&s);
}

TEST("a selector, access modes and the class must fit")
{
    seen_init(&s);
    add_volume("v", "5Gi", ",'labels':{'disk':'slow'}", ",'storageClassName':'hand'");
    add_claim("hand", "4Gi", "", ",'selector':{'matchLabels':{'disk':'fast'}}");
    ASSERT_CONTAINS(plan_claim(), "event ProvisioningFailed storageclass.storage.k8s.io \"hand\" not found");
    add_claim("", "4Gi", "", "");
    ASSERT_CONTAINS(plan_claim(),
                    "event FailedBinding no persistent volumes available for this claim and no storage class is set");
    seen_done(&s);
}

TEST("a claim that names its volume gets that one, or waits and says why not")
{
    seen_init(&s);
    add_claim("", "4Gi", "", ",'volumeName':'v'");
    ASSERT_STR(plan_claim(), "");
    add_volume("v", "1Gi", "", "");
    ASSERT_CONTAINS(plan_claim(),
                    "event VolumeMismatch Cannot bind to requested volume \"v\": requested PV is too small");
    add_volume("v", "5Gi", "", ",'claimRef':{'namespace':'x','name':'y','uid':'z'}");
    ASSERT_CONTAINS(plan_claim(), "event FailedBinding volume \"v\" already bound to a different claim.");
    add_volume("v", "5Gi", "", ",'claimRef':{'namespace':'default','name':'data'}"); /* reserved for it by name */
    seen_settle(&s, &controller_persistentvolumeclaim, "default", "data");
    ASSERT_STR(claim_field("status", "phase"), "Bound");
    seen_done(&s);
}

TEST("a bound claim whose volume is gone is lost, when it is certain")
{
    seen_init(&s);
    add_claim("", "1Gi", ",'annotations':{'pv.kubernetes.io/bind-completed':'yes'}", ",'volumeName':'v'");
    ASSERT_STR(plan_claim(), "read PersistentVolume v\n");
    seen_apply(&s);
    ASSERT_CONTAINS(plan_claim(), "event ClaimLost Bound claim has lost its PersistentVolume.");
    seen_settle(&s, &controller_persistentvolumeclaim, "default", "data");
    ASSERT_STR(claim_field("status", "phase"), "Lost");
    seen_done(&s);
}

#define OURS                                                                                                           \
    ",'labels':{'klein.dev/node':'n1'},'annotations':{'pv.kubernetes.io/provisioned-by':'klein.dev/local-folder'}"
#define REF ",'claimRef':{'namespace':'default','name':'data','uid':'data-uid'}"

TEST("without its claim a volume is released and, when klein made it, deleted; others are kept")
{
    seen_init(&s);
    add_volume("ours", "1Gi", OURS, REF);
    ASSERT_STR(plan_volume("ours"), "read PersistentVolumeClaim default/data\n"); /* nothing is destroyed on a guess */
    seen_apply(&s);
    struct str p = plan_volume("ours");
    ASSERT_CONTAINS(p, "update PersistentVolume/status ours");
    ASSERT_CONTAINS(p, "delete PersistentVolume ours");
    seen_done(&s);
    seen_init(&s);
    add_volume("theirs", "1Gi", "", REF);
    plan_volume("theirs");
    seen_apply(&s);
    p = plan_volume("theirs");
    ASSERT_CONTAINS(p, "event VolumeFailedDelete");
    ASSERT(!str_contains(p, STR("delete PersistentVolume")));
    seen_done(&s);
}

TEST("a volume stays while its claim is there, and its finalizers go one after the other")
{
    seen_init(&s);
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'}}");
    add_claim("", "1Gi", "", ",'volumeName':'ours'");
    add_volume("ours", "1Gi", OURS ",'deletionTimestamp':'2026-11-20T23:59:00Z'", REF);
    ASSERT_STR(plan_volume("ours"), "");
    seen_remove(&s, &kind_persistentvolumeclaim, "default", "data");
    plan_volume("ours");
    seen_apply(&s);
    ASSERT_CONTAINS(plan_volume("ours"), "patch PersistentVolume ours {\"metadata\":{\"finalizers\":null");
    seen_done(&s);
}

TEST("a folder whose node is gone for good keeps nobody waiting")
{
    seen_init(&s);
    seen_add(&s, &kind_persistentvolume,
             "{'metadata':{'name':'ours','finalizers':['klein.dev/local-folder'],'deletionTimestamp':"
             "'2026-11-20T23:59:00Z'" OURS "},'spec':{}}");
    ASSERT_STR(plan_volume("ours"), "read Node n1\n");
    seen_apply(&s);
    ASSERT_CONTAINS(plan_volume("ours"), "patch PersistentVolume ours");
    seen_add(&s, &kind_node, "{'metadata':{'name':'n1'}}");
    ASSERT_STR(plan_volume("ours"), "");
    seen_done(&s);
}

TEST("a deleted claim stays while a pod on a node names it")
{
    seen_init(&s);
    add_claim("", "1Gi", ",'deletionTimestamp':'2026-11-20T23:59:00Z'", "");
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p'},'spec':{'nodeName':'n1','volumes':[{'name':'v',"
             "'persistentVolumeClaim':{'claimName':'data'}}]}}");
    ASSERT_STR(seen_plan(&s, &controller_pvcprotection, "default", "data"), "");
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p'},'spec':{'volumes':[{'name':'v','persistentVolumeClaim':"
             "{'claimName':'data'}}]}}"); /* no node has seen it */
    ASSERT_CONTAINS(seen_plan(&s, &controller_pvcprotection, "default", "data"),
                    "patch PersistentVolumeClaim default/data {\"metadata\":{\"finalizers\":null");
    seen_done(&s);
}

TEST("a pod's ephemeral volume is a claim the pod owns, and no other pod's claim is taken for it")
{
    seen_init(&s);
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p'},'spec':{'volumes':[{'name':'v','ephemeral':{'volumeClaimTemplate':{'metadata':"
             "{'labels':{'a':'b'}},'spec':{'accessModes':['ReadWriteOnce']}}}}]}}");
    ASSERT_CONTAINS(seen_plan(&s, &controller_ephemeralvolume, "default", "p"),
                    "create PersistentVolumeClaim default/p-v");
    seen_settle(&s, &controller_ephemeralvolume, "default", "p");
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_persistentvolumeclaim, STR("default"), STR("p-v"))),
                    "\"kind\":\"Pod\",\"name\":\"p\"");
    ASSERT_STR(seen_plan(&s, &controller_ephemeralvolume, "default", "p"), "");
    seen_add(&s, &kind_persistentvolumeclaim, "{'metadata':{'name':'p-v'},'spec':{}}");
    ASSERT_CONTAINS(seen_plan(&s, &controller_ephemeralvolume, "default", "p"), "event EphemeralClaimConflict");
    seen_done(&s);
}
