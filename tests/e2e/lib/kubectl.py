"""kubectl, as a person types it."""
import json
import os
import subprocess
from dataclasses import dataclass

from .process import start

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
VERSIONS = ("1.20", "1.34")


@dataclass
class Result:
    code: int
    out: str
    err: str


class Kubectl:
    """kubectl("get", "pods") gives its output and fails the test when it fails; see also run(), json(), start()."""

    def __init__(self, version, kubeconfig, home, namespace="default"):
        self.version = version
        self.program = os.path.join(ROOT, "build/tools", f"kubectl-{version}", "kubectl")
        assert os.path.exists(self.program), f"{self.program} is missing: run `make tools`"
        self.kubeconfig, self.home, self.namespace = kubeconfig, home, namespace
        self.environment = {**os.environ, "KUBECONFIG": kubeconfig, "HOME": home, "TERM": "xterm"}

    def within(self, namespace):
        return Kubectl(self.version, self.kubeconfig, self.home, namespace)

    def with_kubeconfig(self, kubeconfig):
        return Kubectl(self.version, kubeconfig, self.home, self.namespace)

    def command(self, args):
        return [self.program, "-n", self.namespace, *map(str, args)]

    def run(self, *args, input=None, timeout_s=30, environment=None):
        if input is not None and not isinstance(input, str):
            input = json.dumps(input)
        done = subprocess.run(self.command(args), env={**self.environment, **(environment or {})}, input=input,
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True,
                              timeout=timeout_s)
        return Result(done.returncode, done.stdout, done.stderr)

    def __call__(self, *args, **options):
        done = self.run(*args, **options)
        assert done.code == 0, f"kubectl-{self.version} {' '.join(map(str, args))}: {done.code}\n{done.out}{done.err}"
        return done.out

    def fails(self, *args, code=1, **options):
        """It must fail with this exit code; returns what it printed on standard error."""
        done = self.run(*args, **options)
        assert done.code == code, f"kubectl {' '.join(map(str, args))}: {done.code}, not {code}\n{done.out}{done.err}"
        return done.err

    def json(self, *args, **options):
        return json.loads(self(*args, "-o", "json", **options))

    def items(self, *args, **options):
        return self.json("get", *args, **options)["items"]

    def apply(self, *objects, options=()):
        return self("apply", *options, "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": list(objects)})

    def start(self, *args, **options):
        """Leave it running; the caller stops it."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        return start(self.command(args), env=self.environment, text=True, **options)
