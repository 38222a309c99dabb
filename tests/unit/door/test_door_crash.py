import hashlib
import os
import threading
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from infra.objects.door import Door


@pytest.mark.parametrize("size", [100, 300_000])
def test_kill_in_the_middle_of_uploads(spawn, serve, tmp_path, size):
    folder = tmp_path / "door"
    process, endpoint = spawn(folder)
    client = endpoint.client(connect_timeout=2, read_timeout=5)
    client.create_bucket(Bucket="crash")
    acknowledged: dict[str, str] = {}
    enough = threading.Event()

    def upload(writer):
        for number in range(10_000):
            key, content = f"{writer}/{number}", os.urandom(size)
            try:
                client.put_object(Bucket="crash", Key=key, Body=content)
            except (BotoCoreError, ClientError):
                return
            acknowledged[key] = hashlib.md5(content).hexdigest()
            if len(acknowledged) > 100:
                enough.set()

    writers = [threading.Thread(target=upload, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    process.kill()
    process.wait()
    for writer in writers:
        writer.join()

    door = Door(folder, {endpoint.access: endpoint.secret})
    with serve(door) as again:
        client = again.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="crash")
        stored = {entry["Key"]: entry["ETag"].strip('"') for page in pages for entry in page.get("Contents", [])}
        assert acknowledged.items() <= stored.items()
        told = [(record["s3"]["object"]["key"], record["s3"]["object"]["eTag"]) for _, _, record in door.pending(100_000)]
        assert sorted(told) == sorted(stored.items())
        for key, etag in stored.items():
            assert hashlib.md5(client.get_object(Bucket="crash", Key=key)["Body"].read()).hexdigest() == etag
        assert len(files(folder)) == len(stored), "content files of unfinished uploads were left"
    door.close()


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "content").rglob("*") if path.is_file()]


def test_leftovers_are_swept_at_the_next_start(serve, tmp_path):
    keys = {"AKTEST": "secret/of+the=test"}
    door = Door(tmp_path, keys)
    with serve(door) as endpoint:
        client = endpoint.client()
        client.create_bucket(Bucket="swept")
        client.put_object(Bucket="swept", Key="k", Body=b"kept")
        upload = client.create_multipart_upload(Bucket="swept", Key="m")["UploadId"]
        client.upload_part(Bucket="swept", Key="m", UploadId=upload, PartNumber=1, Body=b"kept too")
    door.close()
    assert len(files(tmp_path)) == 2
    (tmp_path / "content" / "ab" / "orphan").write_bytes(b"half an upload")
    Door(tmp_path, keys).close()
    assert len(files(tmp_path)) == 2


def test_replaced_and_deleted_content_is_removed(serve, tmp_path):
    door = Door(tmp_path, {"AKTEST": "secret/of+the=test"})
    with serve(door) as endpoint:
        client = endpoint.client()
        client.create_bucket(Bucket="gone")
        for content in (b"1", b"2", b"3"):
            client.put_object(Bucket="gone", Key="k", Body=content)
        client.copy_object(Bucket="gone", Key="c", CopySource={"Bucket": "gone", "Key": "k"})
        with pytest.raises(ClientError):
            client.put_object(Bucket="gone", Key="k", Body=b"4", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
        with pytest.raises(ClientError):
            client.put_object(Bucket="gone", Key="k", Body=b"4", IfNoneMatch="*")
        client.delete_object(Bucket="gone", Key="k")
    door.close()
    assert [path.read_bytes() for path in files(tmp_path)] == [b"3"]
