"""What every catalogue backend must do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Catalog, Entry, Query
from infra.catalog.entries import Entries


@pytest.fixture
def catalog(database):
    return Entries(database)


def entry(key: str, **more) -> Entry:
    return Entry(**{"bucket": "b", "key": key, "sequence": "1", "format": "csv", **more})


def keys(found: list[Entry]) -> list[str]:
    return [each.key for each in found]


def test_it_is_a_catalog(catalog):
    assert isinstance(catalog, Catalog)


def test_an_entry_comes_back_whole(catalog):
    stored = entry("ü/日本.txt", metadata={"rows": 5, "columns": [{"name": "x"}]}, user={"who": "me"}, index="i", size=2**40)
    assert catalog.upsert(stored)
    assert catalog.get("b", "ü/日本.txt") == stored
    assert catalog.get("b", "other") is None


def test_an_older_change_never_replaces_a_newer_one(catalog):
    assert catalog.upsert(entry("k", sequence="2", etag="new"))
    assert not catalog.upsert(entry("k", sequence="1", etag="old"))
    assert catalog.upsert(entry("k", sequence="2", etag="again"))
    assert catalog.get("b", "k").etag == "again"


def test_a_tombstone_keeps_older_changes_out_and_is_not_listed(catalog):
    catalog.upsert(entry("k", sequence="2", state="removed"))
    assert not catalog.upsert(entry("k", sequence="1"))
    assert catalog.search(Query()) == []
    assert keys(catalog.search(Query(state="removed"))) == ["k"]
    assert catalog.upsert(entry("k", sequence="3"))
    assert keys(catalog.search(Query())) == ["k"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(range(6)))
def test_any_order_of_changes_ends_in_the_newest(catalog, order):
    key = "".join(map(str, order))
    for number in order:
        catalog.upsert(entry(key, sequence=f"{number}", etag=f"{number}", state="removed" if number % 2 else "ready"))
    found = catalog.get("b", key)
    assert found is not None
    assert found.etag == "5"


def test_search_by_each_field(catalog):
    catalog.upsert(entry("a/1.csv", metadata={"rows": 10, "wcs": {"ctype": "RA"}}, modified="2026-01-01T00:00:00Z"))
    catalog.upsert(entry("a/2.fits", format="fits", metadata={"rows": 20}, modified="2026-02-01T00:00:00Z"))
    catalog.upsert(entry("c_%.csv", bucket="z", state="failed", metadata={"rows": 1.5, "ok": True, "columns": [{"name": "t"}]}))
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"bucket": "b"}, ["a/1.csv", "a/2.fits"]),
        ({"prefix": "a/"}, ["a/1.csv", "a/2.fits"]),
        ({"prefix": "c_%"}, ["c_%.csv"]),
        ({"prefix": "c%"}, []),
        ({"name": "*.csv"}, ["a/1.csv", "c_%.csv"]),
        ({"format": "fits"}, ["a/2.fits"]),
        ({"state": "failed"}, ["c_%.csv"]),
        ({"since": "2026-01-15T00:00:00Z"}, ["a/2.fits"]),
        ({"until": "2026-01-15T00:00:00Z", "bucket": "b"}, ["a/1.csv"]),
        ({"where": {"rows>=": 10}}, ["a/1.csv", "a/2.fits"]),
        ({"where": {"rows>": 10}}, ["a/2.fits"]),
        ({"where": {"rows": 10}}, ["a/1.csv"]),
        ({"where": {"rows<": 2}}, ["c_%.csv"]),
        ({"where": {"rows!=": 10}}, ["a/2.fits", "c_%.csv"]),
        ({"where": {"wcs.ctype": "RA"}}, ["a/1.csv"]),
        ({"where": {"ok": True}}, ["c_%.csv"]),
        ({"where": {"columns.0.name": "t"}}, ["c_%.csv"]),
        ({"where": {"nothing": 1}}, []),
        ({"where": {"rows>": 5, "rows<": 15}}, ["a/1.csv"]),
    ]
    for query, expected in cases:
        assert keys(catalog.search(Query(**query))) == expected, query


def test_times_are_compared_as_moments_whatever_their_form(catalog):
    for key, modified in {"a": "2026-03-01T10:00:00Z", "b": "2026-03-01T10:00:00.5Z", "c": "2026-03-01T12:30:00+02:00"}.items():
        catalog.upsert(entry(key, modified=modified))
    assert keys(catalog.search(Query(since="2026-03-01T12:00:00+02:00"))) == ["a", "b", "c"]
    assert keys(catalog.search(Query(since="2026-03-01T10:00:00.25Z"))) == ["b", "c"]
    assert keys(catalog.search(Query(until="2026-03-01T11:30:00.000+01:00"))) == ["a", "b"]
    assert keys(catalog.search(Query(since="2026-03-01", until="2026-03-02"))) == ["a", "b", "c"]
    assert keys(catalog.search(Query(until="2026-03-01"))) == []


def test_pages_join_without_gap_or_repetition(catalog):
    names = [f"{random.Random(7).random()}-{n}/x" for n in range(25)]
    for name in names:
        catalog.upsert(entry(name))
    found, after = [], ""
    while page := catalog.search(Query(limit=4, after=after)):
        found += keys(page)
        after = f"{page[-1].bucket}/{page[-1].key}"
    assert found == sorted(names)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 10**9},
        {"where": {'a"b': 1}},
        {"where": {"a": [1]}},
        {"where": {"": 1}},
        {"where": {"\\": 1}},
        {"where": {"a": 2**63}},
        {"since": "yesterday"},
        {"until": "2026-02-30"},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(catalog, query):
    with pytest.raises(Reject):
        catalog.search(Query(**query))


@pytest.mark.parametrize("text", ["x'; DROP TABLE entry; --", "$", "a.b.c", "[0]", "%", "日"])
def test_text_is_never_code(catalog, text):
    catalog.upsert(entry("k", metadata={text: 1}))
    catalog.search(Query(where={text: 1}, name=text, prefix=text, bucket=text, format=text, after=text))
    assert catalog.get("b", "k") is not None
