import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from minio import Minio
from minio.commonconfig import REPLACE, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

KEY = "a b+c%20/ü/日本.txt"


@pytest.fixture
def sdk(served):
    return Minio(endpoint=f"127.0.0.1:{served.port}", access_key=served.access, secret_key=served.secret, secure=False)


def read(response):
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def test_minio_sdk(sdk):
    sdk.make_bucket(bucket_name="minio")
    assert sdk.bucket_exists(bucket_name="minio")
    content = b"content" * 1000
    put = sdk.put_object(
        bucket_name="minio", object_name=KEY, data=io.BytesIO(content), length=len(content), metadata={"m": "1"}
    )
    found = sdk.stat_object(bucket_name="minio", object_name=KEY)
    assert (found.etag, found.size, found.metadata["x-amz-meta-m"]) == (put.etag, len(content), "1")
    assert read(sdk.get_object(bucket_name="minio", object_name=KEY, offset=3, length=8)) == content[3:11]
    copied = sdk.copy_object(
        bucket_name="minio",
        object_name="copy",
        source=CopySource(bucket_name="minio", object_name=KEY),
        metadata={"m": "2"},
        metadata_directive=REPLACE,
    )
    assert copied.etag == put.etag
    tags = Tags.new_object_tags()
    tags["t"] = "ü"
    sdk.set_object_tags(bucket_name="minio", object_name=KEY, tags=tags)
    assert sdk.get_object_tags(bucket_name="minio", object_name=KEY) == {"t": "ü"}
    found = list(sdk.list_objects(bucket_name="minio", recursive=True))
    assert [item.object_name for item in found] == [KEY, "copy"]
    assert [item.object_name for item in sdk.list_objects(bucket_name="minio")] == ["copy", "a b+c%20/"]
    url = sdk.get_presigned_url(method="GET", bucket_name="minio", object_name=KEY, expires=timedelta(minutes=1))
    import urllib.request

    with urllib.request.urlopen(url) as response:
        assert response.read() == content
    big = os.urandom(11 << 20)
    sdk.put_object(bucket_name="minio", object_name="big", data=io.BytesIO(big), length=-1, part_size=5 << 20)
    assert read(sdk.get_object(bucket_name="minio", object_name="big")) == big
    sdk.delete_bucket_notification(bucket_name="minio")
    assert not sdk.get_bucket_notification(bucket_name="minio").topic_config_list
    with pytest.raises(S3Error) as caught:
        sdk.remove_bucket(bucket_name="minio")
    assert caught.value.code == "BucketNotEmpty"
    names = [DeleteObject(name) for name in (KEY, "copy", "big")]
    assert list(sdk.remove_objects(bucket_name="minio", delete_object_list=names)) == []
    sdk.remove_bucket(bucket_name="minio")


@pytest.fixture
def aws(served, tmp_path):
    def run(*words, cwd=tmp_path):
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        settings = {
            "AWS_ACCESS_KEY_ID": served.access,
            "AWS_SECRET_ACCESS_KEY": served.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONUTF8": "1",
        }
        done = subprocess.run(
            [Path(sys.executable).with_name("aws"), "--endpoint-url", served.url, *words],
            env=keep | settings,
            cwd=cwd,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_aws_command_line(aws, tmp_path):
    tree = tmp_path / "tree"
    (tree / "a b+c%20" / "ü").mkdir(parents=True)
    (tree / "a b+c%20" / "ü" / "日本.txt").write_text("weird")
    (tree / "big").write_bytes(os.urandom(10 << 20))
    (tree / "empty").touch()
    aws("s3", "mb", "s3://aws-cli")
    aws("s3", "sync", "tree", "s3://aws-cli/t")
    assert aws("s3", "sync", "tree", "s3://aws-cli/t") == ""
    listed = aws("s3", "ls", "--recursive", "s3://aws-cli")
    assert [line[31:] for line in listed.splitlines()] == ["t/a b+c%20/ü/日本.txt", "t/big", "t/empty"]
    assert "PRE a b+c%20/" in aws("s3", "ls", "s3://aws-cli/t/")
    aws("s3", "cp", "s3://aws-cli/t/a b+c%20/ü/日本.txt", "s3://aws-cli/copy")
    assert aws("s3", "cp", "s3://aws-cli/copy", "-") == "weird"
    aws("s3", "sync", "s3://aws-cli/t", "back")
    assert (tmp_path / "back" / "big").read_bytes() == (tree / "big").read_bytes()
    assert (tmp_path / "back" / "a b+c%20" / "ü" / "日本.txt").read_text() == "weird"
    aws("s3", "rb", "--force", "s3://aws-cli")
