/* Who may do what: nodes, escalation, binding, reviews. */
#include "front.h"

#include "kinds/fields.h"

static struct front f;

#define POD(name, node, more)                                                                                          \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                                           \
    "\",\"namespace\":\"default\"},\"spec\":{\"nodeName\":\"" node                                                     \
    "\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"" more "}]}}"
#define NODE(name, more) "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name "\"" more "}}"

static struct api *node_a;

static void start(void)
{
    front_start(&f, NULL);
    node_a = front_api(&f, "system:node:a", "system:nodes");
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}"),
              &f.err);
    ASSERT_OK(
        front_create(&f, f.admin, "default", POD("mine", "a", ",\"envFrom\":[{\"secretRef\":{\"name\":\"used\"}}]")),
        &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           POD("other", "b", ",\"envFrom\":[{\"secretRef\":{\"name\":\"foreign\"}}]")),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"used\"}}"),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"foreign\"}}"),
              &f.err);
}

static void stop(void)
{
    node_a->ops->free(node_a);
    front_stop(&f);
}

TEST("a node reads the secrets and config maps its pods use, and no others")
{
    start();
    ASSERT_OK(front_get(&f, node_a, &kind_secret, "default", "used"), &f.err);
    ASSERT_FAILS(front_get(&f, node_a, &kind_secret, "default", "foreign"), &f.err, ERR_FORBIDDEN,
                 "no relationship found between node 'a' and this object");
    ASSERT_INT(front_call(&f, node_a,
                          (struct api_call){ .verb = API_LIST, .kind = &kind_secret, .namespace_ = STR("default") }),
               -1);
    ASSERT_OK(
        front_create(&f, f.admin, "default",
                     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"kube-root-ca.crt\"}}"),
        &f.err);
    ASSERT_OK(front_get(&f, node_a, &kind_configmap, "default", "kube-root-ca.crt"), &f.err);
    stop();
}

TEST("a node lists pods only by its own name")
{
    start();
    ASSERT_INT(front_call(&f, node_a, (struct api_call){ .verb = API_LIST, .kind = &kind_pod }), -1);
    ASSERT_INT(
        front_call(&f, node_a,
                   (struct api_call){ .verb = API_LIST, .kind = &kind_pod, .field_selector = STR("spec.nodeName=b") }),
        -1);
    ASSERT_OK(
        front_call(&f, node_a,
                   (struct api_call){ .verb = API_LIST, .kind = &kind_pod, .field_selector = STR("spec.nodeName=a") }),
        &f.err);
    ASSERT_STR(front_result(&f, "items.0.metadata.name"), "mine");
    ASSERT_STR(front_result(&f, "items.1"), "");
    ASSERT_INT(front_get(&f, node_a, &kind_pod, "default", "other"), -1);
    stop();
}

TEST("a node makes and changes its own Node, without forged labels, taints or owners")
{
    start();
    ASSERT_FAILS(front_create(&f, node_a, "", NODE("b", "")), &f.err, ERR_FORBIDDEN, "node");
    ASSERT_FAILS(front_create(&f, node_a, "", NODE("a", ",\"labels\":{\"node-restriction.kubernetes.io/team\":\"x\"}")),
                 &f.err, ERR_FORBIDDEN, "is not allowed to modify labels: node-restriction.kubernetes.io/team");
    ASSERT_FAILS(
        front_create(&f, node_a, "", NODE("a", ",\"labels\":{\"node-role.kubernetes.io/control-plane\":\"\"}")), &f.err,
        ERR_FORBIDDEN, "is not allowed to modify labels");
    ASSERT_FAILS(
        front_create(&f, node_a, "",
                     NODE("a", ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"x\","
                               "\"uid\":\"u\"}]")),
        &f.err, ERR_FORBIDDEN, "ownerReferences");
    ASSERT_OK(
        front_create(&f, node_a, "", NODE("a", ",\"labels\":{\"topology.kubernetes.io/zone\":\"a\",\"mine\":\"x\"}")),
        &f.err);
    ASSERT_FAILS(front_patch(&f, node_a, &kind_node, "", "a", "",
                             "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}}"),
                 &f.err, ERR_FORBIDDEN, "is not allowed to modify taints");
    ASSERT_FAILS(front_patch(&f, node_a, &kind_node, "", "a", "",
                             "{\"metadata\":{\"labels\":{\"node-restriction.kubernetes.io/t\":\"x\"}}}"),
                 &f.err, ERR_FORBIDDEN, "labels");
    ASSERT_OK(
        front_patch(&f, node_a, &kind_node, "", "a", "status", "{\"status\":{\"nodeInfo\":{\"kernelVersion\":\"6\"}}}"),
        &f.err);
    ASSERT_FAILS(front_delete(&f, node_a, &kind_node, "", "a"), &f.err, ERR_FORBIDDEN, "nodes \"a\" is forbidden");
    stop();
}

TEST("a node writes the status of its own pods, and neither their spec nor their labels")
{
    start();
    ASSERT_OK(front_patch(&f, node_a, &kind_pod, "default", "mine", "status", "{\"status\":{\"phase\":\"Running\"}}"),
              &f.err);
    ASSERT_FAILS(
        front_patch(&f, node_a, &kind_pod, "default", "other", "status", "{\"status\":{\"phase\":\"Running\"}}"),
        &f.err, ERR_FORBIDDEN, "no relationship found");
    ASSERT_FAILS(front_patch(&f, node_a, &kind_pod, "default", "mine", "status",
                             "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}"),
                 &f.err, ERR_FORBIDDEN, "cannot update labels through pod status");
    ASSERT_INT(
        front_patch(&f, node_a, &kind_pod, "default", "mine", "", "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}"), -1);
    ASSERT_INT(front_create(&f, node_a, "default", POD("new", "a", "")), -1);
    ASSERT_OK(front_delete(&f, node_a, &kind_pod, "default", "mine"), &f.err);
    ASSERT_FAILS(front_delete(&f, node_a, &kind_pod, "default", "other"), &f.err, ERR_FORBIDDEN,
                 "no relationship found");
    stop();
}

#define LEASE(name)                                                                                                    \
    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"" name "\"}}"

TEST("a node has its own lease, in kube-node-lease alone")
{
    start();
    ASSERT_OK(front_create(&f, node_a, "kube-node-lease", LEASE("a")), &f.err);
    ASSERT_FAILS(front_create(&f, node_a, "kube-node-lease", LEASE("b")), &f.err, ERR_FORBIDDEN,
                 "same name as the requesting node");
    ASSERT_FAILS(front_create(&f, node_a, "default", LEASE("a")), &f.err, ERR_FORBIDDEN, "kube-node-lease");
    stop();
}

TEST("a user called like a node without the group of nodes is nobody")
{
    start();
    struct api *fake = front_api(&f, "system:node:a", "");
    ASSERT_FAILS(front_get(&f, fake, &kind_secret, "default", "used"), &f.err, ERR_FORBIDDEN,
                 "secrets \"used\" is forbidden: User \"system:node:a\" cannot get resource \"secrets\"");
    fake->ops->free(fake);
    stop();
}

/* --- escalation ---------------------------------------------------------------------------------------------------- */

#define ROLE(name, verbs)                                                                                              \
    "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"Role\",\"metadata\":{\"name\":\"" name                \
    "\",\"namespace\":\"default\"},\"rules\":[{\"verbs\":[" verbs "],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}"
#define BINDING(name, role_kind, role, user)                                                                           \
    "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"RoleBinding\",\"metadata\":{\"name\":\"" name         \
    "\",\"namespace\":\"default\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\","       \
    "\"name\":\"" user "\"}],\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"" role_kind            \
    "\",\"name\":\"" role "\"}}"

TEST("nobody grants what he does not have")
{
    front_start(&f, NULL);
    struct api *bob = front_api(&f, "bob", "");
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"rbac.authorization.k8s.io/"
                           "v1\",\"kind\":\"Role\",\"metadata\":{\"name\":\"half\"},\"rules\":["
                           "{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]},"
                           "{\"verbs\":[\"create\",\"update\",\"patch\"],\"apiGroups\":[\"rbac.authorization.k8s.io\"],"
                           "\"resources\":[\"roles\",\"rolebindings\"]}]}"),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", BINDING("half", "Role", "half", "bob")), &f.err);
    ASSERT_OK(front_create(&f, bob, "default", ROLE("fine", "\"get\"")), &f.err);
    ASSERT_FAILS(
        front_create(&f, bob, "default", ROLE("more", "\"get\",\"delete\"")), &f.err, ERR_FORBIDDEN,
        "user \"bob\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n"
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}");
    ASSERT_FAILS(front_patch(&f, bob, &kind_role, "default", "fine", "",
                             "{\"rules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}"),
                 &f.err, ERR_FORBIDDEN, "not currently held");
    ASSERT_OK(front_patch(&f, bob, &kind_role, "default", "half", "", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"),
              &f.err);
    ASSERT_FAILS(front_create(&f, bob, "default", BINDING("all", "ClusterRole", "cluster-admin", "bob")), &f.err,
                 ERR_FORBIDDEN, "not currently held");
    ASSERT_OK(front_create(&f, bob, "default", BINDING("own", "Role", "fine", "eve")), &f.err);
    bob->ops->free(bob);
    front_stop(&f);
}

TEST("the verb bind lets a role be bound without holding it")
{
    front_start(&f, NULL);
    struct api *bob = front_api(&f, "bob", "");
    ASSERT_OK(
        front_create(
            &f, f.admin, "default",
            "{\"apiVersion\":\"rbac.authorization.k8s.io/"
            "v1\",\"kind\":\"Role\",\"metadata\":{\"name\":\"binder\"},\"rules\":["
            "{\"verbs\":[\"create\"],\"apiGroups\":[\"rbac.authorization.k8s.io\"],\"resources\":[\"rolebindings\"]},"
            "{\"verbs\":[\"bind\"],\"apiGroups\":[\"rbac.authorization.k8s.io\"],\"resources\":[\"clusterroles\"],"
            "\"resourceNames\":[\"view\"]}]}"),
        &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", BINDING("binder", "Role", "binder", "bob")), &f.err);
    ASSERT_OK(front_create(&f, bob, "default", BINDING("v", "ClusterRole", "view", "eve")), &f.err);
    ASSERT_FAILS(front_create(&f, bob, "default", BINDING("e", "ClusterRole", "edit", "eve")), &f.err, ERR_FORBIDDEN,
                 "not currently held");
    bob->ops->free(bob);
    front_stop(&f);
}

/* --- reviews ------------------------------------------------------------------------------------------------------- */

TEST("an access review tells what would be allowed")
{
    front_start(&f, NULL);
    struct api *bob = front_api(&f, "bob", "");
    static const char *const ask =
        "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SelfSubjectAccessReview\",\"spec\":{"
        "\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\",\"namespace\":\"default\"}}}";
    ASSERT_OK(front_create(&f, bob, "", ask), &f.err);
    ASSERT_STR(front_result(&f, "status.allowed"), "false");
    ASSERT_OK(front_create(&f, f.admin, "", ask), &f.err);
    ASSERT_STR(front_result(&f, "status.allowed"), "true");
    ASSERT_OK(front_create(&f, f.admin, "default", BINDING("v", "ClusterRole", "view", "bob")), &f.err);
    ASSERT_OK(front_create(&f, bob, "", ask), &f.err);
    ASSERT_STR(front_result(&f, "status.allowed"), "true");
    ASSERT_OK(
        front_create(
            &f, f.admin, "",
            "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{\"user\":\"bob\","
            "\"resourceAttributes\":{\"verb\":\"delete\",\"resource\":\"pods\",\"namespace\":\"default\"}}}"),
        &f.err);
    ASSERT_STR(front_result(&f, "status.allowed"), "false");
    ASSERT_INT(
        front_create(
            &f, bob, "",
            "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{\"user\":\"admin\","
            "\"resourceAttributes\":{\"verb\":\"delete\",\"resource\":\"pods\"}}}"),
        -1);
    ASSERT_INT(f.err.code, ERR_FORBIDDEN);
    ASSERT_OK(front_create(&f, bob, "",
                           "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SelfSubjectRulesReview\",\"spec\":{"
                           "\"namespace\":\"default\"}}"),
              &f.err);
    ASSERT_CONTAINS(front_result(&f, "status.resourceRules"), "\"pods\"");
    ASSERT_CONTAINS(front_result(&f, "status.nonResourceRules"), "/healthz");
    ASSERT_OK(front_create(&f, bob, "", "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"SelfSubjectReview\"}"),
              &f.err);
    ASSERT_STR(front_result(&f, "status.userInfo.username"), "bob");
    bob->ops->free(bob);
    front_stop(&f);
}

/* --- klein's own parts --------------------------------------------------------------------------------------------- */

struct right {
    const char *verb, *group, *resource, *sub, *namespace_;
};

static bool has_right(const char *user, const struct right *w)
{
    AUTO_ARENA struct arena a = { 0 };
    struct str group = STR("system:authenticated");
    struct identity who = { .user = str_of(user), .groups = &group, .groups_count = 1 };
    return authz_allows(f.server, &a,
                        &(struct authz_attributes){ .identity = &who,
                                                    .is_resource = true,
                                                    .verb = str_of(w->verb),
                                                    .group = str_of(w->group),
                                                    .resource = str_of(w->resource),
                                                    .subresource = str_of(w->sub),
                                                    .namespace_ = str_of(w->namespace_),
                                                    .name = STR("x") },
                        NULL);
}

TEST("controllers and scheduler have the rights they use, and not those of each other")
{
    static const struct right controllers[] = {
        { "watch", "", "pods", "", "" },
        { "create", "", "pods", "", "a" },
        { "delete", "", "pods", "", "a" },
        { "patch", "", "pods", "status", "a" },
        { "patch", "", "nodes", "", "" },
        { "patch", "", "nodes", "status", "" },
        { "update", "", "nodes", "", "" },
        { "update", "apps", "deployments", "status", "a" },
        { "create", "apps", "replicasets", "", "a" },
        { "patch", "apps", "replicasets", "status", "a" },
        { "create", "discovery.k8s.io", "endpointslices", "", "a" },
        { "update", "", "endpoints", "", "a" },
        { "create", "", "serviceaccounts", "", "a" },
        { "update", "", "configmaps", "", "a" },
        { "update", "", "namespaces", "finalize", "" },
        { "deletecollection", "", "secrets", "", "a" },
        { "delete", "networking.k8s.io", "ingresses", "", "a" },
        { "patch", "policy", "poddisruptionbudgets", "status", "a" },
        { "create", "", "events", "", "a" },
        { "patch", "events.k8s.io", "events", "", "a" },
        { "create", "coordination.k8s.io", "leases", "", "kube-system" },
        { "patch", "coordination.k8s.io", "leases", "", "kube-system" },
    };
    static const struct right scheduler[] = {
        { "watch", "", "pods", "", "" },        { "create", "", "pods", "binding", "a" },
        { "patch", "", "pods", "status", "a" }, { "watch", "", "nodes", "", "" },
        { "create", "", "events", "", "a" },    { "update", "coordination.k8s.io", "leases", "", "kube-system" },
    };
    static const struct right nobodys[] = { { "create", "", "pods", "exec", "a" },
                                            { "create", "rbac.authorization.k8s.io", "clusterroles", "", "" },
                                            { "impersonate", "", "users", "", "" } };
    front_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
        if (!has_right("system:kube-controller-manager", &controllers[i]))
            FAIL("controllers may not %s %s", controllers[i].verb, controllers[i].resource);
    for (size_t i = 0; i < ARRAY_SIZE(scheduler); i++)
        if (!has_right("system:kube-scheduler", &scheduler[i]))
            FAIL("the scheduler may not %s %s", scheduler[i].verb, scheduler[i].resource);
    for (size_t i = 0; i < ARRAY_SIZE(nobodys); i++) {
        ASSERT(!has_right("system:kube-controller-manager", &nobodys[i]));
        ASSERT(!has_right("system:kube-scheduler", &nobodys[i]));
    }
    ASSERT(!has_right("system:kube-scheduler", &controllers[1]));
    ASSERT(!has_right("system:kube-controller-manager", &scheduler[1]));
    front_stop(&f);
}

TEST("a node that joined as a gateway reads Ingresses and TLS secrets; other nodes do not")
{
    start();
    struct str groups[] = { STR("system:nodes"), STR("system:klein-gateways"), STR("system:authenticated") };
    struct api *gateway =
        server_api(f.server, &(struct identity){ .user = STR("system:node:g"), .groups = groups, .groups_count = 3 });
    struct api_call ingresses = { .verb = API_LIST, .kind = &kind_ingress };
    struct api_call tls = { .verb = API_LIST, .kind = &kind_secret, .field_selector = STR("type=kubernetes.io/tls") };
    struct api_call all = { .verb = API_LIST, .kind = &kind_secret };
    struct api_call opaque = { .verb = API_LIST,
                               .kind = &kind_secret,
                               .field_selector = STR("type!=kubernetes.io/tls") };
    ASSERT_OK(front_call(&f, gateway, ingresses), &f.err);
    ASSERT_OK(front_call(&f, gateway, tls), &f.err);
    ASSERT_INT(front_call(&f, gateway, all), -1);
    ASSERT_INT(front_call(&f, gateway, opaque), -1);
    ASSERT_INT(front_get(&f, gateway, &kind_secret, "default", "used"), -1);
    ASSERT_INT(front_call(&f, node_a, ingresses), -1);
    ASSERT_INT(front_call(&f, node_a, tls), -1);
    gateway->ops->free(gateway);
    stop();
}
