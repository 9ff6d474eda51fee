"""kubectl reads and writes single objects, as either version does it."""
import json

import yaml

from lib.objects import configmap, deployment, pod, service


def test_create(kubectl):
    """`kubectl create -f` makes an object once and says AlreadyExists the second time."""
    assert kubectl("create", "-f", "-", input=configmap("one", a="1")) == "configmap/one created\n"
    assert kubectl.fails("create", "-f", "-", input=configmap("one", a="1")) == (
        'Error from server (AlreadyExists): error when creating "STDIN": configmaps "one" already exists\n')


def test_create_generators(kubectl):
    """`kubectl create configmap|secret|serviceaccount|deployment` makes what its arguments say."""
    kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    kubectl("create", "secret", "generic", "password", "--from-literal=word=open")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "deployment", "web", "--image=registry.invalid/none:1")
    assert kubectl.json("get", "configmap", "settings")["data"] == {"color": "blue"}
    assert kubectl.json("get", "secret", "password")["data"] == {"word": "b3Blbg=="}
    assert kubectl.json("get", "serviceaccount", "robot")["metadata"]["name"] == "robot"
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].image}") == (
        "registry.invalid/none:1")


def test_client_side_apply(kubectl):
    """`kubectl apply` creates, leaves what is equal, changes what differs, and removes what the manifest dropped."""
    assert kubectl.apply(configmap("one", a="1", b="2")) == "configmap/one created\n"
    assert kubectl.apply(configmap("one", a="1", b="2")) == "configmap/one unchanged\n"
    assert kubectl.apply(configmap("one", a="changed")) == "configmap/one configured\n"
    assert kubectl.json("get", "configmap", "one")["data"] == {"a": "changed"}


def test_client_side_apply_merges_lists_by_key(kubectl):
    """An applied change of one container leaves what others set on it."""
    kubectl.apply(deployment("web"))
    kubectl("set", "env", "deployment/web", "COLOR=blue")
    kubectl.apply(deployment("web", image="registry.invalid/none:2"))
    container = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.invalid/none:2"
    assert container["env"] == [{"name": "COLOR", "value": "blue"}]


def test_server_side_apply(kubectl):
    """`kubectl apply --server-side` owns what it set: another manager conflicts, until it forces."""
    def apply(manager, *options, **data):
        return kubectl.run("apply", "--server-side", f"--field-manager={manager}", "-f", "-", *options,
                           input=configmap("one", **data))
    assert apply("first", a="1").out == "configmap/one serverside-applied\n"
    conflict = apply("second", a="2")
    assert conflict.code == 1
    assert 'conflict with "first": .data.a' in conflict.err
    assert apply("second", "--force-conflicts", a="2").code == 0
    assert kubectl.json("get", "configmap", "one")["data"] == {"a": "2"}


def test_server_side_apply_removes_what_nobody_owns(kubectl):
    """A field that its only manager no longer applies is removed."""
    kubectl("apply", "--server-side", "-f", "-", input=configmap("one", a="1", b="2"))
    kubectl("apply", "--server-side", "-f", "-", input=configmap("one", a="1"))
    assert kubectl.json("get", "configmap", "one")["data"] == {"a": "1"}


def test_output_formats(kubectl):
    """`kubectl get` prints names, JSON, YAML, JSONPath, columns and sorted rows."""
    kubectl.apply(configmap("b", x="2"), configmap("a", x="1"))
    assert kubectl("get", "cm", "a", "b", "-o", "name") == "configmap/a\nconfigmap/b\n"
    assert json.loads(kubectl("get", "cm", "a", "-o", "json"))["data"] == {"x": "1"}
    assert yaml.safe_load(kubectl("get", "cm", "a", "-o", "yaml"))["data"] == {"x": "1"}
    assert kubectl("get", "cm", "a", "b", "-o", "jsonpath={.items[*].data.x}") == "1 2"
    assert kubectl("get", "cm", "a", "-o", "custom-columns=N:.metadata.name").split() == ["N", "a"]
    assert kubectl("get", "cm", "--sort-by=.metadata.name", "-o", "name").split()[:2] == ["configmap/a", "configmap/b"]


def test_wide_tables(kubectl):
    """`kubectl get` shows the server's columns, and more of them with -o wide."""
    kubectl.apply(deployment("web"))
    narrow = kubectl("get", "deployment", "web").splitlines()[0].split()
    wide = kubectl("get", "deployment", "web", "-o", "wide").splitlines()
    assert narrow == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert wide[0].split() == narrow + ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide[1].split()[-3:] == ["main", "registry.invalid/none:1", "app=web"]


def test_selectors(kubectl):
    """Label and field selectors choose what is listed."""
    kubectl.apply(pod("a", labels={"tier": "front"}), pod("b", labels={"tier": "back"}))
    assert kubectl("get", "pods", "-l", "tier=front", "-o", "name") == "pod/a\n"
    assert kubectl("get", "pods", "-l", "tier notin (front)", "-o", "name") == "pod/b\n"
    assert kubectl("get", "pods", "--field-selector=metadata.name=b", "-o", "name") == "pod/b\n"


def test_describe(kubectl):
    """`kubectl describe` tells an object with its events."""
    kubectl.apply(deployment("web"), service("web"))
    told = kubectl("describe", "deployment", "web")
    assert "StrategyType:           RollingUpdate" in told
    assert "2 desired" in told
    assert "TargetPort:" in kubectl("describe", "service", "web")


def test_edit(kubectl, tmp_path):
    """`kubectl edit` stores what the editor made of the object."""
    kubectl.apply(configmap("one", a="1"))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/a: \"1\"/a: \"edited\"/' \"$1\"\n")
    editor.chmod(0o755)
    assert "configmap/one edited" in kubectl("edit", "configmap", "one", environment={"KUBE_EDITOR": str(editor)})
    assert kubectl.json("get", "configmap", "one")["data"] == {"a": "edited"}


def test_patch_types(kubectl):
    """`kubectl patch` takes strategic merge, merge and JSON patches."""
    kubectl.apply(deployment("web"))
    kubectl("patch", "deployment", "web", "-p", json.dumps(
        {"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "registry.invalid/more:1"}]}}}}))
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"replicas":5}}')
    kubectl("patch", "deployment", "web", "--type=json",
            "-p", '[{"op":"replace","path":"/metadata/labels/app","value":"site"}]')
    seen = kubectl.json("get", "deployment", "web")
    assert sorted(c["name"] for c in seen["spec"]["template"]["spec"]["containers"]) == ["main", "more"]
    assert seen["spec"]["replicas"] == 5
    assert seen["metadata"]["labels"] == {"app": "site"}


def test_label_and_annotate(kubectl):
    """`kubectl label` and `annotate` set, refuse to overwrite, overwrite, and remove."""
    kubectl.apply(configmap("one"))
    kubectl("label", "cm", "one", "tier=front")
    assert "already has a value (front)" in kubectl.fails("label", "cm", "one", "tier=back")
    kubectl("label", "cm", "one", "tier=back", "--overwrite")
    kubectl("annotate", "cm", "one", "note=written")
    metadata = kubectl.json("get", "cm", "one")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"tier": "back"}, "written")
    kubectl("label", "cm", "one", "tier-")
    assert "labels" not in kubectl.json("get", "cm", "one")["metadata"]


def test_replace_with_an_old_revision(kubectl):
    """`kubectl replace` of an object that changed meanwhile is a conflict."""
    kubectl.apply(configmap("one", a="1"))
    old = kubectl.json("get", "cm", "one")
    kubectl("label", "cm", "one", "new=yes")
    message = kubectl.fails("replace", "-f", "-", input=old)
    assert "(Conflict)" in message
    assert "the object has been modified; please apply your changes to the latest version and try again" in message


def test_delete(kubectl):
    """`kubectl delete` deletes, says NotFound for what is not there, and takes selectors."""
    kubectl.apply(configmap("a"), configmap("b"))
    assert kubectl("delete", "cm", "a") == 'configmap "a" deleted\n' or kubectl.version != "1.20"
    assert kubectl.fails("get", "cm", "a") == 'Error from server (NotFound): configmaps "a" not found\n'
    assert kubectl("delete", "cm", "a", "--ignore-not-found") == ""
    kubectl("label", "cm", "b", "gone=soon")
    kubectl("delete", "cm", "-l", "gone=soon")
    assert "b" not in kubectl("get", "cm", "-o", "name").split("/")


def test_expose(kubectl):
    """`kubectl expose` makes a Service with the deployment's selector and port."""
    kubectl.apply(deployment("web"))
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    spec = kubectl.json("get", "service", "web")["spec"]
    assert spec["selector"] == {"app": "web"}
    assert spec["clusterIP"].startswith("10.")
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]


def test_run(kubectl):
    """`kubectl run` makes a pod, which stays Pending without nodes and says exactly why."""
    kubectl("run", "one", "--image=registry.invalid/none:1", "--restart=Never")
    assert kubectl("get", "pod", "one", "-o", "jsonpath={.spec.restartPolicy} {.status.phase}") == "Never Pending"


def test_diff(kubectl):
    """`kubectl diff` exits with 1 and shows the lines that would change, and with 0 when nothing would."""
    kubectl.apply(configmap("one", a="1"))
    done = kubectl.run("diff", "-f", "-", input=configmap("one", a="2"))
    assert done.code == 1, done.err
    assert '-  a: "1"' in done.out and '+  a: "2"' in done.out
    assert kubectl.run("diff", "-f", "-", input=configmap("one", a="1")).code == 0


def test_dry_run(kubectl):
    """A server-side dry run answers as if it had happened and stores nothing."""
    made = kubectl("create", "-f", "-", "--dry-run=server", input=configmap("one", a="1"))
    assert made == "configmap/one created (server dry run)\n"
    assert "NotFound" in kubectl.fails("get", "cm", "one")
    kubectl.apply(configmap("one", a="1"))
    kubectl("delete", "cm", "one", "--dry-run=server")
    assert kubectl.json("get", "cm", "one")["data"] == {"a": "1"}


def test_wait(kubectl):
    """`kubectl wait` returns when an object is gone, and fails at its timeout."""
    kubectl.apply(pod("one"))
    assert "timed out waiting for the condition" in kubectl.fails(
        "wait", "pod/one", "--for=condition=Ready", "--timeout=1s")
    waiting = kubectl.start("wait", "pod/one", "--for=delete", "--timeout=20s", "-v=6")
    for line in waiting.stdout:
        if "watch=true" in line:
            break
    kubectl("delete", "pod", "one", "--force", "--grace-period=0")
    assert waiting.wait(20) == 0
