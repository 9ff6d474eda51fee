"""Pods run: images, commands, files, probes, restarts; logs, exec, attach and cp reach them."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import time

import pytest

from lib.cluster import container_pid
from lib.objects import box, configmap, service, web
from lib.wait import wait_for


def started(kubectl, *pods):
    """Apply pods and wait until each is Ready."""
    kubectl.apply(*pods)
    for one in pods:
        kubectl("wait", f"pod/{one['metadata']['name']}", "--for=condition=Ready", "--timeout=20s")


def ended(kubectl, one):
    """Apply a pod that ends and return (phase, log)."""
    one["spec"]["restartPolicy"] = "Never"
    kubectl.apply(one)
    name = one["metadata"]["name"]
    phase = wait_for("the pod ended", lambda: re.fullmatch("Succeeded|Failed", kubectl(
        "get", "pod", name, "-o", "jsonpath={.status.phase}")), 20)[0]
    return phase, kubectl("logs", name)


def test_nodes_are_ready(cluster, space):
    """Three Ready nodes, one a zone."""
    rows = [row.split() for row in space("get", "nodes", "-L", "topology.kubernetes.io/zone", "--no-headers").splitlines()]
    assert sorted((row[1], row[-1]) for row in rows) == [("Ready", "a"), ("Ready", "b"), ("Ready", "c")]


def test_image_layers(cluster, space):
    """A later layer of an image replaces and removes files of an earlier one; env and working directory come from the image."""
    phase, log = ended(space, box(cluster, command="cat /etc/replaced; ls /etc/removed 2>/dev/null; pwd; echo $FROM_IMAGE"))
    assert (phase, log.split()) == ("Succeeded", ["new", "/tmp", "yes"])


def test_command_args_and_env(cluster, space):
    """Command, args and env are the manifest's; $(NAME) is replaced in them."""
    space("create", "configmap", "settings", "--from-literal=COLOR=blue")
    space("create", "secret", "generic", "hidden", "--from-literal=WORD=open")
    one = box(cluster, command='echo "$A $B $COLOR $WORD $NODE_IP $0 $1"', args=["zero", "$(A)-one"], env=[
        {"name": "A", "value": "a"}, {"name": "B", "value": "b$(A)$$(A)"},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "WORD"}}},
        {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
        envFrom=[{"configMapRef": {"name": "settings"}}])
    phase, log = ended(space, one)
    words = log.split()
    assert words[:4] == ["a", "ba$(A)", "blue", "open"] and words[5:] == ["zero", "a-one"], log
    assert words[4].startswith("10.")


def test_exit_codes(cluster, space):
    """A container's exit code is told, and a failed pod is Failed."""
    phase, _ = ended(space, box(cluster, command="exit 7"))
    assert phase == "Failed"
    assert space("get", "pod", "box", "-o",
                 "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}") == "7"


def test_restart_policy(cluster, space):
    """restartPolicy Always starts a container that ended again, and counts."""
    space.apply(box(cluster, command="sleep 0.1; exit 1"))
    wait_for("a restart", lambda: int(space(
        "get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[0].restartCount}") or 0) >= 1, 15)


def test_crash_loop(cluster, space):
    """A container that keeps failing waits in CrashLoopBackOff."""
    space.apply(box(cluster, command="exit 1"))
    wait_for("CrashLoopBackOff", lambda: "CrashLoopBackOff" == space(
        "get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}"), 20)


def test_init_containers(cluster, space):
    """Init containers run first, in order, and share volumes with the others."""
    one = box(cluster, command="cat /shared/order")
    mount = [{"name": "shared", "mountPath": "/shared"}]
    image = one["spec"]["containers"][0]["image"]
    one["spec"]["containers"][0]["volumeMounts"] = mount
    one["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    one["spec"]["initContainers"] = [
        {"name": name, "image": image, "command": ["sh", "-c", f"echo {name} >> /shared/order"], "volumeMounts": mount}
        for name in ("first", "second")]
    assert ended(space, one) == ("Succeeded", "first\nsecond\n")


def test_containers_share_a_network(cluster, space):
    """Containers of one pod meet on localhost and share the host name."""
    one = box(cluster, command="hostname; curl -s http://127.0.0.1:8080/healthz")
    one["spec"]["initContainers"] = [{"name": "web", "image": f"{cluster.registry}/web:1", "restartPolicy": "Always",
                                      "startupProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}}]
    phase, log = ended(space, one)
    assert phase == "Succeeded" and log.startswith("box\n"), log


def test_volumes(cluster, space):
    """configMap, secret and projected volumes hold their data with their modes."""
    space("create", "configmap", "settings", "--from-literal=color=blue")
    space("create", "secret", "generic", "hidden", "--from-literal=word=open")
    one = box(cluster, command="cat /c/color /s/word /p/both/color; stat -Lc %a /s/word; cat /p/name",
              volumeMounts=[{"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"},
                            {"name": "p", "mountPath": "/p"}])
    one["spec"]["volumes"] = [
        {"name": "c", "configMap": {"name": "settings"}},
        {"name": "s", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
        {"name": "p", "projected": {"sources": [
            {"configMap": {"name": "settings", "items": [{"key": "color", "path": "both/color"}]}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}]
    assert ended(space, one) == ("Succeeded", "blueopenblue400\nbox")


def test_configmap_volume_follows(cluster, space):
    """A changed ConfigMap reaches the files of a running pod."""
    space.apply(configmap("settings", color="blue"))
    one = box(cluster, volumeMounts=[{"name": "c", "mountPath": "/c"}])
    one["spec"]["volumes"] = [{"name": "c", "configMap": {"name": "settings"}}]
    started(space, one)
    space.apply(configmap("settings", color="green"))
    wait_for("the new content", lambda: space("exec", "box", "--", "cat", "/c/color") == "green", 15)


def test_service_account_token(cluster, space):
    """A pod's projected token is that of its service account, and the API at kubernetes.default takes it."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    one = box(cluster, command=f'curl -s -m 5 --cacert {folder}/ca.crt -H "Authorization: Bearer $(cat {folder}/token)" '
              'https://kubernetes.default/apis/authentication.k8s.io/v1/selfsubjectreviews -H Content-Type:application/json '
              """-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'""")
    phase, log = ended(space, one)
    assert phase == "Succeeded", log
    assert json.loads(log)["status"]["userInfo"]["username"] == f"system:serviceaccount:{space.namespace}:default"


def test_liveness_probe(cluster, space):
    """A container whose liveness probe fails is restarted."""
    space.apply(box(cluster, command="touch /tmp/live; sleep 1; rm /tmp/live; sleep 1000",
                    livenessProbe={"exec": {"command": ["cat", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 1}))
    wait_for("a restart", lambda: int(space(
        "get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[0].restartCount}") or 0) >= 1, 20)


def test_readiness_probe(cluster, space):
    """A pod is Ready while its readiness probe succeeds, and in the endpoints exactly then."""
    space("create", "service", "clusterip", "box", "--tcp=80:80")
    started(space, box(cluster, command="touch /tmp/ready; sleep 1000", readinessProbe={
        "exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}))
    ready = lambda: space("get", "endpoints", "box", "-o", "jsonpath={.subsets[*].addresses[*].ip}")
    wait_for("an endpoint", ready)
    space("exec", "box", "--", "rm", "/tmp/ready")
    wait_for("no endpoint", lambda: not ready())
    space("exec", "box", "--", "touch", "/tmp/ready")
    wait_for("an endpoint again", ready)


def test_lifecycle_hooks(cluster, space):
    """postStart runs after the start, preStop before SIGTERM."""
    one = box(cluster, command="trap 'cat /tmp/stop; exit 0' TERM; while :; do sleep 0.1; done", lifecycle={
        "postStart": {"exec": {"command": ["sh", "-c", "echo hooked > /tmp/start"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo told > /tmp/stop"]}}})
    one["spec"]["terminationGracePeriodSeconds"] = 10
    started(space, one)
    assert space("exec", "box", "--", "cat", "/tmp/start") == "hooked\n"
    log = space.start("logs", "-f", "box")
    space("delete", "pod", "box", "--wait=false")
    assert log.communicate(timeout=20)[0] == "told\n"


def test_logs(cluster, both):
    """`kubectl logs` shows what was printed, --tail its end, --previous the run before, -f what comes."""
    one = box(cluster, command="if test -e /v/again; then echo second; sleep 1000; fi; touch /v/again; echo one; echo two",
              volumeMounts=[{"name": "v", "mountPath": "/v"}])
    one["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    both.apply(one)
    wait_for("the second run", lambda: both.run("logs", "box").out == "second\n", 15)
    assert both("logs", "box", "--previous") == "one\ntwo\n"
    assert both("logs", "box", "--previous", "--tail=1") == "two\n"
    assert re.match(r"\d{4}-\d\d-\d\dT.*Z second\n", both("logs", "box", "--timestamps"))


def test_logs_follow(cluster, both):
    """`kubectl logs -f` shows lines as they come and ends with the container."""
    one = box(cluster, command="echo one; while ! test -e /tmp/go; do sleep 0.05; done; echo two")
    one["spec"]["restartPolicy"] = "Never"
    started(both, one)
    following = both.start("logs", "-f", "box")
    assert following.stdout.readline() == "one\n"
    both("exec", "box", "--", "touch", "/tmp/go")
    assert following.stdout.read() == "two\n"
    assert following.wait(10) == 0


def test_logs_of_many_lines(cluster, both):
    """A long log arrives whole."""
    phase, log = ended(both, box(cluster, command="i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done"))
    assert phase == "Succeeded" and log == "".join(f"line {i}\n" for i in range(20000))


def test_exec(cluster, both):
    """`kubectl exec` runs a command with its output, input and exit code."""
    started(both, box(cluster))
    assert both("exec", "box", "--", "echo", "a  b") == "a  b\n"
    assert both("exec", "-i", "box", "--", "cat", input="in\nput") == "in\nput"
    done = both.run("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.code, done.out) == (3, "out\n") and done.err.startswith("err\n")
    assert both.run("exec", "box", "--", "nonsense").code != 0


def test_exec_passes_much(cluster, both):
    """A megabyte goes through `kubectl exec` unharmed, both ways."""
    started(both, box(cluster))
    text = "".join(f"{i:07}\n" for i in range(130000))
    assert both("exec", "-i", "box", "--", "cat", input=text) == text


def on_terminal(command, environment, steps, timeout_s=15):
    """Run on a pseudo-terminal; steps: (text to wait for, text to type). Returns all that was shown and the exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    shown, until = "", time.monotonic() + timeout_s
    try:
        while time.monotonic() < until:
            if steps and steps[0][0] in shown:
                os.write(ours, steps.pop(0)[1].encode())
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data.decode(errors="replace")
        return shown, process.wait(5)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_exec_on_a_terminal(cluster, both):
    """`kubectl exec -it` gives a shell on a terminal of the container, with the shell's exit code."""
    started(both, box(cluster))
    shown, code = on_terminal(both.command(["exec", "-it", "box", "--", "sh"]), both.environment,
                              [("# ", "tty; echo si''ze $(stty size)\n"), ("size", "exit 5\n")])
    assert "/dev/" in shown and code == 5, shown


def test_attach(cluster, both):
    """`kubectl attach -i` is connected to the input and output of the container's process."""
    one = box(cluster, command="while read line; do echo got $line; done; echo end", stdin=True, stdinOnce=True)
    one["spec"]["restartPolicy"] = "Never"
    started(both, one)
    assert "got hello\nend\n" in both("attach", "-i", "box", input="hello\n")


def test_run_and_remove(cluster, both):
    """`kubectl run --rm -i` runs a pod, passes input and output, and removes it."""
    out = both("run", "once", f"--image={cluster.registry}/box:1", "--rm", "-i", "--restart=Never", "--quiet", "--", "cat",
               input="through\n")
    assert "through" in out
    wait_for("the pod is gone", lambda: both.run("get", "pod", "once").code == 1)


def test_cp(cluster, both, tmp_path):
    """`kubectl cp` copies files into a container and back."""
    started(both, box(cluster))
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(200000))
    both("cp", str(source), f"{both.namespace}/box:/tmp/copied")
    both("cp", f"{both.namespace}/box:/tmp/copied", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_port_forward(cluster, both):
    """`kubectl port-forward` carries connections to a pod."""
    both.apply(web(cluster, replicas=1))
    both("wait", "deployment/web", "--for=condition=Available", "--timeout=20s")
    forward = both.start("port-forward", "deployment/web", ":8080")
    try:
        port = re.search(r"127.0.0.1:(\d+) ->", forward.stdout.readline())[1]
        for _ in range(3):
            done = subprocess.run(["curl", "-s", "-m", "5", f"http://127.0.0.1:{port}/"], capture_output=True, text=True)
            assert "Hello from klein" in done.stdout
    finally:
        forward.kill()
        forward.wait()


def test_port_forward_ends(cluster, both):
    """What a container ends, `kubectl port-forward` ends: an answer without a length is complete."""
    started(both, box(cluster, command="while :; do echo bye | nc -l -p 7000; done"))
    forward = both.start("port-forward", "pod/box", ":7000")
    try:
        port = re.search(r"127.0.0.1:(\d+) ->", forward.stdout.readline())[1]
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
            assert connection.makefile("rb").read() == b"bye\n"
    finally:
        forward.kill()
        forward.wait()


def test_wrong_image(cluster, space):
    """An image that is not there is told in the pod's status, and retried with back-off."""
    space.apply(box(cluster, "wrong") | {"spec": {"containers": [{"name": "main", "image": f"{cluster.registry}/none:1"}]}})
    wait_for("ErrImagePull or its back-off", lambda: space(
        "get", "pod", "wrong", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}") in (
            "ErrImagePull", "ImagePullBackOff"))
    assert "Failed to pull image" in wait_for("the event", lambda: space("get", "events") if "Failed to pull" in space(
        "get", "events") else None)


def test_memory_limit(cluster, space):
    """A container above its memory limit is killed, and the reason is OOMKilled."""
    one = box(cluster, command="x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done",
              resources={"limits": {"memory": "32Mi"}})
    one["spec"]["restartPolicy"] = "Never"
    space.apply(one)
    wait_for("OOMKilled", lambda: "OOMKilled" == space(
        "get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.reason}"), 20)


@pytest.mark.parametrize("resources,qos", [
    ({}, "BestEffort"), ({"requests": {"cpu": "10m"}}, "Burstable"),
    ({"limits": {"cpu": "100m", "memory": "32Mi"}}, "Guaranteed")])
def test_qos(cluster, space, resources, qos):
    """The quality of service class follows from the resources."""
    space.apply(box(cluster, resources=resources))
    assert space("get", "pod", "box", "-o", "jsonpath={.status.qosClass}") == qos


def test_grace_period(cluster, space):
    """A container that does not heed SIGTERM is killed when its grace period is over, not before."""
    one = box(cluster, command="trap 'echo heard' TERM; while :; do sleep 0.1; done")
    one["spec"]["terminationGracePeriodSeconds"] = 2
    started(space, one)
    began = time.monotonic()
    space("delete", "pod", "box", "--timeout=20s")
    assert 2 <= time.monotonic() - began < 10


def test_host_path(cluster, space):
    """A hostPath volume is the node's folder."""
    one = box(cluster, command="cat /host/hostname")
    one["spec"]["containers"][0]["volumeMounts"] = [{"name": "host", "mountPath": "/host"}]
    one["spec"]["volumes"] = [{"name": "host", "hostPath": {"path": "/proc/sys/kernel", "type": "Directory"}}]
    phase, log = ended(space, one)
    assert phase == "Succeeded" and log


def test_proxy(cluster, space):
    """The API proxies to pods and Services."""
    space.apply(web(cluster, replicas=1), service("web"))
    space("rollout", "status", "deployment/web", "--timeout=20s")
    name = space("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    base = f"/api/v1/namespaces/{space.namespace}"
    assert "Hello from klein" in space("get", "--raw", f"{base}/pods/{name}:8080/proxy/")
    assert "Hello from klein" in space("get", "--raw", f"{base}/services/web:80/proxy/")


def test_limits_are_control_groups(cluster, space):
    """Limits are what the container's control group says."""
    started(space, box(cluster, resources={"limits": {"cpu": "500m", "memory": "64Mi"}}))
    pid = container_pid(cluster, space, "box")
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        groups = dict(row.strip().split(":", 2)[1:] for row in file)
    memory = next(path for name, path in groups.items() if "memory" in name.split(",") or name == "")
    root = "/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup"
    name = "memory.limit_in_bytes" if root.endswith("memory") else "memory.max"
    with open(f"{root}{memory}/{name}", encoding="ascii") as file:
        assert int(file.read()) == 64 << 20


def test_zone_of_a_pod(cluster, space):
    """A pod carries the zone of its node as a label, so that it can know its zone."""
    started(space, box(cluster))
    zone = space("get", "pod", "box", "-o", "jsonpath={.metadata.labels['topology\\.kubernetes\\.io/zone']}")
    assert zone in ("a", "b", "c")
