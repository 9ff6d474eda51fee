/* A new cluster has what every cluster has, and admission does what users rely on. */
#include "front.h"

static struct front f;

TEST("a new cluster has its namespaces, default roles, priority classes and the API's service")
{
    front_start(&f, NULL);
    ASSERT_OK(front_get(&f, f.admin, &kind_namespace, "", "kube-node-lease"), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_clusterrole, "", "view"), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_clusterrolebinding, "", "klein:controllers"), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_rolebinding, "kube-system", "system::leader-locking-kube-scheduler"),
              &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_priorityclass, "", "system-node-critical"), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_ingressclass, "", "klein"), &f.err);
    ASSERT_OK(front_get(&f, f.admin, &kind_service, "default", "kubernetes"), &f.err);
    ASSERT_STR(front_result(&f, "spec.clusterIP"), "10.96.0.1");
    front_stop(&f);
}
