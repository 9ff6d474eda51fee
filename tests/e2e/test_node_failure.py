"""A node that is cut off, hangs or loses only the servers: what must be one is never two, what is healthy stays."""
import os
import signal

from lib.cluster import container_pid, descendants, in_netns, kill
from lib.objects import box, service, web
from lib.process import run
from lib.wait import holds_for, wait_for
from test_failures import is_ready, ready_endpoints, restarts

FENCE_S = 3 * (3 + 1)     # stopped by the node itself: 3 s without contact, and a grace of 1 s
REPLACE_S = 3 * 10        # given free by the servers: the aim is 10 s


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def single(cluster, kubectl, node):
    """Pod db-0 of a StatefulSet, on this node; returns its process."""
    pod = box(cluster, "db-0", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    if kubectl.run("get", "statefulsets").code == 0:
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
        kubectl.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
            "replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod["spec"]}}})
    else:  # a server without that kind: the pod is what counts
        pod["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db",
                                               "controller": True, "uid": "00000000-0000-4000-8000-000000000001"}]
        pod["spec"]["nodeName"] = node
        kubectl.apply(pod)
    wait_for("db-0", lambda: identity(kubectl))
    kubectl("wait", "pod/db-0", "--for=condition=Ready", "--timeout=20s")
    return container_pid(cluster, kubectl, "db-0")


def identity(kubectl):
    """The uid of db-0; None when there is none."""
    answer = kubectl.run("get", "pod", "db-0", "-o", "jsonpath={.metadata.uid}")
    return answer.out if answer.code == 0 else None


def in_node(node, *command):
    return run("nsenter", "-t", str(node["initPid"]), "-n", "--", *command)


class NoWay:
    """Packets of a node that are dropped on their way out, and back when `both`."""

    def __init__(self, node, to, both=False):
        self.node, self.to, self.both = node, to, both

    def __enter__(self):
        rules = [f"add rule ip cut out ip daddr {self.to} drop"]
        if self.both:
            rules.append(f"add rule ip cut in ip saddr {self.to} drop")
        in_node(self.node, "nft", "add table ip cut; "
                "add chain ip cut out { type filter hook postrouting priority -400; }; "
                "add chain ip cut in { type filter hook prerouting priority -400; }; " + "; ".join(rules))
        return self

    def __exit__(self, *_):
        in_node(self.node, "nft", "delete table ip cut")


class ZoneDown:
    def __init__(self, zone):
        self.zone = zone

    def set(self, state):
        in_netns(self.zone["networkNamespace"], "ip", "link", "set", self.zone["bridge"], state)

    def __enter__(self):
        self.set("down")

    def __exit__(self, *_):
        self.set("up")


class Paused:
    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def assert_given_free(kubectl, pid):
    """The process ends on its node, and only then the pod is deleted, so that another may be made."""
    uid = identity(kubectl)
    assert uid
    def deleted():
        there = identity(kubectl) == uid
        assert there or not alive(pid), "deleted while its process could still write"
        return not there
    wait_for("the node stops the pod by itself", lambda: not alive(pid) or deleted(), FENCE_S)
    wait_for("the pod is deleted", deleted, REPLACE_S)
    return uid


def assert_whole_again(cluster, kubectl, node, uid):
    wait_for("the node is Ready again", lambda: cluster.node(node)["ready"], 30)
    holds_for("the pod does not come back", lambda: identity(kubectl) != uid, 1)


def way_out(cluster):
    """All other machines of the local cluster."""
    return ".".join(cluster.gateway.split(".")[:2]) + ".0.0/16"


def test_cut_zone_fences(whole, space):
    """In a zone that is cut off what must be one is stopped, then given free."""
    pid = single(whole, space, "node-c1")
    with ZoneDown(whole.zone("c")):
        holds_for("a short cut harms nobody", lambda: alive(pid), 1.5)
        uid = assert_given_free(space, pid)
    assert_whole_again(whole, space, "node-c1", uid)


def test_short_cut(whole, space):
    """A cut of less than 3 s stops nothing and evicts nobody who must be one."""
    pid = single(whole, space, "node-c1")
    with ZoneDown(whole.zone("c")):
        holds_for("it runs", lambda: alive(pid), 1.5)
    wait_for("the node is Ready again", lambda: whole.node("node-c1")["ready"], 30)
    holds_for("it runs on", lambda: alive(pid) and restarts(space, "db-0") == 0, 2)


def test_cut_in_one_direction_fences(whole, space):
    """A node whose packets are lost, though it receives all, is cut off like any other."""
    pid = single(whole, space, "node-c1")
    with NoWay(whole.node("node-c1"), way_out(whole)):
        uid = assert_given_free(space, pid)
    assert_whole_again(whole, space, "node-c1", uid)


def test_hanging_agent_fences(whole, space):
    """An agent that hangs cannot stop its pods; its guard does."""
    pid = single(whole, space, "node-b1")
    with Paused(whole.node("node-b1")["agentPid"]):
        uid = assert_given_free(space, pid)
    assert_whole_again(whole, space, "node-b1", uid)


def test_destroyed_node_fences(whole, space):
    """A destroyed node: its pods died with it; they are given free after the fence time all the same."""
    pid = single(whole, space, "node-b1")
    kill(whole.node("node-b1")["initPid"])
    assert_given_free(space, pid)


def test_server_alone_does_not_hear_it(whole, space):
    """A node that only the server cannot reach leaves the Services and keeps its pods: the other nodes hear it."""
    pid = single(whole, space, "node-c1")
    space.apply(web(whole, replicas=3), service("web"))
    space("rollout", "status", "deployment/web", "--timeout=40s", timeout_s=45)
    before = space("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    with NoWay(whole.node("node-c1"), whole.gateway, both=True):
        wait_for("it leaves the Services", lambda: len(ready_endpoints(space, "web")) == 2, 6)
        holds_for("nobody is evicted", lambda: alive(pid) and before == space(
            "get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"), 9)
    wait_for("it serves again", lambda: len(ready_endpoints(space, "web")) == 3, 30)
    assert alive(pid) and restarts(space, "db-0") == 0


def test_control_plane_away(whole, space):
    """Without a server pods run on, are restarted, and a killed agent's successor finds them; afterwards nothing has changed."""
    pid = single(whole, space, "node-a1")
    space.apply(box(whole, command="exec sleep 1000"))
    space("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    other = container_pid(whole, space, "box")
    node = whole.node(space("get", "pod", "box", "-o", "jsonpath={.spec.nodeName}"))
    with Paused(whole.read_status()["serverPid"]):
        kill(other)
        wait_for("a restart without a server", lambda: sleeping(node, "sleep 1000") not in (None, other), 10)
        kill(node["agentPid"])
        holds_for("what must be one runs", lambda: alive(pid), 6)
    wait_for("all nodes are Ready", lambda: all(one["ready"] for one in whole.read_status()["nodes"]), 30)
    wait_for("the restart is told", lambda: restarts(space, "box") == 1 and is_ready(space, "box"), 20)
    assert alive(pid) and restarts(space, "db-0") == 0


def resolves(node, name):
    """The answer of the node's own DNS; None when it has none."""
    code = ("import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); "
            f"q = b''.join(bytes([len(l)]) + l.encode() for l in {name!r}.split('.')) + b'\\0'; "
            "s.sendto(struct.pack('>6H', 7, 256, 1, 0, 0, 0) + q + struct.pack('>2H', 1, 1), ('10.96.0.10', 53)); "
            "a = s.recv(512); print(socket.inet_ntoa(a[-4:]) if a[3] & 15 == 0 and a[7] else '')")
    try:
        return in_node(node, "python3", "-c", code).strip()
    except AssertionError:
        return None


def test_agent_starts_without_a_server(whole, space):
    """An agent that begins while no server answers knows Services and addresses as its predecessor did."""
    space.apply(web(whole, replicas=2), service("web"))
    space("rollout", "status", "deployment/web", "--timeout=40s", timeout_s=45)
    address = space("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    name = f"web.{space('get', 'service', 'web', '-o', 'jsonpath={.metadata.namespace}')}.svc.cluster.local"
    node = whole.node("node-b1")
    wait_for("DNS answers", lambda: resolves(node, name) == address, 10)
    holds_for("it is written down within a second or two", lambda: resolves(node, name) == address, 3)
    with Paused(whole.read_status()["serverPid"]):
        kill(node["agentPid"])
        wait_for("another agent", lambda: whole.node("node-b1")["agentPid"] not in (0, node["agentPid"]))
        wait_for("DNS answers without a server", lambda: resolves(node, name) == address, 10)
        in_node(node, "curl", "-sf", "-m", "3", "-o", "/dev/null", f"http://{address}/")
    wait_for("all nodes are Ready", lambda: all(one["ready"] for one in whole.read_status()["nodes"]), 30)
    assert resolves(node, name) == address


def sleeping(node, command):
    return next((pid for pid, line in descendants(node["initPid"]).items() if line == command), None)


def guard_of(node):
    return next((pid for pid, line in descendants(node["initPid"]).items() if line.startswith("klein-fence ")), None)


def test_killed_guard(whole, space):
    """A killed guard is started again, a killed agent finds its guard; neither stops a pod."""
    pid = single(whole, space, "node-a1")
    node = whole.node("node-a1")
    guard = guard_of(node)
    kill(guard)
    guard = wait_for("another guard", lambda: guard_of(node) not in (None, guard) and guard_of(node))
    kill(node["agentPid"])
    wait_for("another agent", lambda: whole.node("node-a1")["agentPid"] not in (0, node["agentPid"]))
    holds_for("the same guard, the same pod", lambda: guard_of(node) == guard and alive(pid), 5)
    with open(f"/proc/{guard}/smaps_rollup", encoding="utf-8") as file:
        pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    assert pss < 1024, f"the guard takes {pss} KiB"
