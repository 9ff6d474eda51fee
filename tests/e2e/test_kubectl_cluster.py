"""kubectl asks about the API itself, about rights, and works on nodes."""
import itertools

import pytest

from lib.objects import configmap, deployment, make_ready, node, node_status, pod
from lib.wait import wait_for

_numbers = itertools.count(1)


@pytest.fixture
def paper_node(api):
    """A Node that exists only as an object; Ready as long as nobody misses its agent."""
    name = f"paper-{next(_numbers)}"
    api.made("/api/v1/nodes", node(name))
    assert api.patch(f"/api/v1/nodes/{name}/status", node_status()).code == 200
    yield name
    api.delete(f"/api/v1/nodes/{name}")


def test_cluster_info(kubectl, server):
    """`kubectl cluster-info` names the address of the control plane."""
    assert f"https://127.0.0.1:{server.port}" in kubectl("cluster-info")


def test_version(kubectl):
    """`kubectl version` tells the API's version."""
    assert "v1.36.0+klein" in kubectl("version")


def test_api_resources(kubectl):
    """`kubectl api-resources` lists kinds with short names, groups and scope."""
    rows = {row.split()[0]: row.split() for row in kubectl("api-resources").splitlines()}
    assert rows["pods"] == ["pods", "po", "v1", "true", "Pod"]
    assert rows["deployments"] == ["deployments", "deploy", "apps/v1", "true", "Deployment"]
    assert rows["nodes"] == ["nodes", "no", "v1", "false", "Node"]
    for name in ("ingresses", "endpointslices", "leases", "poddisruptionbudgets", "clusterroles", "events"):
        assert name in rows


def test_api_versions(kubectl):
    """`kubectl api-versions` lists the groups."""
    assert {"v1", "apps/v1", "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1"} <= set(
        kubectl("api-versions").split())


def test_explain(kubectl):
    """`kubectl explain` tells the type and the purpose of a field, or that there is none."""
    told = kubectl("explain", "deployment.spec.strategy.rollingUpdate.maxSurge")
    assert "maxSurge" in told and "rollout" in told
    assert "FIELD" in kubectl("explain", "pod.spec.containers").upper()
    assert kubectl.fails("explain", "pod.spec.nonsense") in (
        'error: field "nonsense" does not exist\n', 'error: couldn\'t find resource for "/v1, Kind=Pod"\n')


def test_can_i(kubectl):
    """`kubectl auth can-i` answers yes for the administrator and no for a stranger."""
    assert kubectl("auth", "can-i", "create", "deployments") == "yes\n"
    done = kubectl.run("auth", "can-i", "create", "deployments", "--as=nobody")
    assert (done.code, done.out) == (1, "no\n")


def test_can_i_list(kubectl):
    """`kubectl auth can-i --list` shows the rules."""
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_default_objects(kubectl):
    """A fresh cluster has its namespaces, its service, the default service account and the CA's ConfigMap."""
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= set(
        item["metadata"]["name"] for item in kubectl.items("namespaces"))
    assert kubectl("get", "service", "kubernetes", "-n", "default", "-o", "jsonpath={.spec.ports[0].port}") == "443"
    wait_for("the default service account", lambda: kubectl.run("get", "serviceaccount", "default").code == 0)
    wait_for("the CA of the cluster", lambda: kubectl.run("get", "configmap", "kube-root-ca.crt").code == 0)


def test_cordon(kubectl, paper_node):
    """`kubectl cordon` makes a node unschedulable, `uncordon` undoes it."""
    kubectl("cordon", paper_node)
    assert "SchedulingDisabled" in kubectl("get", "node", paper_node)
    kubectl("uncordon", paper_node)
    assert "SchedulingDisabled" not in kubectl("get", "node", paper_node)


def test_taint(kubectl, paper_node):
    """`kubectl taint` adds and removes a taint."""
    kubectl("taint", "node", paper_node, "dedicated=test:NoSchedule")
    assert {"key": "dedicated", "value": "test", "effect": "NoSchedule"} in kubectl.json(
        "get", "node", paper_node)["spec"]["taints"]
    kubectl("taint", "node", paper_node, "dedicated:NoSchedule-")
    assert "dedicated" not in kubectl("get", "node", paper_node, "-o", "jsonpath={.spec.taints}")


def test_drain(kubectl, paper_node):
    """`kubectl drain` refuses pods nobody would make again, and with --force empties the node."""
    kubectl.apply(pod("one", nodeName=paper_node))
    assert "cannot delete Pods" in kubectl.fails("drain", paper_node, "--grace-period=0")
    kubectl("drain", paper_node, "--force", "--grace-period=0", "--timeout=20s")
    assert "NotFound" in kubectl.fails("get", "pod", "one")


def test_drain_respects_a_budget(kubectl, paper_node, api):
    """`kubectl drain` does not evict below a disruption budget."""
    kubectl.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "one"},
                   "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "one"}}}},
                  pod("one", nodeName=paper_node))
    make_ready(api, kubectl.namespace, "one")
    wait_for("the budget was computed", lambda: "1" == kubectl(
        "get", "poddisruptionbudget", "one", "-o", "jsonpath={.status.currentHealthy}"))
    done = kubectl.run("drain", paper_node, "--force", "--grace-period=0", "--timeout=2s")
    assert done.code == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget" in done.err + done.out
    assert kubectl.run("get", "pod", "one").code == 0


def test_scale(kubectl):
    """`kubectl scale` changes the number of pods, and refuses when the number is not the expected one."""
    kubectl.apply(deployment("web", 1))
    pods = lambda: kubectl.items("pods", "-l", "app=web")
    wait_for("one pod", lambda: len(pods()) == 1)
    kubectl("scale", "deployment", "web", "--replicas=3")
    wait_for("three pods", lambda: len(pods()) == 3)
    assert kubectl.run("scale", "deployment", "web", "--current-replicas=7", "--replicas=1").code == 1


def test_rollout_history_and_undo(kubectl):
    """`kubectl rollout history` shows revisions, `undo` goes back to the one before."""
    kubectl.apply(deployment("web", 1))
    wait_for("revision 1", lambda: "1 " in kubectl("rollout", "history", "deployment/web"))
    kubectl("set", "image", "deployment/web", "main=registry.invalid/none:2")
    wait_for("revision 2", lambda: "2 " in kubectl("rollout", "history", "deployment/web"))
    assert "registry.invalid/none:1" in kubectl("rollout", "history", "deployment/web", "--revision=1")
    kubectl("rollout", "undo", "deployment/web")
    wait_for("revision 3", lambda: "3 " in kubectl("rollout", "history", "deployment/web"))
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == (
        "registry.invalid/none:1")


def test_rollout_restart(kubectl):
    """`kubectl rollout restart` makes a new ReplicaSet."""
    kubectl.apply(deployment("web", 1))
    sets = lambda: kubectl.items("replicasets", "-l", "app=web")
    wait_for("a ReplicaSet", lambda: len(sets()) == 1)
    kubectl("rollout", "restart", "deployment/web")
    wait_for("a second ReplicaSet", lambda: len(sets()) == 2)


def test_rollout_pause(kubectl):
    """A paused deployment takes changes without acting, until it is resumed."""
    kubectl.apply(deployment("web", 1))
    sets = lambda: kubectl.items("replicasets", "-l", "app=web")
    wait_for("a ReplicaSet", lambda: len(sets()) == 1)
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "image", "deployment/web", "main=registry.invalid/none:2")
    wait_for("the change was seen", lambda: (lambda d: d["status"].get("observedGeneration") ==
                                             d["metadata"]["generation"])(kubectl.json("get", "deployment", "web")))
    assert len(sets()) == 1
    kubectl("rollout", "resume", "deployment/web")
    wait_for("a second ReplicaSet", lambda: len(sets()) == 2)


def test_rollout_status_waits(kubectl):
    """`kubectl rollout status` waits for pods, and gives up at its timeout."""
    kubectl.apply(deployment("web", 1))
    done = kubectl.run("rollout", "status", "deployment/web", "--timeout=1s")
    assert done.code == 1
    assert "0 of 1 updated replicas are available" in done.out


def test_pending_pods_say_why(kubectl, paper_node):
    """A pod that fits no node says how many there are and what each lacks."""
    kubectl("cordon", paper_node)
    kubectl.apply(pod("one"))
    message = lambda: kubectl("get", "pod", "one", "-o",
                              "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}")
    wait_for("the reason", lambda: "nodes are available" in message() and "unschedulable" in message())


def test_events(kubectl):
    """What happened to an object is told in events."""
    kubectl.apply(deployment("web", 1))
    wait_for("the event of the scaling", lambda: "Scaled up replica set" in kubectl("get", "events"))


def test_garbage_collection(kubectl):
    """Deleting a Deployment deletes its ReplicaSets and pods; --cascade=orphan leaves them."""
    kubectl.apply(deployment("web", 1), deployment("kept", 1))
    wait_for("pods", lambda: len(kubectl.items("pods")) == 2)
    kubectl("delete", "deployment", "web")
    kubectl("delete", "deployment", "kept", "--cascade=orphan")
    wait_for("only the orphans are left", lambda: (
        [p["metadata"]["labels"]["app"] for p in kubectl.items("pods")] == ["kept"] and
        [r["metadata"]["labels"]["app"] for r in kubectl.items("replicasets")] == ["kept"]))


def test_namespace_deletion(kubectl):
    """Deleting a namespace deletes what is in it and finishes."""
    kubectl("create", "namespace", f"{kubectl.namespace}-x")
    inside = kubectl.within(f"{kubectl.namespace}-x")
    inside.apply(configmap("one"), deployment("web", 1))
    kubectl("delete", "namespace", inside.namespace, "--timeout=20s", timeout_s=25)
    assert "NotFound" in kubectl.fails("get", "namespace", inside.namespace)


def test_namespace_held_by_a_finalizer(kubectl):
    """What holds a namespace stands in its conditions; it goes when the finalizer goes."""
    name = f"{kubectl.namespace}-held"
    kubectl("create", "namespace", name)
    inside = kubectl.within(name)
    held = configmap("held")
    held["metadata"]["finalizers"] = ["example.com/mine"]
    inside.apply(held)
    kubectl("delete", "namespace", name, "--wait=false")
    message = lambda: kubectl("get", "namespace", name, "-o",
                              "jsonpath={.status.conditions[?(@.type=='NamespaceFinalizersRemaining')].message}")
    wait_for("the finalizer is told", lambda: "example.com/mine in 1 resource instances" in message())
    assert "NotFound" not in inside("get", "configmap", "held")
    inside("patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    wait_for("the namespace is gone", lambda: kubectl.run("get", "namespace", name).code == 1)
