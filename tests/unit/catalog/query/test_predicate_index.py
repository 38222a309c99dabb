"""The predicate index finds what looking at every filter finds, whatever was added and removed before."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.catalog.query import Filter, FilterError, bind, buckets, fields_of, parse, predicate_index
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
@given(
    asts=st.lists(filters, min_size=1, max_size=30),
    seed=st.integers(0, 1000),
    removed=st.sets(st.integers(0, 29)),
    small=st.sampled_from([0, 16]),
)
def test_the_index_answers_as_every_filter_would(asts: list[Any], seed: int, removed: set[int], small: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(buckets, "SMALL", small)  # with 0, all are in arrays
        answers_as_every_filter_would(asts, seed, removed)


def answers_as_every_filter_would(asts: list[Any], seed: int, removed: set[int]) -> None:
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
        pattern = chance.choice(["a%", "b%", "%1", "%b%", "a%1", "_b%", "%é/_%"])
        parts.append({"op": "like", "args": [{"property": "key"}, pattern]})
    if chance.random() < 0.3:
        name = {"property": chance.choice(["bucket", "a", "n.x"])}
        parts.append({"op": chance.choice(["<>", "="]), "args": [name, chance.choice(["lake", "b'", "a", "5"])]})
    if chance.random() < 0.2:
        parts.append({"op": "not", "args": [{"op": "or", "args": parts[1:] or parts[:]}]})
    if chance.random() < 0.1:
        parts.append({"op": "fulltext", "args": [chance.choice(["words", "wor*", "grö* of", "日*", "a1*"])]})
    if chance.random() < 0.1:
        parts.append({"op": "like", "args": [{"op": "casei", "args": [{"property": "name"}]}, chance.choice(["a%", "%b%"])]})
    if chance.random() < 0.1:
        ends = sorted(chance.sample(["2024-02-29", "2026-01-01", "2026-03-01T12:00:00Z", "9999-12-31"], 2))
        parts.append({"op": "t_intersects", "args": [{"property": "time"}, {"interval": ends}]})
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
    asts = [parse(f"format = 'csv' AND bucket = 'b{i}'") for i in range(2000)]
    matching, looked = looked_at(asts, {"format": "csv", "bucket": "b77"})
    assert (matching, looked <= 2) == ({77}, True)


#: Shapes of filters of which no more than a few may be looked at one by one.
SHAPES = [
    "bytes > {i}",
    "bytes BETWEEN {i} AND 1{i}",
    "format = 'csv' AND bytes > {i}",
    "format = 'csv' AND name <> 'n{i}'",
    "format = 'csv' AND NOT name = 'n{i}'",
    "format = 'csv' AND NOT (bytes > {i} OR name = 'n{i}')",
    "k{k} >= {i}",
    "format = 'csv' AND k{k} >= {i} AND bytes < 1000",
    "rows < {i} OR bytes BETWEEN {i} AND {i}",
    "key LIKE '%x{i}y%'",
    "key LIKE '%{i}y.csv'",
    "key LIKE 'raw/x{i}y%'",
    "CASEI(name) = CASEI('N{i}')",
    "ACCENTI(CASEI(name)) LIKE '%{i}%'",
    "fulltext('word{i}*')",
    "fulltext('word{i}')",
    "time > DATE('2020-01-01') AND T_INTERSECTS(time, INTERVAL('20{y}-01-01', '20{y}-02-01'))",
    "S_INTERSECTS(geometry, BBOX({y}, 0, {y}.5, 60))",
    "S_WITHIN(geometry, BBOX({y}, 0, {y}.5, 60)) AND bytes > 5",
    "A_CONTAINS(tags, ('t{i}'))",
    "missing IS NULL AND name = 'n{i}'",
    "NOT ok AND bytes > {i}",
]


def looked_at(asts: list[Any], document: dict[str, Any]) -> tuple[set[Any], int]:
    """What matches, and how many filters were looked at one by one for it; the first time buckets are laid out."""
    index = PredicateIndex()
    for i, ast in enumerate(asts):
        index.add(i, bind(ast, FIELDS))
    index.match(document)
    looked = 0

    class Counted(buckets.Asked):
        def passes(self, entry: Any) -> bool:
            nonlocal looked
            looked += 1
            return super().passes(entry)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(predicate_index, "Asked", Counted)
        return index.match(document), looked


@pytest.mark.parametrize("shape", SHAPES)
def test_of_common_shapes_few_filters_are_looked_at_one_by_one(shape: str) -> None:
    document = {
        "id": "x", "format": "csv", "bytes": 777, "name": "n777", "key": "raw/x777y.csv", "tags": ["t5", "u"],
        "description": "word12345 and more", "timestamp": "2050-01-15T00:00:00Z",
        "geometry": {"type": "Point", "coordinates": [50.25, 7]},
        "metadata": {"rows": 10, "ok": False, **{f"k{k}": 1000 + k for k in range(40)}},
    }  # fmt: skip
    asts = [parse(shape.format(i=i, k=i % 40, y=i % 100 if i % 100 > 9 else 10)) for i in range(2000)]
    matching, looked = looked_at(asts, document)
    assert matching == brute(dict(enumerate(bind(ast, FIELDS) for ast in asts)), document)
    assert looked <= 150, "those that were added last, and a few more"


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
