/* What the StatefulSet controller plans for what it sees. */
#include "base/time.h"
#include "controllers/controllers.h"
#include "seen.h"

static struct seen s;

#define TEMPLATE(image)                                                                                                \
    "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'" image "'}]}}"

/* more: further fields of the spec, with a leading comma. */
static void add_set(int replicas, const char *image, const char *more)
{
    const struct object *old = seen_get(&s, &kind_statefulset, STR("default"), STR("web"));
    AUTO_FREE char *status =
        old ? str_dup(view_json(view_get_str(object_root(old), STR("status")))) : xstrdup("{'replicas':0}");

    seen_add(&s, &kind_statefulset,
             "{'metadata':{'name':'web','generation':1},'spec':{'replicas':%d,'serviceName':'db',"
             "'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
             "'spec':{'containers':[{'name':'c','image':'%s'}]}}%s},'status':%s}",
             replicas, image, more, status);
}

static struct str plan(void)
{
    return seen_plan(&s, &controller_statefulset, "default", "web");
}

static void settle(void)
{
    seen_settle(&s, &controller_statefulset, "default", "web");
}

static int count_lines(struct str text, const char *start)
{
    struct str line;
    int n = 0;

    while (str_next(&text, '\n', &line))
        n += str_starts(line, str_of(start));
    return n;
}

/* The pod gets this status, as an agent would write it. */
static void set_status(const char *name, const char *phase, bool ready)
{
    const struct object *pod = seen_get(&s, &kind_pod, STR("default"), str_of(name));
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *text = xasprintf("{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\","
                                     "\"lastTransitionTime\":\"2026-11-20T23:00:00Z\"}]}",
                                     phase, ready ? "True" : "False");
    struct value *tree;

    ASSERT(pod);
    tree = value_of_view(&a, object_root(pod));
    value_put_str(&a, tree, STR("status"), value_parse(&a, str_of(text), NULL, &err));
    seen_put(&s, &kind_pod, tree);
}

static void run(const char *name)
{
    set_status(name, "Running", true);
}

/* Settle and let what was made run, until nothing is left to do. */
static void settle_running(int replicas)
{
    for (int i = 0; i < 3 * replicas + 3; i++) {
        settle();
        for (int k = 0; k < replicas; k++) {
            AUTO_FREE char *name = xasprintf("web-%d", k);

            if (seen_get(&s, &kind_pod, STR("default"), str_of(name)))
                run(name);
        }
    }
    settle();
}

static struct str label_of(const char *pod, const char *label)
{
    const struct object *o = seen_get(&s, &kind_pod, STR("default"), str_of(pod));

    return o ? view_str(view_get_str(view_get_str(view_get_str(object_root(o), STR("metadata")), STR("labels")),
                                     str_of(label)))
             : STR("(no pod)");
}

static struct str image_of(const char *pod)
{
    const struct object *o = seen_get(&s, &kind_pod, STR("default"), str_of(pod));
    struct view spec = view_get_str(object_root(o), STR("spec"));

    return view_str(view_get_str(view_item(view_get_str(spec, STR("containers")), 0), STR("image")));
}

static int64_t status_number(const char *name)
{
    const struct object *o = seen_get(&s, &kind_statefulset, STR("default"), STR("web"));

    return view_int(view_get_str(view_get_str(object_root(o), STR("status")), str_of(name)), 0);
}

static int revisions(void)
{
    int n = 0;

    for (size_t i = 0; i < s.count; i++)
        n += s.objects[i] && s.kinds[i] == &kind_controllerrevision;
    return n;
}

TEST("the first pod is made, with its name, labels and host name, and nothing else before it is ready")
{
    seen_init(&s);
    add_set(3, "i", "");
    struct str p = plan();
    ASSERT_INT(count_lines(p, "create Pod "), 1);
    ASSERT_CONTAINS(p, "create Pod default/web-0\n");
    ASSERT_CONTAINS(p, "event SuccessfulCreate create Pod web-0 in StatefulSet web successful");
    settle();
    ASSERT_STR(label_of("web-0", "statefulset.kubernetes.io/pod-name"), "web-0");
    ASSERT_STR(label_of("web-0", "apps.kubernetes.io/pod-index"), "0");
    ASSERT(str_starts(label_of("web-0", "controller-revision-hash"), STR("web-")));
    struct str json = object_json(seen_get(&s, &kind_pod, STR("default"), STR("web-0")));
    ASSERT_CONTAINS(json, "\"hostname\":\"web-0\",\"subdomain\":\"db\"");
    ASSERT(!seen_get(&s, &kind_pod, STR("default"), STR("web-1")));
    set_status("web-0", "Running", false);
    settle();
    ASSERT(!seen_get(&s, &kind_pod, STR("default"), STR("web-1")));
    run("web-0");
    settle();
    ASSERT(seen_get(&s, &kind_pod, STR("default"), STR("web-1")));
    seen_done(&s);
}

TEST("applied, planned again: nothing is left, at every step of a start")
{
    seen_init(&s);
    add_set(3, "i", "");
    settle_running(3);
    ASSERT_STR(plan(), "");
    ASSERT_INT(status_number("readyReplicas"), 3);
    ASSERT_INT(status_number("currentReplicas"), 3);
    ASSERT_INT(revisions(), 1);
    seen_done(&s);
}

TEST("Parallel makes all pods at once")
{
    seen_init(&s);
    add_set(4, "i", ",'podManagementPolicy':'Parallel'");
    ASSERT_INT(count_lines(plan(), "create Pod "), 4);
    seen_done(&s);
}

TEST("a set of two thousand million asks for no more memory than it makes pods")
{
    seen_init(&s);
    add_set(2000000000, "i", ",'podManagementPolicy':'Parallel'");
    ASSERT_INT(count_lines(plan(), "create Pod "), 500);
    seen_done(&s);
}

TEST("ordinals begin where the set says")
{
    seen_init(&s);
    add_set(2, "i", ",'ordinals':{'start':5}");
    ASSERT_CONTAINS(plan(), "create Pod default/web-5\n");
    seen_done(&s);
}

TEST("fewer replicas: the highest ordinal goes, one at a time")
{
    seen_init(&s);
    add_set(3, "i", "");
    settle_running(3);
    add_set(1, "i", "");
    struct str p = plan();
    ASSERT_INT(count_lines(p, "delete Pod"), 1);
    ASSERT_CONTAINS(p, "delete Pod default/web-2\n");
    seen_done(&s);
}

TEST("a pod that ends on a silent node is waited for, in both policies, and replaced when it is gone")
{
    static const char *const policies[] = { "", ",'podManagementPolicy':'Parallel'" };

    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        seen_init(&s);
        add_set(2, "i", policies[i]);
        settle_running(2);
        seen_add(&s, &kind_node,
                 "{'metadata':{'name':'n1'},'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}");
        seen_add(&s, &kind_pod,
                 "{'metadata':{'name':'web-0','deletionTimestamp':'2026-11-20T23:59:00Z','labels':{'app':'web'},"
                 "'ownerReferences':[{'apiVersion':'apps/v1','kind':'StatefulSet','name':'web','uid':'web-uid',"
                 "'controller':true}]},'spec':{'nodeName':'n1'},'status':{'phase':'Running','conditions':"
                 "[{'type':'Ready','status':'True','lastTransitionTime':'2026-11-20T23:00:00Z'}]}}");
        settle();
        ASSERT_INT(count_lines(plan(), "create Pod"), 0);
        ASSERT_INT(count_lines(plan(), "delete Pod"), 0);
        seen_remove(&s, &kind_pod, "default", "web-0");
        ASSERT_CONTAINS(plan(), "create Pod default/web-0\n");
        seen_done(&s);
    }
}

TEST("a pod on a node nobody hears is left alone while it is not deleted")
{
    seen_init(&s);
    add_set(2, "i", "");
    settle_running(2);
    seen_add(&s, &kind_node,
             "{'metadata':{'name':'n1'},'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}");
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'web-1','labels':{'app':'web','apps.kubernetes.io/pod-index':'1',"
             "'statefulset.kubernetes.io/pod-name':'web-1'},'ownerReferences':[{'apiVersion':'apps/v1',"
             "'kind':'StatefulSet','name':'web','uid':'web-uid','controller':true}]},'spec':{'nodeName':'n1'},"
             "'status':{'phase':'Running','conditions':[{'type':'Ready','status':'True',"
             "'lastTransitionTime':'2026-11-20T23:00:00Z'}]}}");
    ASSERT_INT(count_lines(plan(), "create Pod") + count_lines(plan(), "delete Pod"), 0);
    seen_done(&s);
}

TEST("failed and succeeded pods are deleted and made again")
{
    static const char *const phases[] = { "Failed", "Succeeded" };

    for (size_t i = 0; i < 2; i++) {
        seen_init(&s);
        add_set(1, "i", "");
        settle_running(1);
        set_status("web-0", phases[i], false);
        ASSERT_CONTAINS(plan(), "delete Pod default/web-0\n");
        seen_apply(&s);
        ASSERT_CONTAINS(plan(), "create Pod default/web-0\n");
        seen_done(&s);
    }
}

TEST("a rollout goes from the highest ordinal down, each when the one before is available")
{
    seen_init(&s);
    add_set(3, "i", "");
    settle_running(3);
    add_set(3, "new", "");
    struct str p = plan();
    ASSERT_INT(count_lines(p, "create ControllerRevision"), 1);
    ASSERT_INT(count_lines(p, "delete Pod"), 1);
    ASSERT_CONTAINS(p, "delete Pod default/web-2\n");
    settle();
    ASSERT_STR(image_of("web-2"), "new");
    ASSERT_STR(image_of("web-1"), "i");
    set_status("web-2", "Running", false);
    settle();
    ASSERT_STR(image_of("web-1"), "i");
    settle_running(3);
    ASSERT_STR(image_of("web-0"), "new");
    ASSERT_INT(revisions(), 2);
    ASSERT_INT(status_number("updatedReplicas"), 3);
    ASSERT_STR(plan(), "");
    seen_done(&s);
}

TEST("below the partition pods stay as they were, also those that come back")
{
    seen_init(&s);
    add_set(3, "i", "");
    settle_running(3);
    add_set(3, "new", ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':2}}");
    settle_running(3);
    ASSERT_STR(image_of("web-2"), "new");
    ASSERT_STR(image_of("web-1"), "i");
    for (int i = 0; i < 3; i++) {
        AUTO_FREE char *name = xasprintf("web-%d", i);

        run(name);
    }
    ASSERT_INT(count_lines(plan(), "delete Pod"), 0); /* nor is one exchanged for the same */
    seen_remove(&s, &kind_pod, "default", "web-0");
    settle();
    ASSERT_STR(image_of("web-0"), "i");
    ASSERT_INT(status_number("updatedReplicas"), 1);
    seen_done(&s);
}

TEST("a rollout without a partition goes on from where it is, too")
{
    seen_init(&s);
    add_set(3, "i", ",'updateStrategy':{'type':'RollingUpdate'}");
    settle_running(3);
    add_set(3, "new", ",'updateStrategy':{'type':'RollingUpdate'}");
    settle();
    ASSERT_STR(image_of("web-2"), "new");
    seen_remove(&s, &kind_pod, "default", "web-0");
    settle();
    ASSERT_STR(image_of("web-0"), "i");
    seen_done(&s);
}

TEST("maxUnavailable exchanges so many at once")
{
    seen_init(&s);
    add_set(4, "i", "");
    settle_running(4);
    add_set(4, "new", ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':0,'maxUnavailable':2}}");
    struct str p = plan();
    ASSERT_INT(count_lines(p, "delete Pod"), 2);
    ASSERT_CONTAINS(p, "delete Pod default/web-3\n");
    ASSERT_CONTAINS(p, "delete Pod default/web-2\n");
    seen_done(&s);
}

TEST("OnDelete waits for somebody to delete the pod")
{
    seen_init(&s);
    add_set(1, "i", ",'updateStrategy':{'type':'OnDelete'}");
    settle_running(1);
    add_set(1, "new", ",'updateStrategy':{'type':'OnDelete'}");
    settle_running(1);
    ASSERT_STR(image_of("web-0"), "i");
    seen_remove(&s, &kind_pod, "default", "web-0");
    settle();
    ASSERT_STR(image_of("web-0"), "new");
    seen_done(&s);
}

TEST("going back makes the old revision the newest one again")
{
    seen_init(&s);
    add_set(1, "i", "");
    settle_running(1);
    struct str first = arena_str(&s.arena, label_of("web-0", "controller-revision-hash"));
    add_set(1, "new", "");
    settle_running(1);
    add_set(1, "i", "");
    settle_running(1);
    ASSERT_INT(revisions(), 2);
    ASSERT(str_eq(label_of("web-0", "controller-revision-hash"), first));
    const struct object *o = seen_get(&s, &kind_controllerrevision, STR("default"), first);
    ASSERT_INT(view_int(view_get_str(object_root(o), STR("revision")), 0), 3);
    ASSERT_CONTAINS(object_json(o), "\"$patch\":\"replace\"");
    seen_done(&s);
}

TEST("no more old revisions are kept than the limit")
{
    seen_init(&s);
    for (int i = 0; i < 5; i++) {
        AUTO_FREE char *image = xasprintf("i%d", i);

        add_set(1, image, ",'revisionHistoryLimit':1");
        settle_running(1);
    }
    ASSERT_INT(revisions(), 2);
    seen_done(&s);
}

#define CLAIMS                                                                                                         \
    ",'volumeClaimTemplates':[{'metadata':{'name':'data','labels':{'tier':'x'}},'spec':{'accessModes':"                \
    "['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}]"

TEST("each ordinal gets its claims before its pod, and the pod names them")
{
    seen_init(&s);
    add_set(1, "i", CLAIMS);
    struct str p = plan();
    ASSERT(strstr(p.p, "create PersistentVolumeClaim default/data-web-0") < strstr(p.p, "create Pod default/web-0"));
    settle();
    const struct object *claim = seen_get(&s, &kind_persistentvolumeclaim, STR("default"), STR("data-web-0"));
    ASSERT_CONTAINS(object_json(claim), "\"labels\":{\"tier\":\"x\",\"app\":\"web\"}");
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_pod, STR("default"), STR("web-0"))),
                    "\"volumes\":[{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":\"data-web-0\"}}]");
    seen_done(&s);
}

TEST("claims stay when the set is scaled down, unless whenScaled is Delete: then they go with their pod")
{
    for (int delete = 0; delete < 2; delete ++) {
        const char *more = delete ? CLAIMS
                               ",'persistentVolumeClaimRetentionPolicy':{'whenScaled':'Delete','whenDeleted':'Retain'}"
                                  : CLAIMS;
        seen_init(&s);
        add_set(2, "i", more);
        settle_running(2);
        add_set(1, "i", more);
        struct str p = plan();
        ASSERT_CONTAINS(p, "delete Pod default/web-1\n");
        ASSERT_INT(count_lines(p, "patch PersistentVolumeClaim default/data-web-1"), delete);
        ASSERT_INT(count_lines(p, "patch PersistentVolumeClaim default/data-web-0"), 0);
        settle();
        if (delete) {
            const struct object *claim = seen_get(&s, &kind_persistentvolumeclaim, STR("default"), STR("data-web-1"));

            ASSERT_CONTAINS(object_json(claim), "\"kind\":\"Pod\",\"name\":\"web-1\"");
            /* Wanted again before the garbage collector came: no pod takes the claim that goes. */
            add_set(2, "i", more);
            ASSERT_INT(count_lines(plan(), "create Pod"), 0);
            seen_remove(&s, &kind_persistentvolumeclaim, "default", "data-web-1");
            ASSERT_CONTAINS(plan(), "create PersistentVolumeClaim default/data-web-1");
        }
        seen_done(&s);
    }
}

TEST("with whenDeleted Delete the set owns its claims")
{
    seen_init(&s);
    add_set(1, "i", CLAIMS ",'persistentVolumeClaimRetentionPolicy':{'whenScaled':'Retain','whenDeleted':'Delete'}");
    settle();
    ASSERT_CONTAINS(object_json(seen_get(&s, &kind_persistentvolumeclaim, STR("default"), STR("data-web-0"))),
                    "\"kind\":\"StatefulSet\",\"name\":\"web\"");
    seen_done(&s);
}

TEST("orphans are adopted when their name is one of the set's, others are not")
{
    seen_init(&s);
    add_set(1, "i", "");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'web-0','labels':{'app':'web'}},'status':{'phase':'Running'}}");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'web-x','labels':{'app':'web'}},'status':{'phase':'Running'}}");
    seen_add(&s, &kind_pod, "{'metadata':{'name':'web-01','labels':{'app':'web'}},'status':{'phase':'Running'}}");
    struct str p = plan();
    ASSERT_CONTAINS(p, "patch Pod default/web-0 {\"metadata\":{\"ownerReferences\"");
    ASSERT_INT(count_lines(p, "patch Pod default/web-x") + count_lines(p, "patch Pod default/web-01"), 0);
    seen_done(&s);
}

TEST("a set that is being deleted only tells its status")
{
    seen_init(&s);
    seen_add(
        &s, &kind_statefulset,
        "{'metadata':{'name':'web','generation':2,'deletionTimestamp':'2026-11-20T23:59:00Z'},'spec':{'replicas':3,"
        "'selector':{'matchLabels':{'app':'web'}}," TEMPLATE("i") "},'status':{'replicas':0}}");
    struct str p = plan();
    ASSERT_INT(count_lines(p, "create"), 0);
    ASSERT_CONTAINS(p, "update StatefulSet/status default/web");
    seen_done(&s);
}

/* From any mixture of pods: what a pass plans is done once, and a second pass finds nothing more to do. */
TEST("property: apply the plan, plan again, nothing is left")
{
    uint64_t random = test_seed();

    for (int round = 0; round < 60; round++) {
        seen_init(&s);
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        add_set((int)(random >> 33) % 5, "i", (random >> 40) & 1 ? CLAIMS : ",'podManagementPolicy':'Parallel'");
        for (int i = 0; i < 6; i++) {
            uint64_t dice = random >> (i * 5 + 8);

            if (dice & 1)
                seen_add(&s, &kind_pod,
                         "{'metadata':{'name':'web-%d','labels':{'app':'web'}},'spec':{'nodeName':'n1'},'status':{"
                         "'phase':'%s','conditions':[{'type':'Ready','status':'%s','lastTransitionTime':"
                         "'2026-11-20T23:00:00Z'}]}}",
                         i,
                         dice & 2   ? "Running"
                         : dice & 4 ? "Failed"
                                    : "Pending",
                         dice & 8 ? "True" : "False");
        }
        settle();
        ASSERT_STR(plan(), "");
        for (int i = 0; i < 6; i++) { /* never a second pod of an ordinal, never one out of range that is new */
            AUTO_FREE char *name = xasprintf("web-%d", i);
            int n = 0;

            for (size_t k = 0; k < s.count; k++)
                n += s.objects[k] && s.kinds[k] == &kind_pod && str_is(object_name(s.objects[k]), name);
            ASSERT(n <= 1);
        }
        seen_done(&s);
    }
}
