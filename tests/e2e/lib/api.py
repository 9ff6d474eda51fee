"""The API over plain HTTPS, for requests that kubectl would never send."""
import http.client
import json
import socket
import ssl
from dataclasses import dataclass


@dataclass
class Answer:
    code: int
    headers: object
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def is_status(self, code, reason):
        """The answer is a Kubernetes Status of this code and reason; returns its message."""
        assert self.code == code, f"{self.code}, not {code}: {self.body[:600]}"
        status = self.json
        assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure"), status
        assert (status["code"], status.get("reason")) == (code, reason), status
        return status["message"]


class Api:
    """One identity at one address: a client certificate, a bearer token, or nobody."""

    def __init__(self, address, port, ca, cert=None, key=None, token=None):
        self.address, self.port = address, port
        self.context = ssl.create_default_context(cafile=ca)
        self.context.check_hostname = False
        if cert:
            self.context.load_cert_chain(cert, key)
        self.token = token

    def connect(self, timeout_s=10):
        return http.client.HTTPSConnection(self.address, self.port, context=self.context, timeout=timeout_s)

    def request(self, method, path, body=None, content_type="application/json", timeout_s=10, connection=None, **headers):
        """body: bytes or text as it is, anything else as JSON. Header names are given with _ for -."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and content_type:
            fields["Content-Type"] = content_type
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        own = connection or self.connect(timeout_s)
        try:
            own.request(method, path, body, fields)
            response = own.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            if not connection:
                own.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def put(self, path, body, **options):
        return self.request("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def patch(self, path, body, kind="merge", **options):
        types = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
                 "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
        return self.request("PATCH", path, body, content_type=types[kind], **options)

    def made(self, path, body):
        """POST and insist on 201; returns the object."""
        answer = self.post(path, body)
        assert answer.code == 201, answer.body
        return answer.json

    def watch(self, path, timeout_s=10, **query):
        """Events of a watch as dictionaries, until the server ends it or nothing comes for timeout_s."""
        text = "&".join(["watch=1", *(f"{name}={value}" for name, value in query.items())])
        connection = self.connect(timeout_s)
        try:
            fields = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request("GET", f"{path}?{text}", headers=fields)
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"watch {path}: {response.status} {response.read()[:300]}")
            while True:
                line = response.readline()
                if not line:
                    return
                yield json.loads(line)
        except (socket.timeout, ssl.SSLError):
            return
        finally:
            connection.close()
