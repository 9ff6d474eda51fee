"""A klein server without nodes: its life, its folder, its identities."""
import http.client
import os
import signal

from .api import Api
from .kubectl import ROOT
from .process import free_port, run, start, stop
from .wait import wait_for


def klein_program():
    program = os.path.abspath(os.environ.get("KLEIN") or os.path.join(ROOT, "build/klein"))
    assert os.path.exists(program), f"{program} is missing: run `make`"
    return program


class Server:
    def __init__(self, folder, *options):
        self.folder, self.options = str(folder), options
        self.data = os.path.join(self.folder, "data")
        self.kubeconfig = os.path.join(self.data, "admin.kubeconfig")
        self.log = os.path.join(self.folder, "server.log")
        self.port = free_port()
        self.process = None

    def start(self):
        command = [klein_program(), "server", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.options]
        with open(self.log, "ab") as log:
            self.process = start(command, stdout=log, stderr=log)
        wait_for("the server is ready", self.is_ready, 20)
        return self

    def is_ready(self):
        with open(self.log, encoding="utf-8") as log:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}\n{log.read()[-3000:]}"
        try:
            return os.path.exists(self.file("pki/admin.crt")) and self.admin().get("/readyz").code == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        return stop(self.process)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def file(self, name):
        return os.path.join(self.data, name)

    def client(self, **identity):
        return Api("127.0.0.1", self.port, self.file("pki/ca.crt"), **identity)

    def admin(self):
        return self.client(cert=self.file("pki/admin.crt"), key=self.file("pki/admin.key"))

    def nobody(self):
        return self.client()

    def certificate(self, name, subject, ca=None, days=1):
        """Make a client certificate with openssl, signed by the cluster or by another CA; returns (cert, key)."""
        base = os.path.join(self.folder, name)
        ca = ca or self.file("pki/ca")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{base}.key", "-out", f"{base}.csr",
            "-subj", subject)
        with open(f"{base}.ext", "w", encoding="utf-8") as extensions:
            extensions.write("extendedKeyUsage=clientAuth\n")
        run("openssl", "x509", "-req", "-in", f"{base}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key",
            "-CAcreateserial", "-CAserial", f"{base}.serial", "-out", f"{base}.crt", "-days", str(days),
            "-extfile", f"{base}.ext")
        return f"{base}.crt", f"{base}.key"

    def foreign_ca(self, name="foreign"):
        base = os.path.join(self.folder, name)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{base}.key", "-out", f"{base}.crt",
            "-subj", "/CN=foreign", "-days", "10")
        return base
