"""A cluster made by `klein up`, seen through `klein status -o json`, and what of it may be left on the machine."""
import glob
import json
import os
import signal

from .api import Api
from .process import run
from .server import klein_program
from .wait import wait_for


class Cluster:
    def __init__(self, name, folder):
        self.name, self.folder = name, str(folder)
        self.kubeconfig = os.path.join(self.folder, f"{name}.kubeconfig")
        self.status = None

    def klein(self, *args, code=0, timeout_s=120):
        return run(klein_program(), *args, code=code, timeout_s=timeout_s)

    def up(self, *options):
        try:
            self.klein("up", "--name", self.name, "--kubeconfig", self.kubeconfig, *options)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.logs()}") from None
        self.status = self.read_status()
        return self

    def down(self):
        self.klein("down", "--name", self.name)

    def logs(self):
        """The ends of all logs, for a report of a failure."""
        ends = []
        for path in sorted(glob.glob(self.data("log/*.log"))):
            with open(path, encoding="utf-8", errors="replace") as file:
                ends.append(f"== {path}\n" + "".join(file.readlines()[-8:]))
        return "".join(ends)

    def read_status(self):
        return json.loads(self.klein("status", "--name", self.name, "-o", "json"))

    @property
    def registry(self):
        return self.status["registryAddress"]

    @property
    def gateway(self):
        return self.status["gatewayAddress"]

    def node(self, name):
        return next(node for node in self.read_status()["nodes"] if node["name"] == name)

    def zone(self, name):
        return next(zone for zone in self.read_status()["zones"] if zone["name"] == name)

    def data(self, *path):
        return os.path.join("/var/lib/klein", self.name, *path)

    def pki(self):
        """A folder with the administrator's certificate: of a server that has one."""
        folders = [self.data("server/pki"), *sorted(glob.glob(self.data("servers/*/pki")))]
        return next(folder for folder in folders if os.path.exists(os.path.join(folder, "admin.crt")))

    def admin(self, address=None):
        """The administrator at the virtual address of the API, or at one server's own."""
        pki = self.pki()
        return Api(address or self.status["gatewayAddress"], 6443, f"{pki}/ca.crt", cert=f"{pki}/admin.crt", key=f"{pki}/admin.key")

    def server(self, name):
        return next(server for server in self.read_status()["servers"] if server["name"] == name)

    def leftovers(self):
        """Everything of this cluster that is still on the machine; empty after `klein down`."""
        left = [path for path in (f"/run/klein/{self.name}", f"/var/lib/klein/{self.name}") if os.path.exists(path)]
        if self.status:
            link = "klein" + self.gateway.split(".")[1]  # the cluster's number is in its addresses: 10.NUMBER.255.2
            left += [f"link {name}" for name in os.listdir("/sys/class/net") if name == link]
        left += glob.glob(f"/sys/fs/cgroup/klein/{self.name}") + glob.glob(f"/sys/fs/cgroup/*/klein/{self.name}")
        for folder in glob.glob("/proc/[0-9]*"):
            try:
                with open(f"{folder}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(f"klein/{self.name}/" in word for word in words):
                left.append(f"process {os.path.basename(folder)}: {' '.join(words)}")
        with open("/proc/self/mounts", encoding="utf-8") as file:
            left += [line for line in file if f"klein/{self.name}/" in line]
        return left


def descendants(pid):
    """All processes below one, as {pid: command line}."""
    children = {}
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            with open(f"{folder}/cmdline", "rb") as file:
                command = file.read().decode(errors="replace").replace("\0", " ").strip()
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append((int(os.path.basename(folder)), command))
    found, todo = {}, [pid]
    while todo:
        for child, command in children.get(todo.pop(), []):
            found[child] = command
            todo.append(child)
    return found


def kill(pid):
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


def in_netns(path, *command, **options):
    """Run in a network namespace."""
    return run("nsenter", f"--net={path}", "--", *command, **options)


_pids = {}


def container_pid(cluster, kubectl, name, ask=True):
    """The process, as this machine sees it, of a pod's first container; ask=False: the one found last, if it still runs."""
    key = (cluster.name, kubectl.namespace, name)
    if not ask:
        return _pids[key] if os.path.exists(f"/proc/{_pids[key]}") else None
    status = kubectl.json("get", "pod", name)["status"]["containerStatuses"][0]
    identity = status["containerID"].split("//")[1]
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/cgroup", encoding="utf-8") as file:
                inside = identity in file.read()
            with open(f"{folder}/comm", encoding="utf-8") as file:
                inside = inside and file.read().strip() not in ("conmon", "crun")
        except OSError:
            continue
        if inside:
            _pids[key] = int(os.path.basename(folder))
            return _pids[key]
    raise AssertionError(f"no process of container {identity}")
