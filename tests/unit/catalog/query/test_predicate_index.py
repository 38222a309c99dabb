"""The predicate index finds what looking at every filter finds, whatever was added and removed before."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.catalog.query import Filter, FilterError, bind, fields_of
from infra.catalog.query.predicate_index import PredicateIndex
from tests.unit.catalog.query.conftest import GEOMETRIES, TEXTS, awkward, random_metadata
from tests.unit.catalog.query.test_filter_agreement import filters

FIELDS = fields_of("data-object")


def documents(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "id": "x",
            "key": chance.choice(TEXTS) + "/1",
            "format": one.format,
            "bucket": one.bucket,
            "bytes": one.bytes,
            "name": one.name,
            "tags": one.tags,
            "description": one.description,
            "modified": one.modified,
            "created": "2026-01-01T00:00:00Z",
            "timestamp": one.timestamp,
            "geometry": chance.choice([None, *GEOMETRIES]),
            "metadata": random_metadata(chance),
        }
        for one in awkward(count, seed)
    ]


def understood(asts: list[Any]) -> dict[int, Filter]:
    found = {}
    for i, ast in enumerate(asts):
        try:
            found[i] = bind(ast, FIELDS)
        except FilterError:
            continue
    return found


def brute(known: dict[int, Filter], document: dict[str, Any]) -> set[int]:
    return {id for id, one in known.items() if one.predicate(document)}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(asts=st.lists(filters, min_size=1, max_size=30), seed=st.integers(0, 1000), removed=st.sets(st.integers(0, 29)))
def test_the_index_answers_as_every_filter_would(asts: list[Any], seed: int, removed: set[int]) -> None:
    index = PredicateIndex()
    known = understood(asts)
    for id, one in known.items():
        index.add(id, one)
    several = documents(6, seed)
    for document in several[:3]:
        assert index.match(document) == brute(known, document)
    for id in removed & known.keys():
        index.remove(id)
        del known[id]
    for document in several[3:]:
        assert index.match(document) == brute(known, document)
    assert len(index) == len(known)
    for id in list(known):
        index.remove(id)
    assert not index._readers, "nothing is left of filters that were removed"


def like(chance: random.Random) -> Any:
    """Filters of which many share an equality, so that buckets are large."""
    low, west, south = chance.uniform(-5, 150000), chance.uniform(-2, 9), chance.uniform(-2, 9)
    parts: list[Any] = [{"op": "=", "args": [{"property": "format"}, chance.choice(["csv", "fits"])]}]
    if chance.random() < 0.7:
        parts.append({"op": "between", "args": [{"property": "bytes"}, low, low + chance.choice([1, 1000, 1e6])]})
    if chance.random() < 0.5:
        parts.append({"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [west, south, west + 3, south + 3]}]})
    if chance.random() < 0.2:
        parts.append({"op": "like", "args": [{"property": "key"}, chance.choice(["a%", "b%", "%1"])]})
    if chance.random() < 0.1:
        parts = [{"op": ">", "args": [{"property": "n.x"}, low]}]
    return {"op": chance.choice(["and", "and", "and", "or"]), "args": parts}


def test_large_buckets_change_while_they_are_asked() -> None:
    chance = random.Random(3)
    index, known = PredicateIndex(), {}
    for id in range(3000):
        known[id] = bind(like(chance), FIELDS)
        index.add(id, known[id])
        if chance.random() < 0.3:
            gone = chance.choice(list(known))
            index.remove(gone)
            del known[gone]
        if chance.random() < 0.1:  # replaced in its place
            again = chance.choice(list(known) or [id])
            known[again] = bind(like(chance), FIELDS)
            index.add(again, known[again])
        if id % 100 == 99:
            for document in documents(2, id):
                assert index.match(document) == brute(known, document)


def test_an_equality_that_few_share_keeps_the_others_out_of_sight() -> None:
    looked = 0

    class Counted(dict):
        def get(self, *args: Any) -> Any:
            nonlocal looked
            looked += 1
            return super().get(*args)

    index = PredicateIndex()
    for i in range(2000):
        index.add(i, bind({"op": "and", "args": [
            {"op": "=", "args": [{"property": "format"}, "csv"]}, {"op": "=", "args": [{"property": "bucket"}, f"b{i}"]},
        ]}, FIELDS))  # fmt: skip
    assert index.match(Counted(format="csv", bucket="b77")) == {77}
    assert looked < 50


def test_ranges_that_no_double_can_tell_apart() -> None:
    index = PredicateIndex()
    wanted = {
        (op, 2**53 + i): bind({"op": "and", "args": [
            {"op": "=", "args": [{"property": "site"}, "a"]}, {"op": op, "args": [{"property": "x"}, 2**53 + i]},
        ]}, FIELDS)
        for op in ("<", "<=", ">", ">=", "=") for i in range(-20, 20)
    }  # fmt: skip
    for id, filter in wanted.items():
        index.add(id, filter)
    for i in range(-22, 22):
        document = {"metadata": {"site": "a", "x": 2**53 + i}}
        assert index.match(document) == {id for id, filter in wanted.items() if filter.predicate(document)}, i
