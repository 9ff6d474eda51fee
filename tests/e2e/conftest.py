"""Fixtures of the end-to-end tests. KLEIN names the program to test (default build/klein)."""
import itertools
import os
import signal
import sys

import pytest

sys.dont_write_bytecode = True

from lib.cluster import Cluster  # noqa: E402
from lib.image import build, push_test_images  # noqa: E402
from lib.kubectl import VERSIONS, Kubectl  # noqa: E402 (after the line above, so that no __pycache__ is left)
from lib.server import Server  # noqa: E402

_numbers = itertools.count(1)


def _interrupt(number, frame):
    raise KeyboardInterrupt


# A run that is asked to end tears its fixtures down like one that is interrupted.
signal.signal(signal.SIGTERM, _interrupt)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server without nodes, shared by tests that leave it as they found it (but for their own namespace)."""
    one = Server(tmp_path_factory.mktemp("server")).start()
    yield one
    assert one.stop() == 0


@pytest.fixture
def own_server(tmp_path):
    """A server of one's own, to kill or to fill."""
    one = Server(tmp_path).start()
    yield one
    if one.process.poll() is None:
        one.kill()


@pytest.fixture(scope="session", params=VERSIONS)
def kubectl_version(request):
    return request.param


@pytest.fixture
def namespace(server):
    """A fresh namespace on the shared server."""
    name = f"t{os.getpid()}-{next(_numbers)}"
    server.admin().made("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    server.admin().delete(f"/api/v1/namespaces/{name}")


def make_kubectl(tmp_path_factory, version, kubeconfig, namespace="default"):
    home = tmp_path_factory.getbasetemp() / f"home-{version}"
    home.mkdir(exist_ok=True)
    return Kubectl(version, kubeconfig, str(home), namespace)


@pytest.fixture
def kubectl(server, namespace, kubectl_version, tmp_path_factory):
    """kubectl of either version on the shared server, in a fresh namespace."""
    return make_kubectl(tmp_path_factory, kubectl_version, server.kubeconfig, namespace)


@pytest.fixture
def api(server):
    return server.admin()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """One cluster of three zones for all tests; afterwards nothing of it may be left on the machine."""
    folder = tmp_path_factory.mktemp("cluster")
    one = Cluster(f"e2e-{os.getpid()}", folder)
    try:
        one.up("--zones", "3", "--nodes-per-zone", "1")
        push_test_images(str(folder), one.registry)
        one.load_program = build(str(folder), "tests/e2e/lib/load.c")
        yield one
    finally:
        one.down()
    assert one.leftovers() == []


@pytest.fixture
def space(cluster, tmp_path_factory, request):
    """kubectl 1.34 in a fresh namespace of the cluster; the namespace goes with the test."""
    name = f"t{next(_numbers)}"
    kubectl = make_kubectl(tmp_path_factory, "1.34", cluster.kubeconfig, name)
    kubectl("create", "namespace", name)
    yield kubectl
    kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def both(space, kubectl_version, tmp_path_factory):
    """kubectl of either version in a fresh namespace of the cluster."""
    return make_kubectl(tmp_path_factory, kubectl_version, space.kubeconfig, space.namespace)


@pytest.fixture
def whole(cluster):
    """The cluster, made whole again by `klein up` after a test that breaks it."""
    yield cluster
    cluster.up()
