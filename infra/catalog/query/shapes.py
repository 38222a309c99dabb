"""The shape of a filter: what stays when its literals change. A filter of a known shape need not be understood again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from infra.catalog.query.fields import Type
from infra.catalog.query.geometry import FURTHEST, NEAREST
from infra.catalog.query.moments import moment
from infra.catalog.query.numbers import EXACT
from infra.catalog.query.patterns import LONGEST, UNFIT

#: Operators that make of each literal a slot (of a box five), in the order of writing, whatever its value.
_PLAIN = frozenset(("and", "or", "=", "<>", "<", "<=", ">", ">=", "between", "s_intersects", "s_within"))
_encoded = msgspec.json.Encoder().encode
#: Types whose literals go into their slot as they are written.
AS_WRITTEN: frozenset[Type] = frozenset(("text", "geometry", "boolean", "number", "degree"))
#: What each literal becomes in its slot.
_AS: dict[Type, Callable[[Any], Any]] = {
    "text": lambda value: value,
    "geometry": lambda value: value,
    "boolean": lambda value: value,
    "number": lambda value: value if type(value) is int else value + 0.0,
    "degree": lambda value: value + 0.0,
    "integer": int,
    "time": lambda value: moment(value) if isinstance(value, str) else None,
}


def shape(node: Any, literals: list[Any]) -> Any:
    """A key that filters have in common if they differ in literals only, which are added to ``literals``.

    ``None`` for a filter in which the value of a literal may decide more than that.
    """
    kind = type(node)
    if kind is dict:
        if len(node) == 1:
            ((name, value),) = node.items()
            if name == "bbox":
                return _box(value, literals)
            if type(value) is not str:
                return None
            if name == "property":
                return value, "property"
            if name in ("timestamp", "date"):
                literals.append(value)
                return name
            return None
        if len(node) != 2 or type(op := node.get("op")) is not str or op not in _PLAIN:
            return None
        if type(args := node.get("args")) is not list:
            return None
        parts: list[Any] = [op]
        for one in args:
            if (part := shape(one, literals)) is None:
                return None
            parts.append(part)
        return tuple(parts)
    if kind is str:
        if not node or len(node) > LONGEST or UNFIT.search(node):  # an empty text may ask whether there is a value
            return None
    elif kind is float or kind is int:
        if not -EXACT < node < EXACT:
            return None
        literals.append(node)
        return "whole" if node == int(node) else "broken"
    else:
        return None
    literals.append(node)
    return "text"


def _box(sides: Any, literals: list[Any]) -> str | None:
    """A box becomes five slots: its rectangle and its four bounds."""
    if type(sides) is not list or len(sides) != 4:
        return None
    west, south, east, north = sides
    if not (type(west) is type(south) is type(east) is type(north) is float and west < east and south < north):
        return None
    for one in sides:
        if not NEAREST <= abs(one) <= FURTHEST:
            return None
    w, s, e, n = _encoded(sides)[1:-1].decode().split(",")  # a quarter of the work of repr
    literals.append(f'{{"type":"Polygon","coordinates":[[[{w},{s}],[{e},{s}],[{e},{n}],[{w},{n}],[{w},{s}]]]}}')
    literals += sides
    return "bbox"


def filled(types: tuple[Type, ...], literals: list[Any]) -> list[Any] | None:
    """The values of the slots, which have these types; ``None`` if a literal is none of its type."""
    if len(types) != len(literals):
        return None
    values = [_AS[type_](value) if type_ in _AS else None for type_, value in zip(types, literals, strict=True)]
    return None if None in values else values
