"""Who a client is and what it may do."""
import json

import pytest

from lib.wait import wait_for


def kubeconfig_with_token(server, token, path):
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{server.port}",
                                               "certificate-authority": server.file("pki/ca.crt")}}],
        "users": [{"name": "u", "user": {"token": token}}]}))
    return str(path)


@pytest.fixture
def robot(api, namespace):
    """A service account and its token."""
    api.made(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "robot"}})
    return api.made(f"/api/v1/namespaces/{namespace}/serviceaccounts/robot/token",
                    {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                     "spec": {"expirationSeconds": 600}})["status"]["token"]


def test_anonymous_may_see_public_information(server):
    """Nobody may read health and version: system:public-info-viewer."""
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert server.nobody().get(path).code == 200, path


def test_anonymous_may_do_nothing_else(server):
    """Nobody is forbidden everything else, with a message that says what was asked."""
    assert server.nobody().get("/api/v1/namespaces/default/pods").is_status(403, "Forbidden") == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"')
    server.nobody().post("/api/v1/namespaces", {"metadata": {"name": "x"}}).is_status(403, "Forbidden")
    server.nobody().get("/metrics").is_status(403, "Forbidden")


def test_bad_token(server):
    """A token nobody signed is 401."""
    server.client(token="nonsense").get("/api/v1/pods").is_status(401, "Unauthorized")
    server.client(token="a.b.c").get("/version").is_status(401, "Unauthorized")


def test_foreign_certificate(server):
    """A client certificate of another CA is 401, also where anonymous clients may go."""
    cert, key = server.certificate("stranger", "/O=system:masters/CN=admin", ca=server.foreign_ca())
    server.client(cert=cert, key=key).get("/api/v1/pods").is_status(401, "Unauthorized")


def test_expired_certificate(server):
    """An expired client certificate of the cluster's own CA is 401."""
    cert, key = server.certificate("expired", "/O=system:masters/CN=late", days=-1)
    server.client(cert=cert, key=key).get("/api/v1/pods").is_status(401, "Unauthorized")


def test_certificate_groups(server):
    """A client certificate's organizations are groups: RBAC goes by them."""
    cert, key = server.certificate("anna", "/O=people/CN=anna")
    message = server.client(cert=cert, key=key).get("/api/v1/nodes").is_status(403, "Forbidden")
    assert 'User "anna" cannot list resource "nodes"' in message


def test_service_account_without_rights(server, namespace, robot):
    """A service account token is an identity without rights of its own."""
    message = server.client(token=robot).get(f"/api/v1/namespaces/{namespace}/configmaps").is_status(403, "Forbidden")
    assert f'User "system:serviceaccount:{namespace}:robot" cannot list resource "configmaps"' in message


def test_role_binding(server, namespace, robot, kubectl, tmp_path):
    """A role bound to a service account grants exactly what it says, through kubectl with its token."""
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:robot")
    own = kubectl.with_kubeconfig(kubeconfig_with_token(server, robot, tmp_path / "robot.kubeconfig"))
    wait_for("the role works", lambda: own.run("get", "configmaps").code == 0)
    assert own("auth", "can-i", "list", "configmaps") == "yes\n"
    assert own.run("auth", "can-i", "delete", "configmaps").out == "no\n"
    assert "is forbidden" in own.fails("create", "configmap", "one")
    assert "is forbidden" in own.fails("get", "secrets")


def test_nobody_grants_more_than_he_has(server, namespace, robot, kubectl, tmp_path):
    """Who may write roles cannot grant rights he does not have."""
    kubectl("create", "role", "writer", "--verb=get,list,create,update", "--resource=roles,rolebindings")
    kubectl("create", "rolebinding", "writer", "--role=writer", f"--serviceaccount={namespace}:robot")
    own = kubectl.with_kubeconfig(kubeconfig_with_token(server, robot, tmp_path / "robot.kubeconfig"))
    wait_for("the role works", lambda: own.run("get", "roles").code == 0)
    assert "is attempting to grant RBAC permissions not currently held" in own.fails(
        "create", "role", "thief", "--verb=get", "--resource=secrets")


def test_token_dies_with_its_account(server, api, namespace, robot):
    """The token of a deleted service account is 401."""
    api.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/robot")
    wait_for("the token is refused", lambda: server.client(token=robot).get("/api").code == 401)


def test_impersonation(server, kubectl):
    """The administrator may act as others; others may not."""
    assert "cannot list resource" in kubectl.fails("get", "nodes", "--as=anna")
    cert, key = server.certificate("ben", "/CN=ben")
    message = server.client(cert=cert, key=key).get("/version", Impersonate_User="admin").is_status(403, "Forbidden")
    assert 'cannot impersonate resource "users"' in message
