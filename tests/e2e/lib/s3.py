"""A little S3 server: path-style buckets in memory, AWS Signature Version 4 verified, pages of a few keys so that paging is exercised.

Source: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, API_ListObjectsV2.html.
"""
import hashlib
import hmac
import http.server
import threading
import urllib.parse
from xml.sax.saxutils import escape

PAGE = 3


def _sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, message):
        self.server.s3.refused.append((self.command, self.path, message))
        self.answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def problem(self, body):
        """Why the signature is not right; None when it is."""
        s3 = self.server.s3
        if hashlib.sha256(body).hexdigest() != self.headers.get("x-amz-content-sha256"):
            return "the body is not what was signed"
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return "no signature"
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, date, region, service, end = fields["Credential"].split("/")
        if (key, service, end) != (s3.key, "s3", "aws4_request") or region != s3.region:
            return f"credential {fields['Credential']}"
        names = fields["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
            return "too few headers are signed"
        path, _, query = self.path.partition("?")
        pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
        quoted = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in pairs)
        canonical = "\n".join([self.command, path, quoted] + [f"{n}:{self.headers[n].strip()}" for n in names]
                              + ["", ";".join(names), self.headers["x-amz-content-sha256"]])
        scope = f"{date}/{region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        signing = _sign(_sign(_sign(_sign(b"AWS4" + s3.secret.encode(), date), region), "s3"), "aws4_request")
        if not hmac.compare_digest(_sign(signing, text).hex(), fields["Signature"]):
            return "The request signature we calculated does not match the signature you provided."
        return None

    def handle_one(self):
        s3 = self.server.s3
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if s3.failures > 0:
            s3.failures -= 1
            self.answer(503, b"<Error><Message>please slow down</Message></Error>")
            return
        problem = self.problem(body)
        if problem:
            self.refuse(403, "SignatureDoesNotMatch", problem)
            return
        url = urllib.parse.urlsplit(self.path)
        bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        if bucket != s3.bucket:
            self.refuse(404, "NoSuchBucket", "The specified bucket does not exist")
        elif self.command == "PUT":
            s3.objects[key] = body
            self.answer(200)
        elif self.command == "DELETE":
            s3.objects.pop(key, None)
            self.answer(204)
        elif key:
            self.answer(200, s3.objects[key]) if key in s3.objects else self.refuse(404, "NoSuchKey", "no such key")
        else:
            self.answer(200, self.listing(dict(urllib.parse.parse_qsl(url.query))).encode())

    def listing(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries = set()
        for key in self.server.s3.objects:
            if key.startswith(prefix):
                rest = key[len(prefix):]
                folder = delimiter and delimiter in rest
                entries.add(prefix + rest[:rest.index(delimiter) + 1] if folder else key)
        entries = sorted(e for e in entries if e > query.get("continuation-token", ""))
        page, more = entries[:PAGE], len(entries) > PAGE
        out = [f"<ListBucketResult><Name>{self.server.s3.bucket}</Name><Prefix>{escape(prefix)}</Prefix>"]
        for entry in page:
            if delimiter and entry.endswith(delimiter):
                out.append(f"<CommonPrefixes><Prefix>{escape(entry)}</Prefix></CommonPrefixes>")
            else:
                out.append(f"<Contents><Key>{escape(entry)}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
                           f"<Size>{len(self.server.s3.objects[entry])}</Size></Contents>")
        if more:
            out.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        out.append(f"<IsTruncated>{str(more).lower()}</IsTruncated></ListBucketResult>")
        return "".join(out)

    do_GET = do_PUT = do_DELETE = handle_one


class S3:
    """with S3() as s3: s3.url is a place for `klein backup --to`, s3.environment has the credentials."""
    key, secret, region, bucket = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-test-1", "backups"

    def __enter__(self):
        self.objects, self.refused, self.failures = {}, [], 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.s3 = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"s3://{self.bucket}/some/place?endpoint=http://127.0.0.1:{self.server.server_port}&region={self.region}"
        self.environment = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
