"""Pods, Services, names and the gateway: who reaches whom."""
import subprocess

import pytest

from lib.objects import box, ingress, service, web
from lib.process import run
from lib.wait import wait_for


def fetch(address, host=None, path="/"):
    command = ["curl", "-s", "-m", "3", f"http://{address}{path}"]
    if host:
        command += ["-H", f"Host: {host}"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def fetch_inside(kubectl, url, name="box"):
    return kubectl.run("exec", name, "--", "curl", "-s", "-m", "3", url).out


@pytest.fixture
def site(cluster, space):
    """The sample service on three nodes with a Service, and a pod with a shell."""
    space.apply(web(cluster, replicas=3), service("web"), box(cluster))
    space("rollout", "status", "deployment/web", "--timeout=30s")
    space("wait", "pod/box", "--for=condition=Ready", "--timeout=20s")
    return space


def test_pods_spread_over_zones(site):
    """Three replicas run on three nodes."""
    assert len(set(site("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split())) == 3


def test_pod_to_pod(site):
    """A pod reaches each pod on each node by its address, which that pod sees as the other's own."""
    for address in site("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}").split():
        assert "Hello from klein" in wait_for(f"an answer of {address}", lambda: fetch_inside(site, f"http://{address}:8080/"))


def test_cluster_ip(site):
    """A ClusterIP reaches all its pods."""
    address = site("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    nodes = set()
    wait_for("answers of three nodes", lambda: (
        nodes.update(line for line in fetch_inside(site, f"http://{address}/").splitlines() if line.startswith("node")) or
        len(nodes) == 3), 15)


def test_dns(site):
    """Services and headless pods have names; other names are forwarded or unknown."""
    site.apply(service("headless", clusterIP="None", selector={"app": "web"}))
    assert "Hello from klein" in fetch_inside(site, "http://web/")
    assert "Hello from klein" in fetch_inside(site, f"http://web.{site.namespace}/")
    assert "Hello from klein" in fetch_inside(site, f"http://web.{site.namespace}.svc.cluster.local/")
    pods = set(site("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}").split())
    def answered():
        out = site.run("exec", "box", "--", "nslookup", "-type=a", f"headless.{site.namespace}.svc.cluster.local.").out
        return {line.split()[-1] for line in out.splitlines() if line.startswith("Address:")} >= pods
    wait_for("the addresses of all pods", answered)
    assert "NXDOMAIN" in site.run("exec", "box", "--", "nslookup", "none.default.svc.cluster.local.").out


def test_node_port(cluster, site):
    """A NodePort answers on every node."""
    site("patch", "service", "web", "-p", '{"spec":{"type":"NodePort"}}')
    port = site("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
    for node in cluster.read_status()["nodes"]:
        wait_for(f"an answer on {node['name']}", lambda: "Hello from klein" in fetch_inside(site, f"http://{node['address']}:{port}/"))


def test_session_affinity(site):
    """With session affinity a client stays with one pod."""
    site("patch", "service", "web", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    def pods_seen():
        return {line for _ in range(6) for line in fetch_inside(site, "http://web/").splitlines() if line.startswith("pod")}
    wait_for("one pod answers", lambda: len(pods_seen()) == 1)


def test_gateway(cluster, site):
    """An Ingress leads requests of its host from outside to the pods; other hosts are not found."""
    site.apply(ingress("web", host="site.example"))
    wait_for("an answer", lambda: "Hello from klein" in fetch(cluster.gateway, "site.example"))
    assert "Hello from klein" not in fetch(cluster.gateway, "other.example")
    wait_for("the address in the status", lambda: site(
        "get", "ingress", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}") == cluster.gateway)


def test_gateway_paths(cluster, site):
    """An exact path goes before a prefix, and a longer prefix before a shorter one."""
    site.apply(web(cluster, "other", 1), service("other"))
    one = ingress("web", host="paths.example")
    paths = one["spec"]["rules"][0]["http"]["paths"]
    backend = {"service": {"name": "other", "port": {"number": 80}}}
    paths.append({"path": "/", "pathType": "Exact", "backend": backend})
    paths.append({"path": "/healthz", "pathType": "Prefix", "backend": {"service": {"name": "none", "port": {"number": 80}}}})
    site.apply(one)
    wait_for("an answer of the other", lambda: "pod      other-" in fetch(cluster.gateway, "paths.example"))
    assert "pod      other-" in fetch(cluster.gateway, "paths.example", "/?query")
    assert "Hello" not in fetch(cluster.gateway, "paths.example", "/count")
    assert "ok" not in fetch(cluster.gateway, "paths.example", "/healthz")


def test_gateway_tls(cluster, site, tmp_path):
    """An Ingress with a certificate in a Secret is served over TLS."""
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{tmp_path}/key", "-out",
        f"{tmp_path}/cert", "-subj", "/CN=tls.example", "-addext", "subjectAltName=DNS:tls.example", "-days", "10")
    site("create", "secret", "tls", "tls", f"--cert={tmp_path}/cert", f"--key={tmp_path}/key")
    one = ingress("web", host="tls.example")
    one["spec"]["tls"] = [{"hosts": ["tls.example"], "secretName": "tls"}]
    site.apply(one)
    wait_for("an answer over TLS", lambda: "Hello from klein" in subprocess.run(
        ["curl", "-s", "-m", "3", "--cacert", f"{tmp_path}/cert", "--resolve", f"tls.example:443:{cluster.gateway}",
         "https://tls.example/"], capture_output=True, text=True).stdout)


def test_udp_service(cluster, space):
    """A Service carries UDP, both ways."""
    space.apply(box(cluster, "server", "exec udp serve 5353"), box(cluster),
                service("server", port=5353, target=5353) | {"spec": {
                    "selector": {"app": "server"}, "ports": [{"port": 53, "targetPort": 5353, "protocol": "UDP"}]}})
    space("wait", "pod/box", "pod/server", "--for=condition=Ready", "--timeout=20s")
    address = space("get", "service", "server", "-o", "jsonpath={.spec.clusterIP}")
    wait_for("an answer", lambda: space.run("exec", "box", "--", "udp", "ask", address, "53", "hello").out == "echo hello\n")
