"""Images of the tests: OCI layouts made from files of this machine, pushed with skopeo."""
import gzip
import hashlib
import io
import json
import os
import re
import tarfile

from .kubectl import ROOT
from .process import run

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "cat", "cp", "date", "echo", "env", "false", "hostname", "id", "kill", "ln", "ls", "mkdir", "mount", "nc",
           "nslookup", "ps", "rm", "sleep", "stat", "stty", "tail", "tar", "test", "touch", "true", "tty")


def build(folder, source):
    """A static program from one C file of the project."""
    program = os.path.join(folder, os.path.basename(source)[:-2])
    run("gcc", "-O2", "-static", "-D_GNU_SOURCE", "-std=gnu17", "-o", program, os.path.join(ROOT, source))
    return program


def read(path):
    with open(path, "rb") as file:
        return file.read()


def needed_files(program):
    """A dynamically linked program and the libraries it is linked with, as absolute paths."""
    libraries = re.findall(r"(/\S+) \(0x", run("ldd", program))
    return [program, *libraries]


class Layer:
    def __init__(self):
        self.raw = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.raw, mode="w")

    def file(self, path, data, mode=0o755):
        info = tarfile.TarInfo(path)
        info.mode, info.size = mode, len(data)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def folder(self, path, mode=0o755):
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(info)
        return self

    def link(self, path, target):
        info = tarfile.TarInfo(path)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)
        return self

    def bytes(self):
        self.tar.close()
        return self.raw.getvalue()


def write_layout(layout, tag, layers, **config):
    """One image of these layers as OCI layout; config are fields of its "config"."""
    blobs = os.path.join(layout, "blobs/sha256")
    os.makedirs(blobs, exist_ok=True)

    def blob(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    tars = [layer.bytes() for layer in layers]
    settings = {"architecture": "amd64", "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(settings).encode(), "config.v1+json"),
                "layers": [blob(gzip.compress(t, 1, mtime=0), "layer.v1.tar+gzip") for t in tars]}
    entry = {**blob(json.dumps(manifest).encode(), "manifest.v1+json"),
             "annotations": {"org.opencontainers.image.ref.name": tag}}
    with open(os.path.join(layout, "index.json"), "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
    with open(os.path.join(layout, "oci-layout"), "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion": "1.0.0"}')


def push(layout, tag, image):
    run("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}:{tag}",
        f"docker://{image}")


def push_test_images(folder, registry):
    """REGISTRY/web:1 and :2 (the sample service) and REGISTRY/box:1 (a shell and its tools)."""
    web, udp = read(build(folder, "samples/web/web.c")), read(build(folder, "tests/e2e/lib/udp.c"))
    for tag in ("1", "2"):
        layout = os.path.join(folder, f"web-{tag}")
        write_layout(layout, tag, [Layer().file("web", web)], Entrypoint=["/web"], User="65534", Env=[f"VERSION={tag}"])
        push(layout, tag, f"{registry}/web:{tag}")
    base = Layer().folder("bin").folder("tmp", 0o1777).folder("etc").file("bin/busybox", read(BUSYBOX)).file("bin/udp", udp)
    for name in APPLETS:
        base.link(f"bin/{name}", "busybox")
    for path in needed_files("/usr/bin/curl"):
        base.file(path.lstrip("/"), read(path))
    base.link("bin/curl", "/usr/bin/curl")
    # The second layer replaces one file of the first and removes another: what whiteouts are for.
    base.file("etc/replaced", b"old\n", 0o644).file("etc/removed", b"old\n", 0o644)
    second = Layer().file("etc/replaced", b"new\n", 0o644).file("etc/.wh.removed", b"", 0o644)
    layout = os.path.join(folder, "box")
    write_layout(layout, "1", [base, second], Cmd=["/bin/sleep", "1000000"], Env=["PATH=/bin", "FROM_IMAGE=yes"],
                 WorkingDir="/tmp")
    push(layout, "1", f"{registry}/box:1")
