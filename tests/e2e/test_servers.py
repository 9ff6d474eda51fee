"""Several servers, one state: `klein up --servers 3`, a server lost, replaced, taken out."""
import http.client
import json
import os
import shutil
import subprocess

import pytest

from lib.api import Api
from lib.cluster import Cluster, in_netns, kill
from lib.objects import configmap
from lib.process import free_port, run, start, stop
from lib.server import Server, klein_program
from lib.wait import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"
SERVERS = ["server-a", "server-b", "server-c"]


@pytest.fixture
def trio(tmp_path):
    """A cluster with three servers, removed at the end whatever is left of it."""
    one = Cluster(f"e2s-{os.getpid()}", tmp_path)
    try:
        yield one.up("--servers", "3")
    finally:
        one.down()
    assert one.leftovers() == []


@pytest.fixture
def solo(tmp_path):
    """One server on etcd, without nodes."""
    yield from on_etcd(tmp_path)


def on_etcd(folder):
    one = Server(folder, "--store", "etcd", "--name", "solo", "--address", "127.0.0.1", "--etcd-client-port", str(free_port()),
                 "--etcd-peer-port", str(free_port()))
    yield one
    for _ in range(2):  # the server first, or it would start etcd again
        if one.process and one.process.poll() is None:
            one.kill()
        record = one.file("etcd.json")
        if os.path.exists(record):
            with open(record, encoding="utf-8") as file:
                pid = json.load(file)["pid"]
            if is_etcd(pid, one.data):
                kill(pid)


def is_etcd(pid, data):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"--data-dir={data}/etcd".encode() in file.read().split(b"\0")
    except OSError:
        return False


def is_gone(pid):
    """The process ended; one that nobody has reaped counts."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def apis(cluster):
    return {server["name"]: cluster.admin(server["address"]) for server in cluster.read_status()["servers"]}


def try_create(api, name):
    """Create and say whether that was answered with 201; a lost connection is no answer."""
    try:
        return api.post(MAPS, configmap(name), timeout_s=3).code == 201
    except (OSError, http.client.HTTPException):
        return False


def items_of(api):
    return api.get("/klein/v1/servers").json["items"]


def all_ready(cluster):
    items = [item for item in items_of(cluster.admin()) if item["ready"]]
    return sorted(item["name"] for item in items) == SERVERS


def test_three_servers(trio):
    """Three servers share one state: what one of them has acknowledged every other one shows at once; the members are told."""
    status = trio.status
    assert [server["name"] for server in status["servers"]] == SERVERS and status["warnings"] == []
    assert [server["zone"] for server in status["servers"]] == ["a", "b", "c"]
    for server in status["servers"]:
        assert server["ready"] and server["store"]["healthy"] and server["store"]["members"] == 3, server
        assert all(os.path.exists(f"/proc/{server[pid]}") for pid in ("initPid", "serverPid", "etcdPid"))
        assert server["store"]["diskFreeBytes"] > 0
    assert sum(server["leader"] for server in status["servers"]) == 1
    assert sum(server["storeLeader"] for server in status["servers"]) == 1
    each = apis(trio)
    for writer, api in each.items():
        for number in range(5):
            api.made(MAPS, configmap(f"{writer}-{number}", a="1"))
            for reader in each.values():
                assert reader.get(f"{MAPS}/{writer}-{number}").code == 200, (writer, number)
    # The virtual address leads to one of them, and a pod's way to the API to all.
    assert trio.admin().get("/readyz").code == 200
    wait_for("every server is an endpoint", lambda: sorted(
        address["ip"] for address in trio.admin().get("/api/v1/namespaces/default/endpoints/kubernetes").json["subsets"][0]["addresses"])
        == [server["address"] for server in status["servers"]])
    text = trio.klein("status", "--name", trio.name)
    assert "server-b" in text and "klein" in text and max(len(line) for line in text.splitlines()) <= 100


def test_a_server_dies_and_comes_back(trio):
    """kill -9 of a server and its etcd: writes go on at the others; it comes back by itself with everything."""
    victim = next(server for server in trio.status["servers"] if server["leader"])
    others = [api for name, api in apis(trio).items() if name != victim["name"]]
    kill(victim["serverPid"])
    kill(victim["etcdPid"])
    for number, api in enumerate(others * 5):
        wait_for("writes go on", lambda: try_create(api, f"after-{number}") or
                 api.get(f"{MAPS}/after-{number}").code == 200, 6)
    wait_for("it is back", lambda: all_ready(trio), 30)
    back = trio.admin(victim["address"])
    assert {f"after-{number}" for number in range(10)} <= {item["metadata"]["name"] for item in back.get(MAPS).json["items"]}
    assert trio.server(victim["name"])["etcdPid"] not in (0, victim["etcdPid"])


def test_etcd_outlives_its_server(trio):
    """kill -9 of a server process alone: its etcd runs on, and the next process adopts it."""
    victim = trio.status["servers"][1]
    kill(victim["serverPid"])
    wait_for("another process serves", lambda: trio.server(victim["name"])["serverPid"] not in (0, victim["serverPid"]))
    wait_for("it is ready", lambda: all_ready(trio), 30)
    assert trio.server(victim["name"])["etcdPid"] == victim["etcdPid"]


def test_a_lost_disk_is_replaced(trio):
    """A server's machine and its disk are lost: `klein up` makes it again, it joins in the place of its old member."""
    victim = trio.status["servers"][0]
    trio.admin().made(MAPS, configmap("kept", a="1"))
    kill(victim["initPid"])
    wait_for("it is gone", lambda: is_gone(victim["initPid"]) and is_gone(victim["etcdPid"]))
    shutil.rmtree(victim["dataFolder"])
    survivor = trio.admin(trio.status["servers"][1]["address"])
    wait_for("writes go on", lambda: try_create(survivor, "meanwhile"), 6)
    trio.up()
    wait_for("all are ready", lambda: all_ready(trio), 30)
    again = trio.admin(victim["address"])
    assert again.get(f"{MAPS}/kept").code == 200 and again.get(f"{MAPS}/meanwhile").code == 200
    assert {item["store"]["members"] for item in items_of(again)} == {3}


def test_a_machine_is_made_again(trio):
    """A server's machine is lost and its disk is not: `klein up` starts it again with the same member."""
    victim = trio.status["servers"][2]
    kill(victim["initPid"])
    wait_for("it is gone", lambda: is_gone(victim["initPid"]))
    trio.up()
    assert all_ready(trio)


def test_without_a_majority(trio):
    """Two of three servers are lost: writes are refused in words and nothing hangs; with one of them back writes are accepted."""
    left, *lost = trio.status["servers"]
    for server in lost:
        kill(server["initPid"])
    api = trio.admin(left["address"])
    wait_for("it is not ready", lambda: api.get("/readyz").code == 500, 15)
    assert api.get("/livez").code == 200
    assert "store-quorum" in api.get("/readyz").body.decode()
    answer = api.post(MAPS, configmap("refused"), timeout_s=30)
    assert answer.code in (500, 503, 504), answer.body
    trio.up()
    wait_for("writes are accepted", lambda: try_create(api, "accepted"), 30)


def test_leaving(trio):
    """A server leaves: it ends by itself, the others go on; a second one may not, for one server of two is no majority."""
    leaver = trio.status["servers"][1]
    program = klein_program()
    in_netns(leaver["networkNamespace"], program, "server", "leave", "--data", leaver["dataFolder"])
    wait_for("its etcd ends", lambda: is_gone(leaver["etcdPid"]), 30)
    rest = trio.admin(trio.status["servers"][0]["address"])
    assert [item["name"] for item in items_of(rest)] == ["server-a", "server-c"]
    assert rest.get("/klein/v1/servers").json["warnings"] == [
        "two servers: losing either of them stops writes; three survive the loss of one"]
    rest.made(MAPS, configmap("left"))
    kill(trio.status["servers"][2]["initPid"])
    message = wait_for("refused in words", lambda: rest.delete("/klein/v1/servers/server-c", timeout_s=20).is_status(
        503, "ServiceUnavailable"), 20)
    assert "1 of 2 servers are up and 2 are needed" in message
    assert "there is no server" in rest.delete("/klein/v1/servers/server-x", timeout_s=20).is_status(404, "NotFound")


def test_down_removes_etcd(tmp_path):
    """`klein down` leaves no process of three servers and their etcd."""
    one = Cluster(f"e2t-{os.getpid()}", tmp_path)
    try:
        one.up("--servers", "3", "--zones", "3")
        pids = [server[pid] for server in one.status["servers"] for pid in ("serverPid", "etcdPid")]
        assert all(pids)
    finally:
        one.down()
    assert one.leftovers() == [] and all(is_gone(pid) for pid in pids)


def test_one_server_on_etcd(solo):
    """One server on etcd: killed, it adopts its etcd; its state is kept; SIGTERM leaves etcd running."""
    solo.start()
    solo.admin().made(MAPS, configmap("kept", a="1"))
    with open(solo.file("etcd.json"), encoding="utf-8") as file:
        pid = json.load(file)["pid"]
    solo.kill()
    solo.start()
    assert is_etcd(pid, solo.data) and solo.admin().get(f"{MAPS}/kept").code == 200
    assert solo.stop() == 0 and is_etcd(pid, solo.data)
    solo.start()
    assert solo.admin().get(f"{MAPS}/kept").code == 200


def test_lost_data_is_no_new_cluster(solo):
    """A server whose etcd has lost its data does not begin an empty cluster: it says what to do."""
    solo.start()
    with open(solo.file("etcd.json"), encoding="utf-8") as file:
        pid = json.load(file)["pid"]
    solo.kill()
    kill(pid)
    wait_for("etcd is gone", lambda: is_gone(pid))
    shutil.rmtree(solo.file("etcd"))
    done = subprocess.run([klein_program(), "server", "--data", solo.data, "--listen", f"127.0.0.1:{solo.port}"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "the data of etcd is gone" in done.stderr and "--join" in done.stderr


def join(api_of, token, name="server-x", **fields):
    body = {"name": name, "zone": "a", "etcdPeerUrl": "https://127.0.0.1:2390", "etcdClientUrl": "https://127.0.0.1:2391", **fields}
    return api_of(token=token).post("/klein/v1/servers/join", body)


def test_joins_that_are_refused(solo):
    """The cluster's keys go to nobody but a server's token: not to a wrong one, a node's, an administrator; and to one name only."""
    solo.start()

    def api_of(**identity):
        return Api("127.0.0.1", solo.port, solo.file("pki/ca.crt"), **identity)

    def token(*options):
        text = solo_klein(solo, "token", *options).strip()
        return text.rsplit(".", 1)[0]

    node, server = token(), token("--for-server")
    refused = [join(api_of, "abcdef.0123456789abcdef"), join(api_of, node), join(api_of, None),
               solo.admin().post("/klein/v1/servers/join", {"name": "server-x"})]
    assert [answer.code for answer in refused] == [401, 403, 403, 403]
    assert join(api_of, server, name="Not a name").code == 400
    assert join(api_of, server, etcdPeerUrl="https://127.0.0.1:2390,x=http://127.0.0.1:1").code == 400
    assert join(api_of, server, name="solo").is_status(409, "Conflict")
    assert b"PRIVATE KEY" not in b"".join(answer.body for answer in refused)
    # The token is the name's that used it first.
    assert join(api_of, server, name="server-y").is_status(403, "Forbidden")
    fresh = token("--for-server")
    first = join(api_of, fresh)
    assert first.code == 200 and "PRIVATE KEY" in first.json["caKey"] and first.json["etcd"]["initialCluster"].count("=") == 2
    again = join(api_of, fresh)  # interrupted and repeated
    assert again.code == 200 and again.json["etcd"] == first.json["etcd"]
    assert join(api_of, token("--for-server"), name="server-z", etcdPeerUrl="https://127.0.0.1:2392").is_status(
        503, "ServiceUnavailable")
    # A server's token makes no node, and reads nothing.
    assert api_of(token=fresh).get("/api/v1/secrets").code == 403
    # Whoever was told of the servers' health must be allowed to.
    assert set(api_of(token=node).get("/klein/v1/servers").json["items"][0]) == {"name", "zone", "url"}


def solo_klein(server, *words):
    return subprocess.run([klein_program(), *words, "--data", server.data, "--server", f"https://127.0.0.1:{server.port}"],
                          capture_output=True, text=True, check=True, timeout=20).stdout


def test_wrong_shapes():
    """Several servers on SQLite are refused in a sentence."""
    done = subprocess.run([klein_program(), "up", "--servers", "3", "--store", "sqlite"], capture_output=True, text=True)
    assert done.returncode == 2 and "SQLite cannot" in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 700 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(folder))
    yield folder
    run("umount", "-l", str(folder))


def test_a_full_disk(small_disk):
    """Before the disk is full writes are refused in words, deletes are not; with space again they are accepted by themselves."""
    for one in on_etcd(small_disk):
        one.start()
        api = one.admin()
        api.made(MAPS, configmap("before", a="1"))
        api.made("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}})
        filler = small_disk / "filler"
        space = os.statvfs(small_disk)
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 40 * 1024 * 1024)
        message = wait_for("a write is refused", lambda: refusal(api.post(MAPS, configmap("refused"))))
        assert "almost full" in message
        assert "almost full" in items_of(api)[0]["store"]["error"]
        assert api.get("/readyz").code == 500 and api.get("/livez").code == 200
        assert api.delete(f"{MAPS}/before").code == 200
        assert api.delete("/api/v1/namespaces/going").code == 200  # a deletion in steps, each of them a put
        wait_for("the namespace is gone", lambda: api.get("/api/v1/namespaces/going").code == 404)
        filler.unlink()
        wait_for("writes are accepted", lambda: api.post(MAPS, configmap("after")).code == 201)
        assert api.get("/readyz").code == 200


def refusal(answer):
    return answer.code == 503 and answer.json["message"]


def test_an_etcd_of_ones_own(tmp_path):
    """klein on an etcd cluster that somebody else runs: nothing is started, the state is under a prefix, and a second server shares it."""
    client, peer = free_port(), free_port()
    etcd = start(["etcd", "--data-dir", str(tmp_path / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{client}",
                  "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                  "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster",
                  f"default=http://127.0.0.1:{peer}"], stderr=subprocess.DEVNULL)
    one = Server(tmp_path / "one", "--etcd-endpoints", f"http://127.0.0.1:{client}", "--etcd-prefix", "here", "--name", "one")
    try:
        os.makedirs(one.folder)
        one.start()
        one.admin().made(MAPS, configmap("shared"))
        assert not os.path.exists(one.file("etcd.json"))
        token = solo_klein(one, "token", "--for-server").strip()
        two = Server(tmp_path / "two", "--etcd-endpoints", f"http://127.0.0.1:{client}", "--etcd-prefix", "here", "--name", "two",
                     "--join", f"https://127.0.0.1:{one.port}", "--token", token)
        os.makedirs(two.folder)
        try:
            two.start()
            assert two.admin().get(f"{MAPS}/shared").code == 200
            assert [item["name"] for item in items_of(two.admin())] == ["one", "two"]
        finally:
            two.kill()
    finally:
        one.kill()
        stop(etcd)
