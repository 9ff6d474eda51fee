"""What the API answers to input that is wrong, over plain HTTPS."""
import json

import pytest

from lib.objects import configmap, deployment, pod, service

CONFIGMAPS = "/api/v1/namespaces/{}/configmaps"


@pytest.fixture
def maps(namespace):
    return CONFIGMAPS.format(namespace)


def test_malformed_json(api, maps):
    """JSON that ends early is a bad request."""
    message = api.post(maps, '{"metadata": {"name": "one"').is_status(400, "BadRequest")
    assert "unable to" in message or "unexpected" in message, message


def test_malformed_yaml(api, maps):
    """YAML that cannot be read is a bad request."""
    api.post(maps, "metadata: [", content_type="application/yaml").is_status(400, "BadRequest")


def test_yaml_is_accepted(api, maps):
    """A body may be YAML."""
    answer = api.post(maps, "metadata: {name: one}\ndata: {a: '1'}\n", content_type="application/yaml")
    assert (answer.code, answer.json["data"]) == (201, {"a": "1"})


def test_yaml_aliases_cannot_explode(api, maps):
    """Aliases that multiply ("billion laughs") are refused without being unfolded: CVE-2019-11253."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    answer = api.post(maps, "\n".join(lines), content_type="application/yaml")
    assert answer.code in (400, 413), answer.body[:300]


def test_not_an_object(api, maps):
    """A body that is a list or a number is a bad request."""
    for body in ("[]", "7", "null", '"text"', ""):
        assert api.post(maps, body).code == 400, body


def test_wrong_type_of_field(api, maps):
    """A number where text belongs is a bad request that names the field."""
    message = api.post(maps, '{"metadata": {"name": 7}}').is_status(400, "BadRequest")
    assert "name" in message


def test_wrong_kind(api, maps):
    """An object of another kind than its path is a bad request."""
    api.post(maps, pod("one")).is_status(400, "BadRequest")


def test_wrong_namespace(api, maps):
    """An object that names another namespace than its path is a bad request."""
    one = configmap("one")
    one["metadata"]["namespace"] = "default"
    assert api.post(maps, one).is_status(400, "BadRequest") == (
        "the namespace of the provided object does not match the namespace sent on the request")


def test_too_large(api, maps):
    """A body above 3 MiB is refused with 413."""
    assert api.post(maps, configmap("one", a="x" * (3 << 20))).is_status(413, "RequestEntityTooLarge") == (
        "Request entity too large: limit is 3145728")


def test_deep_nesting(api, maps):
    """A hundred thousand open brackets are refused without harm."""
    for text in ("[" * 100000, '{"a":' * 100000, '{"metadata":{"name":"deep"},"data":' + "[" * 20000 + "]" * 20000 + "}"):
        api.post(maps, text).is_status(400, "BadRequest")
    assert api.get("/readyz").code == 200


def test_wrong_content_type(api, maps):
    """A content type the API does not read is answered with 415."""
    api.post(maps, "a=b", content_type="application/x-www-form-urlencoded").is_status(415, "UnsupportedMediaType")
    answer = api.request("PATCH", f"{maps}/one", "{}", content_type="application/json")
    answer.is_status(415, "UnsupportedMediaType")


def test_wrong_accept(api, maps):
    """An Accept header that nothing satisfies is answered with 406."""
    answer = api.get(maps, Accept="text/html")
    message = answer.is_status(406, "NotAcceptable")
    assert "only the following media types are accepted" in message


def test_protobuf_accept(api, maps):
    """A client that asks for protobuf gets it, in Kubernetes' envelope."""
    api.made(maps, configmap("one", a="1"))
    answer = api.get(f"{maps}/one", Accept="application/vnd.kubernetes.protobuf")
    assert (answer.code, answer.headers["Content-Type"]) == (200, "application/vnd.kubernetes.protobuf")
    assert answer.body.startswith(b"k8s\0") and b"ConfigMap" in answer.body


def test_protobuf_roundtrip(api, maps):
    """What was read as protobuf can be written as protobuf."""
    api.made(maps, configmap("one", a="1"))
    one = api.get(f"{maps}/one", Accept="application/vnd.kubernetes.protobuf").body
    answer = api.put(f"{maps}/one", one, content_type="application/vnd.kubernetes.protobuf")
    assert (answer.code, answer.json["data"]) == (200, {"a": "1"})


def test_malformed_protobuf(api, maps):
    """Protobuf that is cut or not in its envelope is a bad request."""
    for body in (b"k8s\0\x0a\xff", b"nonsense", b"k8s\0" + b"\xff" * 64):
        assert api.post(maps, body, content_type="application/vnd.kubernetes.protobuf").code in (400, 415), body


def test_unknown_fields(api, maps):
    """fieldValidation: Strict refuses unknown fields, Warn tells of them, Ignore drops them."""
    one = {**configmap("one"), "color": "blue"}
    message = api.post(f"{maps}?fieldValidation=Strict", one).is_status(400, "BadRequest")
    assert 'strict decoding error: unknown field "color"' in message
    warned = api.post(f"{maps}?fieldValidation=Warn&dryRun=All", one)
    assert warned.code == 201 and warned.headers["Warning"] == r'299 - "unknown field \"color\""'
    ignored = api.post(f"{maps}?fieldValidation=Ignore", one)
    assert ignored.code == 201 and not ignored.headers["Warning"] and "color" not in ignored.json


def test_duplicate_fields(api, maps):
    """fieldValidation Strict refuses a field that is given twice."""
    body = '{"metadata": {"name": "one"}, "data": {"a": "1"}, "data": {"a": "2"}}'
    message = api.post(f"{maps}?fieldValidation=Strict", body).is_status(400, "BadRequest")
    assert 'duplicate field "data"' in message


@pytest.mark.parametrize("name", ["", "UPPER", "a_b", "-a", "a" * 254, "a b", "a/b", "ä"])
def test_bad_names(api, maps, name):
    """A name that is no DNS subdomain is invalid, with the field as cause."""
    answer = api.post(maps, {"metadata": {"name": name}})
    answer.is_status(422, "Invalid")
    assert "metadata.name" in [cause["field"] for cause in answer.json["details"]["causes"]]


def test_invalid_object(api, namespace):
    """Every cause is listed with its field, reason and message."""
    bad = deployment("web", -1)
    bad["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    bad["spec"]["template"]["spec"]["containers"][0]["name"] = "Main"
    answer = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", bad)
    message = answer.is_status(422, "Invalid")
    assert message.startswith('Deployment.apps "web" is invalid: [')
    causes = {cause["field"]: cause["reason"] for cause in answer.json["details"]["causes"]}
    assert causes["spec.replicas"] == "FieldValueInvalid"
    assert causes["spec.template.metadata.labels"] == "FieldValueInvalid"
    assert causes["spec.template.spec.containers[0].name"] == "FieldValueInvalid"


def test_stolen_addresses(api, namespace):
    """A Service may not take addresses of the cluster itself by externalIPs: CVE-2020-8554."""
    api.post("/api/v1/nodes", {"metadata": {"name": f"n-{namespace}"}})
    api.patch(f"/api/v1/nodes/n-{namespace}/status",
              {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.77"}]}})
    path = f"/api/v1/namespaces/{namespace}/services"
    for ip in ("10.96.0.1", "10.96.0.10", "192.0.2.77"):
        assert "address of the cluster" in api.post(path, service("web", externalIPs=[ip])).is_status(403, "Forbidden")
    api.made(path, service("web", externalIPs=["192.0.2.78"]))
    api.patch(f"{path}/web", {"spec": {"externalIPs": ["192.0.2.77"]}}).is_status(403, "Forbidden")
    api.delete(f"/api/v1/nodes/n-{namespace}")


def test_invalid_port(kubectl):
    """kubectl shows what is invalid, word for word, and exits with 1."""
    assert kubectl.fails("create", "-f", "-", input=service("web", port=0)) == (
        'The Service "web" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\n')


def test_immutable_field(kubectl):
    """A change of an immutable field is refused, word for word."""
    kubectl.apply(deployment("web"))
    assert "field is immutable" in kubectl.fails(
        "patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}')


def test_unknown_resource(api, kubectl):
    """A resource that is not served is 404; kubectl says that the server does not have it."""
    assert api.get("/api/v1/nonsenses").code == 404
    assert kubectl.fails("get", "nonsenses") == (
        'error: the server doesn\'t have a resource type "nonsenses"\n')


def test_wrong_method(api):
    """A verb that a path does not know is 405."""
    api.request("POST", "/api/v1/namespaces/default/pods/one/status", "{}").is_status(405, "MethodNotAllowed")


def test_bad_selectors(api, maps):
    """Selectors that cannot be read, or that are huge, are bad requests."""
    api.get(f"{maps}?labelSelector=a%20in%20(").is_status(400, "BadRequest")
    api.get(f"{maps}?fieldSelector=a").is_status(400, "BadRequest")
    api.get(f"{maps}?fieldSelector=spec.nonsense%3D1").is_status(400, "BadRequest")
    assert api.get(f"{maps}?labelSelector=" + "a," * 4000 + "a").code in (400, 413, 414, 431)


def test_bad_patches(api, maps):
    """Patches that are malformed or do not fit are refused, and change nothing."""
    one = api.made(maps, configmap("one", a="1"))
    path = f"{maps}/one"
    api.patch(path, "{", "merge").is_status(400, "BadRequest")
    api.patch(path, "[1]", "json").is_status(400, "BadRequest")
    assert api.patch(path, [{"op": "remove", "path": "/data/none"}], "json").code == 422
    assert api.patch(path, [{"op": "test", "path": "/data/a", "value": "2"}], "json").code == 422
    assert api.patch(path, {"data": 7}, "merge").code in (400, 422)
    assert api.get(path).json["metadata"]["resourceVersion"] == one["metadata"]["resourceVersion"]


def test_patch_bomb(api, maps):
    """A JSON patch with more operations than the limit is refused: CVE-2019-1002100."""
    api.made(maps, configmap("one", a="1"))
    bomb = [{"op": "copy", "from": "/data", "path": f"/data/x{i}"} for i in range(10001)]
    assert api.patch(f"{maps}/one", bomb, "json", timeout_s=30).code in (413, 422)


def test_wrong_revision(api, maps):
    """An update that names an old revision is a conflict; a delete with a foreign uid too."""
    one = api.made(maps, configmap("one", a="1"))
    assert api.put(f"{maps}/one", {**one, "data": {"a": "2"}}).code == 200
    api.put(f"{maps}/one", one).is_status(409, "Conflict")
    api.delete(f"{maps}/one", body={"preconditions": {"uid": "other"}}).is_status(409, "Conflict")


def test_generate_name(api, maps):
    """generateName makes a new name each time."""
    names = {api.made(maps, {"metadata": {"generateName": "one-"}})["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5 and all(name.startswith("one-") and len(name) == 9 for name in names)


def test_pages(api, maps):
    """limit and continue page through a list as it was at the first page."""
    for i in range(7):
        api.made(maps, configmap(f"page-{i}"))
    seen, token, revisions = [], "", set()
    while True:
        page = api.get(f"{maps}?limit=3&continue={token}").json
        seen += [item["metadata"]["name"] for item in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        if len(seen) == 3:
            api.made(maps, configmap("page-9"))
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert [name for name in seen if name.startswith("page")] == [f"page-{i}" for i in range(7)]
    assert len(revisions) == 1


def test_bad_continue(api, maps):
    """A continue token that nobody made is a bad request."""
    api.get(f"{maps}?limit=3&continue=nonsense").is_status(400, "BadRequest")


def test_revision_of_the_future(api, maps):
    """A list at a revision that does not exist yet is a timeout that clients retry, not an empty answer."""
    future = api.get(f"{maps}?resourceVersion=99999999&resourceVersionMatch=Exact", timeout_s=15)
    future.is_status(504, "Timeout")


def test_exact_json_of_status(api, maps):
    """NotFound tells kind and name in its details, as clients expect."""
    assert json.loads(api.get(f"{maps}/none").body) == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": 'configmaps "none" not found', "reason": "NotFound",
        "details": {"name": "none", "kind": "configmaps"}, "code": 404}
