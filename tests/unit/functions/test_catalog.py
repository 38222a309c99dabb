"""The functions behind ingest: description and index, catalogue, model versions."""

from __future__ import annotations

import hashlib
import sys
from functools import partial

import pytest

from events.event import Event
from events.ports import Entry, Query, Settings
from events.route import handlers
from events.types import CatalogUpdated, DeliveryFailed, IndexRetired, MetadataExtracted, ObjectIngested, ObjectVersion
from functions.catalog import catalog as function
from functions.formats.format import decode_index
from functions.metadata import index_key, metadata
from functions.retire import retire
from infra.catalog.entries import Entries
from tests.conftest import eventually

SETTINGS = Settings()
CSV = b"a,b\n1,2\n3,4\n"


def update(event, catalog, settings=SETTINGS):
    return function(event, catalog, settings)


@pytest.fixture
def catalog(sqlite_database):
    return Entries(sqlite_database)


def described(**more) -> Event:
    data = {
        "bucket": "raw", "key": "k", "etag": "e", "size": 1, "sequence": "2", "digest": "sha256:0", "format": "csv",
        "content_type": "text/csv", "metadata": {"rows": 1},
    }  # fmt: skip
    return Event(id="1", source="/s", type="t", subject="k").reply(MetadataExtracted(**{**data, **more}))


def test_metadata_describes_and_stores_the_index(notified, objects, settings):
    (event,) = notified(("t.csv", CSV))
    ingested = ObjectIngested(
        bucket="raw", key="t.csv", etag=hashlib.md5(CSV).hexdigest(), size=len(CSV), digest="sha256:0", format="csv",
        scan=scan(CSV), sequence="7", modified="2026-01-01T00:00:00Z", user={"who": "me"},
    )  # fmt: skip
    (reply,) = metadata(event, ingested, objects, settings)
    found = reply.read(MetadataExtracted)
    assert (found.metadata["rows"], found.metadata["units"], found.sequence, found.user) == (2, 2, "7", {"who": "me"})
    size = objects.head(settings.bucket, found.index).size
    index = decode_index(objects.read(settings.bucket, found.index, 0, size))
    assert (index.etag, index.units, index.format) == (ingested.etag, 2, "csv")


def scan(content: bytes):
    from functions.formats.csv import CSV as Format

    scanner = Format().scanner()
    scanner.feed(content)
    return scanner.result()


def test_every_version_has_its_own_index(settings):
    assert (
        len({index_key("b", "k", "1"), index_key("b", "k", "2"), index_key("b", "k2", "1"), index_key("b", "k", "1", "7")}) == 4
    )


def retired(told) -> list[str]:
    """The indexes that these events say nobody names any more."""
    return [event.data["index"] for event in told if event.type == "dev.sluice.index.retired.v1"]


def test_an_index_is_retired_when_its_object_is_replaced_removed_or_broken(catalog):
    assert retired(update(described(sequence="1", index="one"), catalog)) == []
    assert retired(update(described(sequence="2", etag="f", index="two"), catalog)) == ["one"]
    assert retired(update(described(sequence="1", etag="e", index="late"), catalog)) == ["late"], "an older change"
    assert catalog.get("raw", "k").index == "two"
    broken = failed("metadata", ObjectVersion(bucket="raw", key="k", etag="g", sequence="3"))
    assert retired(update(broken, catalog)) == ["two"]
    assert retired(update(described(sequence="4", index="four"), catalog)) == []
    assert retired(update(removed("5"), catalog)) == ["four"]


def test_the_same_content_told_again_keeps_the_index_that_is_in_use(catalog):
    list(update(described(sequence="1", index="one"), catalog))
    told = list(update(described(sequence="2", index="again"), catalog))
    assert (len(told), retired(told)) == (1, ["again"])
    assert (catalog.get("raw", "k").index, catalog.get("raw", "k").sequence) == ("one", "2")
    assert retired(update(described(sequence="2", index="one"), catalog)) == []


def test_content_that_comes_back_has_an_index_of_its_own(catalog):
    """The first index may be on its way out while the same content is indexed anew."""
    names = [index_key("raw", "k", etag, sequence) for etag, sequence in (("e", "1"), ("f", "2"), ("e", "3"))]
    told = [
        retired(update(described(sequence=str(n + 1), etag=etag, index=name), catalog))
        for n, (etag, name) in enumerate(zip("efe", names, strict=True))
    ]
    assert told == [[], [names[0]], [names[1]]]
    assert catalog.get("raw", "k").index == names[2] not in names[:2]


def test_a_retired_index_is_removed_but_none_that_is_named(catalog, objects, settings):
    objects.write(settings.bucket, "index/raw/1", b"1")
    event = Event(id="1", source="/s", type="t")
    list(update(described(index="index/raw/1"), catalog))
    retire(event, IndexRetired(bucket="raw", key="k", index="index/raw/1"), catalog, objects, settings)
    assert objects.head(settings.bucket, "index/raw/1").size == 1
    for _ in range(2):
        retire(event, IndexRetired(bucket="raw", key="other", index="index/raw/1"), catalog, objects, settings)
    assert list(objects.list(settings.bucket)) == []


def test_a_lake_keeps_one_index_for_each_object(lake, objects):
    objects.ensure("raw")
    for rows in (1, 2, 1):
        content = b"a,b\n" + b"1,2\n" * rows
        objects.write("raw", "t.csv", content)
        eventually(partial(settled, lake, len(content)))
    (entry,) = entries(lake)
    assert [each.key for each in objects.list("sluice", "index/")] == [entry.index]
    assert decode_index(objects.read("sluice", entry.index, 0, objects.head("sluice", entry.index).size)).etag == entry.etag
    objects.delete("raw", "t.csv")
    eventually(lambda: not list(objects.list("sluice", "index/")))


def settled(lake, size: int) -> bool:
    """Whether the one entry has this size, and nothing is left to be done."""
    return [each.size for each in entries(lake)] == [size] and lake.log.counts()["waiting"] == 0


def entries(lake):
    with lake.database() as database:
        return Entries(database).search(Query(bucket="raw"))


def test_an_entry_is_made_and_told(catalog):
    (told,) = update(described(), catalog)
    assert told.read(CatalogUpdated).change == "upserted"
    assert told.subject == "raw/k"
    assert (catalog.get("raw", "k").state, catalog.get("raw", "k").metadata) == ("ready", {"rows": 1})


def test_an_older_change_is_not_told(catalog):
    list(update(described(sequence="3"), catalog))
    assert list(update(described(sequence="2"), catalog)) == []


def removed(sequence: str, name: str = "ObjectRemoved:Delete", version: str = "") -> Event:
    entity = {"bucket": {"name": "raw"}, "object": {"key": "k", "versionId": version}}
    record = {"eventName": name, "eventTime": "t", "s3": entity}
    return Event(id="9", source="/s", type=f"com.amazonaws.s3.{name}", extensions={"sequence": sequence}, data=record)


def wanted(name: str) -> bool:
    """Whether the catalogue hears of such a change."""
    (handler,) = handlers([sys.modules[function.__module__]])
    return handler.wants(f"com.amazonaws.s3.{name}")


EXPIRED = ["LifecycleExpiration:Delete", "LifecycleExpiration:DeleteMarkerCreated", "ObjectLifecycle:Expiration:Current"]


@pytest.mark.parametrize("name", EXPIRED)
def test_what_a_bucket_s_life_cycle_removes_is_removed(catalog, name):
    assert wanted(name)
    list(update(described(sequence="2"), catalog))
    (told,) = update(removed("3", name), catalog)
    assert told.read(CatalogUpdated).change == "removed"


@pytest.mark.parametrize("name", ["ObjectLifecycle:Expiration:NonCurrent", "ObjectLifecycle:Expiration:AbortMultipartUpload"])
def test_what_it_removes_beside_the_current_object_is_not(name):
    assert not wanted(name)


def test_an_expired_version_that_was_not_the_current_one_changes_nothing(catalog):
    list(update(described(sequence="2", version="new"), catalog))
    assert list(update(removed("3", "LifecycleExpiration:Delete", "old"), catalog)) == []
    assert catalog.get("raw", "k").state == "ready"


def test_a_removal_is_told_once_and_older_work_under_way_cannot_undo_it(catalog):
    list(update(described(sequence="2"), catalog))
    (told,) = update(removed("3"), catalog)
    assert told.read(CatalogUpdated).change == "removed"
    assert list(update(removed("3"), catalog)) == []
    assert list(update(described(sequence="2"), catalog)) == []
    assert catalog.get("raw", "k").state == "removed"


def test_a_removal_before_its_creation_keeps_it_out(catalog):
    assert list(update(removed("3"), catalog)) == []
    assert list(update(described(sequence="2"), catalog)) == []
    assert len(list(update(described(sequence="4"), catalog))) == 1


def failed(function: str, about: ObjectVersion | None) -> Event:
    data = DeliveryFailed(event="1", type="t", function=function, cause="it is broken", attempts=1, object=about)
    return Event(id="1", source="/s", type="t").reply(data)


def test_a_broken_object_is_shown_with_its_cause_until_a_newer_one_comes(catalog):
    about = ObjectVersion(bucket="raw", key="k", sequence="2")
    (told,) = update(failed("metadata", about), catalog)
    assert told.read(CatalogUpdated).change == "failed"
    assert (catalog.get("raw", "k").state, catalog.get("raw", "k").cause) == ("failed", "it is broken")
    list(update(described(sequence="3"), catalog))
    assert catalog.get("raw", "k").state == "ready"


def test_failures_elsewhere_say_nothing_of_the_object(catalog):
    catalog.upsert(Entry(bucket="raw", key="k", sequence="2"))
    about = ObjectVersion(bucket="raw", key="k", sequence="2")
    assert list(update(failed("subscription/1", about), catalog)) == []
    assert list(update(failed("ingest", None), catalog)) == []
    assert catalog.get("raw", "k").state == "ready"


def test_what_leaves_the_lakes_own_bucket_is_nobodys_data(catalog):
    record = {"eventName": "ObjectRemoved:Delete", "eventTime": "2026-01-01T00:00:00Z"}
    data = {**record, "s3": {"bucket": {"name": "own"}, "object": {"key": "index/raw/1"}}}
    event = Event(id="1", source="/s", type="com.amazonaws.s3.ObjectRemoved:Delete", subject="index/raw/1", data=data)
    assert list(update(event, catalog, Settings(bucket="own"))) == []
    assert catalog.get("own", "index/raw/1") is None
    list(update(event, catalog, Settings(bucket="other")))
    assert catalog.get("own", "index/raw/1").state == "removed"
