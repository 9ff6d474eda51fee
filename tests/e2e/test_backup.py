"""Backups: made, proved, damaged, restored; to folders, S3 and rsync; to a moment between two of them. docs/guide/backup.md"""
import fcntl
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from lib.objects import configmap
from lib.process import run, start
from lib.s3 import S3
from lib.server import Server, klein_program
from lib.sshd import Sshd
from lib.wait import wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


class Backups:
    """`klein backup` and `klein restore` on one server and one place."""

    def __init__(self, server, folder, to=None, options=(), environment=None):
        self.server, self.folder, self.options = server, str(folder), list(options)
        self.to = to or os.path.join(self.folder, "backups")
        self.environment = {**os.environ, **(environment or {})}
        self.passphrase = os.path.join(self.folder, "passphrase")
        with open(self.passphrase, "w", encoding="utf-8") as file:
            file.write("correct horse battery staple\n")

    def klein(self, *args, code=0, **options):
        done = subprocess.run([klein_program(), *args], capture_output=True, text=True, timeout=120, env=self.environment,
                              **options)
        assert done.returncode == code, f"{args}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def arguments(self, keys=True):
        return ["--data", self.server.data, "--server", f"https://127.0.0.1:{self.server.port}", "--to", self.to,
                "--work", self.folder, *self.options, *(["--passphrase-file", self.passphrase] if keys else [])]

    def make(self, *args):
        return json.loads(self.klein("backup", *self.arguments(), "--output", "json", *args))

    def verify(self, *args, code=0):
        return self.klein("backup", "verify", *args, *self.arguments(), code=code)

    def restore(self, data, *args, code=0):
        return self.klein("restore", "--from", self.to, "--data", data, *self.options, "--passphrase-file",
                          self.passphrase, *args, code=code)

    def file(self, made, name):
        return os.path.join(self.to, made["id"], name)


@pytest.fixture
def backups(own_server, tmp_path):
    return Backups(own_server, tmp_path)


def objects_of(server):
    """What clients see, but for what a restart renews by itself."""
    api, seen = server.admin(), {}
    for path in (MAPS, "/api/v1/secrets", "/api/v1/namespaces", "/api/v1/services",
                 "/apis/rbac.authorization.k8s.io/v1/clusterroles"):
        for item in api.get(path).json["items"]:
            name = item["metadata"]["name"]  # a new folder gets a join token of its own
            if name != "klein-backup" and not name.startswith("bootstrap-token-"):
                seen[path, item["metadata"].get("namespace"), item["metadata"]["name"]] = item
    return seen


def restarted(server, folder, data):
    """Another server, on restored data."""
    other = Server(folder)
    other.data = data
    other.kubeconfig = os.path.join(data, "admin.kubeconfig")
    return other.start()


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        place = file.tell()
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def test_a_backup_is_proved_and_restored_on_an_empty_machine(backups, tmp_path):
    """The same objects with the same revisions and identities; keys are the cluster's own; later revisions are above all earlier ones."""
    api = backups.server.admin()
    for i in range(20):
        api.made(MAPS, configmap(f"c{i}", text="\u00e4\"\\ <&> " * 20))
    api.delete(f"{MAPS}/c3")
    made = backups.make()
    assert made["proved"] and made["keys"] and made["objects"] > 100
    assert backups.klein("backup", "list", *backups.arguments()).count(made["id"]) == 1
    note = api.get("/api/v1/namespaces/kube-system/configmaps/klein-backup").json["data"]
    assert note["lastGoodId"] == note["lastProofId"] == made["id"] and note["failures"] == "0"
    metrics = api.get("/metrics").body.decode()
    age = next(line for line in metrics.splitlines() if line.startswith("klein_backup_proof_age_seconds"))
    assert 0 <= float(age.split()[1]) < 60
    before = objects_of(backups.server)
    highest = int(api.made(MAPS, configmap("late"))["metadata"]["resourceVersion"])
    backups.server.kill()
    data = str(tmp_path / "new" / "data")
    words = backups.restore(data, "--backup-only")
    assert "Restored" in words and " s: the state of" in words
    other = restarted(backups.server, tmp_path / "new", data)
    try:
        assert objects_of(other) == before
        assert other.admin().get(f"{MAPS}/c3").code == 404
        assert int(other.admin().made(MAPS, configmap("next"))["metadata"]["resourceVersion"]) > highest
        assert open(other.file("pki/ca.crt"), "rb").read() == open(backups.server.file("pki/ca.crt"), "rb").read()
    finally:
        other.kill()


def test_an_old_watch_gets_410_after_a_restore(backups, tmp_path):
    """A client that saw more than was restored is told to list again, never shown a revision twice."""
    made = backups.make("--no-verify")
    seen = backups.server.admin().made(MAPS, configmap("lost"))["metadata"]["resourceVersion"]
    backups.restore(backups.server.data, "--backup-only", "--force")
    backups.server.process.wait()
    backups.server.start()
    api = backups.server.admin()
    answer = api.get(f"{MAPS}?watch=true&resourceVersion={seen}&timeoutSeconds=2")
    assert answer.code == 410 or b'"code":410' in answer.body
    assert api.get(f"{MAPS}/lost").code == 404
    assert int(api.get(MAPS).json["metadata"]["resourceVersion"]) > int(seen)
    assert glob.glob(backups.server.data + ".replaced-*/store/klein.db"), made


@pytest.mark.parametrize("damage, says", [
    (lambda b, m: flip(b.file(m, "objects-0000.seg"), -100), "file 'objects-0000.seg' has been changed"),
    (lambda b, m: flip(b.file(m, "digests-0000.seg"), 300), "file 'digests-0000.seg' has been changed"),
    (lambda b, m: flip(b.file(m, "keys.sealed"), 40), "file 'keys.sealed' has been changed"),
    (lambda b, m: flip(b.file(m, "manifest.json"), 200), "manifest.json"),
    (lambda b, m: os.truncate(b.file(m, "objects-0000.seg"), 900), "file 'objects-0000.seg' has 900 bytes"),
    (lambda b, m: os.unlink(b.file(m, "objects-0000.seg")), "file 'objects-0000.seg' is missing"),
    (lambda b, m: os.unlink(b.file(m, "manifest.json")), "manifest.json"),
    (lambda b, m: os.rename(b.file(m, "objects-0000.seg"), b.file(m, "objects-0001.seg")), "objects-0001.seg"),
], ids=["bit in objects", "bit in digests", "bit in keys", "bit in manifest", "truncated", "missing", "no manifest", "renamed"])
def test_damage_is_called_bad(backups, damage, says):
    """Each kind of damage: verify and restore refuse with a sentence that names the file."""
    made = backups.make("--no-verify")
    damage(backups, made)
    words = backups.verify(made["id"], code=1)
    assert says in words and "BAD" in words
    assert says.split("'")[1 if "'" in says else 0] in backups.restore(os.path.join(backups.folder, "other"), "--backup-only", code=1)
    assert not os.path.exists(os.path.join(backups.folder, "other"))


def test_old_files_are_called_bad(backups):
    """A file of an older backup, and an older backup under a newer name."""
    old = backups.make("--no-verify")
    backups.server.admin().made(MAPS, configmap("newer"))
    time.sleep(1.1 - time.time() % 1)  # ids have seconds
    new = backups.make("--no-verify")
    shutil.copy(backups.file(new, "objects-0000.seg"), backups.folder)
    shutil.copy(backups.file(old, "objects-0000.seg"), backups.file(new, "objects-0000.seg"))
    assert "file 'objects-0000.seg'" in backups.verify(new["id"], code=1)
    shutil.rmtree(os.path.join(backups.to, new["id"]))
    os.rename(os.path.join(backups.to, old["id"]), os.path.join(backups.to, new["id"]))
    assert "an old or foreign backup was put in its place" in backups.verify(new["id"], code=1)


def test_keys_need_the_passphrase(backups):
    """Without one a backup with keys is refused; with another one nothing opens."""
    words = backups.klein("backup", *backups.arguments(keys=False), code=2)
    assert "--passphrase-file" in words and "--without-keys" in words
    made = backups.make("--no-verify")
    with open(backups.passphrase, "w", encoding="utf-8") as file:
        file.write("another passphrase\n")
    assert "passphrase" in backups.verify(made["id"], code=1)
    assert "passphrase" in backups.restore(os.path.join(backups.folder, "other"), "--backup-only", code=1)
    for path in glob.glob(os.path.join(backups.to, made["id"], "*")):
        with open(path, "rb") as file:
            assert b"PRIVATE KEY" not in file.read()


def test_s3(own_server, tmp_path):
    """Signed requests, pages of a listing, a server that asks to slow down, retention, verify and restore from a bucket."""
    with S3() as s3:
        backups = Backups(own_server, tmp_path, s3.url, environment=s3.environment)
        s3.failures = 2
        ids = []
        for _ in range(3):
            time.sleep(1.1 - time.time() % 1)
            ids.append(backups.make("--keep", "2")["id"])
        assert s3.refused == []
        there = {key.split("/")[2] for key in s3.objects}
        assert ids[0] not in there and set(ids[1:]) <= there and any(name.startswith("changes-") for name in there)
        assert "is good" in backups.verify()
        backups.restore(str(tmp_path / "restored"))
        key = next(key for key in s3.objects if key.endswith(f"{ids[2]}/objects-0000.seg"))
        s3.objects[key] = s3.objects[key][:-1]
        assert "objects-0000.seg" in backups.verify(ids[2], code=1)
        backups.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        words = backups.klein("backup", "list", *backups.arguments(), code=1)
        assert "answered 403" in words and "does not match" in words and "wrong" not in words.replace("is wrong", "")


def test_rsync(own_server, tmp_path):
    """To another machine by rsync over ssh: made, listed, proved, restored, removed when too old."""
    (tmp_path / "ssh").mkdir()
    with Sshd(tmp_path / "ssh") as sshd:
        remote = tmp_path / "remote" / "klein"
        backups = Backups(own_server, tmp_path, sshd.url(str(remote)), sshd.options)
        ids = []
        for _ in range(2):
            time.sleep(1.1 - time.time() % 1)
            ids.append(backups.make("--keep", "1")["id"])
        assert sorted(name for name in os.listdir(remote) if name.startswith("2")) == ids[1:]
        assert ids[1] in backups.klein("backup", "list", *backups.arguments())
        backups.restore(str(tmp_path / "restored"))
        flip(str(remote / ids[1] / "objects-0000.seg"), -30)
        assert "objects-0000.seg" in backups.verify(code=1)


def test_point_in_time(backups, tmp_path):
    """Between two backups: what was there at that time, what came later is not, over a kill of the server."""
    api = backups.server.admin()
    api.made(MAPS, configmap("before"))
    made = backups.make("--no-verify")
    api.made(MAPS, configmap("kept", x="1"))
    api.delete(f"{MAPS}/before")
    last = api.made(MAPS, configmap("second"))["metadata"]["resourceVersion"]
    backups.server.kill()
    backups.server.start()
    api = backups.server.admin()
    time.sleep(2.5)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.5)
    api.delete(f"{MAPS}/kept")
    api.made(MAPS, configmap("later"))
    wait_for("the change log is written", lambda: backups.klein(
        "restore", "--from", backups.to, "--data", str(tmp_path / f"try-{time.monotonic()}"), "--passphrase-file",
        backups.passphrase, "--changes", backups.server.file("changes"), "--to-time", at), 15)
    data = str(tmp_path / "then" / "data")
    words = backups.restore(data, "--to-time", at, "--changes", backups.server.file("changes"))
    assert made["id"] in words
    other = restarted(backups.server, tmp_path / "then", data)
    try:
        assert {i["metadata"]["name"] for i in other.admin().get(MAPS).json["items"]} == {"kept", "second", "kube-root-ca.crt"}
    finally:
        other.kill()
    words = backups.restore(str(tmp_path / "rev"), "--revision", last, "--changes", backups.server.file("changes"))
    assert f"revision {last}" in words
    words = backups.restore(str(tmp_path / "never"), "--to-time", "2099-01-01T00:00:00Z", "--changes",
                            backups.server.file("changes"), code=1)
    assert "the change log ends at revision" in words


def test_kill_during_a_backup(backups):
    """kill -9 of `klein backup` at any moment: what is left is no backup or a good one, and the next one works."""
    api = backups.server.admin()
    for i in range(50):
        api.made(MAPS, configmap(f"c{i}", x="y" * 2000))
    for delay in (0.02, 0.06, 0.1, 0.15, 0.25, 0.4):
        process = start([klein_program(), "backup", *backups.arguments()], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for made in json.loads(backups.klein("backup", "list", *backups.arguments(), "--output", "json")):
        if os.path.exists(os.path.join(backups.to, made["id"], "manifest.json")):
            assert "is good" in backups.verify(made["id"])
    time.sleep(1.1 - time.time() % 1)
    backups.make()


def test_a_server_killed_during_a_backup_leaves_none(backups):
    """An answer that breaks off is no backup."""
    backups.server.kill()
    words = backups.klein("backup", *backups.arguments(), code=1)
    assert "make a backup" in words and not glob.glob(os.path.join(backups.to, "2*"))


def test_writes_during_a_backup_do_not_tear_it(backups):
    """A backup made under load holds one revision: pairs written together are there together or not at all."""
    api, stopped, number = backups.server.admin(), threading.Event(), [0]

    def write():
        client = backups.server.admin()
        connection = client.connect()
        while not stopped.is_set():
            number[0] += 1
            client.post(MAPS, configmap(f"n{number[0]:06}"), connection=connection)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for("writes under way", lambda: number[0] > 50)
        made = backups.make()
    finally:
        stopped.set()
        writer.join()
    assert made["proved"] and api.get("/readyz").code == 200


def test_schedule(tmp_path):
    """The server makes and proves backups by itself, keeps as many as asked, and tells in its metrics."""
    place = tmp_path / "place"
    server = Server(tmp_path, "--backup-to", str(place), "--backup-every", "1s", "--backup-keep", "2")
    server.start()
    try:
        wait_for("two backups were made and old ones removed", lambda: len(glob.glob(str(place / "2*"))) == 2 and server.admin().get(
            "/api/v1/namespaces/kube-system/configmaps/klein-backup").json["data"]["lastProofId"], 40)
        first = min(os.listdir(place))
        wait_for("the oldest goes when a new one is made", lambda: not (place / first).exists(), 40)
        assert "klein_backup_failures 0" in server.admin().get("/metrics").body.decode()
        assert glob.glob(str(place / "changes-*" / "*.seg"))
    finally:
        assert server.stop() == 0


def test_schedule_that_cannot_work_is_told(tmp_path):
    """A place that cannot be written to: failures are counted and noted, the server goes on."""
    (tmp_path / "file").write_text("")
    server = Server(tmp_path, "--backup-to", str(tmp_path / "file" / "x"), "--backup-every", "1s")
    server.start()
    try:
        note = "/api/v1/namespaces/kube-system/configmaps/klein-backup"
        wait_for("a failure is noted", lambda: server.admin().get(note).code == 200 and server.admin().get(note).json["data"].get(
            "lastError"), 30)
        assert server.admin().get("/readyz").code == 200
    finally:
        assert server.stop() == 0


def test_only_administrators_read_a_backup(backups):
    """The dump holds every secret."""
    assert backups.server.nobody().get("/klein/v1/backup").code in (401, 403)
    cert, key = backups.server.certificate("reader", "/CN=reader/O=readers")
    assert backups.server.client(cert=cert, key=key).get("/klein/v1/backup").code == 403


def test_a_sandbox_changes_nothing(backups, tmp_path):
    """--no-control: reads only."""
    made = backups.make("--no-verify")
    backups.restore(str(tmp_path / "s" / "data"), "--backup-only")
    other = Server(tmp_path / "s", "--no-control").start()
    try:
        answer = other.admin().post(MAPS, configmap("x"))
        assert answer.code == 503 and "--no-control" in answer.json["message"], made
        assert other.admin().get(MAPS).code == 200
    finally:
        other.kill()


def test_verify_leaves_nothing(backups):
    """No sandbox, no process, no temporary folder."""
    backups.make()
    backups.verify()
    assert not glob.glob(os.path.join(backups.folder, "klein-backup-*"))
    assert run("sh", "-c", f"ls /proc/[0-9]*/cwd -d | wc -l")
    for cmdline in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(cmdline, "rb") as file:
                assert not (b"--no-control" in (words := file.read()) and backups.folder.encode() in words)
        except OSError:
            pass


def test_what_killed_runs_left(backups):
    """The next run removes the old work folders of dead runs, and neither young ones, nor those in use, nor others'."""
    folders = {name: os.path.join(backups.folder, name) for name in
               ("klein-backup-dead00", "klein-backup-young0", "klein-backup-inuse0", "klein-backup-of-mine")}
    for name, folder in folders.items():
        os.mkdir(folder)
        with open(os.path.join(folder, "file"), "w", encoding="utf-8"):
            pass
        if "young" not in name:
            os.utime(folder, (time.time() - 600, time.time() - 600))
    used = os.open(folders["klein-backup-inuse0"], os.O_RDONLY)
    try:
        fcntl.flock(used, fcntl.LOCK_EX)
        words = backups.klein("backup", *backups.arguments(), "--no-verify")
    finally:
        os.close(used)
    assert "Secrets are readable in it" in words
    left = sorted(os.path.basename(path) for path in glob.glob(os.path.join(backups.folder, "klein-backup-*")))
    assert left == ["klein-backup-inuse0", "klein-backup-of-mine", "klein-backup-young0"]
