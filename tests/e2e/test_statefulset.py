"""Pods with names and storage of their own: StatefulSets, claims, and the folders behind them."""
import os

import pytest

from lib.objects import box, service
from lib.wait import wait_for

# Writes its name and a count of its starts into its volume, then sleeps.
COMMAND = ("echo started >> /data/starts; hostname > /data/name; trap 'exit 0' TERM; "
           "while true; do sleep 0.2; done")


def stateful(cluster, name="db", replicas=3, version="1", size="64Mi", **spec):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {
                         "terminationGracePeriodSeconds": 2,
                         "containers": [{"name": "main", "image": f"{cluster.registry}/box:1",
                                         "command": ["sh", "-c", COMMAND],
                                         "env": [{"name": "VERSION", "value": version}],
                                         "readinessProbe": {"exec": {"command": ["test", "-f", "/data/name"]},
                                                            "periodSeconds": 1},
                                         "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
                     "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                         "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}],
                     **spec}}


def headless(name="db", **spec):
    return service(name, clusterIP="None", **spec)


def pods(space, name="db"):
    return {p["metadata"]["name"]: p for p in space.items("pods", "-l", f"app={name}")}


def rolled_out(space, name="db"):
    space("rollout", "status", f"statefulset/{name}", "--timeout=60s", timeout_s=70)


def version_of(pod):
    return pod["spec"]["containers"][0]["env"][0]["value"]


def starts(space, pod):
    return space("exec", pod, "--", "cat", "/data/starts").count("started")


@pytest.fixture
def db(cluster, space):
    space.apply(headless(), stateful(cluster))
    rolled_out(space)
    return space


def test_ordered_start_names_and_claims(cluster, db):
    made = pods(db)
    assert sorted(made) == ["db-0", "db-1", "db-2"]
    ready = {name: next(c["lastTransitionTime"] for c in p["status"]["conditions"] if c["type"] == "Ready")
             for name, p in made.items()}
    created = {name: p["metadata"]["creationTimestamp"] for name, p in made.items()}
    assert ready["db-0"] <= created["db-1"] and ready["db-1"] <= created["db-2"]
    labels = made["db-1"]["metadata"]["labels"]
    assert labels["apps.kubernetes.io/pod-index"] == "1"
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    claims = {c["metadata"]["name"]: c for c in db.items("pvc")}
    assert sorted(claims) == ["data-db-0", "data-db-1", "data-db-2"]
    for i in range(3):
        claim, pod = claims[f"data-db-{i}"], made[f"db-{i}"]
        assert claim["status"]["phase"] == "Bound" and claim["spec"]["storageClassName"] == "klein-local"
        volume = db.json("get", "pv", claim["spec"]["volumeName"])
        assert volume["status"]["phase"] == "Bound"
        term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
        assert term["values"] == [pod["spec"]["nodeName"]]
    assert "3/3" in db("get", "sts")
    assert "klein-local (default)" in db("get", "storageclass")


def test_stable_dns_names(cluster, db):
    db.apply(box(cluster, command="exec sleep 1000"))
    db("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    domain = f"db.{db.namespace}.svc.cluster.local"
    for name, pod in pods(db).items():
        wait_for(f"{name} has its name", lambda name=name, pod=pod: pod["status"]["podIP"] in db.run(
            "exec", "box", "--", "nslookup", f"{name}.{domain}").out)
    assert db("exec", "db-1", "--", "hostname").strip() == "db-1"


def test_data_survives_deletion_and_rollout(cluster, db):
    nodes = {name: p["spec"]["nodeName"] for name, p in pods(db).items()}
    old = pods(db)["db-1"]["metadata"]["uid"]
    db("delete", "pod", "db-1", timeout_s=40)
    wait_for("db-1 is another pod", lambda: pods(db).get("db-1", {}).get("metadata", {}).get("uid", old) != old)
    rolled_out(db)
    assert starts(db, "db-1") == 2 and pods(db)["db-1"]["spec"]["nodeName"] == nodes["db-1"]
    db.apply(stateful(cluster, version="2"))
    rolled_out(db)
    assert {version_of(p) for p in pods(db).values()} == {"2"}
    assert starts(db, "db-0") == 2 and starts(db, "db-1") == 3
    assert {name: p["spec"]["nodeName"] for name, p in pods(db).items()} == nodes
    history = db("rollout", "history", "statefulset/db")
    assert "1" in history and "2" in history
    db("rollout", "undo", "statefulset/db")
    rolled_out(db)
    assert {version_of(p) for p in pods(db).values()} == {"1"}
    db("rollout", "restart", "statefulset/db")
    rolled_out(db)
    assert starts(db, "db-2") == 4


def test_scale_down_keeps_claims_and_up_finds_them(cluster, db):
    db("scale", "statefulset/db", "--replicas=1")
    wait_for("one is left", lambda: sorted(pods(db)) == ["db-0"])
    assert len(db.items("pvc")) == 3
    db("scale", "statefulset/db", "--replicas=3")
    rolled_out(db)
    assert starts(db, "db-2") == 2


def test_partition(cluster, db):
    db.apply(stateful(cluster, version="2", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}))
    wait_for("db-2 is new", lambda: version_of(pods(db).get("db-2", pods(db)["db-0"])) == "2")
    rolled_out(db)
    assert version_of(pods(db)["db-1"]) == "1" and version_of(pods(db)["db-0"]) == "1"


def test_deleted_claim_waits_for_its_pod_and_takes_the_folder_along(cluster, space):
    space.apply(headless("one"), stateful(cluster, "one", replicas=1))
    rolled_out(space, "one")
    volume = space.json("get", "pvc", "data-one-0")["spec"]["volumeName"]
    node = pods(space, "one")["one-0"]["spec"]["nodeName"]
    folders = [os.path.join(root, volume) for root, names, _ in os.walk(cluster.data()) if volume in names]
    assert len(folders) == 1 and node in folders[0], folders
    assert "started" in open(os.path.join(folders[0], "starts"), encoding="utf-8").read()
    space("delete", "pvc", "data-one-0", "--wait=false")
    assert "Terminating" in space("get", "pvc", "data-one-0")
    space("delete", "statefulset", "one", timeout_s=40)
    wait_for("claim, volume and folder are gone", lambda: not space.items("pvc") and not os.path.exists(folders[0])
             and volume not in space("get", "pv", "-o", "name"))


def test_claims_of_pods(cluster, space):
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    one = box(cluster, "first", command="mkdir -p /data/sub; id > /data/sub/id; exec sleep 1000",
              volumeMounts=[{"name": "data", "mountPath": "/data"}])
    one["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    one["spec"]["securityContext"] = {"fsGroup": 4321}
    space.apply(one)
    wait_for("it says what is missing", lambda: 'persistentvolumeclaim "data" not found' in space("describe", "pod", "first"))
    space.apply(claim)
    space("wait", "pod/first", "--for=condition=Ready", "--timeout=20s")
    assert "4321" in space("exec", "first", "--", "stat", "-c", "%g %a", "/data")
    # A second pod that only reads a part of it, on the same node.
    two = box(cluster, "second", command="exec sleep 1000",
              volumeMounts=[{"name": "data", "mountPath": "/part", "subPath": "sub"}])
    two["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}]
    space.apply(two)
    space("wait", "pod/second", "--for=condition=Ready", "--timeout=20s")
    assert "4321" in space("exec", "second", "--", "cat", "/part/id")
    assert "Read-only" in space.run("exec", "second", "--", "touch", "/part/x").err
    where = {p["spec"]["nodeName"] for p in space.items("pods")}
    assert len(where) == 1
    # Bound to another node it finds no place.
    elsewhere = next(n["name"] for n in cluster.read_status()["nodes"] if n["name"] not in where)
    three = box(cluster, "third", volumeMounts=[{"name": "data", "mountPath": "/data"}])
    three["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    three["spec"]["nodeSelector"] = {"kubernetes.io/hostname": elsewhere}
    space.apply(three)
    wait_for("it says why", lambda: "node(s) didn't match PersistentVolume's node affinity" in space(
        "describe", "pod", "third"))


def test_a_volume_made_by_hand(cluster, space):
    name = f"manual-{space.namespace}"
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": {"for": name}},
              "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                       "hostPath": {"path": f"/tmp/{name}", "type": "DirectoryOrCreate"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "",
                      "selector": {"matchLabels": {"for": name}}, "resources": {"requests": {"storage": "1Gi"}}}}
    space.apply(claim)
    wait_for("nothing fits", lambda: "no persistent volumes available for this claim and no storage class is set" in
             space("describe", "pvc", "data"))
    space.apply(volume)
    wait_for("it is bound", lambda: space.json("get", "pvc", "data")["status"]["phase"] == "Bound")
    space("delete", "pvc", "data")
    wait_for("it is kept", lambda: space.json("get", "pv", name)["status"]["phase"] == "Released")
    space("delete", "pv", name)


def test_nothing_is_mounted_over_proc(cluster, space):
    one = box(cluster, "proc", volumeMounts=[{"name": "v", "mountPath": "/proc/../proc//self"}])
    one["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    space.apply(one)
    wait_for("it is refused", lambda: "cannot be mounted because it is inside /proc" in space("describe", "pod", "proc"))


def test_an_ephemeral_claim_goes_with_its_pod(cluster, space):
    one = box(cluster, "job", volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
    one["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}}}}}]
    space.apply(one)
    space("wait", "pod/job", "--for=condition=Ready", "--timeout=20s")
    assert space.json("get", "pvc", "job-scratch")["status"]["phase"] == "Bound"
    space("delete", "pod", "job")
    wait_for("the claim is gone, too", lambda: not space.items("pvc"))


def test_explained_and_applied_on_the_server(cluster, both):
    assert "started and exchanged in order" in both("explain", "statefulset")
    assert "klein-local" in both("explain", "pvc.spec.resources")
    both.apply(stateful(cluster, "none", replicas=0), options=("--server-side",))
    assert "0/0" in both("get", "sts", "none")
    both("delete", "sts", "none")
