import hashlib
import socket

import pytest

BILLION = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
DOCUMENTS = [
    b"",
    b"not xml",
    b"<Delete>",
    b"<Delete/>",
    b"<Other/>",
    b"\xff\xfe\x00",
    b'<?xml version="1.0" encoding="nonsense"?><Delete/>',
    BILLION,
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>',
    b"<a>" * 100_000,
    b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
    b"<Delete><Object></Object></Delete>",
    b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
]
TARGETS = ["?delete", "?tagging", "?notification", "/k?tagging", "/k?uploadId=nothing"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
@pytest.mark.parametrize("target", TARGETS)
def test_documents(served, bucket, target, document):
    method = "POST" if target in ("?delete", "/k?uploadId=nothing") else "PUT"
    answer = served.call(method, f"/{bucket}{target}", document)
    assert 400 <= answer.status < 500, answer.body
    assert answer.code
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "?max-keys=many", 400),
        ("GET", "?max-keys=99999999999999999999", 400),
        ("GET", "?list-type=2&continuation-token=%00", 400),
        ("GET", "?prefix=%ff", 400),
        ("GET", "?prefix=%zz", 400),
        ("GET", "?encoding-type=rot13", 400),
        ("GET", "?" + "&".join(f"a{number}=1" for number in range(200)), 400),
        ("GET", "/%ff", 400),
        ("GET", "/%", 400),
        ("GET", "/k?partNumber=0", 404),
        ("PUT", "/k?uploadId=x&partNumber=0", 400),
        ("PUT", "/k?uploadId=x&partNumber=10001", 400),
        ("PUT", "/k?uploadId=x&partNumber=1", 404),
        ("PUT", "/k?acl", 501),
        ("PUT", "?lifecycle", 501),
        ("GET", "/k?torrent", 501),
        ("POST", "/k?select", 501),
        ("POST", "/k", 405),
        ("PATCH", "/k", 405),
        ("OPTIONS", "/k", 501),
    ],
)
def test_queries(served, bucket, method, target, status):
    answer = served.call(method, f"/{bucket}{target}")
    assert answer.status == status, answer.body
    assert answer.code
    assert answer.headers["x-amz-request-id"]


def test_other_garbage(served, bucket):
    assert served.send("GET", "/", headers={"x-junk": "x" * 20_000}).code == "RequestHeaderSectionTooLarge"
    headers = served.sign("PUT", f"/{bucket}/k", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"x-amz-decoded-content-length": "4"})
    for body in (b"zz\r\n", b"4\r\nabcdef\r\n0\r\n\r\n", b"4\r\nabcd\r\n", b"x" * 10_000, b"ffffffffffffffffffff\r\n"):
        answer = served.send("PUT", f"/{bucket}/k", body, headers)
        assert answer.status == 400, (body[:20], answer.body)
    too_large = served.sign("PUT", f"/{bucket}/k", "UNSIGNED-PAYLOAD") | {"content-length": str(6 << 30)}
    assert served.send("PUT", f"/{bucket}/k", b"", too_large).code == "EntityTooLarge"
    odd = served.sign("PUT", f"/{bucket}/k", hashlib.sha256(b"").hexdigest(), {"x-amz-copy-source": "%ff"})
    assert served.send("PUT", f"/{bucket}/k", b"", odd).code == "InvalidArgument"


def test_header_injection_through_overrides(served, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = served.call("GET", f"/{bucket}/k?response-content-type=a%0D%0ASet-Cookie%3A%20b")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_client_that_goes_away_leaves_nothing(served, s3, bucket):
    headers = served.sign("PUT", f"/{bucket}/half", "UNSIGNED-PAYLOAD")
    lines = [f"PUT /{bucket}/half HTTP/1.1", f"Host: 127.0.0.1:{served.port}", "Content-Length: 5000000"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in ("host", "content-length")]
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + b"x" * 100_000)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_refusal_before_the_body_keeps_the_client_going(served, s3, bucket):
    wrong = served.client(secret="wrong")
    for _ in range(3):
        with pytest.raises(wrong.exceptions.ClientError, match="SignatureDoesNotMatch"):
            wrong.put_object(Bucket=bucket, Key="k", Body=b"x" * 3_000_000)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
