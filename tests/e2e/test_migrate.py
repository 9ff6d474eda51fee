"""One server's state moves from SQLite to etcd and back; the member that is left of three becomes a cluster. docs/guide/backup.md"""
import json
import os
import signal
import time

import pytest

from lib.cluster import Cluster
from lib.kubectl import ROOT
from lib.objects import configmap
from lib.process import run, start
from lib.server import Server, klein_program
from lib.wait import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


class Member(Server):
    """A server with an etcd member of its own, on a loopback address of its own."""

    def __init__(self, folder, name, number, *options):
        folder.mkdir(exist_ok=True)
        self.address = f"127.{71 + os.getpid() % 50}.{os.getpid() // 50 % 250}.{number}"
        super().__init__(folder)
        self.name = name
        self.etcd_options = ["--store", "etcd", "--address", self.address, "--name", name, *options]

    def on_sqlite(self):
        self.options = ()
        return self.start()

    def on_etcd(self, *options):
        self.options = (*self.etcd_options, *options)
        return self.start()

    def klein(self, *args, code=0):
        return run(klein_program(), "server", *args, "--data", self.data, code=code)

    def etcd_pid(self):
        with open(self.file("etcd.json"), encoding="utf-8") as file:
            return json.load(file)["pid"]

    def end(self):
        if self.process and self.process.poll() is None:
            self.kill()
        try:
            os.kill(self.etcd_pid(), signal.SIGKILL)
        except (OSError, ValueError):
            pass


@pytest.fixture
def member(tmp_path):
    one = Member(tmp_path / "a", "server-a", 1)
    yield one
    one.end()


def maps_of(server):
    return {item["metadata"]["name"]: (item["metadata"]["uid"], item.get("data"))
            for item in server.admin().get(MAPS).json["items"]}


def revision_of(server):
    return int(server.admin().get(MAPS).json["metadata"]["resourceVersion"])


def test_to_etcd_and_back(member):
    """No object is lost, no revision goes back, an old watch gets 410 or goes on; a running server is refused."""
    member.on_sqlite()
    for i in range(30):
        member.admin().made(MAPS, configmap(f"c{i}", text="x" * 1000))
    before, revision = maps_of(member), revision_of(member)
    assert "stop it first" in run_failing(member, "migrate", "--to", "etcd")
    member.stop()
    member.klein("migrate", "--to", "etcd")
    member.on_etcd()
    assert maps_of(member) == before
    assert revision_of(member) > revision
    member.admin().made(MAPS, configmap("on-etcd"))
    before, revision = maps_of(member), revision_of(member)
    member.stop()
    assert "on SQLite now" in member.klein("migrate", "--to", "sqlite")
    member.on_sqlite()
    assert maps_of(member) == before
    assert revision_of(member) > revision
    assert not os.path.exists(member.file("etcd"))
    assert member.stop() == 0


def run_failing(member, *args):
    import subprocess
    done = subprocess.run([klein_program(), "server", *args, "--data", member.data], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    return done.stderr


def test_kill_in_the_middle(member):
    """kill -9 at any moment of the move: the next start ends it, with everything; before it, it can be taken back."""
    member.on_sqlite()
    for i in range(60):
        member.admin().made(MAPS, configmap(f"c{i}", text="y" * 20000))
    before = maps_of(member)
    member.stop()
    member.klein("migrate", "--to", "etcd")
    assert "as before" in member.klein("migrate", "--to", "sqlite")
    member.on_sqlite()
    assert maps_of(member) == before
    member.stop()
    member.klein("migrate", "--to", "etcd")
    command = [klein_program(), "server", "--data", member.data, "--listen", f"127.0.0.1:{member.port}", *member.etcd_options]
    for delay in (0.15, 0.5, 0.8, 1.0, 1.2):
        with open(member.log, "ab") as log:
            process = start(command, stdout=log, stderr=log)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    member.on_etcd()
    assert maps_of(member) == before
    assert member.stop() == 0


def test_restore_onto_etcd(member, tmp_path):
    """A cluster on etcd that is broken: one command and a start, and its state is there again, with later revisions."""
    member.on_etcd()
    member.admin().made(MAPS, configmap("kept", x="1"))
    place = ["--without-keys", "--work", str(tmp_path)]
    run(klein_program(), "backup", "--data", member.data, "--server", f"https://127.0.0.1:{member.port}", "--to",
        str(tmp_path / "backups"), *place)
    revision = int(member.admin().made(MAPS, configmap("lost"))["metadata"]["resourceVersion"])
    words = run(klein_program(), "restore", "--from", str(tmp_path / "backups"), "--data", member.data, "--backup-only",
                "--without-keys", "--force")
    assert "Restored" in words
    member.process.wait()
    member.on_etcd()
    assert "kept" in maps_of(member) and "lost" not in maps_of(member)
    assert revision_of(member) > revision


def test_kill_on_the_way_back(member):
    """kill -9 of the command: etcd stays in force, and another try goes through."""
    member.on_etcd()
    for i in range(20):
        member.admin().made(MAPS, configmap(f"c{i}", text="z" * 5000))
    before = maps_of(member)
    member.stop()
    for delay in (0.05, 0.3, 0.6):
        process = start([klein_program(), "server", "migrate", "--data", member.data, "--to", "sqlite"])
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    record = json.load(open(member.file("server.json"), encoding="utf-8"))
    if record["store"] == "etcd":
        member.on_etcd()
        assert maps_of(member) == before
        member.stop()
        member.klein("migrate", "--to", "sqlite")
    member.on_sqlite()
    assert maps_of(member) == before


def test_grow(tmp_path):
    """A local cluster of one server becomes one of three with one command, without losing an object."""
    cluster = Cluster(f"grow-{os.getpid()}", tmp_path)
    try:
        cluster.up("--zones", "3", "--nodes-per-zone", "1")
        cluster.admin().made(MAPS, configmap("kept", x="1"))
        uid = cluster.admin().get(f"{MAPS}/kept").json["metadata"]["uid"]
        revision = revision_of(cluster)
        cluster.klein("grow", "--name", cluster.name, "--servers", "3")
        status = cluster.read_status()
        assert len(status["servers"]) == 3 and status["healthy"], status
        with open(cluster.data("servers/server-a/server.json"), encoding="utf-8") as file:
            assert json.load(file)["seed"] == ""
        kept = json.loads(run(*kubectl_of(cluster), "get", "configmap", "kept", "-o", "json"))
        assert kept["metadata"]["uid"] == uid and int(kept["metadata"]["resourceVersion"]) > revision
    finally:
        cluster.down()
    assert cluster.leftovers() == []


def kubectl_of(cluster):
    return [os.path.join(ROOT, "build/tools/kubectl-1.34/kubectl"), "--kubeconfig", cluster.data("kubeconfig")]


def test_the_one_that_is_left(tmp_path):
    """Two of three servers are lost with their disks: one command, and the third goes on with everything."""
    members = [Member(tmp_path / name, f"server-{name}", number) for number, name in enumerate("abc", 1)]
    first = members[0]
    try:
        first.on_etcd()
        for other in members[1:]:
            token = run(klein_program(), "token", "--for-server", "--data", first.data, "--server",
                        f"https://127.0.0.1:{first.port}").strip()
            other.on_etcd("--join", f"https://127.0.0.1:{first.port}", "--token", token)
        for i in range(20):
            members[i % 3].admin().made(MAPS, configmap(f"c{i}"))
        before, revision = maps_of(first), revision_of(first)
        for other in members[1:]:
            other.end()
        assert first.admin().get(f"{MAPS}/c0").code == 200
        assert "stop it first" in run_failing(first, "recover")
        first.kill()
        words = first.klein("recover")
        assert "a cluster of one now" in words
        first.on_etcd()
        assert maps_of(first) == before
        assert revision_of(first) >= revision
        wait_for("writes are accepted", lambda: first.admin().post(MAPS, configmap("after")).code in (201, 409), 20)
    finally:
        for one in members:
            one.end()
