"""A cluster moves to another program machine by machine, and back when a machine does not become healthy."""
import os
import shutil
import subprocess

from lib.cluster import container_pid
from lib.process import run
from lib.server import klein_program
from lib.wait import wait_for
from test_failures import restarts
from test_rollout import busy_site, under_load  # noqa: F401 (a fixture)


def programs(cluster):
    """What each machine's processes really run: {machine and role: program file}."""
    status = cluster.read_status()
    pids = {f"{server['name']} server": server["serverPid"] for server in status.get("servers", [])}
    pids |= {f"{node['name']} agent": node["agentPid"] for node in status["nodes"]}
    if status.get("serverPid"):
        pids["edge server"] = status["serverPid"]
    return {name: os.path.basename(os.readlink(f"/proc/{pid}/exe")) for name, pid in pids.items()}


def another_program(folder):
    """The same klein as a different file: what follows the end of the program is not looked at."""
    path = os.path.join(folder, "another-klein")
    shutil.copy(klein_program(), path)
    with open(path, "ab") as file:
        file.write(b"another")
    return path


def test_upgrade_under_load(cluster, space, busy_site, tmp_path):  # noqa: F811
    """All machines move to another program and back; pods run on, and no request fails."""
    pid = container_pid(cluster, space, "box")
    old, before = programs(cluster), space("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")

    def work():
        cluster.klein("upgrade", "--name", cluster.name, "--program", another_program(tmp_path))
        new = programs(cluster)
        assert len(set(new.values())) == 1 and set(new.values()).isdisjoint(old.values())
        cluster.klein("upgrade", "--name", cluster.name, "--program", klein_program())
        assert programs(cluster) == old
    under_load(busy_site(), work)
    assert os.path.exists(f"/proc/{pid}"), "the container did not survive the upgrade"
    assert restarts(space, "box") == 0
    assert space("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == before


def test_mixed_programs(cluster, space, tmp_path):
    """Machines of two programs live together, and work goes on."""
    name = cluster.read_status()["nodes"][0]["name"]
    cluster.klein("upgrade", "--name", cluster.name, "--program", another_program(tmp_path), "--machine", name)
    assert len(set(programs(cluster).values())) == 2
    space("create", "configmap", "mixed", "--from-literal=a=b")
    cluster.klein("upgrade", "--name", cluster.name, "--program", klein_program())
    assert len(set(programs(cluster).values())) == 1


def test_bad_program(cluster, space, busy_site, tmp_path):  # noqa: F811
    """A program whose agent ends at once halts the upgrade; what was moved goes back by itself, and no request fails."""
    bad = tmp_path / "bad-klein"
    bad.write_text("#!/bin/sh\nexit 1\n")
    bad.chmod(0o755)
    old, nodes = programs(cluster), [node["name"] for node in cluster.read_status()["nodes"]]

    def work():
        words = cluster.klein("upgrade", "--name", cluster.name, "--program", another_program(tmp_path), "--machine",
                              nodes[0])
        assert "1 machines run" in words
        failed = run(klein_program(), "upgrade", "--name", cluster.name, "--program", str(bad), "--timeout", "3",
                     code=1)
        assert "halted" in failed and "moving" in failed
        wait_for("all nodes Ready", lambda: all(node["ready"] for node in cluster.read_status()["nodes"]))
        cluster.klein("upgrade", "--name", cluster.name, "--program", klein_program())
        assert programs(cluster) == old
    under_load(busy_site(), work)


def test_words_of_upgrade(cluster, tmp_path):
    """What cannot be done is told before anything is changed."""
    def refusal(*options):
        done = subprocess.run([klein_program(), "upgrade", *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        return done.stderr
    assert "no machine of that name" in refusal("--name", cluster.name, "--machine", "nobody")
    assert "no program that can be run" in refusal("--name", cluster.name, "--program", str(tmp_path / "absent"))
    assert "no cluster 'nowhere'" in refusal("--name", "nowhere")
