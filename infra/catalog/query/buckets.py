"""The filters that are entered at one place of the predicate index.

What is left to hold of each are ranges of numbers, times and places, values that it must not be, and predicates. In a large
bucket ranges and unequal values are compared for all filters at once, and only what they leave is looked at one by one; a
filter of which nothing is left then is true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from infra.catalog.query import tree
from infra.catalog.query.match import Predicate, Remembered, shape_at
from infra.catalog.query.places import Key, Range, span, value_in

#: Buckets with as few filters are read one by one.
SMALL = 16
#: A range that more than one in so many filters have is laid out for all.
DENSE = 4
#: The code of a value that is not there.
_UNKNOWN = -2


@dataclass(slots=True, eq=False)
class Entry:
    """A branch of a filter at one place, and what must hold there. ``point`` need not hold for a document that is a point."""

    id: Hashable
    values: tuple[Any, ...]
    ranges: tuple[Range, ...]
    unequal: tuple[tuple[tree.Value, Any], ...]
    rest: Predicate | None
    point: Predicate | None
    row: int = -1  #: in the arrays of its bucket


class Asked:
    """A document that is matched, with what has been read of it."""

    def __init__(self, document: Remembered, numbers: dict[Key, int]) -> None:
        self.document = document
        self._numbers = numbers
        self._keys: list[Key] = []
        self._spans: dict[Key, tuple[float, float]] = {}
        self._values: dict[tree.Value, Any] = {}

    @cached_property
    def point(self) -> bool:
        """Whether its place is a point, of which the bounds say all."""
        found = shape_at(self.document)
        return found is not None and found.box and found.bounds[:2] == found.bounds[2:]

    def span(self, key: Key) -> tuple[float, float]:
        known = self._spans.get(key)
        if known is None:
            known = self._spans[key] = span(key, self.document)
        return known

    def spans(self, keys: Any) -> tuple[Any, Any]:
        """The least and the most under many keys, by their numbers."""
        if len(self._keys) < len(self._numbers):  # new ones come when a bucket is laid out
            self._keys = list(self._numbers)
            self._ends, self._read = np.zeros((2, len(self._keys))), np.zeros(len(self._keys), bool)
        for number in keys[~self._read[keys]].tolist():
            self._ends[:, number] = self.span(self._keys[number])
            self._read[number] = True
        return self._ends[0], self._ends[1]

    def value(self, value: tree.Value) -> Any:
        if value not in self._values:
            self._values[value] = value_in(value)(self.document)
        return self._values[value]

    def holds(self, entry: Entry) -> bool:
        """Whether all that an entry has left holds."""
        for key, low, high in entry.ranges:
            least, most = self.span(key)
            if low > most or high < least:
                return False
        for value, unwanted in entry.unequal:
            if (one := self.value(value)) is None or one == unwanted:
                return False
        return self.passes(entry)

    def passes(self, entry: Entry) -> bool:
        """Whether its predicates hold."""
        if entry.rest is not None and not entry.rest(self.document, entry.values):
            return False
        return entry.point is None or self.point or bool(entry.point(self.document, entry.values))


@dataclass(slots=True)
class Bucket:
    """``laid`` are in arrays, those in ``new`` not yet. ``numbers`` are those of the keys of ranges in all buckets."""

    numbers: dict[Key, int]
    entries: dict[Entry, None] = field(default_factory=dict)
    new: dict[Entry, None] = field(default_factory=dict)
    laid: list[Entry] = field(default_factory=list)
    alive: Any = None
    ids: Any = None
    #: Rows of which nothing is left after the ranges and unequal values: of any document, and of a point.
    sure: Any = None
    sure_point: Any = None
    areal: bool = False  #: whether the two differ
    #: Ranges that many filters have, a low and a high end for each row: key, lows, highs.
    dense: list[tuple[Key, Any, Any]] = field(default_factory=list)
    #: All other ranges, one after the other: row, number of the key, low and high end. ``keys`` are these numbers, each once.
    keys: Any = None
    sparse: tuple[Any, ...] = ()
    #: Unequal values likewise: row, place of the value in ``unlike``, code of what it must not be in ``known``.
    unlike: list[tree.Value] = field(default_factory=list)
    codes: tuple[Any, ...] = ()
    known: dict[tuple[int, Any], int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Enter one."""
        self.entries[entry] = self.new[entry] = None

    def remove(self, entry: Entry) -> None:
        """Forget one."""
        del self.entries[entry]
        if entry.row >= 0:
            self.alive[entry.row] = False
        else:
            del self.new[entry]

    def match(self, asked: Asked, found: set[Hashable]) -> None:
        """Add the ids of the filters that are true to ``found``."""
        if len(self.entries) <= SMALL:
            found.update(entry.id for entry in self.entries if entry.id not in found and asked.holds(entry))
            return
        if len(self.new) > SMALL + len(self.laid) // 8 or len(self.laid) > 2 * len(self.entries):
            self._lay_out()
        left = np.flatnonzero(self._possible(asked))
        if len(left):
            sure = (self.sure_point if self.areal and asked.point else self.sure)[left]
            found.update(self.ids[left[sure]].tolist())
            for row in left[~sure].tolist():
                entry = self.laid[row]
                if entry.id not in found and asked.passes(entry):
                    found.add(entry.id)
        found.update(entry.id for entry in self.new if entry.id not in found and asked.holds(entry))

    def _possible(self, asked: Asked) -> Any:
        """The rows whose ranges and unequal values all hold."""
        possible = self.alive.copy()
        for key, lows, highs in self.dense:
            least, most = asked.span(key)
            possible &= lows <= most
            possible &= highs >= least
        if self.sparse:
            rows, keys, lows, highs = self.sparse
            least, most = asked.spans(self.keys)
            possible[rows[(lows > most[keys]) | (highs < least[keys])]] = False
        if self.unlike:
            rows, places, codes = self.codes
            ones = [asked.value(value) for value in self.unlike]
            mine = np.array([_UNKNOWN if one is None else self.known.get((i, one), -1) for i, one in enumerate(ones)])[places]
            possible[rows[(mine == codes) | (mine == _UNKNOWN)]] = False
        return possible

    def _lay_out(self) -> None:
        self.laid, self.new = list(self.entries), {}
        many = len(self.laid)
        self.alive = np.ones(many, bool)
        self.ids = np.empty(many, object)
        used = Counter(key for entry in self.laid for key, _, _ in entry.ranges)
        ends = {key: (np.full(many, -inf), np.full(many, inf)) for key, count in used.items() if count * DENSE > many}
        numbers = {key: self.numbers.setdefault(key, len(self.numbers)) for key in used if key not in ends}
        unlike: dict[tree.Value, int] = {}
        self.known = {}
        sparse: list[tuple[int, int, float, float]] = []
        codes: list[tuple[int, int, int]] = []
        for row, entry in enumerate(self.laid):
            entry.row = row
            self.ids[row] = entry.id
            for key, low, high in entry.ranges:
                if key in ends:
                    ends[key][0][row], ends[key][1][row] = low, high
                else:
                    sparse.append((row, numbers[key], low, high))
            for value, unwanted in entry.unequal:
                place = unlike.setdefault(value, len(unlike))
                codes.append((row, place, self.known.setdefault((place, unwanted), len(self.known))))
        self.dense = [(key, lows, highs) for key, (lows, highs) in ends.items()]
        self.keys, self.unlike = np.array(list(numbers.values()), np.intp), list(unlike)
        self.sparse = _columns(sparse, (np.intp, np.intp, float, float))
        self.codes = _columns(codes, (np.intp, np.intp, np.int64))
        self.sure_point = np.fromiter((entry.rest is None for entry in self.laid), bool, many)
        self.sure = self.sure_point & np.fromiter((entry.point is None for entry in self.laid), bool, many)
        self.areal = bool((self.sure != self.sure_point).any())


def _columns(rows: list[Any], types: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(np.array(column, type_) for column, type_ in zip(zip(*rows, strict=True), types, strict=True)) if rows else ()
