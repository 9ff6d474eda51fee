"""A node's failure with three servers: a server that is cut off together with a node does not keep the node's pods alive."""
import json
import os

import pytest

from conftest import make_kubectl
from lib.cluster import Cluster
from lib.image import push_test_images
from lib.wait import holds_for, wait_for
from test_failures import restarts
from test_node_failure import Paused, ZoneDown, alive, assert_given_free, assert_whole_again, single


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trio")
    one = Cluster(f"nf3-{os.getpid()}", folder)
    try:
        one.up("--servers", "3")
        push_test_images(str(folder), one.registry)
        yield one
    finally:
        one.down()
    assert one.leftovers() == []


@pytest.fixture
def db(trio, tmp_path_factory, request):
    """kubectl in a fresh namespace, when every agent knows every server."""
    kubectl = make_kubectl(tmp_path_factory, "1.34", trio.kubeconfig, request.node.name.replace("_", "-"))
    kubectl("create", "namespace", kubectl.namespace)
    wait_for("agents have tunnels to all servers", lambda: facts(kubectl) and all(
        node["servers"] == 3 and node["fence"] for node in facts(kubectl)), 30)
    yield kubectl
    wait_for("it is whole again", lambda: all(node["ready"] for node in trio.up().read_status()["nodes"]), 60)
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


def facts(kubectl):
    items = json.loads(kubectl("get", "--raw", "/klein/v1/nodes"))["items"]
    return [node for node in items if node["name"] != "gateway"]


def test_cut_zone_with_its_server(trio, db):
    """A zone with its server is cut off: the node there stops what must be one, though that server still answers it."""
    pid = single(trio, db, "node-c1")
    with ZoneDown(trio.zone("c")):
        uid = assert_given_free(db, pid)
    assert_whole_again(trio, db, "node-c1", uid)


def test_paused_servers(trio, db):
    """Two of three servers hang for a while: the nodes see each other, and nothing is stopped or evicted."""
    pid = single(trio, db, "node-b1")
    servers = trio.read_status()["servers"]
    with Paused(servers[0]["serverPid"]), Paused(servers[1]["serverPid"]):
        holds_for("it runs", lambda: alive(pid), 6)
    wait_for("the servers agree again", lambda: db.run("get", "pod", "db-0").code == 0, 20)
    holds_for("it runs on", lambda: alive(pid), 4)
    assert restarts(db, "db-0") == 0
