"""Fixtures of the end-to-end tests. KLEIN names the program to test (default build/klein)."""
import itertools
import os
import signal
import sys

import pytest

sys.dont_write_bytecode = True

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


@pytest.fixture
def kubectl(server, namespace, kubectl_version, tmp_path_factory):
    """kubectl of either version on the shared server, in a fresh namespace."""
    home = tmp_path_factory.getbasetemp() / f"home-{kubectl_version}"
    home.mkdir(exist_ok=True)
    return Kubectl(kubectl_version, server.kubeconfig, str(home), namespace)


@pytest.fixture
def api(server):
    return server.admin()
