"""A real Ceph tells a real lake: every kind of change, both kinds of topics, lost notifications, refused connections."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import uuid
from typing import Any

import httpx
import pytest
from blake3 import blake3

from infra.sources import ceph as rgw
from infra.sources.dialect import CEPH, dialect_of
from infra.sources.notifications import Wish, disable, enable, status
from tests.conftest import ACCESS, SECRET, Sluice, eventually

pytestmark = pytest.mark.server
CSV = b"a,b\n1,2\n"


@pytest.fixture
def store(ceph):
    made = ceph.store()
    yield made
    made.close()


@pytest.fixture
def bucket(store):
    name = f"raw-{uuid.uuid4().hex[:8]}"
    store.ensure(name)
    return name


@pytest.fixture
def overceph(ceph, tmp_path):
    """A lake whose objects are in Ceph and whose own door is closed."""
    made = Sluice(
        tmp_path / "data",
        SLUICE_DOOR_ENABLED="false",
        SLUICE_OBJECTS_ENDPOINT=ceph.endpoint,
        SLUICE_OBJECTS_ACCESS_KEY=ACCESS,
        SLUICE_OBJECTS_SECRET_KEY=SECRET,
        SLUICE_BUCKET=f"own-{uuid.uuid4().hex[:8]}",
    )
    try:
        yield made.start()
    finally:
        made.close()


def test_what_is_empty_is_read_as_nothing(store, bucket):
    store.write(bucket, "empty", b"")
    assert store.read(bucket, "empty", 0, 10) == b""


def cli(lake: Sluice, *arguments: str) -> Any:
    command = [sys.executable, "-m", "infra.cli", *arguments, "--json"]
    done = subprocess.run(command, env=lake.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def entries(lake: Sluice, bucket: str) -> dict[str, str]:
    return {each["key"]: each["etag"] for each in lake.get("/catalog", bucket=bucket, limit=1000)["entries"]}


def listing(store, bucket: str) -> dict[str, str]:
    return {each.key: each.etag for each in store.list(bucket)}


def agree(lake: Sluice, store, bucket: str, seconds: float = 30.0) -> None:
    def same() -> bool:
        return lake.settled() and entries(lake, bucket) == listing(store, bucket)

    eventually(same, seconds, "catalogue and bucket to agree")


KEYS = [
    "plain.csv",
    "100%.csv",
    "pct%20lit.csv",
    "plus+plus.csv",
    "ünï/日本.csv",
    "a&b=c?d#e.csv",
    "quo\"te'.csv",
    "new\nline.csv",
]


def test_every_kind_of_change_is_catalogued_as_the_bucket_is(overceph, store, bucket):
    assert dialect_of(store, bucket) is CEPH
    cli(overceph, "notifications", "enable", f"s3://{bucket}")
    for key in KEYS:
        store.write(bucket, key, CSV)
    store.write(bucket, "plain.csv", CSV + b"3,4\n")
    parts = io.BytesIO(b"a,b\n" + b"1,2\n" * (3 << 20))
    from boto3.s3.transfer import TransferConfig

    store.client.upload_fileobj(parts, bucket, "big.csv", Config=TransferConfig(multipart_threshold=5 << 20))
    store.client.copy_object(Bucket=bucket, Key="copy.csv", CopySource={"Bucket": bucket, "Key": "plus+plus.csv"})
    agree(overceph, store, bucket)
    assert set(entries(overceph, bucket)) == {*KEYS, "big.csv", "copy.csv"}
    assert entries(overceph, bucket)["big.csv"].endswith("-2")
    gone = [{"Key": key} for key in KEYS[:5]]
    store.client.delete_objects(Bucket=bucket, Delete={"Objects": gone})
    store.delete(bucket, "copy.csv")
    agree(overceph, store, bucket)
    assert set(entries(overceph, bucket)) == {*KEYS[5:], "big.csv"}
    assert overceph.get("/status")["log"]["dead"] == 0
    tally = cli(overceph, "reconcile", f"s3://{bucket}")["sweeps"][0]
    assert [tally[name] for name in ("listed", "missed", "changed", "removed", "new")] == [len(KEYS) - 4, 0, 0, 0, 0]


def test_versions_and_delete_markers(overceph, store, bucket):
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    cli(overceph, "notifications", "enable", f"s3://{bucket}")
    first = store.client.put_object(Bucket=bucket, Key="v.csv", Body=CSV)["VersionId"]
    store.client.put_object(Bucket=bucket, Key="v.csv", Body=CSV + b"3,4\n")
    agree(overceph, store, bucket)
    store.client.delete_object(Bucket=bucket, Key="v.csv", VersionId=first)  # not the current one: the object stays
    eventually(overceph.settled)
    assert entries(overceph, bucket) == listing(store, bucket) != {}
    marker = store.client.delete_object(Bucket=bucket, Key="v.csv")["VersionId"]
    agree(overceph, store, bucket)
    assert entries(overceph, bucket) == {}
    store.client.delete_object(Bucket=bucket, Key="v.csv", VersionId=marker)  # the object is back, and no event says so
    cli(overceph, "reconcile", f"s3://{bucket}")
    agree(overceph, store, bucket)
    assert set(entries(overceph, bucket)) == {"v.csv"}


def test_what_was_lost_while_the_lake_was_down_is_healed(overceph, store, bucket):
    cli(overceph, "notifications", "enable", f"s3://{bucket}")
    for number in range(20):
        store.write(bucket, f"{number:02}.csv", CSV)
    agree(overceph, store, bucket)
    overceph.stop()
    for number in range(5):
        store.write(bucket, f"{number:02}.csv", CSV + b"9,9\n")
        store.delete(bucket, f"{number + 10:02}.csv")
        store.write(bucket, f"neu {number}+ü.csv", CSV)
    overceph.start()
    found = cli(overceph, "reconcile", f"s3://{bucket}", "--dry-run")["sweeps"][0]
    assert [found[name] for name in ("missed", "changed", "removed", "new")] == [5, 5, 5, 0]
    assert cli(overceph, "reconcile", f"s3://{bucket}")["sweeps"][0]["new"] == 15
    agree(overceph, store, bucket)
    updates = len(overceph.get("/events", type="*catalog.updated*", limit=1000)["events"])
    assert updates == 20 + 15
    assert cli(overceph, "reconcile", f"s3://{bucket}")["sweeps"][0]["new"] == 0


def test_a_persistent_topic_delivers_with_the_socket_kept_open(ceph, overceph, store, bucket, tmp_path):
    """The parent holds the listening socket: while the lake restarts nothing is refused, which would wedge the queue."""
    overceph.stop()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        os.set_inheritable(held.fileno(), True)
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        command = [sys.executable, "-m", "infra.cli", "up", "--fd", str(held.fileno())]

        def begin() -> subprocess.Popen:
            log = (tmp_path / "activated.log").open("ab")
            with log:
                process = subprocess.Popen(command, env=overceph.environment, stdout=log, stderr=log, pass_fds=[held.fileno()])
            overceph.process = process
            eventually((overceph.folder / "endpoints.json").exists, 30, "the lake to start")
            return process

        process = begin()
        made = cli(overceph, "notifications", "enable", f"s3://{bucket}", "--persistent")
        assert made["topics"][0]["persistent"] is True
        store.write(bucket, "before.csv", CSV)
        eventually(lambda: "before.csv" in entries(overceph, bucket), 60, "the new topic's first delivery")
        process.terminate()
        process.wait(20)
        store.write(bucket, "between.csv", CSV)
        with socket.create_connection(("127.0.0.1", held.getsockname()[1]), 5):
            pass  # not refused: it waits
        begin()
        eventually(lambda: "between.csv" in entries(overceph, bucket), 60, "the delivery that waited")
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_notifications_are_made_once_shown_without_the_token_and_removed(store, bucket):
    token = "a-secret-token-of-some-length"
    wish = Wish(bucket=bucket, push=f"http://127.0.0.1:9/events/{token}", prefix="in/", suffix=".csv")
    enable(store, CEPH, wish)
    enable(store, CEPH, wish)
    enable(store, CEPH, Wish(bucket=bucket, push=wish.push, prefix="out/"))
    found = status(store, CEPH, bucket)
    assert len(found["configurations"]["TopicConfigurations"]) == 2
    assert len(found["topics"]) == 1
    assert found["topics"][0]["push"].startswith("http://127.0.0.1:9/events/a-se")
    assert token not in json.dumps(found)
    assert len(disable(store, CEPH, bucket)) == 2
    assert disable(store, CEPH, bucket) == []
    assert status(store, CEPH, bucket)["configurations"] == {}
    assert f"sluice-{bucket}" not in [topic["name"] for topic in rgw.topics(store)]


def test_somebody_elses_configuration_and_topic_stay(store, bucket):
    arn = rgw.create_topic(store, f"theirs-{bucket}", "http://127.0.0.1:9/x", persistent=False, opaque="tenant=lake")
    theirs = {"Id": "theirs", "TopicArn": arn, "Events": ["s3:ObjectCreated:*"]}
    store.client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [theirs]}
    )
    enable(store, CEPH, Wish(bucket=bucket, push="http://127.0.0.1:9/events/t", prefix="a/"))
    disable(store, CEPH, bucket)
    left = status(store, CEPH, bucket)
    assert [each["Id"] for each in left["configurations"]["TopicConfigurations"]] == ["theirs"]
    assert [topic["arn"] for topic in left["topics"]] == [arn]


def test_digests_are_those_of_the_content(overceph, store, bucket):
    cli(overceph, "notifications", "enable", f"s3://{bucket}", "--prefix", "in/")
    store.write(bucket, "out/no.csv", CSV)
    store.write(bucket, "in/yes.csv", CSV)
    eventually(lambda: "in/yes.csv" in entries(overceph, bucket))
    eventually(overceph.settled)
    (found,) = overceph.get("/catalog", bucket=bucket)["entries"]
    assert found["digest"] == "blake3:" + blake3(CSV).hexdigest()
