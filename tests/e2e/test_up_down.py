"""`klein up`, `down` and `status`: a contract with scripts."""
import os
import subprocess

import pytest

from lib.cluster import Cluster, in_netns, kill
from lib.kubectl import VERSIONS
from lib.server import klein_program
from lib.wait import wait_for
from conftest import make_kubectl


@pytest.fixture
def second(tmp_path):
    """A cluster of one's own, removed at the end whatever is left of it."""
    one = Cluster(f"e2x-{os.getpid()}", tmp_path)
    yield one
    one.down()
    assert one.leftovers() == []


def test_status_tells_the_parts(cluster):
    """`klein status -o json` tells addresses, nodes with their processes and folders, and zones with their bridges."""
    status = cluster.read_status()
    assert status["version"] == "v1.36.0+klein"
    assert status["apiAddress"].startswith("https://") and status["gatewayAddress"] and status["registryAddress"]
    assert [(node["zone"], node["ready"]) for node in status["nodes"]] == [("a", True), ("b", True), ("c", True)]
    for node in status["nodes"]:
        assert os.path.exists(node["networkNamespace"]) and os.path.isdir(node["dataFolder"])
        assert os.path.exists(f"/proc/{node['initPid']}") and os.path.exists(f"/proc/{node['agentPid']}")
    for zone in status["zones"]:
        assert zone["bridge"] in in_netns(zone["networkNamespace"], "ip", "-br", "link", "show")


def test_status_fits_a_terminal(cluster):
    """`klein status` tells zones, nodes and health in lines of a terminal's width."""
    text = cluster.klein("status", "--name", cluster.name)
    assert "healthy" in text and "node-a1" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def lasting(status):
    """What does not change by itself: a server's revision and disk do."""
    names = ("name", "address", "networkNamespace", "initPid", "serverPid", "etcdPid", "dataFolder", "ready")
    return status | {"servers": [{name: one[name] for name in names} for one in status["servers"]]}


def test_up_twice(cluster):
    """`klein up` of a cluster that is up changes nothing and succeeds."""
    before = lasting(cluster.read_status())
    cluster.up()
    assert lasting(cluster.read_status()) == before


def test_up_refuses_another_shape(cluster):
    """`klein up` with other zones than the cluster has fails and says how to go on."""
    done = subprocess.run([klein_program(), "up", "--name", cluster.name, "--zones", "2"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "exists with 3 zones of 1 nodes" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("args", [["up", "--zones", "none"], ["up", "--nonsense"], ["down", "--name", "UPPER"], ["nonsense"],
                                  ["status", "-o", "xml"]])
def test_wrong_usage(args):
    """Wrong usage ends with exit code 2 and a sentence."""
    done = subprocess.run([klein_program(), *args], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr


def test_status_of_no_cluster():
    """`klein status` of a cluster that is not there fails with one sentence."""
    done = subprocess.run([klein_program(), "status", "--name", "none-such"], capture_output=True, text=True)
    assert done.returncode == 1 and "there is no cluster 'none-such'" in done.stderr


def test_second_cluster(cluster, second, tmp_path_factory):
    """A second cluster runs beside the first, with addresses of its own, and goes without touching it."""
    second.up("--zones", "1", "--nodes-per-zone", "2")
    assert second.gateway != cluster.gateway
    kubectl = make_kubectl(tmp_path_factory, VERSIONS[-1], second.kubeconfig)
    assert len(kubectl.items("nodes")) == 2
    second.down()
    assert second.leftovers() == []
    assert all(node["ready"] for node in cluster.read_status()["nodes"])


def test_down_of_a_half_missing_cluster(second):
    """`klein down` removes a cluster of which a node and the edge died."""
    second.up("--zones", "2")
    kill(second.status["nodes"][0]["initPid"])
    kill(second.status["initPid"])
    second.down()
    assert second.leftovers() == []


def test_down_without_its_record(second):
    """`klein down` of a name nobody knows succeeds."""
    second.down()


def test_up_repairs(second, tmp_path_factory):
    """`klein up` starts a node again that died, and all is Ready."""
    second.up("--zones", "2")
    dead = second.status["nodes"][1]
    kill(dead["initPid"])
    wait_for("the init is gone", lambda: not os.path.exists(f"/proc/{dead['initPid']}"))
    second.up()
    assert [node["ready"] for node in second.read_status()["nodes"]] == [True, True]
    assert second.node(dead["name"])["initPid"] not in (0, dead["initPid"])


def test_up_after_a_power_cut(second, tmp_path_factory):
    """When every process of a cluster was killed at once, `klein up` brings it back with all its objects."""
    second.up("--zones", "2")
    kubectl = make_kubectl(tmp_path_factory, VERSIONS[-1], second.kubeconfig)
    kubectl("create", "configmap", "kept", "--from-literal=a=1")
    inits = [one["initPid"] for one in (second.status, *second.status["nodes"])]
    for pid in inits:
        kill(pid)
    wait_for("all of it is gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in inits))
    second.up()
    assert kubectl.json("get", "configmap", "kept")["data"] == {"a": "1"}
    assert len([node for node in second.read_status()["nodes"] if node["ready"]]) == 2
