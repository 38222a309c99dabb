"""Integers of 64 bits in metadata are exact in every comparison, order and page; what has more bits is refused."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import Reject
from events.ports import Entry, Query
from infra.catalog.acl import SYSTEM, Caller
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.query import fields_of, parse
from infra.catalog.query.filter import bind
from infra.catalog.resources import DataRecord
from infra.catalog.search import Search
from infra.catalog.store import Store

ANN = Caller(frozenset(("user/ann", "group/anyone")))
#: One beside the other where doubles are two, 512 and 2048 apart.
NUMBERS = [
    2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**62, 2**62 + 1, 2**63 - 1, -(2**53) - 1, -(2**63), -(2**63) + 1, 0, 0.5, 1e300,
    -1e300, float(2**60), 2**60 + 1,
]  # fmt: skip


@pytest.fixture
def store(database: Database) -> Store:
    made = Store(database)
    for number in NUMBERS:
        made.create(DataRecord(name=str(number), metadata={"x": number, "list": [number], "deep": {"y": number}}), ANN)
    return made


def told(document: dict[str, Any]) -> float:
    """The number of a resource. PostgreSQL writes 1e300 with all its zeros."""
    number: float = document["metadata.x"]
    return float(number) if abs(number) > 2**63 else number


def found(store: Store, filter: str | dict[str, Any], lang: str = "") -> list[float]:
    page = store.search("data-record", Search(filter=parse(filter, lang), select=["metadata.x"]), ANN)
    return sorted(map(told, page.items))


@pytest.mark.parametrize("number", [n for n in NUMBERS if isinstance(n, int)])
def test_a_comparison_tells_neighbours_apart(store: Store, number: int) -> None:
    for op, holds in (
        ("=", lambda one: one == number), ("<>", lambda one: one != number), ("<", lambda one: one < number),
        ("<=", lambda one: one <= number), (">", lambda one: one > number), (">=", lambda one: one >= number),
    ):  # fmt: skip
        expected = sorted(one for one in NUMBERS if holds(one))
        wanted = {"op": op, "args": [{"property": "x"}, number]}
        assert found(store, wanted) == expected, op
        if number != -(2**63):  # CQL2 text has no such literal: its minus is an operator
            assert found(store, f"x {op} {number}") == expected, op
        document = bind(wanted, fields_of("data-record")).predicate
        assert sorted(one for one in NUMBERS if document({"metadata": {"x": one}})) == expected, op
    assert found(store, f"x IN (1, {abs(number)})") == sorted(one for one in NUMBERS if one == abs(number))
    assert found(store, f"x BETWEEN {abs(number)} AND {abs(number)}") == sorted(one for one in NUMBERS if one == abs(number))
    assert found(store, {"op": "a_contains", "args": [{"property": "list"}, [number]]}) == [number]
    assert found(store, {"op": "=", "args": [{"property": "deep.y"}, number]}) == [number]


def test_what_stands_in_for_an_integer_is_not_what_the_filter_has(store: Store) -> None:
    assert found(store, f"x = {2**53 + 1} AND x > 1e-280 AND 2e-280 < x AND name <> '{2**53 + 3}'") == [2**53 + 1]
    assert found(store, f"x = {2**53 + 1} AND x < 1e-280") == []
    assert found(store, f"-x = -{2**53 + 2}") == [2**53 + 2]


def test_cimi_tells_neighbours_apart(store: Store) -> None:
    assert found(store, f"metadata/x = {2**53 + 1}", "cimi") == [2**53 + 1]
    assert found(store, f"metadata/x > {2**62}", "cimi") == [2**62 + 1, 2**63 - 1, 1e300]


@pytest.mark.parametrize("descending", [False, True])
def test_pages_are_in_the_order_of_the_numbers(store: Store, descending: bool) -> None:
    seen: list[float] = []
    after = ""
    while True:
        wanted = Search(orderby=[("x", descending)], limit=3, after=after, select=["metadata.x"])
        page = store.search("data-record", wanted, ANN)
        seen += map(told, page.items)
        if not (after := page.next):
            break
    assert seen == sorted(NUMBERS, reverse=descending)


def test_the_least_the_most_and_the_terms_are_exact(store: Store) -> None:
    wanted = Search(filter=parse("x > 1 AND x < 1e200"), aggregation=[("min", "x"), ("max", "x"), ("terms", "x")])
    answers = store.aggregate("data-record", wanted, ANN)["aggregations"]
    assert (answers["min:x"], answers["max:x"]) == (2**53 - 1, 2**63 - 1)
    assert sorted(one["value"] for one in answers["terms:x"]) == sorted(one for one in NUMBERS if 1 < one < 1e200)


@pytest.mark.parametrize("large", [2**63, -(2**63) - 1, 10**400])
@pytest.mark.parametrize("metadata", [lambda n: {"x": n}, lambda n: {"a": {"b": [1, n]}}])
def test_what_has_more_bits_is_refused(store: Store, large: int, metadata: Any) -> None:
    with pytest.raises(Reject, match="64 bits"):
        store.create(DataRecord(metadata=metadata(large)), ANN)


def test_what_a_file_says_is_never_refused(database: Database) -> None:
    entries = Entries(database)
    for key, number in {"one": 2**63 - 1, "two": 2**63, "three": 2**53 + 1, "four": float(2**62)}.items():
        entries.upsert(Entry(bucket="b", key=key, state="ready", sequence="1", metadata={"n": number}))
    assert [each.key for each in entries.search(Query(where={"n": 2**63 - 1}))] == ["one"]
    assert [each.key for each in entries.search(Query(where={"n": 2**53 + 1}))] == ["three"]
    assert [each.key for each in entries.search(Query(where={"n": 2**62}))] == ["four"]
    wanted = Search(filter={"op": ">=", "args": [{"property": "n"}, 2.0**63]}, select=["key"])
    assert [item["key"] for item in Store(database).search("data-object", wanted, SYSTEM).items] == ["two"]
