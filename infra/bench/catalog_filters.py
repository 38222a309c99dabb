"""One object against very many stored filters: of each shape alone, and of a mix of all as a lake would have them.

Most of a mix are filters of pipelines (an equality and something more); a shape of which half of the filters match is told
apart, as there the answer itself is the work.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from infra.bench.catalog_data import WORDS, objects
from infra.catalog.query import bind, fields_of, parse
from infra.catalog.query.predicate_index import PredicateIndex

EVENTS = 200
_FIELDS = fields_of("data-object")


class Shape(NamedTuple):
    """A shape of filter, how many in a hundred of the mix have it, and one of them as CQL2 text."""

    name: str
    share: int
    make: Callable[[random.Random, int], str]


def _site(number: random.Random) -> str:
    return f"site = 'site{number.randrange(50)}'"


def _day(number: random.Random) -> str:
    return f"2025-{number.randrange(1, 13):02d}-{number.randrange(1, 29):02d}"


def _box(number: random.Random) -> str:
    west, south = number.uniform(-180, 178), number.uniform(-85, 83)
    return f"BBOX({west:.3f}, {south:.3f}, {west + 2:.3f}, {south + 2:.3f})"


def _span(number: random.Random) -> str:
    day, hour = _day(number), number.randrange(22)
    return f"T_INTERSECTS(time, INTERVAL('{day}T{hour:02d}:00:00Z', '{day}T{hour + 2:02d}:00:00Z'))"


def _ranges(number: random.Random) -> str:
    low, gain = number.randrange(10**9), number.uniform(0, 999)
    return f"(bytes BETWEEN {low} AND {low + 10**6}) OR (gain BETWEEN {gain:.2f} AND {gain + 0.01:.2f})"


def _keys(number: random.Random) -> str:
    low = number.randrange(10**6)
    return f"m{number.randrange(40)} BETWEEN {low} AND {low + 1000}"


SHAPES = [
    Shape("= and range", 34, lambda number, many: f"{_site(number)} AND cloud < {number.uniform(0, 2):.3f}"),
    Shape("= and two ranges", 10, lambda number, many: f"{_site(number)} AND cloud > 98 AND gain > {number.randrange(1000)}"),
    Shape("= and IN", 12, lambda number, many: f"run = 'r{number.randrange(many)}' AND level IN ('L1', 'L2')"),
    Shape("box", 6, lambda number, many: f"S_INTERSECTS(geometry, {_box(number)})"),
    Shape("LIKE 'x%'", 6, lambda number, many: f"key LIKE 'raw/{number.randrange(997)}/{number.randrange(many):08d}%'"),
    Shape("LIKE '%x%'", 5, lambda number, many: f"key LIKE '%{number.randrange(many):08d}%'"),
    Shape("CASEI", 5, lambda number, many: f"CASEI(serial) = CASEI('S{number.randrange(many):08d}')"),
    Shape("T_INTERSECTS", 5, lambda number, many: _span(number)),
    Shape("fulltext('w*')", 4, lambda number, many: f"fulltext('{number.choice(WORDS)}{number.randrange(many)}*')"),
    Shape("= and <>", 4, lambda number, many: f"run = 'r{number.randrange(many)}' AND level <> 'L{number.randrange(3)}'"),
    Shape("= and NOT", 4, lambda number, many: f"run = 'r{number.randrange(many)}' AND NOT (level = 'L0' OR cloud > 50)"),
    Shape("OR of ranges", 3, lambda number, many: _ranges(number)),
    Shape("40 range keys", 2, lambda number, many: _keys(number)),
]
#: A large part of the filters is true of each object, or has one equality in common and must be looked at.
DENSE = [
    Shape("bytes > N, half match", 0, lambda number, many: f"bytes > {number.randrange(10**9)}"),
    Shape("one = and <>, 2 in 3 match", 0, lambda number, many: f"format = 'fits' AND level <> 'L{number.randrange(3)}'"),
    Shape("one = and NOT, half match", 0, lambda number, many: f"format = 'fits' AND NOT (gain > {number.randrange(1000)})"),
]


def mixed(number: random.Random, many: int) -> str:
    """One of the mix."""
    return number.choices(SHAPES, [shape.share for shape in SHAPES])[0].make(number, many)


def medians(many: int) -> Iterator[tuple[str, float]]:
    """The median of one object against so many filters of each shape, in ms."""
    for shape in (*SHAPES, *DENSE):
        yield shape.name, matching(many, shape.make)


def matching(many: int, make: Callable[[random.Random, int], str] = mixed) -> float:
    """The median of one object against so many stored filters, in ms."""
    number, index = random.Random(5), PredicateIndex()
    for i in range(many):
        index.add(i, bind(parse(make(number, many)), _FIELDS))
    documents = [_document(each) for each in objects(EVENTS)]
    for document in documents:  # the first to come to a bucket lays out what was added
        index.match(document)
    gc.collect()
    seconds = []
    for document in documents:
        begun = time.perf_counter()
        index.match(document)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) * 1e3


def _document(each: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(each)
    found["metadata"].update({f"m{i}": hash((each.key, i)) % 10**6 for i in range(40)})
    return found
