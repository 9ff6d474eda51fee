#!/usr/bin/python3
"""What a cluster costs and how fast its pods are, next to Kubernetes' figures: bench_cluster.py KLEIN

`klein up`, idle memory of server and agents (PSS), the start of a pod whose image is present, fifty pods at once on one node.
Kubernetes' figures are those of version 1.24 on the same kind of machine with two cores.
"""
import os
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
sys.dont_write_bytecode = True

from lib.cluster import Cluster, descendants  # noqa: E402
from lib.image import push_test_images  # noqa: E402
from lib.objects import pod  # noqa: E402
from lib.wait import wait_for  # noqa: E402

PODS = "/api/v1/namespaces/default/pods"
STARTS = 40
AT_ONCE = 50


def line(what, ours, unit, theirs=None, theirs_unit="", aim=""):
    ratio = f"{theirs / ours:8.1f} x" if theirs and ours else " " * 10
    kubernetes = f"Kubernetes {theirs:g} {theirs_unit or unit}" if theirs else ""
    print(f"{what:46} {ours:9.1f} {unit:3} {kubernetes:22} {ratio}  {aim}", flush=True)


def pss_mb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(row.split()[1]) for row in file if row.startswith("Pss:")) / 1024


def bench_pod(cluster, name, node):
    one = pod(name, f"{cluster.registry}/web:1", terminationGracePeriodSeconds=0)
    one["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    return one


def ready_at(api, revision, wanted, timeout_s=60):
    """When so many pods are Ready, by a watch from this revision."""
    ready = set()
    for event in api.watch(PODS, resourceVersion=revision, timeout_s=timeout_s):
        conditions = event["object"]["status"].get("conditions", [])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            ready.add(event["object"]["metadata"]["name"])
            if len(ready) == wanted:
                return time.monotonic()
    raise SystemExit(f"only {len(ready)} of {wanted} pods became Ready")


def start_pods(cluster, names, node):
    """Seconds from the first create until all are Ready; then they are removed."""
    api = cluster.admin()
    revision = api.get(PODS).json["metadata"]["resourceVersion"]
    connection = api.connect()
    began = time.monotonic()
    for name in names:
        answer = api.post(PODS, bench_pod(cluster, name, node), connection=connection)
        assert answer.code == 201, answer.body
    took = ready_at(api, revision, len(names)) - began
    api.delete(PODS)
    wait_for("the pods are gone", lambda: api.get(PODS).json["items"] == [], 60)
    return took


def measure(cluster):
    node = cluster.status["nodes"][0]["name"]
    push_test_images(cluster.folder, cluster.registry)
    start_pods(cluster, ["pull"], node)
    line("idle memory of the server (PSS)", pss_mb(cluster.read_status()["serverPid"]), "MB", aim="aim 20")
    agents = [pss_mb(one["agentPid"]) for one in cluster.read_status()["nodes"]]
    line("idle memory of an agent (PSS)", statistics.mean(agents), "MB", aim="aim 10")
    klein = sum(pss_mb(pid) for init in [cluster.status["initPid"], *(n["initPid"] for n in cluster.status["nodes"])]
                for pid, command in descendants(init).items() if " server " in command or " agent " in command)
    line("idle memory of all klein processes, 3 nodes", klein, "MB", 597)
    starts = [start_pods(cluster, [f"one-{i}"], node) * 1000 for i in range(STARTS)]
    line("pod start, image present, one at a time, p50", statistics.median(starts), "ms", 995, aim="aim 60")
    line("pod start, image present, one at a time, max", max(starts), "ms")
    line(f"{AT_ONCE} pods at once on one node, all Ready",
         start_pods(cluster, [f"many-{i}" for i in range(AT_ONCE)], node), "s", 32, aim="aim 3")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.environ["KLEIN"] = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(f"bench-{os.getpid()}", folder)
        try:
            began = time.monotonic()
            cluster.up()
            line("klein up to three Ready nodes", time.monotonic() - began, "s", aim="aim 2")
            measure(cluster)
        finally:
            began = time.monotonic()
            cluster.down()
            line("klein down", time.monotonic() - began, "s")
    left = cluster.leftovers()
    sys.exit(f"left on the machine: {left}" if left else 0)


if __name__ == "__main__":
    main()
