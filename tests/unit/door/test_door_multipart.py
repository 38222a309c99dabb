import hashlib
import io
import random

import pytest

from tests.conftest import eventually

LEAST = 5 << 20


@pytest.fixture
def upload(s3, bucket):
    return s3.create_multipart_upload(Bucket=bucket, Key="ü/k", Metadata={"m": "1"}, ContentType="text/x")["UploadId"]


def parts_of(s3, bucket, upload, contents):
    parts = []
    for number, content in contents.items():
        put = s3.upload_part(Bucket=bucket, Key="ü/k", UploadId=upload, PartNumber=number, Body=content)
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
    return parts


def test_parts_make_an_object(s3, bucket, upload, refused):
    contents = {2: b"a" * LEAST, 5: b"b" * (LEAST + 1), 9: b"end"}
    whole = b"".join(contents.values())
    parts = parts_of(s3, bucket, upload, {7: b"not used", **contents})[1:]
    listed = s3.list_parts(Bucket=bucket, Key="ü/k", UploadId=upload, MaxParts=2)
    assert [part["PartNumber"] for part in listed["Parts"]] == [2, 5]
    assert listed["IsTruncated"]
    assert refused(s3.get_object, Bucket=bucket, Key="ü/k") == "NoSuchKey"
    target = {"Bucket": bucket, "Key": "ü/k", "UploadId": upload}
    done = s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    etag = hashlib.md5(b"".join(hashlib.md5(content).digest() for content in contents.values())).hexdigest()
    assert done["ETag"] == f'"{etag}-3"'
    assert s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})["ETag"] == done["ETag"]
    got = s3.get_object(Bucket=bucket, Key="ü/k")
    assert (got["Body"].read() == whole, got["Metadata"], got["ContentType"]) == (True, {"m": "1"}, "text/x")
    assert s3.get_object(Bucket=bucket, Key="ü/k", Range=f"bytes={LEAST - 2}-{LEAST + 1}")["Body"].read() == b"aabb"
    part = s3.get_object(Bucket=bucket, Key="ü/k", PartNumber=3)
    assert (part["Body"].read(), part["PartsCount"]) == (b"end", 3)
    assert refused(s3.get_object, Bucket=bucket, Key="ü/k", PartNumber=4) == "InvalidPartNumber"
    assert refused(s3.list_parts, **target) == "NoSuchUpload"


def test_completion_is_checked(s3, bucket, upload, refused):
    parts = parts_of(s3, bucket, upload, {1: b"small", 2: b"x"})

    def complete(*parts, **more):
        return refused(
            s3.complete_multipart_upload,
            Bucket=bucket,
            Key="ü/k",
            UploadId=upload,
            MultipartUpload={"Parts": list(parts)},
            **more,
        )

    assert complete() == "MalformedXML"
    assert refused(s3.complete_multipart_upload, Bucket=bucket, Key="ü/k", UploadId=upload) == "MalformedXML"
    assert complete(*parts) == "EntityTooSmall"
    assert complete(parts[1], parts[0]) == "InvalidPartOrder"
    assert complete({**parts[0], "ETag": '"other"'}) == "InvalidPart"
    assert complete(parts[0], {"PartNumber": 3, "ETag": '"x"'}) == "InvalidPart"
    assert complete() == "MalformedXML"
    s3.put_object(Bucket=bucket, Key="ü/k", Body=b"")
    assert complete(parts[0], IfNoneMatch="*") == "PreconditionFailed"
    s3.abort_multipart_upload(Bucket=bucket, Key="ü/k", UploadId=upload)
    assert complete(parts[0]) == "NoSuchUpload"
    assert refused(s3.upload_part, Bucket=bucket, Key="ü/k", UploadId=upload, PartNumber=1, Body=b"") == "NoSuchUpload"
    assert refused(s3.abort_multipart_upload, Bucket=bucket, Key="ü/k", UploadId=upload) == "NoSuchUpload"


def test_part_again_replaces_it(s3, bucket, upload):
    parts_of(s3, bucket, upload, {1: b"first"})
    parts = parts_of(s3, bucket, upload, {1: b"second"})
    s3.complete_multipart_upload(Bucket=bucket, Key="ü/k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="ü/k")["Body"].read() == b"second"


def files_of(served):
    """How many files the door's tables name, once all others are gone from the disk."""
    store = served.door._store
    named = {row[0] for row in store.reader.execute("SELECT name FROM files")}
    here = {str(each.relative_to(store.files.folder)) for each in store.files.folder.glob("*/*")}
    return len(named) if named == here else None


def test_a_plain_put_meanwhile_is_replaced_when_the_upload_is_completed(served, s3, bucket, upload):
    eventually(lambda: files_of(served) is not None, what="what earlier tests have removed to go")
    before = files_of(served)
    parts = parts_of(s3, bucket, upload, {1: b"a" * LEAST, 2: b"end", 3: b"not used"})[:2]
    target = {"Bucket": bucket, "Key": "ü/k"}
    for body in (b"one", b"two"):
        s3.put_object(**target, Body=body)
    s3.delete_object(**target)
    s3.put_object(**target, Body=b"three")
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**target)["Body"].read() == b"a" * LEAST + b"end"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    eventually(lambda: files_of(served) == before + 2, what="the replaced objects and the unused part to go")
    other = s3.create_multipart_upload(**target)["UploadId"]
    parts_of(s3, bucket, other, {1: b"a"})
    s3.put_object(**target, Body=b"four")
    s3.abort_multipart_upload(**target, UploadId=other)
    assert s3.get_object(**target)["Body"].read() == b"four"
    eventually(lambda: files_of(served) == before + 1, what="the parts of both uploads to go")


def test_part_copy(s3, bucket, upload, refused):
    content = random.Random(1).randbytes(LEAST + 1000)
    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=content)
    target = {"Bucket": bucket, "Key": "ü/k", "UploadId": upload, "CopySource": source}
    one = s3.upload_part_copy(PartNumber=1, **target)["CopyPartResult"]["ETag"]
    two = s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=1000-1999", **target)["CopyPartResult"]["ETag"]
    assert refused(s3.upload_part_copy, PartNumber=3, CopySourceRange="bytes=0-99999999", **target) == "InvalidRange"
    assert refused(s3.upload_part_copy, PartNumber=3, CopySourceRange="0-1", **target) == "InvalidArgument"
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    s3.complete_multipart_upload(Bucket=bucket, Key="ü/k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="ü/k")["Body"].read() == content + content[1000:2000]


def test_list_uploads(s3, bucket):
    keys = ["a/1", "a/2", "b", "b", "c"]
    made = [(key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in keys]
    found: list[tuple[str, str]] = []
    marker: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **marker)
        found += [(item["Key"], item["UploadId"]) for item in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert found == sorted(made)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["a/"]
    assert len(page["Uploads"]) == 3
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT")]
)
def test_checksums_of_uploads(s3, bucket, algorithm, kind):
    content = random.Random(2).randbytes(LEAST + 77)
    name = f"Checksum{algorithm}"
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=content, ChecksumAlgorithm=algorithm)[name]
    target = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**target, ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    parts = []
    for number, piece in enumerate((content[:LEAST], content[LEAST:]), 1):
        put = s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=piece, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": put["ETag"], name: put[name]})
    done = s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    assert done["ChecksumType"] == kind
    assert done[name].endswith("-2") if kind == "COMPOSITE" else done[name] == whole
    got = s3.get_object(**target, ChecksumMode="ENABLED")
    assert (got[name], got["Body"].read()) == (done[name], content)


def test_transfer_manager(s3, bucket):
    content = random.Random(3).randbytes(20 << 20)
    s3.upload_fileobj(io.BytesIO(content), bucket, "k")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "k", out)
    assert out.getvalue() == content
