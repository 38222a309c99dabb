"""The catalogue's side of it: the same content is not told twice, and only the current version's end is the object's."""

from __future__ import annotations

import pytest

from events.event import Event
from events.ports import Settings
from events.types import CatalogUpdated, MetadataExtracted
from functions.catalog import catalog as update
from infra.catalog.entries import Entries


@pytest.fixture
def catalog(sqlite_database):
    return Entries(sqlite_database)


def described(sequence: str, **more) -> Event:
    data = {"bucket": "raw", "key": "k", "etag": "e", "size": 1, "sequence": sequence, "digest": "d", "format": "csv"}
    described = MetadataExtracted(**{**data, "content_type": "text/csv", "metadata": {"rows": 1}, **more})
    return Event(id=sequence, source="/s", type="t", subject="k").reply(described)


def removed(sequence: str, version: str = "", name: str = "Delete") -> Event:
    record = {
        "eventName": f"ObjectRemoved:{name}", "eventTime": "2026-01-01T00:00:00Z",
        "s3": {"bucket": {"name": "raw"}, "object": {"key": "k", "versionId": version}},
    }  # fmt: skip
    kind = f"com.amazonaws.s3.ObjectRemoved:{name}"
    return Event(id=sequence, source="/s", type=kind, extensions={"sequence": sequence}, data=record)


def changes(catalog, event: Event) -> list[str]:
    return [reply.read(CatalogUpdated).change for reply in update(event, catalog, Settings())]


@pytest.mark.parametrize("late", ["1", "2", "3"])
def test_the_same_content_is_told_once_whenever_it_comes_again(catalog, late):
    assert changes(catalog, described("2")) == ["upserted"]
    before = catalog.get("raw", "k")
    assert changes(catalog, described(late)) == []
    after = catalog.get("raw", "k")
    assert (after.updated, after.etag, after.sequence) == (before.updated, "e", max("2", late))


@pytest.mark.parametrize("more", [{"etag": "f"}, {"digest": "x"}, {"metadata": {"rows": 2}}, {"user": {"a": "b"}}])
def test_anything_else_is_told(catalog, more):
    assert changes(catalog, described("2")) == ["upserted"]
    assert changes(catalog, described("3", **more)) == ["upserted"]


def test_what_comes_back_with_the_same_content_is_told(catalog):
    assert changes(catalog, described("1")) == ["upserted"]
    assert changes(catalog, removed("2")) == ["removed"]
    assert changes(catalog, described("3")) == ["upserted"]


def test_only_the_end_of_the_current_version_is_the_end_of_the_object(catalog):
    assert changes(catalog, described("1", version="new")) == ["upserted"]
    assert changes(catalog, removed("2", "old")) == []
    assert catalog.get("raw", "k").state == "ready"
    assert changes(catalog, removed("3", "marker", "DeleteMarkerCreated")) == ["removed"]
    assert changes(catalog, described("4", version="newer")) == ["upserted"]
    assert changes(catalog, removed("5", "newer")) == ["removed"]
