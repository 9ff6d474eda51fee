"""Three machines on one network, as namespaces: what the guide for real machines is followed on.

Each has its own network, mounts, processes and host name, its own /etc, /usr/local and /var/lib, and a `systemctl` that starts
what the ExecStart of an installed unit says. They die with the test run.
"""
import os
import shlex
import signal
import subprocess

from .process import run, start
from .wait import wait_for

SYSTEMCTL = '''#!/bin/sh
# `systemctl enable --now UNIT` and `restart UNIT` as far as the guide uses them: ExecStart with its EnvironmentFile.
for unit; do :; done
file=/etc/systemd/system/$unit.service
case $1 in
disable) exit 0 ;;
restart) kill "$(cat /run/$unit.pid)"; while kill -0 "$(cat /run/$unit.pid)" 2>/dev/null; do :; done ;;
esac
value() { sed -n "s/^$1=//p" "$file"; }
. /dev/stdin <<END
$(sed "s/=\\\\(.*\\\\)/='\\\\1'/" "$(value EnvironmentFile)")
END
command=$(value ExecStart)
eval "setsid $command </dev/null >>/var/log/$unit.log 2>&1 &"
echo $! > /run/$unit.pid
'''


class Machine:
    def __init__(self, folder, name, address, switch):
        self.folder, self.name, self.address, self.switch = os.path.join(folder, name), name, address, switch
        for part in ("etc", "etc.work", "local", "local.work", "lib", "lib.work", "run", "log", "install"):
            os.makedirs(os.path.join(self.folder, part))
        self.process = start(["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child=SIGKILL",
                              "--mount-proc", "sh", "-ec", self.script()], stdout=subprocess.DEVNULL)
        self.pid = wait_for("the machine's first process", self.first_process)
        wait_for("its mounts", lambda: os.path.exists(os.path.join(self.folder, "run/booted")))
        self.plug()

    def script(self):
        overlay = lambda at, name: (
            f"mount -t overlay overlay -o lowerdir={at},upperdir={self.folder}/{name},workdir={self.folder}/{name}.work {at}")
        return "\n".join([
            f"hostname {self.name}", overlay("/etc", "etc"), overlay("/usr/local", "local"),
            # Images are unpacked below /var/lib/klein: an overlay there would be one too many.
            f"mkdir -p /var/lib/klein && mount --bind {self.folder}/lib /var/lib/klein",
            f"mount --bind {self.folder}/log /var/log", f"mount --bind {self.folder}/run /run",
            "ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1", "touch /run/booted",
            # Process 1 takes over whoever lost its parent, and must reap it.
            "while :; do sleep 1000 & wait $!; done"])

    def first_process(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int((file.read().split() or ["0"])[0])

    def plug(self):
        """A cable to the switch, which is a bridge in the namespace of the first machine."""
        inside = self.switch or self
        if inside is self:
            self.run("ip link add lan type bridge && ip link set lan up")
            self.run(f"ip addr add {self.address}/24 dev lan")
            return
        port = "port" + self.name[:8]
        run("nsenter", "-t", str(inside.pid), "-n", "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0",
            "netns", str(self.pid))
        inside.run(f"ip link set {port} master lan up")
        self.run(f"ip addr add {self.address}/24 dev eth0 && ip link set eth0 up && ip route add default via {inside.address}")

    def run(self, script, **options):
        """Run shell lines as root of this machine, in the folder the files were copied to; returns what they print."""
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"}
        within = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", "--uts", "--"]
        return run(*within, "sh", "-ec", f"cd {shlex.quote(self.folder)}/install\n{script}", env=environment, **options)

    def off(self):
        """Like pulling the plug."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.kill()
        self.process.wait()

    def add_tool(self, name, text):
        os.makedirs(os.path.join(self.folder, "bin"), exist_ok=True)
        path = os.path.join(self.folder, "bin", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
