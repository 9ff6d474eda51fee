#!/usr/bin/python3
"""How long a backup, its proof and a restore of a large state take: bench_restore.py KLEIN [MEGABYTES, default 1000].

ConfigMaps of 100 KB of text that compresses no better than real objects do (about 3:1). One line a figure.
"""
import http.client
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
sys.dont_write_bytecode = True

from lib.wait import wait_for  # noqa: E402

OBJECT_BYTES = 100_000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fill(folder, port, count):
    context = ssl.create_default_context(cafile=f"{folder}/data/pki/ca.crt")
    context.check_hostname = False
    context.load_cert_chain(f"{folder}/data/pki/admin.crt", f"{folder}/data/pki/admin.key")
    words = [f"{random.Random(i).getrandbits(48):x}" for i in range(4000)]

    def work(first):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        for i in range(first, count, 4):
            text = " ".join(random.Random(i).choices(words, k=OBJECT_BYTES // 13))
            body = json.dumps({"metadata": {"name": f"c{i}"}, "data": {"text": text}})
            connection.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, answer.status
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    klein, megabytes = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    folder, port = tempfile.mkdtemp(prefix="klein-bench-", dir="/var/tmp"), free_port()
    with open(f"{folder}/log", "wb") as log:
        server = subprocess.Popen([klein, "server", "--data", f"{folder}/data", "--listen", f"127.0.0.1:{port}"], stdout=log,
                                  stderr=log)
    try:
        wait_for("the server is ready", lambda: b" server ready " in read(f"{folder}/log"), 30)
        fill(folder, port, megabytes * 1_000_000 // OBJECT_BYTES)
        made = json.loads(subprocess.run([klein, "backup", "--data", f"{folder}/data", "--server", f"https://127.0.0.1:{port}",
                                          "--to", f"{folder}/backups", "--work", folder, "--without-keys", "--output", "json"],
                                         check=True, capture_output=True).stdout)
        server.terminate()
        server.wait()
        begin = time.monotonic()
        subprocess.run([klein, "restore", "--from", f"{folder}/backups", "--data", f"{folder}/new", "--backup-only"],
                       check=True, stdout=subprocess.DEVNULL)
        restored = time.monotonic() - begin
        print(f"backup of {megabytes} MB, {made['objects']} objects, {made['bytes'] / 1e6:.0f} MB compressed: "
              f"{made['seconds'] - made['proofSeconds']:.1f} s")
        print(f"proof (files, restore, start, comparison): {made['proofSeconds']:.1f} s, its restore and start {made['restoreSeconds']:.1f} s")
        print(f"klein restore: {restored:.1f} s, {megabytes / restored:.0f} MB/s")
    finally:
        server.kill()
        shutil.rmtree(folder)


main()
