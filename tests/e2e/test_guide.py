"""docs/guide/three-machines.md, followed by hand: its commands, as they stand, on three machines made of namespaces."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from lib.cluster import Cluster
from lib.kubectl import ROOT
from lib.machines import SYSTEMCTL, Machine
from lib.objects import ingress, service, web
from lib.process import run, start
from lib.server import klein_program
from lib.wait import wait_for

GUIDE = os.path.join(ROOT, "docs/guide/three-machines.md")
ADDRESSES = {"one": "10.0.0.11", "two": "10.0.0.12", "three": "10.0.0.13"}
REGISTRY = "10.0.0.11:5000"


def blocks():
    """The guide's commands: [(machines, lines)]."""
    with open(GUIDE, encoding="utf-8") as file:
        found = re.findall(r"```sh\n# on ([a-z, ]+)\n(.*?)```", file.read(), re.S)
    return [(names.split(", "), lines) for names, lines in found]


def install(machine):
    """What the guide says to copy, and stand-ins for what a machine of namespaces does not have."""
    folder = os.path.join(machine.folder, "install")
    shutil.copy(klein_program(), os.path.join(folder, "klein"))
    for unit in ("klein-server.service", "klein-agent.service"):
        shutil.copy(os.path.join(ROOT, "packaging/systemd", unit), folder)
    machine.add_tool("systemctl", SYSTEMCTL)
    machine.add_tool("apt-get", "#!/bin/sh\n# The packages are there: these machines share the files of this one.\n")
    machine.add_tool("kubectl", f'#!/bin/sh\nexec {ROOT}/build/tools/kubectl-1.34/kubectl "$@"\n')


def start_registry(machine):
    """A private registry on machine one, as the guide's last section has it."""
    path = os.path.join(machine.folder, "registry.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"version": "0.1", "storage": {"filesystem": {"rootdirectory": os.path.join(machine.folder, "registry")}},
                   "http": {"addr": REGISTRY}}, file)
    return start(["nsenter", "-t", str(machine.pid), "--net", "--", "docker-registry", "serve", path],
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("machines"))
    made = {}
    registry = None
    try:
        for name, address in ADDRESSES.items():
            made[name] = Machine(folder, name, address, made.get("one"))
            install(made[name])
        registry = start_registry(made["one"])
        yield made
    finally:
        if registry:
            registry.kill()
            registry.wait()
        for machine in made.values():
            machine.off()
        run(klein_program(), "down", "--name", group_name())  # their control groups


@pytest.fixture(scope="module")
def followed(machines):
    """The guide was followed from its first command to its last; gives what the block that looks at the nodes printed."""
    token = nodes = ""
    for names, lines in blocks():
        for name in names:
            shown = machines[name].run(of_this_test(lines, token), timeout_s=90)
            if "klein token" in lines:
                token = shown.strip()
            if "kubectl get nodes" in lines:
                nodes = shown
    return nodes


def of_this_test(lines, token):
    """The token is copied by hand; a name of one's own keeps the control groups apart from other clusters here."""
    return lines.replace("TOKEN", token).replace(
        "--gateway'", f"--gateway --cluster-name {group_name()} --mirror {REGISTRY}=http://{REGISTRY}'")


def group_name():
    return f"guide-{os.getpid()}"


def kubectl(machine, *args, text=None):
    command = " ".join(args)
    return machine.run(f"KUBECONFIG=/var/lib/klein/server/admin.kubeconfig kubectl {command}", input=text)


def push_test_images_within(machine, folder):
    """Push from the machine's own network: nothing outside reaches it."""
    machine.run(f"{sys.executable} -B -c 'import sys; sys.path.insert(0, \"{ROOT}/tests/e2e\"); "
                f"from lib.image import push_test_images; push_test_images(\"{folder}\", \"{REGISTRY}\")'")


def test_nodes(followed):
    """Three nodes, Ready, zones a, b and c."""
    rows = [row.split() for row in followed.splitlines()[-3:]]
    assert sorted((row[0], row[1], row[-1]) for row in rows) == [
        ("one", "Ready", "a"), ("three", "Ready", "c"), ("two", "Ready", "b")], followed


def test_servers(followed, machines):
    """Three servers, one state, and nothing to warn of: what is written through one gateway's API address every server has."""
    shown = json.loads(kubectl(machines["one"], "get", "--raw", "/klein/v1/servers"))
    assert [(item["name"], item["zone"], item["ready"]) for item in shown["items"]] == [
        ("one", "a", True), ("three", "c", True), ("two", "b", True)], shown
    assert shown["warnings"] == [] and sum(item["leader"] for item in shown["items"]) == 1
    machines["three"].run("KUBECONFIG=/var/lib/klein/server/admin.kubeconfig kubectl get nodes")
    # What administrators work with: a name, and a gateway's address of the API behind it.
    admin = "kubectl --kubeconfig /etc/klein/admin.kubeconfig config view"
    assert "https://api.example.com:8443" in machines["one"].run(admin)
    servers = kubectl(machines["one"], "get", "endpoints", "kubernetes", "-o", "'jsonpath={.subsets[*].addresses[*].ip}'")
    assert sorted(servers.split()) == sorted(ADDRESSES.values())


def test_pods_answer_through_each_gateway(followed, machines, tmp_path):
    """Pods run on all three machines and answer through the gateway of each."""
    one = machines["one"]
    push_test_images_within(one, tmp_path)
    site = Cluster("none", tmp_path)
    site.status = {"registryAddress": REGISTRY}
    objects = {"apiVersion": "v1", "kind": "List", "items": [web(site, replicas=3), service("web"), ingress("web")]}
    kubectl(one, "apply", "-f", "-", text=json.dumps(objects))
    kubectl(one, "rollout", "status", "deployment/web", "--timeout=30s")
    nodes = kubectl(one, "get", "pods", "-o", "'jsonpath={.items[*].spec.nodeName}'")
    assert sorted(nodes.split()) == ["one", "three", "two"]
    for address in ADDRESSES.values():
        wait_for(f"an answer at {address}", lambda: "Hello from klein" in one.run(f"curl -s -m 3 http://{address}/ || true"))


def test_containers_outlive_an_agent(followed, machines):
    """`systemctl restart klein-agent`, as for an upgrade, leaves the containers running."""
    two = machines["two"]
    before = two.run("pgrep -x web")
    two.run("systemctl restart klein-agent")
    wait_for("the agent is connected again", lambda: two.run(
        "tail -n 3 /var/log/klein-agent.log").count("connected to the server"))
    assert two.run("pgrep -x web") == before


def test_etcd_outlives_a_server(followed, machines):
    """`systemctl restart klein-server`, as for an upgrade, leaves its etcd running, and the cluster serves meanwhile."""
    two = machines["two"]
    before = two.run("pgrep -x etcd")
    two.run("systemctl restart klein-server")
    kubectl(machines["one"], "create", "configmap", "meanwhile")
    wait_for("the server is ready", lambda: "ok" in two.run("curl -s -k https://127.0.0.1:6443/readyz || true"), 30)
    assert two.run("pgrep -x etcd") == before


def test_a_machine_dies(followed, machines):
    """A machine whose plug is pulled leaves the endpoints, and requests are answered."""
    one = machines["one"]
    machines["three"].off()
    ready = lambda: kubectl(one, "get", "endpoints", "web", "-o", "'jsonpath={.subsets[*].addresses[*].nodeName}'").split()
    wait_for("its pod left the endpoints", lambda: sorted(ready()) == ["one", "two"], 3 * 2)
    for _ in range(20):
        assert "Hello from klein" in one.run("curl -s -m 3 http://10.0.0.12/")
    kubectl(one, "create", "configmap", "afterwards")
    wait_for("its pod is made elsewhere", lambda: len(ready()) == 3 and "three" not in ready(), 30)


def test_a_machine_is_replaced(followed, machines, tmp_path):
    """Another machine of the same name and address, with empty disks: steps 1, 3 and 4 make it server and node again."""
    one = machines["one"]
    machines["three"] = Machine(str(tmp_path), "three", ADDRESSES["three"], one)
    install(machines["three"])
    for kind, step in (("klein token --for-server", "--join"), ("klein token", "KLEIN_AGENT")):
        token = one.run(kind).strip()
        for names, lines in blocks():
            if "three" in names and (
                    step in lines or ("install" if step == "--join" else "join-token") in lines):
                machines["three"].run(of_this_test(lines, token), timeout_s=90)
    wait_for("three servers again", lambda: [item["ready"] for item in json.loads(
        kubectl(one, "get", "--raw", "/klein/v1/servers"))["items"]] == [True] * 3, 30)
    kubectl(one, "wait", "node", "three", "--for=condition=Ready", "--timeout=30s")
    machines["three"].run("KUBECONFIG=/var/lib/klein/server/admin.kubeconfig kubectl get configmap afterwards")
