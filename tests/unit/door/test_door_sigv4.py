import base64
import hashlib
import hmac
import urllib.error
import urllib.request
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from infra.objects.door import sigv4
from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request

EMPTY = hashlib.sha256(b"").hexdigest()


async def nothing():
    return {"type": "http.disconnect"}


def test_wrong_secret_unknown_key_and_anonymous(served, s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(served.client(secret="wrong").get_object, Bucket=bucket, Key="k") == "SignatureDoesNotMatch"
    assert refused(served.client(access="NOBODY").get_object, Bucket=bucket, Key="k") == "InvalidAccessKeyId"
    for headers in ({}, {"authorization": ""}):
        answer = served.send("GET", f"/{bucket}/k", headers=headers)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert answer.headers["x-amz-request-id"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Authorization": "AWS4-HMAC-SHA256 nonsense"}, "AuthorizationHeaderMalformed"),
        ({"Authorization": "AWS AK:c2ln"}, "InvalidRequest"),
        ({"Authorization": "Basic YTpi"}, "InvalidRequest"),
        ({"X-Amz-Date": "20200101T000000Z"}, "AuthorizationHeaderMalformed"),
        ({"X-Amz-Date": "yesterday"}, "AccessDenied"),
        ({"x-amz-meta-added": "later"}, "AccessDenied"),
        ({"X-Amz-Content-SHA256": "0" * 64}, "SignatureDoesNotMatch"),
    ],
)
def test_a_signed_request_that_is_changed(served, bucket, change, code):
    headers = served.sign("GET", f"/{bucket}", EMPTY) | change
    answer = served.send("GET", f"/{bucket}", headers=headers)
    assert 400 <= answer.status < 500
    assert answer.code == code


def test_another_path_query_or_method_does_not_match(served, bucket):
    headers = served.sign("GET", f"/{bucket}?prefix=a", EMPTY)
    assert served.send("GET", f"/{bucket}?prefix=a", headers=headers).status == 200
    assert served.send("GET", f"/{bucket}?prefix=b", headers=headers).code == "SignatureDoesNotMatch"
    assert served.send("GET", f"/{bucket}x?prefix=a", headers=headers).code == "SignatureDoesNotMatch"
    assert served.send("DELETE", f"/{bucket}?prefix=a", headers=headers).code == "SignatureDoesNotMatch"


def test_clock_skew(served, bucket):
    def at(minutes):
        headers = served.sign("GET", f"/{bucket}", EMPTY, {"Host": f"127.0.0.1:{served.port}"})
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"method": "GET", "raw_path": f"/{bucket}".encode(), "query_string": b"", "headers": pairs}
        request = Request(scope, nothing)
        request.read()
        return sigv4.verify(request, {served.access: served.secret}, datetime.now(UTC) + timedelta(minutes=minutes))

    assert at(14).access_key == at(-14).access_key == served.access
    for minutes in (-16, 16):
        with pytest.raises(S3Error) as caught:
            at(minutes)
        assert caught.value.code == "RequestTimeTooSkewed"


def fetch(url, data=None, method="GET", headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls(served, bucket, version):
    client = served.client(signature_version=version)
    key = "a b+c%20/ü/日本.txt"
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
    assert fetch(put, b"content", "PUT", {"Content-Type": ""})[0] == 200
    params = {"Bucket": bucket, "Key": key, "ResponseContentType": "text/x-test"}
    url = client.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    assert fetch(url) == (200, b"content")
    status, body = fetch(url.replace("text", "html"))
    assert status == 403
    assert b"SignatureDoesNotMatch" in body


def test_presigned_url_of_version_2_expires(served, bucket):
    client = served.client(signature_version="s3")
    url = client.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket}, ExpiresIn=-5)
    status, body = fetch(url)
    assert status == 403
    assert b"expired" in body


def test_presigned_url_expires(served, bucket):
    url = served.client(signature_version="s3v4").generate_presigned_url(
        "list_objects_v2", Params={"Bucket": bucket}, ExpiresIn=60
    )
    path, _, query = url.removeprefix(served.url).partition("?")
    headers = [(b"host", f"127.0.0.1:{served.port}".encode())]

    def verify(seconds):
        request = Request(
            {"method": "GET", "raw_path": path.encode(), "query_string": query.encode(), "headers": headers}, nothing
        )
        request.read()
        return sigv4.verify(request, {served.access: served.secret}, datetime.now(UTC) + timedelta(seconds=seconds))

    assert verify(50).access_key == served.access
    for seconds, text in ((62, "expired"), (-1000, "not valid yet")):
        with pytest.raises(S3Error, match=text) as caught:
            verify(seconds)
        assert caught.value.status == 403


def test_signed_payload_must_match(served, bucket):
    claim = hashlib.sha256(b"one").hexdigest()
    answer = served.send("PUT", f"/{bucket}/k", b"two", served.sign("PUT", f"/{bucket}/k", claim))
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert served.call("GET", f"/{bucket}/k").status == 404
    headers = served.sign("PUT", f"/{bucket}/k", "UNSIGNED-PAYLOAD")
    assert served.send("PUT", f"/{bucket}/k", b"two", headers).status == 200
    assert served.send("PUT", f"/{bucket}/k", b"two", served.sign("PUT", f"/{bucket}/k", "WHATEVER")).code == "InvalidArgument"


class Chunked:
    """An aws-chunked body made as the S3 documentation describes it, independent of the code under test."""

    def __init__(self, served, target, chunks, form, trailer=True, spoil=""):
        signed = "HMAC" in form
        crc = base64.b64encode(zlib.crc32(b"".join(chunks)).to_bytes(4, "big")).decode()
        if spoil == "crc":
            crc = "AAAAAA=="
        extra = {"x-amz-decoded-content-length": str(sum(map(len, chunks))), "content-encoding": "aws-chunked"}
        if form.endswith("TRAILER"):
            extra["x-amz-trailer"] = "x-amz-checksum-crc32"
        self.headers = served.sign("PUT", target, form, extra)
        authorization = self.headers["Authorization"]
        self.scope = authorization.split("Credential=")[1].split(",")[0].partition("/")[2]
        self.date = self.headers["X-Amz-Date"]
        key = b"AWS4" + served.secret.encode()
        for part in self.scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self.key, previous = key, authorization.split("Signature=")[1]
        self.body = b""
        for chunk in [*chunks, b""]:
            previous = self.signature("PAYLOAD", previous, EMPTY, hashlib.sha256(chunk).hexdigest())
            head = f"{len(chunk):x}" + (f";chunk-signature={previous}" if signed else "")
            content = b"X" * len(chunk) if spoil == "content" and chunk == chunks[-1] else chunk
            self.body += head.encode() + b"\r\n" + content + (b"\r\n" if chunk else b"")
        if form.endswith("TRAILER"):
            line = f"x-amz-checksum-crc32:{crc}"
            self.body += line.encode() + b"\r\n"
            if signed:
                claim = self.signature("TRAILER", previous, hashlib.sha256(f"{line}\n".encode()).hexdigest())
                self.body += f"x-amz-trailer-signature:{claim if spoil != 'trailer' else '0' * 64}\r\n".encode()
        self.body += b"\r\n"

    def signature(self, kind, *rest):
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", self.date, self.scope, *rest))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


SIGNED, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKS = [bytes([number]) * 70_000 for number in range(5)] + [b"the end"]


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize("chunks", [CHUNKS, []], ids=["six chunks", "empty"])
def test_chunked_payload(served, s3, bucket, form, chunks):
    made = Chunked(served, f"/{bucket}/k", chunks, form)
    answer = served.send("PUT", f"/{bucket}/k", made.body, made.headers)
    assert answer.status == 200, answer.body
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"".join(chunks)
    assert "ContentEncoding" not in got
    assert ("ChecksumCRC32" in got) == form.endswith("TRAILER")


@pytest.mark.parametrize(
    ("form", "spoil", "code"),
    [
        (SIGNED, "content", "SignatureDoesNotMatch"),
        (SIGNED_TRAILER, "content", "SignatureDoesNotMatch"),
        (SIGNED_TRAILER, "trailer", "SignatureDoesNotMatch"),
        (SIGNED_TRAILER, "crc", "BadDigest"),
        (UNSIGNED_TRAILER, "content", "BadDigest"),
        (UNSIGNED_TRAILER, "crc", "BadDigest"),
    ],
)
def test_spoilt_chunked_payload(served, bucket, form, spoil, code):
    made = Chunked(served, f"/{bucket}/k", CHUNKS, form, spoil=spoil)
    answer = served.send("PUT", f"/{bucket}/k", made.body, made.headers)
    assert (answer.status // 100, answer.code) == (4, code)
    assert served.call("HEAD", f"/{bucket}/k").status == 404


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_cut_chunked_payload(served, bucket, form):
    made = Chunked(served, f"/{bucket}/k", CHUNKS, form)
    for length in (0, 20, 90_000, len(made.body) - 3):
        answer = served.send("PUT", f"/{bucket}/k", made.body[:length], made.headers)
        assert answer.status == 400, (length, answer.body)
    assert served.call("HEAD", f"/{bucket}/k").status == 404


def test_header_and_query_signature_together(served, bucket):
    url = served.client(signature_version="s3v4").generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    target = url.removeprefix(served.url)
    assert served.send("GET", target).status == 200
    assert served.send("GET", target, headers={"Authorization": "AWS4-HMAC-SHA256 x"}).code == "InvalidArgument"
