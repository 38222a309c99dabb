"""Where in the predicate index a condition is entered: at values that a document must have for it to be true.

A key says what is read of a document and how: as it is, its first or last characters, all its parts of some length, its words,
its elements, or only that it is there. A document's values under a key lead to the filters that are entered at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import inf, nextafter
from typing import Any, NamedTuple

from infra.catalog.query import tree
from infra.catalog.query.binder import MIRROR
from infra.catalog.query.match import Remembered, element, shape_at, value_of, words_of
from infra.catalog.query.numbers import EXACT
from infra.catalog.query.patterns import beyond, tokens

#: What is read (a value without literals), and how.
Key = tuple[Any, str]
#: A key and the value there.
Place = tuple[Key, Any]
EVERYWHERE: Place = ((None, "everywhere"), None)
#: Lengths of the parts of texts that are looked up: few, as each is tried at every character of a text.
SIZES = (16, 12, 8, 6, 4, 3, 2, 1)
_NUMERIC = ("number", "integer", "time")


class Option(NamedTuple):
    """Places, one of which a document must meet. ``exact``: the condition is true wherever it meets one."""

    places: tuple[Place, ...]
    exact: bool


class Range(NamedTuple):
    """A document's value reaches from at most ``high`` down to at least ``low``: a number, a time, or one axis of a place."""

    key: Key
    low: float
    high: float


def compared(item: tree.Condition) -> tuple[str, tree.Value, tree.Literal] | None:
    """A comparison of a value without literals and a literal: operator, value, literal."""
    if isinstance(item, tree.Compare):
        for one, other, op in ((item.left, item.right, item.op), (item.right, item.left, MIRROR[item.op])):
            if plain(one) and isinstance(other, tree.Literal):
                return op, one, other
    return None


def plain(value: tree.Value) -> bool:
    """Whether it is an attribute, or one without case or accents."""
    return plain(value.value) if isinstance(value, tree.Fold) else isinstance(value, tree.Read)


def options(item: tree.Condition) -> Iterator[Option]:
    """Ways to enter a condition."""
    if isinstance(item, tree.Compare):
        found = compared(item)
        if found is not None and found[0] == "=":
            yield Option((((found[1], "is"), found[2].value),), True)
    elif isinstance(item, tree.In):
        if plain(item.value):
            yield Option(tuple(((item.value, "is"), one) for one in dict.fromkeys(each.value for each in item.items)), True)
    elif isinstance(item, tree.Holds):
        yield Option((((item.value, "is"), True),), True)
    elif isinstance(item, tree.IsNull):
        if plain(item.value):
            yield Option((((item.value, "null"), None),), True)
    elif isinstance(item, tree.Not):
        if isinstance(item.item, tree.Holds):
            yield Option((((item.item.value, "is"), False),), True)
        elif isinstance(item.item, tree.IsNull) and plain(item.item.value):
            yield Option((((item.item.value, "has"), None),), True)
    elif isinstance(item, tree.Elements) and item.op != "like":
        each = tuple(((item.field, "element"), one) for one in dict.fromkeys(element(one.value) for one in item.items))
        if item.op == "overlaps":
            yield Option(each, True)
        elif item.op == "contains":
            yield from (Option((one,), len(each) == 1) for one in each)
    elif isinstance(item, tree.Words):
        for one, start in zip(item.items, item.starts, strict=True):
            size = min(len(one.value), SIZES[0])
            exact = len(item.items) == 1 and (not start or size == len(one.value))
            yield Option((((None, f"word {size}"), one.value[:size]) if start else ((None, "word"), one.value),), exact)
    elif isinstance(item, tree.Like) and plain(item.value) and isinstance(item.pattern, tree.Literal):
        yield from _parts(item.value, item.pattern.value)


def _parts(value: tree.Value, pattern: str) -> Iterator[Option]:
    """What a text must begin with, end in, or have anywhere in it to fit a pattern."""
    runs, found = [""], tokens(pattern)
    for one in found:
        if one in ("%", "_"):
            runs.append("")
        else:
            runs[-1] += one[1:]
    if runs[0]:
        yield Option((((value, f"start {len(runs[0])}"), runs[0]),), False)
    if last := runs[-1]:
        yield Option((((value, f"end {len(last)}"), last),), found[0] == "%" and len(runs) == 2 and not runs[0])
    longest = max(runs, key=len)
    size = next((size for size in SIZES if size <= len(longest)), 0)
    if size:
        exact = found[0] == found[-1] == "%" and len(runs) == 3 and size == len(longest)
        yield from (Option((((value, f"part {size}"), one),), exact) for one in {longest[:size], longest[-size:]})


def start(low: str, high: str) -> str:
    """The start of every text from ``low`` to before ``high``, where that is a start; else ``""``."""
    low, high = min(low, high), max(low, high)
    return low if beyond(low) == high else ""


def ranges(item: tree.Condition) -> tuple[list[Range], str]:
    """The ranges that hold where a condition is true, and whether it is true where they hold.

    ``always``, for a ``point`` only, or ``never`` for sure.
    """
    if isinstance(item, tree.Spatial):
        west, south, east, north = (one.value for one in item.bounds)
        sides = [Range((item.field, "x"), west, east), Range((item.field, "y"), south, north)]
        return sides, "point" if item.box and item.op != "contains" else "never"
    found = compared(item)
    if found is None or found[0] == "<>" or not isinstance(found[1], tree.Read) or found[1].type not in _NUMERIC:
        return [], "never"
    op, value, literal = found
    low = high = float(literal.value)
    exact = abs(low) < EXACT  # beyond that a double stands for several integers
    if exact:
        low, high = nextafter(low, inf) if op == ">" else low, nextafter(high, -inf) if op == "<" else high
    one = Range((value, "range"), -inf if op[0] == "<" else low, inf if op[0] == ">" else high)
    return [one], "always" if exact else "never"


def reads(item: tree.Condition) -> Iterator[Place]:
    """Places that say only that a value is there, without which a condition is not true."""
    if isinstance(item, tree.Spatial):
        yield (tree.Read(item.field, "geometry"), "has"), None
    elif isinstance(item, tree.Compare):
        yield from (((one, "has"), None) for one in (item.left, item.right) if plain(one))
    elif isinstance(item, tree.In | tree.Like) and plain(item.value):
        yield (item.value, "has"), None


@lru_cache(10_000)
def value_in(value: tree.Value) -> Callable[[Remembered], Any]:
    """Reads a value without literals."""
    read = value_of(value)
    return lambda document: read(document, ())


def span(key: Key, document: Remembered) -> tuple[float, float]:
    """The least and the most of a document's value; without a value, a span that lies in no range but the endless one."""
    what, how = key
    if how == "range":
        value = value_in(what)(document)
        return (inf, -inf) if value is None else (float(value), float(value))
    found = shape_at(document)
    if found is None:
        return inf, -inf
    return (found.bounds[0], found.bounds[2]) if how == "x" else (found.bounds[1], found.bounds[3])


def reader(key: Key) -> Callable[[Remembered], Iterable[Any]]:
    """A document's values under a key."""
    what, how = key
    if what is None:
        if how == "everywhere":
            return lambda document: (None,)
        if how == "word":
            return lambda document: set(words_of(document).split())
        size = int(how.removeprefix("word "))
        return lambda document: {word[:size] for word in words_of(document).split()}
    if how == "element":
        array = value_in(tree.Read(what, "array"))
        return lambda document: {element(one) for one in array(document) or ()}
    get = value_in(what)
    if how == "is":
        return lambda document: () if (one := get(document)) is None else (one,)
    if how == "has":
        return lambda document: () if get(document) is None else (None,)
    if how == "null":
        return lambda document: (None,) if get(document) is None else ()
    part, _, length = how.partition(" ")
    size = int(length)
    if part == "start":
        return lambda document: () if (one := get(document)) is None else (one[:size],)
    if part == "end":
        return lambda document: () if (one := get(document)) is None else (one[-size:],)
    return lambda document: {one[i : i + size] for i in range(len(one) - size + 1)} if (one := get(document)) else ()
