/* Binding and eviction. */
#include "front.h"

#include "kinds/fields.h"

static struct front f;

#define POD(name)                                                                                                      \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                                           \
    "\",\"namespace\":\"default\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"  \
    "\"i\"}]}}"
#define BIND(node)                                                                                                     \
    "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"a\"},\"target\":{\"kind\":\"Node\","         \
    "\"name\":\"" node "\"}}"

static void start(void)
{
    front_start(&f, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}"),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("a")), &f.err);
}

TEST("a binding puts a pod on a node once")
{
    start();
    ASSERT_OK(front_create_in(&f, f.admin, &kind_pod, "default", "a", "binding", BIND("n1")), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_pod, "default", "a"), &f.err);
    ASSERT_STR(front_result(&f, "spec.nodeName"), "n1");
    ASSERT_STR(front_result(&f, "status.conditions.0.type"), "PodScheduled");
    ASSERT_STR(front_result(&f, "status.conditions.0.status"), "True");
    ASSERT_FAILS(front_create_in(&f, f.admin, &kind_pod, "default", "a", "binding", BIND("n2")), &f.err, ERR_CONFLICT,
                 "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n1\"");
    ASSERT_FAILS(front_create_in(&f, f.admin, &kind_pod, "default", "gone", "binding",
                                 "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"gone\"},"
                                 "\"target\":{\"name\":\"n\"}}"),
                 &f.err, ERR_NOT_FOUND, "pods \"gone\" not found");
    front_stop(&f);
}

#define EVICT(name) "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"" name "\"}}"
#define BUDGET                                                                                                         \
    "{\"apiVersion\":\"policy/"                                                                                        \
    "v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"minAvailable\":1,"              \
    "\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}"

static void ready(const char *pod)
{
    ASSERT_OK(
        front_patch(&f, f.admin, &kind_pod, "default", pod, "status",
                    "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}"),
        &f.err);
}

static void budget_status(const char *status)
{
    AUTO_FREE char *patch = xasprintf("{\"status\":%s}", status);
    ASSERT_OK(front_patch(&f, f.admin, &kind_poddisruptionbudget, "default", "web", "status", patch), &f.err);
}

TEST("an eviction without a budget deletes the pod")
{
    start();
    ASSERT_OK(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), &f.err);
    ASSERT_INT(front_get(&f, f.admin, &kind_pod, "default", "a"), -1);
    front_stop(&f);
}

TEST("an exhausted budget stops evictions with 429 and the cause DisruptionBudget")
{
    start();
    ready("a");
    ASSERT_OK(front_create(&f, f.admin, "default", BUDGET), &f.err);
    ASSERT_INT(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), -1);
    ASSERT_STR(f.err.causes[0].message, "The disruption budget web is still being processed by the server.");
    ASSERT_INT(f.err.retry_after_s, 10);
    budget_status("{\"observedGeneration\":1,\"disruptionsAllowed\":0,\"currentHealthy\":1,\"desiredHealthy\":1,"
                  "\"expectedPods\":1}");
    ASSERT_INT(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), -1);
    ASSERT_INT(f.err.code, ERR_TOO_MANY_REQUESTS);
    ASSERT_STR(f.err.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    ASSERT_STR(f.err.causes[0].reason, "DisruptionBudget");
    ASSERT_STR(f.err.causes[0].message, "The disruption budget web needs 1 healthy pods and has 1 currently");
    ASSERT_OK(front_get(&f, f.admin, &kind_pod, "default", "a"), &f.err);
    ASSERT_STR(front_result(&f, "metadata.deletionTimestamp"), "");
    front_stop(&f);
}

TEST("an allowed eviction is counted in the budget before the pod goes")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "default", POD("b")), &f.err);
    ready("a");
    ready("b");
    ASSERT_OK(front_create(&f, f.admin, "default", BUDGET), &f.err);
    budget_status("{\"observedGeneration\":1,\"disruptionsAllowed\":1,\"currentHealthy\":2,\"desiredHealthy\":1,"
                  "\"expectedPods\":2}");
    ASSERT_OK(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_poddisruptionbudget, "default", "web"), &f.err);
    ASSERT_STR(front_result(&f, "status.disruptionsAllowed"), "0");
    ASSERT_CONTAINS(front_result(&f, "status.disruptedPods"), "\"a\":");
    ASSERT_INT(front_create_in(&f, f.admin, &kind_pod, "default", "b", "eviction", EVICT("b")), -1);
    ASSERT_INT(f.err.code, ERR_TOO_MANY_REQUESTS);
    front_stop(&f);
}

TEST("a pod that is not ready may go while the budget is met without it")
{
    start();
    ASSERT_OK(front_patch(&f, f.admin, &kind_pod, "default", "a", "status", "{\"status\":{\"phase\":\"Running\"}}"),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", BUDGET), &f.err);
    budget_status("{\"observedGeneration\":1,\"disruptionsAllowed\":0,\"currentHealthy\":1,\"desiredHealthy\":1,"
                  "\"expectedPods\":2}");
    ASSERT_OK(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), &f.err);
    front_stop(&f);
}

TEST("a pod of two budgets cannot be evicted")
{
    start();
    ready("a");
    ASSERT_OK(front_create(&f, f.admin, "default", BUDGET), &f.err);
    ASSERT_OK(front_create(
                  &f, f.admin, "default",
                  "{\"apiVersion\":\"policy/"
                  "v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"two\"},\"spec\":{\"minAvailable\":1,"
                  "\"selector\":{}}}"),
              &f.err);
    ASSERT_FAILS(front_create_in(&f, f.admin, &kind_pod, "default", "a", "eviction", EVICT("a")), &f.err, ERR_INTERNAL,
                 "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
    front_stop(&f);
}
