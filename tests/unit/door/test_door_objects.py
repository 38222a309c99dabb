import base64
import hashlib
import threading
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from events.errors import Reject

KEYS = [
    "a b+c%20/ü/日本.txt",
    "x//y",
    "/leading",
    "trailing/",
    "../../etc/passwd",
    "a/./b/../c",
    ".",
    "k" * 1024,
    "ü" * 512,
    "q?x=y&z#f",
    "quote\"'<xml>&amp;",
    "tab\tnew\nline",
    "~tilde*(!)$,;:@=",
    "😀",
    "%2F%2f%",
    "\\back",
]


@pytest.mark.parametrize("key", KEYS)
def test_any_key(s3, bucket, key):
    put = s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert put["ETag"] == f'"{hashlib.md5(key.encode()).hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key=key[:-1] + "2", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_object(Bucket=bucket, Key=key)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key[:-1] + "2"]
    assert s3.get_object(Bucket=bucket, Key=key[:-1] + "2")["Body"].read() == key.encode()
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key[:-1] + "2"}]})
    s3.delete_bucket(Bucket=bucket)


def test_key_too_long(s3, bucket, refused):
    assert refused(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"") == "KeyTooLongError"


def test_buckets(s3, bucket, refused):
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert refused(s3.create_bucket, Bucket=bucket) == "BucketAlreadyOwnedByYou"
    assert refused(s3.head_bucket, Bucket="not-there") == "404"
    assert refused(s3.delete_bucket, Bucket="not-there") == "NoSuchBucket"
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    elsewhere = {"LocationConstraint": "eu-west-1"}
    assert (
        refused(s3.create_bucket, Bucket="b-elsewhere", CreateBucketConfiguration=elsewhere)
        == "IllegalLocationConstraintException"
    )


@pytest.mark.parametrize(
    "name", ["ab", "Upper", "under_score", "a" * 64, "1.2.3.4", "dot..dot", "-minus", "xn--puny", "a.-b", "a-.b", "x-s3alias"]
)
def test_bucket_names(served, name):
    answer = served.call("PUT", f"/{name}")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")


def test_what_is_missing_has_its_proper_code(s3, bucket, refused):
    assert refused(s3.get_object, Bucket=bucket, Key="no") == "NoSuchKey"
    assert refused(s3.get_object, Bucket="not-there", Key="no") == "NoSuchBucket"
    assert refused(s3.put_object, Bucket="not-there", Key="no") == "NoSuchBucket"
    assert refused(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert refused(s3.get_bucket_cors, Bucket=bucket) == "NoSuchCORSConfiguration"
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    assert refused(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    assert refused(s3.get_bucket_encryption, Bucket=bucket) == "ServerSideEncryptionConfigurationNotFoundError"
    versioned = {"Status": "Enabled"}
    assert refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versioned) == "NotImplemented"
    assert refused(s3.put_object, Bucket=bucket, Key="k", ServerSideEncryption="AES256") == "NotImplemented"
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    s3.delete_object(Bucket=bucket, Key="no")


def test_configurations_that_no_bucket_has_are_as_if_deleted(served, s3, bucket, refused):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    s3.delete_bucket_cors(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert refused(s3.delete_bucket_lifecycle, Bucket="not-there") == "NoSuchBucket"


def test_private_is_the_only_acl(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ACL="private")
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    assert refused(s3.put_object_acl, Bucket=bucket, Key="no", ACL="private") == "NoSuchKey"
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == "NotImplemented"
    assert refused(s3.put_bucket_acl, Bucket=bucket, GrantRead="id=x") == "NotImplemented"


def test_another_owner_than_expected_is_refused(s3, bucket, refused):
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"1", ExpectedBucketOwner="123456789012") == "AccessDenied"
    assert refused(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="123456789012") == "403"
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=s3.list_buckets()["Owner"]["ID"])


def test_headers_and_metadata_come_back(s3, bucket):
    headers = {
        "ContentType": "text/csv",
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"colour": "blue", "b": "  spaced "}, **headers)
    for got in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: got[name] for name in headers} == headers
        assert got["Metadata"] == {"colour": "blue", "b": "spaced"}
        assert abs(got["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)
        assert got["ContentLength"] == 1
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    with pytest.raises(ClientError, match="MetadataTooLarge"):
        s3.put_object(Bucket=bucket, Key="k", Metadata={"a": "x" * 2100})


def test_default_content_type_and_response_overrides(served, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"
    params = {"Bucket": bucket, "Key": "k", "ResponseContentDisposition": "attachment; filename*=UTF-8''%C3%BC"}
    url = served.client(signature_version="s3v4").generate_presigned_url("get_object", Params=params)
    with urllib.request.urlopen(url) as response:
        assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BC"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=-100", b"0123456789"),
        ("bytes=8-100", b"89"),
    ],
)
def test_range(s3, bucket, wanted, expected):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == expected
    start = b"0123456789".index(expected)
    assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/10"


def test_range_outside_or_meaningless(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == "InvalidRange"
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=-0") == "InvalidRange"
    assert refused(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-0") == "InvalidRange"
    for odd in ("bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=0-1,3-4"):
        got = s3.get_object(Bucket=bucket, Key="k", Range=odd)
        assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, b"0123456789")


def test_conditional_read(s3, bucket, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(minutes=1)
    for call in (s3.get_object, s3.head_object):
        failed = "PreconditionFailed" if call == s3.get_object else "412"
        assert call(Bucket=bucket, Key="k", IfMatch=etag)["ETag"] == etag
        assert call(Bucket=bucket, Key="k", IfNoneMatch='"other"', IfModifiedSince=future)["ETag"] == etag
        assert call(Bucket=bucket, Key="k", IfMatch=etag, IfUnmodifiedSince=past)["ETag"] == etag
        assert refused(call, Bucket=bucket, Key="k", IfMatch='"other"') == failed
        assert refused(call, Bucket=bucket, Key="k", IfNoneMatch=etag) == "304"
        assert refused(call, Bucket=bucket, Key="k", IfNoneMatch="*") == "304"
        assert refused(call, Bucket=bucket, Key="k", IfModifiedSince=future) == "304"
        assert refused(call, Bucket=bucket, Key="k", IfUnmodifiedSince=past) == failed


def test_conditional_write(s3, bucket, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"other"') == "PreconditionFailed"
    assert refused(s3.put_object, Bucket=bucket, Key="new", Body=b"2", IfMatch=etag) == "NoSuchKey"
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"
    s3.put_object(Bucket=bucket, Key="k", Body=b"4", IfNoneMatch=etag)
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"5", IfNoneMatch=etag) == "PreconditionFailed"


def test_conditional_delete(s3, bucket, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    wrong: list[dict[str, Any]] = [{"IfMatch": '"x"'}, {"IfMatchSize": 2}, {"IfMatchLastModifiedTime": datetime(2015, 1, 1)}]
    for condition in wrong:
        assert refused(s3.delete_object, Bucket=bucket, Key="k", **condition) == "PreconditionFailed"
    bad: list[dict[str, Any]] = [{"ETag": "x"}, {"Size": 2}, {"LastModifiedTime": datetime(2015, 1, 1)}]
    for one in bad:
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", **one}]})
        assert [error["Code"] for error in answer["Errors"]] == ["PreconditionFailed"]
    s3.delete_object(Bucket=bucket, Key="none", IfMatch=etag)
    right = {"ETag": etag, "Size": 1, "LastModifiedTime": modified}
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", **right}]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag, IfMatchSize=1, IfMatchLastModifiedTime=modified)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("condition", ["IfNoneMatch", "IfMatch"])
def test_racing_writers_have_one_winner(s3, bucket, condition):
    first = s3.put_object(Bucket=bucket, Key="if-match", Body=b"first")["ETag"]
    for turn in range(5):
        key = f"k{turn}" if condition == "IfNoneMatch" else "if-match"
        value = "*" if condition == "IfNoneMatch" else first
        barrier = threading.Barrier(8)

        def write(number, key=key, value=value, barrier=barrier, turn=turn):
            barrier.wait()
            try:
                return s3.put_object(Bucket=bucket, Key=key, Body=f"{turn} {number}".encode(), **{condition: value})["ETag"]
            except ClientError as error:
                return error.response["Error"]["Code"]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(write, range(8)))
        won = [answer for answer in answers if answer != "PreconditionFailed"]
        assert len(won) == 1
        assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == won[0]
        first = won[0]


def test_copy(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="a/ü", Body=b"content", Metadata={"m": "1"}, ContentType="text/a", Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a/ü"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"content", {"m": "1"}, "text/a")
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    replaced = {"MetadataDirective": "REPLACE", "Metadata": {"m": "2"}, "TaggingDirective": "REPLACE", "Tagging": "t=2"}
    s3.copy_object(Bucket=bucket, Key="a/ü", CopySource=source, **replaced)
    got = s3.get_object(Bucket=bucket, Key="a/ü")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"content", {"m": "2"}, "binary/octet-stream")
    assert s3.get_object_tagging(Bucket=bucket, Key="a/ü")["TagSet"] == [{"Key": "t", "Value": "2"}]
    assert refused(s3.copy_object, Bucket=bucket, Key="a/ü", CopySource=source) == "InvalidRequest"
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "no"}) == "NoSuchKey"
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=source, CopySourceIfMatch="no") == "PreconditionFailed"
    etag = got["ETag"]
    assert (
        refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=source, CopySourceIfNoneMatch=etag) == "PreconditionFailed"
    )
    s3.delete_object(Bucket=bucket, Key="a/ü")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"content"


def test_tags(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="b=%C3%BC+x&a")
    assert s3.head_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "a", "Value": ""},
        {"Key": "b", "Value": "ü x"},
    ]
    tags = [{"Key": "c", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": tags * 2}) == "InvalidTag"
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="no") == "NoSuchKey"
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"


CONTENT = b"123456789"
#: The check values of the CRC catalogue for "123456789"; the hashes are hashlib's.
CHECKS = {
    "CRC32": bytes.fromhex("cbf43926"),
    "CRC32C": bytes.fromhex("e3069283"),
    "CRC64NVME": bytes.fromhex("ae8b14860a799888"),
    "SHA1": hashlib.sha1(CONTENT).digest(),
    "SHA256": hashlib.sha256(CONTENT).digest(),
}


@pytest.mark.parametrize("name", CHECKS)
def test_checksums(s3, bucket, refused, name):
    value = base64.b64encode(CHECKS[name]).decode()
    wrong = base64.b64encode(bytes(len(CHECKS[name]))).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, **{f"Checksum{name}": value})
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got[f"Checksum{name}"]) == (CONTENT, value)
    assert f"Checksum{name}" not in s3.head_object(Bucket=bucket, Key="k")
    found = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert (found["Checksum"][f"Checksum{name}"], found["ObjectSize"]) == (value, 9)
    assert refused(s3.put_object, Bucket=bucket, Key="new", Body=CONTENT, **{f"Checksum{name}": wrong}) == "BadDigest"
    assert refused(s3.put_object, Bucket=bucket, Key="new", Body=CONTENT, **{f"Checksum{name}": "AAAA"}) == "InvalidRequest"
    assert refused(s3.head_object, Bucket=bucket, Key="new") == "404"


def test_content_md5(s3, bucket, refused):
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=good)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5=good) == "BadDigest"
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5="bad") == "InvalidDigest"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_batch_delete(s3, bucket):
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*keys[:10], "missing"]]})
    assert [item["Key"] for item in answer["Deleted"]] == [*keys[:10], "missing"]
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": keys[10]}, {"Key": keys[11], "VersionId": "other"}]}
    )
    assert "Deleted" not in answer
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("k11", "NoSuchVersion")]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 9


def test_download_of_a_replaced_object_ends_well(served, s3, bucket):
    old, new = b"old!" * (4 << 20), b"new"
    s3.put_object(Bucket=bucket, Key="k", Body=old)
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as body:
        begun = body.read(1000)
        s3.put_object(Bucket=bucket, Key="k", Body=new)
        s3.delete_object(Bucket=bucket, Key="k")
        assert begun + body.read() == old


def test_large_content_survives_with_every_digest_right(s3, bucket):
    content = bytes(range(256)) * (20 << 12)
    crc = base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=content, ContentMD5=base64.b64encode(hashlib.md5(content).digest()).decode()
    )
    assert (put["ETag"], put["ChecksumCRC32"]) == (f'"{hashlib.md5(content).hexdigest()}"', crc)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == content


def test_what_is_empty_is_read_as_nothing(objects):
    objects.ensure("data")
    objects.write("data", "empty", b"")
    assert objects.read("data", "empty", 0, 10) == b""
    with pytest.raises(Reject, match="InvalidRange"):
        objects.read("data", "empty", 1, 10)
