/* What the Deployment controller plans for what it sees. */
#include "controllers/controllers.h"
#include "kinds/fields.h"
#include "seen.h"

#include <stdio.h>

static struct seen s;

#define TEMPLATE "{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'%s'}]}}"

/* more: further members of the spec, each with a leading comma. */
static void add_deployment(int replicas, const char *image, const char *more)
{
    seen_add(&s, &kind_deployment,
             "{'metadata':{'name':'web','generation':1},'spec':{'replicas':%d,'selector':{'matchLabels':{'app':'web'}},"
             "'template':" TEMPLATE "%s},'status':{'observedGeneration':1}}",
             replicas, image, more);
}

#define ROLLING(surge, unavailable)                                                                                    \
    ",'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':" surge ",'maxUnavailable':" unavailable "}}"

/* A set of the Deployment. for_replicas: what it was last scaled for; most: replicas and surge then. */
static void add_set(const char *image, int revision, int replicas, int current, int available, int for_replicas,
                    int most)
{
    seen_add(
        &s, &kind_replicaset,
        "{'metadata':{'name':'web-%s','generation':1,'creationTimestamp':'2026-11-20T0%d:00:00Z',"
        "'labels':{'app':'web','pod-template-hash':'%s'},'annotations':{"
        "'deployment.kubernetes.io/revision':'%d','deployment.kubernetes.io/desired-replicas':'%d',"
        "'deployment.kubernetes.io/max-replicas':'%d'},'ownerReferences':[{'apiVersion':'apps/v1',"
        "'kind':'Deployment','name':'web','uid':'web-uid','controller':true,'blockOwnerDeletion':true}]},"
        "'spec':{'replicas':%d,'minReadySeconds':0,'selector':{'matchLabels':{'app':'web','pod-template-hash':'%s'}},"
        "'template':{'metadata':{'labels':{'app':'web','pod-template-hash':'%s'}},'spec':{'containers':["
        "{'name':'c','image':'%s'}]}}},'status':{'replicas':%d,'readyReplicas':%d,'availableReplicas':%d,"
        "'observedGeneration':1}}",
        image, revision, image, revision, for_replicas, most, replicas, image, image, image, current, available,
        available);
}

static struct str plan(void)
{
    return seen_plan(&s, &controller_deployment, "default", "web");
}

/* spec.replicas of a set after the last plan was applied; -1: it is not there. */
static int64_t size_of(const char *image)
{
    AUTO_FREE char *name = xasprintf("web-%s", image);
    const struct object *o = seen_get(&s, &kind_replicaset, STR("default"), str_of(name));

    return o ? view_int_at(object_root(o), -1, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_REPLICAS) : -1;
}

static struct str condition(const char *type, name_id field)
{
    const struct object *o = seen_get(&s, &kind_deployment, STR("default"), STR("web"));
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(o), F_DEPLOYMENT_STATUS, F_DEPLOYMENT_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_DEPLOYMENT_CONDITION_TYPE), type))
            return view_str_at(it.value, field);
    return STR("none");
}

/* What the ReplicaSet controller and the nodes would do, at once: every pod there is and `healthy` of them are available. */
static void obey(const char *image, int healthy)
{
    const struct object *o;
    AUTO_FREE char *name = xasprintf("web-%s", image);

    o = seen_get(&s, &kind_replicaset, STR("default"), str_of(name));
    if (!o)
        return;
    struct value *tree = value_of_view(&s.arena, object_root(o)),
                 *status = value_make_object(&s.arena, tree, F_REPLICA_SET_STATUS);
    int64_t replicas = size_of(image);
    value_set_int(&s.arena, status, F_REPLICA_SET_STATUS_REPLICAS, replicas);
    value_set_int(&s.arena, status, F_REPLICA_SET_STATUS_READY_REPLICAS, MIN(replicas, healthy));
    value_set_int(&s.arena, status, F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS, MIN(replicas, healthy));
    value_set_int(&s.arena, status, F_REPLICA_SET_STATUS_OBSERVED_GENERATION,
                  view_int_at(object_root(o), 0, F_POD_METADATA, F_OBJECT_META_GENERATION));
    value_del(value_get(tree, F_POD_METADATA), F_OBJECT_META_RESOURCE_VERSION);
    seen_put(&s, &kind_replicaset, value_copy_all(&s.arena, tree));
}

TEST("a new Deployment gets a ReplicaSet with its template, a hash, a revision and an Event")
{
    seen_init(&s);
    add_deployment(3, "v1", ROLLING("1", "0"));
    struct str p = plan();
    ASSERT_CONTAINS(p, "create ReplicaSet default/web-");
    ASSERT_CONTAINS(p, "event ScalingReplicaSet Scaled up replica set web-");
    ASSERT_CONTAINS(p, " from 0 to 3\n");
    ASSERT_CONTAINS(p, "\"deployment.kubernetes.io/revision\":\"1\"");
    struct str set = object_json(s.plan.steps[0].body);
    ASSERT_CONTAINS(set, "\"deployment.kubernetes.io/desired-replicas\":\"3\"");
    ASSERT_CONTAINS(set, "\"deployment.kubernetes.io/max-replicas\":\"4\"");
    ASSERT_CONTAINS(set, "\"matchLabels\":{\"app\":\"web\",\"pod-template-hash\":\"");
    ASSERT_CONTAINS(set, "\"uid\":\"web-uid\",\"controller\":true,\"blockOwnerDeletion\":true");
    seen_done(&s);
}

TEST("applying the plan until nothing is left takes a few passes and then stays so")
{
    seen_init(&s);
    add_deployment(3, "v1", ROLLING("1", "0"));
    ASSERT(seen_settle(&s, &controller_deployment, "default", "web") <= 5);
    ASSERT_STR(plan(), "");
    seen_done(&s);
}

TEST("a rollout grows the new set by the surge and keeps the old one while nothing new is available")
{
    seen_init(&s);
    add_deployment(4, "v2", ROLLING("1", "0"));
    add_set("v1", 1, 4, 4, 4, 4, 5);
    add_set("v2", 2, 0, 0, 0, 4, 5);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v2"), 1);
    ASSERT_INT(size_of("v1"), 4);
    obey("v2", 1);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), 3);
    ASSERT_INT(size_of("v2"), 2); /* room again: the old set has given one */
    seen_done(&s);
}

static int64_t available_of(const char *image)
{
    AUTO_FREE char *name = xasprintf("web-%s", image);
    const struct object *o = seen_get(&s, &kind_replicaset, STR("default"), str_of(name));

    return view_int_at(object_root(o), 0, F_REPLICA_SET_STATUS, F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS);
}

/* At every step of the whole rollout: never more than replicas + surge, never fewer available than replicas - unavailable. */
static void roll(int replicas, const char *limits, int64_t most, int64_t least)
{
    seen_init(&s);
    add_deployment(replicas, "v2", limits);
    add_set("v1", 1, replicas, replicas, replicas, replicas, (int)most);
    add_set("v2", 2, 0, 0, 0, replicas, (int)most);
    for (int step = 0; step < 40 && (size_of("v1") > 0 || size_of("v2") < replicas); step++) {
        int64_t available;
        seen_settle(&s, &controller_deployment, "default", "web");
        obey("v1", replicas); /* the removed end before the new come up: the worst order */
        available = size_of("v1") + available_of("v2");
        if (size_of("v1") + size_of("v2") > most)
            FAIL("%d replicas%s: %lld + %lld pods", replicas, limits, (long long)size_of("v1"),
                 (long long)size_of("v2"));
        if (available < least)
            FAIL("%d replicas%s: only %lld available", replicas, limits, (long long)available);
        obey("v2", replicas);
    }
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), 0);
    ASSERT_INT(size_of("v2"), replicas);
    seen_done(&s);
}

TEST("surge and unavailability are kept to at every step, as numbers and as percents")
{
    roll(4, ROLLING("1", "0"), 5, 4);
    roll(4, ROLLING("0", "1"), 4, 3);
    roll(10, ROLLING("3", "2"), 13, 8);
    roll(10, ROLLING("'25%'", "'25%'"), 13, 8); /* surge rounds up, unavailability down */
    roll(3, ROLLING("'25%'", "'25%'"), 4, 3);
    roll(1, ROLLING("'25%'", "'25%'"), 2, 1);
    roll(5, ROLLING("'100%'", "0"), 10, 5);
    roll(3, ROLLING("0", "'10%'"), 3, 2); /* both round to zero: one may be missing, or nothing could move */
}

TEST("old pods that are not healthy go first and cost nothing")
{
    seen_init(&s);
    add_deployment(4, "v2", ROLLING("1", "1"));
    add_set("v1", 1, 4, 4, 2, 4, 5); /* two of four never came up */
    add_set("v2", 2, 1, 1, 0, 4, 5);
    ASSERT_CONTAINS(plan(), "Scaled down replica set web-v1 from 4 to 3\n");
    seen_done(&s);
}

TEST("a new version that never comes up stops the rollout with the old one serving")
{
    seen_init(&s);
    add_deployment(4, "v2", ROLLING("1", "0"));
    add_set("v1", 1, 4, 4, 4, 4, 5);
    add_set("v2", 2, 0, 0, 0, 4, 5);
    for (int i = 0; i < 10; i++) {
        seen_settle(&s, &controller_deployment, "default", "web");
        obey("v1", 4);
        obey("v2", 0);
    }
    ASSERT_INT(size_of("v1"), 4);
    ASSERT_INT(size_of("v2"), 1);
    seen_done(&s);
}

TEST("a changed number of replicas in the middle of a rollout is shared in proportion")
{
    seen_init(&s);
    add_deployment(15, "v2", ROLLING("3", "2")); /* the example of the Kubernetes documentation: 10 -> 15 */
    add_set("v1", 1, 8, 8, 8, 10, 13);
    add_set("v2", 2, 5, 5, 0, 10, 13);
    plan();
    seen_apply(&s);
    ASSERT_INT(size_of("v1"), 11);
    ASSERT_INT(size_of("v2"), 7);
    seen_done(&s);
}

TEST("scaling to nothing scales every set to nothing")
{
    seen_init(&s);
    add_deployment(0, "v2", ROLLING("3", "2"));
    add_set("v1", 1, 8, 8, 8, 10, 13);
    add_set("v2", 2, 5, 5, 0, 10, 13);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), 0);
    ASSERT_INT(size_of("v2"), 0);
    seen_done(&s);
}

TEST("a paused Deployment rolls nothing, still scales, and says so; resumed it goes on")
{
    seen_init(&s);
    add_deployment(4, "v2", ROLLING("1", "0") ",'paused':true,'progressDeadlineSeconds':600");
    add_set("v1", 1, 3, 3, 3, 3, 4);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), 4);
    ASSERT_INT(size_of("v2"), -1);
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_REASON), "DeploymentPaused");
    add_set("v2", 2, 0, 0, 0, 4, 5);
    add_deployment(4, "v2", ROLLING("1", "0"));
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v2"), 1);
    seen_done(&s);
}

TEST("a rollback makes the old set the newest revision")
{
    seen_init(&s);
    add_deployment(2, "v1", ROLLING("1", "0"));
    add_set("v1", 1, 0, 0, 0, 2, 3);
    add_set("v2", 2, 2, 2, 2, 2, 3);
    ASSERT_CONTAINS(plan(), "\"deployment.kubernetes.io/revision\":\"3\"");
    seen_apply(&s);
    const struct object *v1 = seen_get(&s, &kind_replicaset, STR("default"), STR("web-v1"));
    ASSERT_CONTAINS(object_json(v1), "\"deployment.kubernetes.io/revision\":\"3\"");
    ASSERT_INT(size_of("v1"), 1);
    seen_done(&s);
}

TEST("when the rollout is done, old sets beyond the history limit go, oldest revision first")
{
    seen_init(&s);
    add_deployment(2, "v4", ROLLING("1", "0") ",'revisionHistoryLimit':1");
    add_set("v1", 1, 0, 0, 0, 2, 3);
    add_set("v2", 2, 0, 0, 0, 2, 3);
    add_set("v3", 3, 0, 0, 0, 2, 3);
    add_set("v4", 4, 2, 2, 2, 2, 3);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), -1);
    ASSERT_INT(size_of("v2"), -1);
    ASSERT_INT(size_of("v3"), 0);
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_REASON), "NewReplicaSetAvailable");
    seen_done(&s);
}

TEST("a rollout that stands still past its deadline says so, and not before")
{
    seen_init(&s);
    add_deployment(2, "v2", ROLLING("1", "0") ",'progressDeadlineSeconds':60");
    add_set("v1", 1, 2, 2, 2, 2, 3);
    add_set("v2", 2, 1, 1, 0, 2, 3);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_STATUS), "True");
    plan();
    ASSERT(s.plan.wake_after_ms > 59000); /* it looks again by itself */
    s.now_ms += 59000;
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_STATUS), "True");
    s.now_ms += 2000;
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_REASON), "ProgressDeadlineExceeded");
    obey("v2", 2);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_STATUS), "True");
    seen_done(&s);
}

TEST("the deadline of a rollout counts from its own start, not from the end of the last one")
{
    seen_init(&s);
    add_deployment(2, "v1", ROLLING("1", "0") ",'progressDeadlineSeconds':60");
    add_set("v1", 1, 2, 2, 2, 2, 3);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_REASON), "NewReplicaSetAvailable");
    s.now_ms += 3600000;
    struct value *tree =
        value_of_view(&s.arena, object_root(seen_get(&s, &kind_deployment, STR("default"), STR("web"))));
    struct value *container = value_path(tree, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_TEMPLATE, F_POD_TEMPLATE_SPEC_SPEC,
                                         F_POD_SPEC_CONTAINERS);
    value_set_text(&s.arena, container->items[0], F_CONTAINER_IMAGE, "v2");
    value_del(value_get(tree, F_POD_METADATA), F_OBJECT_META_RESOURCE_VERSION);
    seen_put(&s, &kind_deployment, value_copy_all(&s.arena, tree));
    add_set("v2", 2, 1, 0, 0, 2, 3); /* its pod is refused: nothing at all moves */
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_STATUS), "True");
    s.now_ms += 61000;
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Progressing", F_DEPLOYMENT_CONDITION_REASON), "ProgressDeadlineExceeded");
    seen_done(&s);
}

TEST("a hash that another template has is counted and changed")
{
    seen_init(&s);
    add_deployment(1, "v1", ROLLING("1", "0"));
    plan();
    struct str first = arena_str(&s.arena, s.plan.steps[0].name);
    seen_add(&s, &kind_replicaset,
             "{'metadata':{'name':'%.*s'},'spec':{'replicas':1,'selector':{'matchLabels':{'app':'other'}},"
             "'template':{'metadata':{'labels':{'app':'other'}}}}}",
             STR_ARG(first));
    ASSERT_CONTAINS(plan(), "\"collisionCount\":1");
    seen_apply(&s);
    ASSERT_CONTAINS(plan(), "create ReplicaSet default/web-");
    ASSERT(!str_eq(s.plan.steps[0].name, first));
    seen_done(&s);
}

TEST("Recreate starts nothing new before the last old pod is gone")
{
    seen_init(&s);
    add_deployment(2, "v2", ",'strategy':{'type':'Recreate'}");
    add_set("v1", 1, 2, 2, 2, 2, 2);
    seen_add(&s, &kind_pod,
             "{'metadata':{'name':'p','labels':{'app':'web'},'ownerReferences':[{'apiVersion':'apps/v1','kind':"
             "'ReplicaSet','name':'web-v1','uid':'web-v1-uid','controller':true}]},'spec':{'nodeName':'n'},"
             "'status':{'phase':'Running'}}");
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_INT(size_of("v1"), 0);
    obey("v1", 0);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT(!strstr(plan().p, "create"));
    seen_remove(&s, &kind_pod, "default", "p");
    ASSERT_CONTAINS(plan(), "create ReplicaSet default/web-");
    ASSERT_CONTAINS(plan(), " from 0 to 2\n");
    seen_done(&s);
}

TEST("availability is told against what the strategy allows to be missing")
{
    seen_init(&s);
    add_deployment(4, "v1", ROLLING("1", "1"));
    add_set("v1", 1, 4, 4, 3, 4, 5);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Available", F_DEPLOYMENT_CONDITION_STATUS), "True");
    add_set("v1", 1, 4, 4, 2, 4, 5);
    seen_settle(&s, &controller_deployment, "default", "web");
    ASSERT_STR(condition("Available", F_DEPLOYMENT_CONDITION_REASON), "MinimumReplicasUnavailable");
    seen_done(&s);
}

TEST("a Deployment that is being deleted changes nothing but its status")
{
    seen_init(&s);
    seen_add(
        &s, &kind_deployment,
        "{'metadata':{'name':'web','generation':2,'deletionTimestamp':'2026-11-20T23:59:00Z','finalizers':['x/y']},"
        "'spec':{'replicas':3,'selector':{'matchLabels':{'app':'web'}},'template':" TEMPLATE "}}",
        "v1");
    struct str p = plan();
    ASSERT_CONTAINS(p, "update Deployment/status");
    ASSERT(!strstr(p.p, "create"));
    seen_done(&s);
}
