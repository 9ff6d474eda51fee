"""What breaks comes back, and what is not broken does not notice."""
import os
import signal

from lib.cluster import container_pid, descendants, in_netns, kill
from lib.objects import box, service, web
from lib.wait import holds_for, wait_for
from test_rollout import busy_site, under_load  # noqa: F401 (a fixture)

LEAVE_S = 3 * 2    # out of the endpoints: the aim is 2 s; three times that on a loaded machine
REPLACE_S = 3 * 5  # Ready elsewhere: the aim is 5 s


def restarts(kubectl, name):
    return int(kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount}") or 0)


def is_ready(kubectl, name):
    return kubectl("get", "pod", name, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}") == "True"


def started_box(cluster, kubectl, **container):
    kubectl.apply(box(cluster, command="exec sleep 1000", **container))
    kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    return container_pid(cluster, kubectl, "box")


def test_killed_container(cluster, space):
    """A container killed with -9 is restarted; its exit code 137 is told."""
    kill(started_box(cluster, space))
    wait_for("a restart", lambda: restarts(space, "box") == 1 and is_ready(space, "box"))
    assert space("get", "pod", "box", "-o",
                 "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}") == "137"


def conmon_of(cluster, pid):
    """The monitor above a container's process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        parent = int(file.read().rsplit(")", 1)[1].split()[1])
    with open(f"/proc/{parent}/comm", encoding="utf-8") as file:
        assert file.read().strip() == "conmon"
    return parent


def test_killed_monitor(cluster, space):
    """A killed conmon ends its container, which is told as terminated and restarted by policy."""
    pid = started_box(cluster, space)
    kill(conmon_of(cluster, pid))
    wait_for("the container is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    wait_for("a restart", lambda: restarts(space, "box") == 1 and is_ready(space, "box"))


def test_killed_agent(cluster, space, busy_site):  # noqa: F811
    """Killed agents come back; pods run on, and no request fails."""
    pid = container_pid(cluster, space, "box")
    def work():
        for node in cluster.read_status()["nodes"]:
            kill(node["agentPid"])
            wait_for("another agent", lambda: cluster.node(node["name"])["agentPid"] not in (0, node["agentPid"]))
        wait_for("all nodes Ready", lambda: all(node["ready"] for node in cluster.read_status()["nodes"]))
        assert "Running" in space("get", "pod", "box")
    under_load(busy_site(), work)
    assert os.path.exists(f"/proc/{pid}"), "the container did not survive the agent"
    assert restarts(space, "box") == 0
    wait_for("exec works again", lambda: space.run("exec", "box", "--", "echo", "back").out == "back\n")


def test_killed_server(cluster, space, busy_site):  # noqa: F811
    """A killed server comes back; pods run on, nobody is evicted, and no request fails."""
    pid = container_pid(cluster, space, "box")
    before = space("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    def work():
        server = cluster.read_status()["serverPid"]
        kill(server)
        wait_for("another server", lambda: cluster.read_status()["serverPid"] not in (0, server))
        wait_for("it answers", lambda: space.run("get", "nodes").code == 0, 20)
        holds_for("the same pods are there", lambda: before == space(
            "get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"), 3)
    under_load(busy_site(), work)
    assert os.path.exists(f"/proc/{pid}")
    wait_for("exec works again", lambda: space.run("exec", "box", "--", "echo", "back").out == "back\n")


def test_paused_server_evicts_nobody(cluster, space):
    """A server that was stopped for longer than any node may be silent evicts nobody when it goes on."""
    started_box(cluster, space)
    server = cluster.read_status()["serverPid"]
    os.kill(server, signal.SIGSTOP)
    try:
        holds_for("the box runs", lambda: container_pid(cluster, space, "box", ask=False), 4)
    finally:
        os.kill(server, signal.SIGCONT)
    wait_for("the server answers", lambda: space.run("get", "pod", "box").code == 0)
    holds_for("the box stays", lambda: "Running" in space("get", "pod", "box"), 4)


def ready_endpoints(kubectl, name):
    return set(kubectl("get", "endpoints", name, "-o", "jsonpath={.subsets[*].addresses[*].ip}").split())


def site_on_three_nodes(cluster, kubectl):
    kubectl.apply(web(cluster, replicas=6), service("web"))
    kubectl("rollout", "status", "deployment/web", "--timeout=40s", timeout_s=45)
    wait_for("six endpoints", lambda: len(ready_endpoints(kubectl, "web")) == 6)
    return {pod["status"]["podIP"]: pod["spec"]["nodeName"] for pod in kubectl.items("pods", "-l", "app=web")}


def assert_replaced(kubectl, where, lost):
    """The lost node's pods leave the endpoints and are Ready elsewhere in time."""
    gone = {address for address, node in where.items() if node == lost}
    assert gone
    wait_for("the lost pods left the endpoints", lambda: not gone & ready_endpoints(kubectl, "web"), LEAVE_S)
    wait_for("six pods are Ready elsewhere", lambda: (
        len(ready_endpoints(kubectl, "web")) == 6 and not gone & ready_endpoints(kubectl, "web")), REPLACE_S)


def test_destroyed_node(whole, space):
    """A destroyed node leaves the Services, and its pods are Ready elsewhere."""
    where = site_on_three_nodes(whole, space)
    kill(whole.node("node-b1")["initPid"])
    assert_replaced(space, where, "node-b1")


def test_own_toleration(whole, space):
    """A pod that tolerates an unreachable node for longer stays on it, while others are replaced."""
    patient = web(whole, "patient", 1)
    patient["spec"]["template"]["spec"].update({
        "nodeSelector": {"topology.kubernetes.io/zone": "b"},
        "tolerations": [{"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute",
                         "tolerationSeconds": 600} for why in ("unreachable", "not-ready")]})
    space.apply(patient)
    space("rollout", "status", "deployment/patient", "--timeout=30s")
    where = site_on_three_nodes(whole, space)
    kill(whole.node("node-b1")["initPid"])
    assert_replaced(space, where, "node-b1")
    pods = space.items("pods", "-l", "app=patient")
    assert len(pods) == 1 and "deletionTimestamp" not in pods[0]["metadata"]


def test_cut_zone(whole, space):
    """A zone that is cut off leaves the Services, its pods are Ready elsewhere; joined again, it is Ready again."""
    where = site_on_three_nodes(whole, space)
    zone = whole.zone("c")
    in_netns(zone["networkNamespace"], "ip", "link", "set", zone["bridge"], "down")
    try:
        assert_replaced(space, where, "node-c1")
    finally:
        in_netns(zone["networkNamespace"], "ip", "link", "set", zone["bridge"], "up")
    wait_for("the node is Ready again", lambda: whole.node("node-c1")["ready"], 30)
    wait_for("its taints are gone", lambda: "unreachable" not in space(
        "get", "node", "node-c1", "-o", "jsonpath={.spec.taints}"), 30)


def test_control_plane_cut_off(whole, space):
    """When all nodes are cut from the control plane, at most a zone's share is evicted, and pods run on."""
    where = site_on_three_nodes(whole, space)
    zones = whole.read_status()["zones"]
    for zone in zones:
        in_netns(zone["networkNamespace"], "ip", "link", "set", zone["bridge"], "down")
    try:
        holds_for("most pods are left alone", lambda: sum(
            1 for pod in space.items("pods", "-l", "app=web") if "deletionTimestamp" not in pod["metadata"] and
            pod["status"].get("podIP") in where) >= 4, 8)
    finally:
        for zone in zones:
            in_netns(zone["networkNamespace"], "ip", "link", "set", zone["bridge"], "up")
    wait_for("all nodes Ready again", lambda: all(node["ready"] for node in whole.read_status()["nodes"]), 30)
    wait_for("six endpoints again", lambda: len(ready_endpoints(space, "web")) == 6, 30)


def test_orphans_are_reclaimed(cluster, space):
    """After kill -9 of an agent while a pod is deleted, nothing of the pod is left on the node."""
    pid = started_box(cluster, space)
    node = cluster.node(space("get", "pod", "box", "-o", "jsonpath={.spec.nodeName}"))
    uid = space("get", "pod", "box", "-o", "jsonpath={.metadata.uid}")
    kill(node["agentPid"])
    space("delete", "pod", "box", "--force", "--grace-period=0")
    wait_for("the process is gone", lambda: not os.path.exists(f"/proc/{pid}"), 20)
    def traces():
        with open(f"/proc/{node['initPid']}/mounts", encoding="utf-8") as mounts:
            left = [line for line in mounts if uid in line]
        for folder, names, files in os.walk(node["dataFolder"]):
            left += [os.path.join(folder, name) for name in names + files if uid in name]
        return left + [command for command in descendants(node["initPid"]).values() if uid in command]
    wait_for("nothing is left", lambda: traces() == [], 20)
