"""Two of three servers destroyed with their disks: klein recover, klein restore, and back to one server. docs/guide/backup.md"""
import os
import shutil
import subprocess

import pytest

from lib.cluster import Cluster, kill
from lib.objects import configmap
from lib.server import klein_program
from lib.wait import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def cluster(tmp_path):
    three = Cluster(f"lost-{os.getpid()}", tmp_path)
    try:
        yield three.up("--zones", "3", "--nodes-per-zone", "1", "--servers", "3")
    finally:
        three.down()
    assert three.leftovers() == []


def destroy(cluster, *names):
    for name in names:
        pid = next(server["initPid"] for server in cluster.read_status()["servers"] if server["name"] == name)
        kill(pid)
        wait_for("the machine is gone", lambda pid=pid: not os.path.exists(f"/proc/{pid}/ns/net"), 10)
        shutil.rmtree(cluster.data("servers", name))


def maps_of(cluster, address=None):
    items = cluster.admin(address).get(MAPS).json["items"]
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}


def check_whole(cluster, maps):
    """Everything is Ready, and each server has the same."""
    wait_for("the cluster is healthy", lambda: cluster.read_status()["healthy"], 30)
    assert maps_of(cluster) == maps
    for server in cluster.read_status()["servers"]:
        assert server["ready"], server
        wait_for("the server has it all", lambda at=server["address"]: maps_of(cluster, at) == maps, 10)


def revision_of(cluster):
    return int(cluster.admin().get(MAPS).json["metadata"]["resourceVersion"])


def test_lost_for_good(cluster, tmp_path):
    named = ["--name", cluster.name]
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n", encoding="utf-8")
    place = [str(tmp_path / "backups"), "--passphrase-file", str(passphrase)]
    cluster.admin().made(MAPS, configmap("kept", x="1"))
    cluster.klein("backup", *named, "--to", *place, "--no-verify")
    saved = maps_of(cluster)

    # The one that is left goes on, and the others are made anew.
    assert "majority" in failing("recover", *named)
    cluster.admin().made(MAPS, configmap("later", x="1"))
    before, revision = maps_of(cluster), revision_of(cluster)
    wait_for("server-c has it", lambda: maps_of(cluster, cluster.server("server-c")["address"]) == before, 10)
    destroy(cluster, "server-a", "server-b")
    cluster.klein("recover", *named)
    check_whole(cluster, before)
    assert revision_of(cluster) > revision

    # The same again, and now the backup over what is left.
    revision = revision_of(cluster)
    destroy(cluster, "server-a", "server-c")
    assert "--force" in failing("restore", *named, "--from", *place, "--backup-only")
    words = cluster.klein("restore", *named, "--from", *place, "--backup-only", "--force")
    assert "is back: 3 servers, 3 nodes" in words
    check_whole(cluster, saved)
    assert revision_of(cluster) > revision

    # And back to one server on SQLite.
    revision = revision_of(cluster)
    cluster.klein("grow", *named, "--servers", "1")
    assert maps_of(cluster) == saved and revision_of(cluster) > revision
    assert os.path.exists(cluster.data("server/store/klein.db")) and not os.path.exists(cluster.data("servers/server-a"))

    # One server is restored by the same command.
    cluster.admin().made(MAPS, configmap("lost", x="1"))
    assert "is back: 1 server, 3 nodes" in cluster.klein("restore", *named, "--from", *place, "--backup-only", "--force")
    assert maps_of(cluster) == saved


def failing(*args):
    done = subprocess.run([klein_program(), *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    return done.stderr
