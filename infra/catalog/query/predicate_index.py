"""Which of very many stored filters does a document match?

Each filter is taken apart into branches (``branches.py``), and each branch is entered at the values that a document must have
for it to be true (``places.py``): at those that the fewest filters share. A document's values lead to these buckets
(``buckets.py``), where what is left of each branch is held against it; what its place says of it already is not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import inf
from typing import Any

from infra.catalog.query import tree
from infra.catalog.query.binder import both
from infra.catalog.query.branches import branches
from infra.catalog.query.buckets import Asked, Bucket, Entry
from infra.catalog.query.filter import Filter
from infra.catalog.query.match import Document, Predicate, Remembered, predicate_of
from infra.catalog.query.patterns import Pattern
from infra.catalog.query.places import EVERYWHERE, Key, Option, Place, Range, compared, options, ranges, reader, reads, start


class _Reader:
    """The buckets under one key, and how the values that lead to them are read from a document."""

    def __init__(self, key: Key) -> None:
        self.read = reader(key)
        self.buckets: dict[Any, Bucket] = {}


class PredicateIndex:
    """Filters by id, for one kind of resource. One thread at a time may use it."""

    def __init__(self) -> None:
        self._readers: dict[Key, _Reader] = {}
        self._numbers: dict[Key, int] = {}
        self._entries: dict[Hashable, list[tuple[Place, Entry]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, id: Hashable, filter: Filter) -> None:
        """Enter a filter, in the place of an earlier one with this id."""
        self.remove(id)
        pairs = zip(filter.types, filter.literal_values, strict=True)
        values = tuple(Pattern(value) if type_ == "pattern" else value for type_, value in pairs)
        mine = self._entries[id] = []
        for branch in branches(filter.tree):
            option, left = self._chosen(branch)
            for place in option.places:
                entry = _entry(id, values, left)
                mine.append((place, entry))
                self._bucket(place).add(entry)

    def remove(self, id: Hashable) -> None:
        """Forget a filter; one that is not there is no error."""
        for (key, value), entry in self._entries.pop(id, ()):
            found = self._readers[key]
            bucket = found.buckets[value]
            bucket.remove(entry)
            if not bucket.entries:
                del found.buckets[value]
                if not found.buckets:
                    del self._readers[key]

    def match(self, document: Document) -> set[Hashable]:
        """The ids of all filters that are true for a resource's JSON."""
        found: set[Hashable] = set()
        asked = Asked(Remembered(document), self._numbers)
        for each in self._readers.values():
            buckets = each.buckets
            for value in each.read(asked.document):
                if (bucket := buckets.get(value)) is not None:
                    bucket.match(asked, found)
        return found

    def _bucket(self, place: Place) -> Bucket:
        key, value = place
        found = self._readers.get(key)
        if found is None:
            found = self._readers[key] = _Reader(key)
        bucket = found.buckets.get(value)
        if bucket is None:
            bucket = found.buckets[value] = Bucket(self._numbers)
        return bucket

    def _chosen(self, branch: list[tree.Condition]) -> tuple[Option, list[tree.Condition]]:
        """Where to enter a branch, and which of its conditions that leaves."""
        ways = [(option, [item] if option.exact else []) for item in branch for option in options(item)]
        bounds: dict[tree.Value, list[tuple[str, tree.Condition]]] = {}
        for item in branch:
            found = compared(item)
            if found is not None and found[0] in (">=", "<") and found[2].type == "text":
                bounds.setdefault(found[1], []).append((found[2].value, item))
        for value, ends in bounds.items():
            if len(ends) == 2 and (text := start(ends[0][0], ends[1][0])):
                ways.append((Option((((value, f"start {len(text)}"), text),), True), [item for _, item in ends]))
        if not ways:
            there = dict.fromkeys(place for item in branch for place in reads(item))
            ways = [(Option((place,), False), []) for place in there] or [(Option((EVERYWHERE,), False), [])]
        option, said = min(ways, key=lambda way: self._price(way[0].places))
        return option, [item for item in branch if all(item is not one for one in said)]

    def _price(self, places: Iterable[Place]) -> int:
        total = 0
        for key, value in places:
            found = self._readers.get(key)
            bucket = found.buckets.get(value) if found else None
            total += 1 + (len(bucket.entries) if bucket else 0)
        return total


def _entry(id: Hashable, values: tuple[Any, ...], left: list[tree.Condition]) -> Entry:
    """What a branch has left, in the forms that a bucket can tell quickly."""
    bounds: dict[Key, tuple[float, float]] = {}
    unequal: dict[tree.Value, Any] = {}
    rest: list[tree.Condition] = []
    point: list[tree.Condition] = []
    for item in left:
        found = compared(item)
        if found is not None and found[0] == "<>" and found[1] not in unequal:
            unequal[found[1]] = found[2].value
            continue
        several, exact = ranges(item)
        for key, low, high in several:
            least, most = bounds.get(key, (-inf, inf))
            bounds[key] = max(least, low), min(most, high)
        if exact != "always":
            (point if exact == "point" else rest).append(item)
    together = tuple(Range(key, low, high) for key, (low, high) in bounds.items())
    return Entry(id, values, together, tuple(unequal.items()), _predicate(rest), _predicate(point))


def _predicate(items: list[tree.Condition]) -> Predicate | None:
    return predicate_of(both(tuple(items))) if items else None
