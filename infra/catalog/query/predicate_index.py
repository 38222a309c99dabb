"""Which of very many stored filters does a document match?

Each filter is entered under an equality (or the start of a text) that a document must meet for it to be true: the one that
the fewest filters share. A document's values lead to these buckets. Within a large bucket, ranges of numbers and times and
the bounds of places are compared for all filters at once; the predicates of those that are left decide. IN and OR are several
entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import Any

import numpy as np

from infra.catalog.query import tree
from infra.catalog.query.fields import Field
from infra.catalog.query.filter import Filter
from infra.catalog.query.geometry import shape
from infra.catalog.query.match import Document, Predicate, element, getter, predicate_of, words_of
from infra.catalog.query.numbers import EXACT
from infra.catalog.query.patterns import beyond

Key = tuple[Field, str]
#: A document's value is at least and at most this.
Ranges = dict[Key, tuple[float, float]]
#: Where a filter is entered: a field as a type (or ``start N``: its first N characters), and the value there.
Place = tuple[Key, Any]
#: Filters with more alternatives than this are entered once, under none of them.
MOST = 64
#: Buckets with fewer filters are read one by one.
SMALL = 48
_NUMERIC = ("number", "integer", "time")
_EVERYWHERE: Place = ((Field("any", (), ()), "everywhere"), None)


@dataclass(slots=True)
class _Entry:
    """A filter in the index; ``ranges`` belong to its place. ``exact``: it is true just where it is met and they hold."""

    id: Hashable
    predicate: Predicate
    values: tuple[Any, ...]
    ranges: tuple[tuple[Key, float, float], ...]
    exact: bool


@dataclass(slots=True)
class _Bucket:
    """The filters entered under one place. The first ``len(ids)`` are laid out in arrays, those in ``new`` not yet."""

    entries: dict[Hashable, _Entry] = field(default_factory=dict)
    laid: list[_Entry] = field(default_factory=list)
    new: list[_Entry] = field(default_factory=list)
    bounds: dict[Key, tuple[Any, Any]] = field(default_factory=dict)
    sure: list[bool] = field(default_factory=list)

    def add(self, entry: _Entry) -> None:
        self.entries[entry.id] = entry
        self.new.append(entry)

    def candidates(self, span: Callable[[Key], tuple[float, float]]) -> Iterator[tuple[_Entry, bool]]:
        """The filters whose ranges leave them possible, and whether they are sure to be true."""
        if len(self.entries) <= SMALL:
            yield from ((entry, False) for entry in self.entries.values())
            return
        if len(self.new) > SMALL + len(self.laid) // 8 or len(self.laid) > 2 * len(self.entries):
            self._lay_out()
        entries = self.entries
        if self.bounds:
            possible = np.ones(len(self.laid), bool)
            for key, (low, high) in self.bounds.items():
                least, most = span(key)
                possible &= (low <= most) & (high >= least)
            for place in np.nonzero(possible)[0].tolist():
                if entries.get((entry := self.laid[place]).id) is entry:
                    yield entry, self.sure[place]
        else:
            yield from ((entry, False) for entry in self.laid if entries.get(entry.id) is entry)
        yield from ((entry, False) for entry in self.new if entries.get(entry.id) is entry)

    def _lay_out(self) -> None:
        self.laid, self.new = list(self.entries.values()), []
        used = Counter(key for entry in self.laid for key, _, _ in entry.ranges)
        often = [key for key, count in used.most_common(8) if count * 16 >= len(self.laid)]
        self.bounds = {key: (np.full(len(self.laid), -inf), np.full(len(self.laid), inf)) for key in often}
        self.sure = [entry.exact and all(key in self.bounds for key, _, _ in entry.ranges) for entry in self.laid]
        for place, entry in enumerate(self.laid):
            for key, low, high in entry.ranges:
                if key in self.bounds:
                    self.bounds[key][0][place], self.bounds[key][1][place] = low, high


class _Reader:
    """The buckets under one key, and how the values that lead to them are read from a document."""

    def __init__(self, key: Key) -> None:
        self.read = _reader(key)
        self.buckets: dict[Any, _Bucket] = {}


class PredicateIndex:
    """Filters by id, for one kind of resource. One thread at a time may use it."""

    def __init__(self) -> None:
        self._readers: dict[Key, _Reader] = {}
        self._places: dict[Hashable, tuple[Place, ...]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, id: Hashable, filter: Filter) -> None:
        """Enter a filter, in the place of an earlier one with this id."""
        self.remove(id)
        values, predicate = filter.literal_values, predicate_of(filter.tree)
        ways, exact = self._ways(filter.tree), _exact(filter.tree)
        if len(ways) > MOST:
            ways = {_EVERYWHERE: {}}
        for (key, value), ranges in ways.items():
            reader = self._readers.get(key)
            if reader is None:
                reader = self._readers[key] = _Reader(key)
            bucket = reader.buckets.get(value)
            if bucket is None:
                bucket = reader.buckets[value] = _Bucket()
            bucket.add(_Entry(id, predicate, values, tuple((key, low, high) for key, (low, high) in ranges.items()), exact))
        self._places[id] = tuple(ways)

    def remove(self, id: Hashable) -> None:
        """Forget a filter; one that is not there is no error."""
        for key, value in self._places.pop(id, ()):
            reader = self._readers[key]
            bucket = reader.buckets[value]
            del bucket.entries[id]
            if not bucket.entries:
                del reader.buckets[value]
                if not reader.buckets:
                    del self._readers[key]

    def match(self, document: Document) -> set[Hashable]:
        """The ids of all filters that are true for a resource's JSON."""
        found: set[Hashable] = set()
        spans: dict[Key, tuple[float, float]] = {}

        def span(key: Key) -> tuple[float, float]:
            known = spans.get(key)
            if known is None:
                known = spans[key] = _span(key, document)
            return known

        for reader in self._readers.values():
            for value in reader.read(document):
                if (bucket := reader.buckets.get(value)) is not None:
                    for entry, sure in bucket.candidates(span):
                        if sure or (entry.id not in found and entry.predicate(document, entry.values)):
                            found.add(entry.id)
        return found

    def _ways(self, condition: tree.Condition) -> dict[Place, Ranges]:
        """Places, one of which a document must meet for the condition to be true, each with the ranges that then hold."""
        if isinstance(condition, tree.Or):
            found: dict[Place, Ranges] = {}
            for item in condition.items:
                for place, ranges in self._ways(item).items():
                    found[place] = _either(found[place], ranges) if place in found else ranges
            return found
        items = condition.items if isinstance(condition, tree.And) else (condition,)
        if any(isinstance(item, tree.Always) and not item.value for item in items):
            return {}
        mine: Ranges = {}
        best: list[Place] = [_EVERYWHERE]
        cost = inf
        starts: dict[Field, list[str]] = {}
        for item in items:
            for key, low, high in _ranges(item):
                least, most = mine.get(key, (-inf, inf))
                mine[key] = max(least, low), min(most, high)
            places = list(self._ways(item)) if isinstance(item, tree.Or) else _places(item)
            for bounded, text in _text_bound(item):
                starts.setdefault(bounded, []).append(text)
            if places and _EVERYWHERE not in places and (price := self._price(places)) < cost:
                best, cost = places, price
        for field_, ends in starts.items():
            if len(ends) == 2 and (start := _common(*ends)):
                places = [((field_, f"start {len(start)}"), start)]
                if (price := self._price(places)) < cost:
                    best, cost = places, price
        return dict.fromkeys(best, mine)

    def _price(self, places: Iterable[Place]) -> float:
        total = 0
        for key, value in places:
            reader = self._readers.get(key)
            bucket = reader.buckets.get(value) if reader else None
            total += 1 + (len(bucket.entries) if bucket else 0)
        return total


def _places(item: tree.Condition) -> list[Place]:
    """Equalities, one of which must hold for a condition to be true; none if it has no such."""
    if isinstance(item, tree.Compare) and item.op == "=":
        for one, other in ((item.left, item.right), (item.right, item.left)):
            if isinstance(one, tree.Read) and isinstance(other, tree.Literal):
                return [((one.field, one.type), other.value)]
    if isinstance(item, tree.In) and isinstance(item.value, tree.Read):
        return [((item.value.field, item.value.type), one) for one in dict.fromkeys(literal.value for literal in item.items)]
    if isinstance(item, tree.Holds):
        return [((item.value.field, "boolean"), True)]
    if isinstance(item, tree.Elements) and item.op != "contained":
        places: list[Place] = [((item.field, "element"), element(one.value)) for one in item.items]
        return places[:1] if item.op == "contains" else list(dict.fromkeys(places))
    if isinstance(item, tree.Words):
        for one, start in zip(item.items, item.starts, strict=True):
            if not start:
                return [((_EVERYWHERE[0][0], "word"), one.value)]
    return []


def _exact(condition: tree.Condition) -> bool:
    """Whether it is one equality, which will be its place, and ranges whose ends are doubles exactly."""
    items = condition.items if isinstance(condition, tree.And) else (condition,)
    compared = [item for item in items if isinstance(item, tree.Compare) and item.op != "<>"]
    equal = [item for item in compared if item.op == "="]
    return (
        len(compared) == len(items)
        and len(equal) == 1
        and bool(_places(equal[0]))
        and all(
            isinstance(item.left, tree.Read)
            and isinstance(item.right, tree.Literal)
            and item.left.type in ("number", "time")
            and abs(item.right.value) < EXACT
            for item in compared
            if item.op != "="
        )
    )


def _text_bound(item: tree.Condition) -> Iterator[tuple[Field, str]]:
    """One of the two bounds that LIKE's ``start%`` has become."""
    if isinstance(item, tree.Compare) and item.op in (">=", "<") and isinstance(item.left, tree.Read):  # noqa: SIM102
        if item.left.type == "text" and isinstance(item.right, tree.Literal):
            yield item.left.field, item.right.value


def _ranges(item: tree.Condition) -> Iterator[tuple[Key, float, float]]:
    if isinstance(item, tree.Compare) and item.op != "<>":
        for one, other, how in ((item.left, item.right, item.op), (item.right, item.left, _MIRROR[item.op])):
            if isinstance(one, tree.Read) and one.type in _NUMERIC and isinstance(other, tree.Literal):
                low = high = float(other.value)
                if one.type != "integer" and abs(low) < EXACT:  # beyond that a double stands for several integers
                    low, high = nextafter(low, inf) if how == ">" else low, nextafter(high, -inf) if how == "<" else high
                yield (one.field, one.type), -inf if how[0] == "<" else low, inf if how[0] == ">" else high
    elif isinstance(item, tree.Spatial):
        west, south, east, north = (one.value for one in item.bounds)
        yield (item.field, "x"), west, east
        yield (item.field, "y"), south, north


_MIRROR = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _either(a: Ranges, b: Ranges) -> Ranges:
    """What holds whichever of two holds."""
    return {key: (min(a[key][0], b[key][0]), max(a[key][1], b[key][1])) for key in a.keys() & b.keys()}


def _common(low: str, high: str) -> str:
    """The start of every text from ``low`` to before ``high``, where one is LIKE's ``start%``; ``""`` if there is none."""
    low, high = min(low, high), max(low, high)
    return low if beyond(low) == high else ""


def _span(key: Key, document: Document) -> tuple[float, float]:
    """The least and the most of a document's value; without a value, a span that lies in no range but the endless one."""
    field_, name = key
    if name in ("x", "y"):
        try:
            bounds = shape(getter(field_, "geometry")(document)).bounds
        except ValueError:
            return inf, -inf
        return (bounds[0], bounds[2]) if name == "x" else (bounds[1], bounds[3])
    value = getter(field_, name)(document)  # type: ignore[arg-type]  # numeric keys are named by their type
    return (inf, -inf) if value is None else (float(value), float(value))


def _reader(key: Key) -> Callable[[Document], Iterable[Any]]:
    """A document's values under a key."""
    field_, name = key
    if name == "everywhere":
        return lambda document: (None,)
    if name == "word":
        return lambda document: set(words_of(document).split())
    if name == "element":
        array = getter(field_, "array")
        return lambda document: {element(one) for one in array(document) or ()}
    if name.startswith("start "):
        text, length = getter(field_, "text"), int(name[6:])
        return lambda document: () if (one := text(document)) is None else (one[:length],)
    get = getter(field_, name)  # type: ignore[arg-type]  # all other keys are named by their type
    return lambda document: () if (one := get(document)) is None else (one,)
