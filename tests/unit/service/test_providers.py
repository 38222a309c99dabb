"""Several stores in one catalogue: the same bucket and key in two of them are two objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from events.errors import Reject
from events.ingress import read
from events.ports import Query
from infra import cli
from infra.catalog.entries import Entries
from infra.config import Config, ConfigError, Provider, Reconcile
from infra.lake import Lake
from infra.objects import presigned
from infra.objects.door import Door
from infra.objects.providers import Providers, split
from infra.objects.s3 import S3Store
from infra.sources.sweep import Sweeper
from tests.conftest import ACCESS, SECRET, eventually, serving


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """A second store."""
    door = Door(tmp_path / "other", {ACCESS: SECRET})
    with serving(door.app) as url:
        yield url
    door.close()


def provider(url: str, **more: Any) -> Provider:
    return Provider(name="far", endpoint=url, access_key=ACCESS, secret_key=SECRET, source="ceph:s3.zone1.*", **more)


def notification(bucket: str, key: str, content: bytes, source: str) -> Any:
    return {
        "Records": [
            {
                "eventVersion": "2.2", "eventSource": source, "awsRegion": "zone1", "eventTime": "2026-01-01T00:00:00Z",
                "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "x"},
                "requestParameters": {"sourceIPAddress": ""},
                "responseElements": {"x-amz-request-id": source, "x-amz-id-2": "b"},
                "s3": {
                    "s3SchemaVersion": "1.0", "configurationId": "c", "bucket": {"name": bucket},
                    "object": {"key": key, "size": len(content), "eTag": hashlib.md5(content).hexdigest(), "sequencer": ""},
                },
            }
        ]
    }  # fmt: skip


def test_one_name_in_two_stores_is_two_objects(tmp_path: Path, objects: S3Store, other: str) -> None:
    providers = Providers(objects, [provider(other)])
    here, there = b"a,b\n1,2\n", b"a,b\n1,2\n3,4\n5,6\n"
    for bucket, content in (("lake", here), ("far:lake", there)):
        store, name = providers.of(bucket)
        store.ensure(name)
        providers.write(bucket, "x.csv", content)
    lake = Lake(Config(data=str(tmp_path / "data")), providers)
    lake.worker.start()
    try:
        for source, content in (("aws:s3", here), ("ceph:s3", there)):
            told = read(
                [(b"content-type", b"application/json")], json.dumps(notification("lake", "x.csv", content, source)).encode()
            )
            lake.append(told.events).result(10)

        def rows() -> dict[str, int]:
            with lake.database() as database:
                return {entry.bucket: entry.metadata.get("rows", 0) for entry in Entries(database).search(Query())}

        eventually(lambda: rows() == {"lake": 1, "far:lake": 3})
    finally:
        lake.close()
        providers.close()


@pytest.mark.parametrize(
    ("pattern", "bucket"),
    [("http://[::1]:*", "far:lake"), ("*/9000", "lake"), ("http://?::1]:9000", "lake"), ("HTTP:*", "lake")],
)
def test_a_notification_is_of_the_store_that_its_source_names(objects: S3Store, other: str, pattern: str, bucket: str) -> None:
    providers = Providers(objects, [msgspec.structs.replace(provider(other), source=pattern)])
    body = json.dumps(notification("lake", "x.csv", b"", "aws:s3")).encode()
    (told,) = read([(b"content-type", b"application/json")], body).events
    event = msgspec.structs.replace(told, source="http://[::1]:9000")
    assert providers.placed(event).data["s3"]["bucket"]["name"] == bucket
    providers.close()


def test_a_sweep_finds_what_another_store_has_not_told(tmp_path: Path, objects: S3Store, other: str) -> None:
    providers = Providers(objects, [provider(other)])
    for bucket in ("lake", "far:lake"):
        store, name = providers.of(bucket)
        store.ensure(name)
    for key in ("a/1.csv", "a/2.csv", "b.csv"):
        providers.write("far:lake", key, b"a,b\n1,2\n")
    lake = Lake(Config(data=str(tmp_path / "data")), providers)
    lake.worker.start()
    try:
        sweeper = Sweeper(lake, providers, Reconcile(buckets=[]))
        done = list(sweeper.sweep("far:lake", "a/"))[-1]
        assert (done.bucket, done.listed, done.missed, done.new, done.done) == ("far:lake", 2, 2, 2, True)

        def found() -> list[tuple[str, str, int]]:
            with lake.database() as database:
                return [(each.bucket, each.key, each.metadata.get("rows", 0)) for each in Entries(database).search(Query())]

        eventually(lambda: found() == [("far:lake", "a/1.csv", 1), ("far:lake", "a/2.csv", 1)])
        providers.delete("far:lake", "a/1.csv")
        assert list(sweeper.sweep("far:lake"))[-1].removed == 1
        assert list(sweeper.sweep("lake"))[-1].listed == 0
        eventually(lambda: found() == [("far:lake", "a/2.csv", 1), ("far:lake", "b.csv", 1)])
        with pytest.raises(Reject, match="moon"):
            next(iter(sweeper.sweep("moon:lake")))
    finally:
        lake.close()
        providers.close()


def test_presigned_urls_are_of_the_right_store(objects: S3Store, other: str) -> None:
    providers = Providers(objects, [provider(other)])
    assert presigned.get(providers, "far:lake", "a", 5).startswith(f"{other}/lake/a?")
    assert presigned.get(providers, "lake", "a", 5).startswith(f"{objects.endpoint}/lake/a?")
    providers.close()


def test_providers_nobody_configured(objects: S3Store, other: str) -> None:
    assert split("far:lake") == ("far", "lake")
    with pytest.raises(Reject, match="moon"):
        Providers(objects).head("moon:lake", "a")
    with pytest.raises(ConfigError, match="far"):
        Providers(objects, [provider(other), provider(other)])


def test_files_are_put_into_another_store_by_its_name(tmp_path: Path, other: str) -> None:
    file, config = tmp_path / "x.csv", tmp_path / "config.yaml"
    file.write_text("a,b\n1,2\n")
    keys = f"endpoint: '{other}', access_key: {ACCESS}, secret_key: {SECRET}"
    config.write_text(f"sluice:\n  data: {tmp_path / 'data'}\n  providers:\n    - {{name: far, {keys}}}\n")
    done = CliRunner().invoke(cli.application(), ["put", str(file), "s3://far:raw/in/", "--config", str(config)])
    assert (done.exit_code, "s3://far:raw/in/x.csv" in done.output) == (0, True), done.output
    store = S3Store(other, ACCESS, SECRET)
    assert store.head("raw", "in/x.csv").size == 8
    store.close()
    assert CliRunner().invoke(cli.application(), ["put", str(file), "s3://moon:raw/", "--config", str(config)]).exit_code == 1
