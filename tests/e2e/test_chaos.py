"""`klein chaos`: what is broken on purpose is broken, and whole again afterwards, whatever happens to the command."""
import os
import signal
import subprocess

from lib.cluster import container_pid
from lib.objects import box
from lib.process import start as start_process
from lib.server import klein_program
from lib.wait import wait_for


def chaos(cluster, *words, code=0):
    """What it says, on either stream."""
    done = subprocess.run([klein_program(), "chaos", *words, "--name", cluster.name], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def records(cluster):
    folder = f"/run/klein/{cluster.name}/chaos"
    return [name for name in os.listdir(folder) if name.endswith(".json")] if os.path.exists(folder) else []


def start(cluster, *words):
    """A fault in the background; returns when it is on."""
    process = start_process([klein_program(), "chaos", *words, "--name", cluster.name], stdout=subprocess.PIPE, text=True)
    assert "for" in process.stdout.readline()
    return process


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def connects(cluster, node, port=5000):
    """Seconds a TCP connection from a node to the cluster's own address takes; None within one second."""
    done = subprocess.run(["nsenter", f"--net={cluster.node(node)['networkNamespace']}", "curl", "-s", "-k", "-o", "/dev/null", "-m", "1",
                           "-w", "%{time_connect}", f"{'https' if port == 6443 else 'http'}://{cluster.gateway}:{port}/"],
                          capture_output=True, text=True, timeout=10)
    return float(done.stdout) or None


def test_killed_processes_come_back(cluster, space):
    before = cluster.read_status()
    assert "done" in chaos(cluster, "kill", "agent", "node-b1")
    wait_for("another agent", lambda: cluster.node("node-b1")["agentPid"] not in (
        0, next(n["agentPid"] for n in before["nodes"] if n["name"] == "node-b1")))
    space.apply(box(cluster, command="exec sleep 1000"))
    space("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    pid = container_pid(cluster, space, "box")
    assert "done" in chaos(cluster, "kill", "container", f"{space.namespace}/box")
    wait_for("the container is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    assert records(cluster) == []


def test_paused_until_the_end_or_ctrl_c(cluster):
    pid = cluster.node("node-a1")["agentPid"]
    process = start(cluster, "pause", "agent", "node-a1", "--for", "60s")
    wait_for("the agent stands still", lambda: state(pid) == "T")
    assert len(records(cluster)) == 1 and "pause agent" in chaos(cluster, "list")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert state(pid) != "T" and records(cluster) == []


def test_undone_after_kill_9(cluster):
    """The command is killed with -9; the next one undoes what it left, and undoing again does nothing."""
    pid = cluster.node("node-c1")["agentPid"]
    process = start(cluster, "pause", "agent", "node-c1", "--for", "60s")
    wait_for("the agent stands still", lambda: state(pid) == "T")
    process.kill()
    process.wait()
    assert state(pid) == "T"
    assert "1 fault is undone" in chaos(cluster, "undo")
    assert state(pid) != "T"
    assert "0 faults" in chaos(cluster, "undo")


def test_links(cluster):
    """Zones and nodes are cut whole, in one direction, or for one port; links are disturbed and slowed; all of it ends."""
    assert connects(cluster, "node-a1")
    for words in (["zone", "a"], ["zone", "a", "--from"], ["zone", "a", "--to"], ["node", "node-a1"], ["node", "node-a1", "--from"]):
        process = start(cluster, "cut", *words, "--for", "30s")
        assert connects(cluster, "node-a1") is None, words
        process.terminate()
        assert process.wait(10) == 0
        assert connects(cluster, "node-a1"), words
    process = start(cluster, "cut", "zone", "a", "--port", "6443", "--for", "30s")
    assert connects(cluster, "node-a1", 6443) is None and connects(cluster, "node-a1")
    process.terminate()
    assert process.wait(10) == 0
    process = start(cluster, "disturb", "zone", "a", "--delay", "100ms", "--for", "30s")
    assert connects(cluster, "node-a1") >= 0.2
    process.kill()  # the relay lives on, and is found
    process.wait()
    chaos(cluster, "undo")
    assert connects(cluster, "node-a1") < 0.2
    chaos(cluster, "slow", "zone", "a", "--rate", "10mbit", "--for", "100ms")
    assert records(cluster) == []
    wait_for("the node is Ready", lambda: cluster.node("node-a1")["ready"], 30)


def test_destroyed_node_is_made_again(whole):
    before = whole.node("node-b1")["initPid"]
    chaos(whole, "kill", "node", "node-b1", "--for", "500ms")
    assert whole.node("node-b1")["initPid"] not in (0, before)


def test_what_cannot_be(cluster):
    assert "there is no fault" in chaos(cluster, "burn", "zone", "a", code=2)
    assert "nothing like that runs" in chaos(cluster, "kill", "node", "node-z9", code=1)
    assert "--for must be" in chaos(cluster, "cut", "zone", "a", "--for", "soon", code=2)
    assert "does not fill" in chaos(cluster, "fill", "node", "node-a1", code=1)
    assert records(cluster) == []
