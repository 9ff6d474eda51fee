"""What a server keeps over kill -9, and what watchers see across it."""
import http.client
import threading

from lib.kubectl import Kubectl
from lib.objects import configmap
from lib.wait import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


def test_stop_is_clean(own_server):
    """SIGTERM ends the server with exit code 0."""
    assert own_server.stop() == 0


def test_acknowledged_writes_survive_kill(own_server):
    """Every create that was answered with 201 is there after kill -9, over three kills under load."""
    acknowledged = []

    def create(worker, round_number, stopped):
        client, number = own_server.admin(), 0
        connection = client.connect()
        while not stopped.is_set():
            name = f"c-{round_number}-{worker}-{number}"
            number += 1
            try:
                if client.post(MAPS, configmap(name, a="x" * 500), connection=connection).code == 201:
                    acknowledged.append(name)
            except (OSError, http.client.HTTPException):
                return

    for round_number in range(3):
        stopped = threading.Event()
        workers = [threading.Thread(target=create, args=(i, round_number, stopped)) for i in range(8)]
        before = len(acknowledged)
        for worker in workers:
            worker.start()
        wait_for("creates under way", lambda: len(acknowledged) >= before + 200)
        own_server.kill()
        stopped.set()
        for worker in workers:
            worker.join()
        own_server.start()
        present = {item["metadata"]["name"] for item in own_server.admin().get(MAPS).json["items"]}
        assert set(acknowledged) <= present, sorted(set(acknowledged) - present)[:10]


def test_watch_resumes_over_a_restart(own_server):
    """A watch opened at the last revision seen before kill -9 gets exactly the later changes."""
    api = own_server.admin()
    first = api.made(MAPS, configmap("first"))
    api.made(MAPS, configmap("second"))
    own_server.kill()
    own_server.start()
    api.made(MAPS, configmap("third"))
    api.delete(f"{MAPS}/first")
    seen = []
    for event in api.watch(MAPS, resourceVersion=first["metadata"]["resourceVersion"]):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        if len(seen) == 3:
            break
    assert seen == [("ADDED", "second"), ("ADDED", "third"), ("DELETED", "first")]


def test_revisions_grow_over_a_restart(own_server):
    """Revisions after kill -9 are larger than all before."""
    before = int(own_server.admin().made(MAPS, configmap("first"))["metadata"]["resourceVersion"])
    own_server.kill()
    own_server.start()
    assert int(own_server.admin().made(MAPS, configmap("second"))["metadata"]["resourceVersion"]) > before


def test_identities_stay_over_a_restart(own_server):
    """A token made before a restart is good after it."""
    api, account = own_server.admin(), "/api/v1/namespaces/default/serviceaccounts/default"
    wait_for("the service account", lambda: api.get(account).code == 200)
    token = api.made(f"{account}/token", {"spec": {"expirationSeconds": 600}})["status"]["token"]
    assert own_server.stop() == 0
    own_server.start()
    assert own_server.client(token=token).get("/api").code == 200


def test_kubectl_watch(own_server, kubectl_version, tmp_path):
    """`kubectl get -w` shows changes as they come."""
    kubectl = Kubectl(kubectl_version, own_server.kubeconfig, str(tmp_path))
    watching = kubectl.start("get", "configmaps", "-w", "--output-watch-events", "--no-headers")
    try:
        assert "kube-root-ca.crt" in watching.stdout.readline()
        kubectl("create", "configmap", "one")
        kubectl("delete", "configmap", "one")
        seen = ""
        while "DELETED" not in seen:
            line = watching.stdout.readline()
            assert line, seen
            seen += line
        assert [row.split()[0] for row in seen.splitlines() if " one " in row] == ["ADDED", "DELETED"]
    finally:
        watching.kill()
        watching.wait()
