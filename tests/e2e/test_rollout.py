"""Changing what runs, while it is used: no request fails."""
import json
import subprocess
import time

import pytest

from lib.cluster import container_pid
from lib.objects import box, ingress, service, web
from lib.process import start
from lib.wait import wait_for

RATE = 100


class Load:
    """The load client at one address for the length of a with block, in this or in a pod's network."""

    def __init__(self, cluster, address, mode, pid=None, host=None):
        within = ["nsenter", "-t", str(pid), "-n", "--"] if pid else []
        self.what = f"{mode} at {address}"
        self.command = [*within, cluster.load_program, address, str(RATE), "120", mode, *([host] if host else [])]

    def __enter__(self):
        self.process = start(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *failure):
        self.process.terminate()
        out, self.errors = self.process.communicate(timeout=20)
        self.result = json.loads(out)
        print(self.what, self.result)

    def assert_clean(self):
        assert self.result["sent"] > RATE and self.result["failed"] == 0, f"{self.what}: {self.result}\n{self.errors}"


@pytest.fixture
def busy_site(cluster, space):
    """The sample service behind a ClusterIP and the gateway; gives the four loads: both ways, fresh and kept connections."""
    name = "s" + space.namespace
    space.apply(web(cluster, replicas=3), service("web"), ingress("web", host=f"{name}.example"),
                box(cluster, command="exec sleep 1000"))
    space("rollout", "status", "deployment/web", "--timeout=30s")
    space("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    address = space("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}") + ":80"
    wait_for("the gateway leads there", lambda: "Hello" in subprocess.run(
        ["curl", "-s", "-m", "3", "-H", f"Host: {name}.example", f"http://{cluster.gateway}/"], capture_output=True,
        text=True).stdout)
    pid = container_pid(cluster, space, "box")
    return lambda: [Load(cluster, address, mode, pid=pid) for mode in ("fresh", "keep")] + [
        Load(cluster, f"{cluster.gateway}:80", mode, host=f"{name}.example") for mode in ("fresh", "keep")]


def settled(kubectl, name="web"):
    """As many pods as wanted, all Ready, none still ending."""
    wanted = kubectl.json("get", "deployment", name)["spec"]["replicas"]
    pods = kubectl.items("pods", "-l", f"app={name}")
    return len(pods) == wanted and all("deletionTimestamp" not in pod["metadata"] for pod in pods)


def under_load(loads, work, until=lambda: True):
    """Do the work while all loads run, from a second before it until a second after; none may have failed a request."""
    def a_second():
        end = time.monotonic() + 1
        wait_for("a second of load", lambda: time.monotonic() > end)
    fresh, keep, gateway_fresh, gateway_keep = loads
    with fresh, keep, gateway_fresh, gateway_keep:
        a_second()
        work()
        wait_for("what was replaced is gone", until, 40)
        a_second()
    for one in loads:
        one.assert_clean()


def test_new_image_under_load(cluster, space, busy_site):
    """`kubectl set image` under load loses no request, by ClusterIP and gateway, on fresh and kept connections."""
    def work():
        space("set", "image", "deployment/web", f"main={cluster.registry}/web:2")
        space("rollout", "status", "deployment/web", "--timeout=60s", timeout_s=70)
    under_load(busy_site(), work, until=lambda: settled(space))
    images = space("get", "pods", "-l", "app=web", "--field-selector=status.phase=Running", "-o",
                   "jsonpath={.items[*].spec.containers[0].image}")
    assert f"{cluster.registry}/web:2" in images


def test_restart_under_load(space, busy_site):
    """`kubectl rollout restart` under load, twice, loses no request."""
    def work():
        for _ in range(2):
            # kubectl refuses a second restart within the second of the first, which klein may have finished.
            wait_for("the restart is taken", lambda: space("rollout", "restart", "deployment/web"))
            space("rollout", "status", "deployment/web", "--timeout=60s", timeout_s=70)
            wait_for("the old pods are gone", lambda: settled(space), 40)
    under_load(busy_site(), work)


def test_scaling_down_under_load(space, busy_site):
    """Removing and adding pods under load loses no request."""
    def work():
        for replicas in (1, 4, 2):
            space("scale", "deployment", "web", f"--replicas={replicas}")
            space("rollout", "status", "deployment/web", "--timeout=30s")
            wait_for("the surplus is gone", lambda: settled(space), 20)
    under_load(busy_site(), work)


def test_drain_under_load(cluster, space, busy_site):
    """`kubectl drain` of a node under load loses no request."""
    space.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
                 "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}})
    node = space("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
    box_node = space("get", "pod", "box", "-o", "jsonpath={.spec.nodeName}")
    if node == box_node:
        node = next(n for n in space("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split()
                    if n != box_node)
    def work():
        try:
            space("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=40s",
                  "--pod-selector=app=web", timeout_s=50)
        finally:
            space("uncordon", node)
    under_load(busy_site(), work, until=lambda: settled(space))


def test_bad_image_stops_a_rollout(cluster, space, busy_site):
    """A rollout to an image that does not exist stops, and the old version serves on."""
    def work():
        space("set", "image", "deployment/web", f"main={cluster.registry}/web:none")
        space.fails("rollout", "status", "deployment/web", "--timeout=4s")
    under_load(busy_site(), work)
    assert space("get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}") == "3"


def test_failing_readiness_stops_a_rollout(cluster, space, busy_site):
    """A rollout whose pods never get ready stops, and the old version serves on; undo goes back."""
    def work():
        space("patch", "deployment", "web", "--type=json", "-p", json.dumps(
            [{"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe/httpGet/path", "value": "/fail"}]))
        space.fails("rollout", "status", "deployment/web", "--timeout=4s")
        space("rollout", "undo", "deployment/web")
        space("rollout", "status", "deployment/web", "--timeout=30s")
    under_load(busy_site(), work)


def test_progress_deadline(cluster, space):
    """A rollout without progress is told as ProgressDeadlineExceeded."""
    space.apply(web(cluster, replicas=1, version="none", progressDeadlineSeconds=2))
    wait_for("the condition", lambda: "ProgressDeadlineExceeded" == space(
        "get", "deployment", "web", "-o", "jsonpath={.status.conditions[?(@.type=='Progressing')].reason}"), 15)
