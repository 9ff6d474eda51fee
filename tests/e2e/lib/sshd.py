"""An sshd of the test's own on a loopback port: own host key, one key that may come in, nothing of the machine's configuration."""
import getpass
import os

from .process import free_port, run, start, stop
from .wait import wait_for


class Sshd:
    def __init__(self, folder):
        self.folder = str(folder)
        self.port = free_port()
        self.identity = self.path("id")
        self.known_hosts = self.path("known_hosts")

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        os.makedirs("/run/sshd", exist_ok=True)
        for name in ("host", "id"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name))
        with open(self.path("host.pub"), encoding="utf-8") as key, open(self.known_hosts, "w", encoding="utf-8") as known:
            known.write(f"[127.0.0.1]:{self.port} {key.read()}")
        with open(self.path("config"), "w", encoding="utf-8") as config:
            config.write(f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.path('host')}\nPidFile none\n"
                         f"AuthorizedKeysFile {self.path('id.pub')}\nStrictModes no\nUsePAM no\n"
                         "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n")
        with open(self.path("log"), "wb") as log:
            self.process = start(["/usr/sbin/sshd", "-D", "-e", "-f", self.path("config")], stderr=log)
        wait_for("sshd listens", lambda: "Server listening" in open(self.path("log"), encoding="utf-8").read())
        return self

    def __exit__(self, *_):
        stop(self.process)

    def url(self, folder):
        return f"rsync://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"

    @property
    def options(self):
        return ["--identity-file", self.identity, "--known-hosts-file", self.known_hosts]
