"""Uploads by browser forms, signed by boto3 (version 4 and 2) and by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

FILE = {"file": ("dir\\my fü.txt", b"content", "text/plain")}


def signed(served: Any, bucket: str, wanted: list[Any], hours: float = 1, **changes: Any) -> dict[str, str]:
    """The fields of a policy, signed with version 2."""
    ends = (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    document = {"expiration": ends, "conditions": wanted, **changes}
    policy = base64.b64encode(json.dumps({name: value for name, value in document.items() if value is not None}).encode())
    signature = base64.b64encode(hmac.new(served.secret.encode(), policy, hashlib.sha1).digest()).decode()
    return {"AWSAccessKeyId": served.access, "policy": policy.decode(), "signature": signature}


def post(served: Any, bucket: str, fields: dict[str, str], files: Any = FILE) -> httpx.Response:
    return httpx.post(f"{served.url}/{bucket}", data=fields, files=files)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_form_signed_by_boto3(served, s3, bucket, version):
    client = served.client(signature_version=version)
    fields = {"success_action_status": "201", "x-amz-meta-who": "mé", "Content-Type": "text/x"}
    conditions: list[Any] = [{name: value} for name, value in fields.items()]
    made = client.generate_presigned_post(bucket, "up/${filename}", fields, [*conditions, ["content-length-range", 0, 10]])
    answer = httpx.post(made["url"], data=made["fields"], files=FILE)
    assert answer.status_code == 201
    assert "<Key>up/my fü.txt</Key>" in answer.text
    found = s3.get_object(Bucket=bucket, Key="up/my fü.txt")
    assert found["Body"].read() == b"content"
    assert (found["ContentType"], found["Metadata"]["who"].encode("latin-1").decode()) == ("text/x", "mé")
    assert answer.headers["etag"] == found["ETag"]
    events = [record for _, _, record in served.door.pending(10_000) if record["s3"]["bucket"]["name"] == bucket]
    assert [event["eventName"] for event in events] == ["ObjectCreated:Post"]

    made["fields"]["success_action_status"] = "200"
    assert "AccessDenied" in httpx.post(made["url"], data=made["fields"], files=FILE).text
    longer = {"file": ("x", b"c" * 11)}
    made["fields"]["success_action_status"] = "201"
    assert "EntityTooLarge" in httpx.post(made["url"], data=made["fields"], files=longer).text
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["up/my fü.txt"]


def test_a_large_file_streams_and_what_follows_it_is_ignored(served, s3, bucket):
    content = bytes(range(256)) * 40_000
    fields = {**signed(served, bucket, [{"bucket": bucket}, ["starts-with", "$key", ""]]), "kEy": "big"}
    answer = post(served, bucket, fields, [("file", ("f", content)), ("late", (None, b"field"))])
    assert (answer.status_code, answer.content) == (204, b"")
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == content


@pytest.mark.parametrize(
    ("conditions", "fields", "changes", "status", "code"),
    [
        ([{"bUcKeT": "BUCKET"}, ["StArTs-WiTh", "$KeY", "k"]], {"x-ignore-me": "1"}, {}, 204, ""),
        ([["starts-with", "$key", "k"]], {}, {}, 403, "AccessDenied"),  # valid for any bucket
        ([{"bucket": "other"}, ["starts-with", "$key", "k"]], {}, {}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, ["eq", "$key", "other"]], {}, {}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, ["eq", "$x-amz-meta-a", "b"]], {}, {}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"x-amz-meta-a": "b"}, {}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {}, {"hours": -1}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"signature": "bad"}, {}, 403, "SignatureDoesNotMatch"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"AWSAccessKeyId": "nobody"}, {}, 403, "InvalidAccessKeyId"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"signature": ""}, {}, 400, "InvalidArgument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"policy": ""}, {}, 403, "AccessDenied"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {}, {"expiration": None}, 400, "InvalidPolicyDocument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {}, {"expiration": "soon"}, 400, "InvalidPolicyDocument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {}, {"conditions": None}, 400, "InvalidPolicyDocument"),
        ([{}], {}, {}, 400, "InvalidPolicyDocument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, ["content-length-range", -1, 0]], {}, {}, 400, "InvalidPolicyDocument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, ["content-length-range", 0]], {}, {}, 400, "InvalidPolicyDocument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, ["content-length-range", 8, 9]], {}, {}, 400, "EntityTooSmall"),
        ([{"bucket": "BUCKET"}, {"key": "k"}], {"key": ""}, {}, 400, "InvalidArgument"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, {"acl": "public-read"}], {"acl": "public-read"}, {}, 501, "NotImplemented"),
        ([{"bucket": "BUCKET"}, {"key": "k"}, ["starts-with", "$x", ""]], {"x": "y" * 70_000}, {}, 400, "MaxPostPreData"),
    ],
)
def test_what_the_policy_says_counts(served, s3, bucket, conditions, fields, changes, status, code):
    named = json.loads(json.dumps(conditions).replace("BUCKET", bucket))
    answer = post(served, bucket, {**signed(served, bucket, named, **changes), "key": "k", **fields})
    assert (answer.status_code, code in answer.text) == (status, True), answer.text
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (status == 204)


def test_redirect_after_success(served, bucket):
    target = "http://example.org/done?a=b"
    policy = signed(served, bucket, [{"bucket": bucket}, {"key": "k"}, {"success_action_redirect": target}])
    answer = post(served, bucket, {**policy, "key": "k", "success_action_redirect": target})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{target}&bucket={bucket}&key=k&etag=%22")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x--",
        b"garbage",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut',
        b"--x\r\n: \r\n\r\n",
    ],
)
def test_a_broken_form_is_refused_and_leaves_nothing(served, s3, bucket, body):
    answer = served.send("POST", f"/{bucket}", body, {"content-type": "multipart/form-data; boundary=x"})
    assert answer.status in (400, 403)
    assert answer.code
    cut = {**signed(served, bucket, [{"bucket": bucket}, {"key": "k"}]), "key": "k"}
    parts = b"".join(f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in cut.items())
    answer = served.send("POST", f"/{bucket}", parts + body, {"content-type": "multipart/form-data; boundary=x"})
    assert answer.status == 400
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
