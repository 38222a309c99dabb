"""A tree as a Python predicate over a resource's JSON, with the same answers as SQL: ``True``, ``False`` or ``None`` (NULL).

A predicate takes the document and the filter's literals by slot, so that filters of one shape share one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from infra.catalog.query import tree
from infra.catalog.query.fields import Field, Type
from infra.catalog.query.geometry import Shape, enclosed, intersects, shape, within
from infra.catalog.query.moments import moment
from infra.catalog.query.numbers import fits
from infra.catalog.query.patterns import fits as like
from infra.catalog.query.patterns import fold
from infra.catalog.words import indexed

Document = Mapping[str, Any]
Values = Sequence[Any]
Predicate = Callable[[Document, Values], bool | None]
Getter = Callable[[Document], Any]
Valuer = Callable[[Document, Values], Any]
_HOW: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
#: Operands of arithmetic are 0 or lie between these, and quotients stay below ``WHOLE``: no database overflows then.
TINY, HUGE, WHOLE = 1e-150, 1e150, 2.0**53


class Remembered(dict[str, Any]):
    """A document that many filters are held against: its words and its shape are found once."""

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        self.words: str | None = None
        self.shape: Shape | None = None
        self.placed = False


@lru_cache(10_000)
def predicate_of(condition: tree.Condition) -> Predicate:
    """The predicate of a condition, and of all others of its shape."""
    return _CONDITIONS[type(condition)](condition)


def getter(field: Field, type_: Type) -> Getter:
    """What a field's value is as a type; ``None`` where the document has none."""
    names, path = field.names, field.path
    as_type = _AS[type_]
    if field.blank:
        name = names[0]
        return lambda document: as_type(document.get(name) or None)
    if len(names) == 1 and not path and type_ != "time":
        name = names[0]
        return lambda document: as_type(document.get(name))
    if len(names) == 1 and len(path) == 1 and isinstance(path[0], str):
        name, step = names[0], path[0]
        return lambda document: as_type(there.get(step)) if isinstance(there := document.get(name), dict) else None

    def get(document: Document) -> Any:
        for name in names:
            value = document.get(name)
            if value is not None and (value != "" or type_ != "time"):
                break
        else:
            return None
        for step in path:
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                value = value[step] if isinstance(value, list) and step < len(value) else None
            if value is None:
                return None
        return as_type(value)

    return get


def _number(value: Any) -> float | None:
    kind = type(value)
    if kind is float or (kind is int and fits(value)):
        return value  # type: ignore[no-any-return]
    try:
        return float(value) if kind is int else None
    except OverflowError:
        return None


def _time(value: Any) -> int | None:
    return moment(value) if isinstance(value, str) else None


_AS: dict[Type, Callable[[Any], Any]] = {
    "text": lambda value: value if isinstance(value, str) else None,
    "number": _number,
    "integer": lambda value: value if type(value) is int else None,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "time": _time,
    "array": lambda value: value if isinstance(value, list) else None,
    **dict.fromkeys(("any", "json", "geometry", "interval"), lambda value: value),
}


def value_of(value: tree.Value) -> Valuer:
    """What gives a value."""
    if isinstance(value, tree.Literal):
        slot = value.slot
        return lambda document, values: values[slot]
    if isinstance(value, tree.Read):
        get = getter(value.field, value.type)
        return lambda document, values: get(document)
    if isinstance(value, tree.Fold):
        inner, op = value_of(value.value), value.op
        return lambda document, values: None if (text := inner(document, values)) is None else fold(op, text)
    left, right, op = value_of(value.left), value_of(value.right), value.op
    return lambda document, values: calculated(op, left(document, values), right(document, values))


def calculated(op: str, a: float | None, b: float | None) -> float | None:
    """``a op b``, or ``None`` where a database could not tell."""
    return _ARITHMETIC[op](float(a), float(b)) if a is not None and b is not None and _fit(a) and _fit(b) else None


def _fit(value: float) -> bool:
    return value == 0 or TINY <= abs(value) <= HUGE


def _whole(a: float, b: float) -> float | None:
    if b == 0 or abs(quotient := a / b) > WHOLE:
        return None
    return float(math.trunc(quotient))


def _power(a: float, b: float) -> float | None:
    """``a`` times itself, one by one as the databases do it; unknown where a product is of no use."""
    result = 1.0
    for _ in range(int(b)):
        result *= a
        if not _fit(result):
            return None
    return result


_ARITHMETIC: dict[str, Callable[[float, float], float | None]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a / b if b else None,
    "div": _whole,
    "^": _power,
    "%": lambda a, b: None if (whole := _whole(a, b)) is None else a - b * whole if whole else a,
}


def _all(condition: tree.And) -> Predicate:
    parts = [predicate_of(item) for item in condition.items]

    def holds(document: Document, values: Values) -> bool | None:
        answer: bool | None = True
        for part in parts:
            if (one := part(document, values)) is False:
                return False
            if one is None:
                answer = None
        return answer

    return holds


def _any(condition: tree.Or) -> Predicate:
    parts = [predicate_of(item) for item in condition.items]

    def holds(document: Document, values: Values) -> bool | None:
        answer: bool | None = False
        for part in parts:
            if one := part(document, values):
                return True
            if one is None:
                answer = None
        return answer

    return holds


def _not(condition: tree.Not) -> Predicate:
    part = predicate_of(condition.item)
    return lambda document, values: None if (one := part(document, values)) is None else not one


def _first(condition: tree.First) -> Predicate:
    parts = [predicate_of(item) for item in condition.items]
    return lambda document, values: next((one for part in parts if (one := part(document, values)) is not None), None)


def _compare(condition: tree.Compare) -> Predicate:
    how = _HOW[condition.op]
    if isinstance(condition.left, tree.Read) and isinstance(condition.right, tree.Literal):  # nearly all
        get, slot = getter(condition.left.field, condition.left.type), condition.right.slot
        return lambda document, values: None if (one := get(document)) is None else how(one, values[slot])
    left, right = value_of(condition.left), value_of(condition.right)

    def holds(document: Document, values: Values) -> bool | None:
        if (a := left(document, values)) is None or (b := right(document, values)) is None:
            return None
        return how(a, b)

    return holds


def _in(condition: tree.In) -> Predicate:
    value, start, end = value_of(condition.value), condition.items[0].slot, condition.items[-1].slot + 1
    return lambda document, values: None if (one := value(document, values)) is None else one in values[start:end]


def _like(condition: tree.Like) -> Predicate:
    value, pattern = value_of(condition.value), value_of(condition.pattern)
    return lambda document, values: None if (text := value(document, values)) is None else like(text, pattern(document, values))


def _is_null(condition: tree.IsNull) -> Predicate:
    value = value_of(condition.value)
    return lambda document, values: value(document, values) is None


def _elements(condition: tree.Elements) -> Predicate:
    value, slots, op = getter(condition.field, "array"), [item.slot for item in condition.items], condition.op

    def holds(document: Document, values: Values) -> bool | None:
        if (array := value(document)) is None:
            return None
        if op == "like":
            return any(isinstance(one, str) and like(one, values[slots[0]]) for one in array)
        wanted, there = {element(values[slot]) for slot in slots}, {element(one) for one in array}
        return wanted <= there if op == "contains" else there <= wanted if op == "contained" else not wanted.isdisjoint(there)

    return holds


def element(value: Any) -> tuple[str, Any]:
    """An array's element so that 1 is 1.0, but not true and not '1'."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, str):
        return "text", value
    return ("other", None) if (number := _number(value)) is None else ("number", number)


@lru_cache(1024)
def shape_of(text: str) -> Shape | None:
    """A geometry in JSON, ``None`` if it is none."""
    try:
        return shape(msgspec.json.decode(text))
    except (ValueError, msgspec.DecodeError):
        return None


def spatial(op: str, one: Shape, other: Shape) -> bool:
    """``intersects``, ``within`` or ``contains``."""
    return intersects(one, other) if op == "intersects" else within(one, other) if op == "within" else within(other, one)


def shape_at(document: Document) -> Shape | None:
    """The shape of a document's geometry; ``None`` if it has none. There is one attribute of that type."""
    if isinstance(document, Remembered) and document.placed:
        return document.shape
    try:
        found = None if (geometry := document.get("geometry")) is None else shape(geometry)
    except ValueError:
        found = None
    if isinstance(document, Remembered):
        document.shape, document.placed = found, True
    return found


def _spatial(condition: tree.Spatial) -> Predicate:
    op, slot = condition.op, condition.shape.slot
    simple = condition.box and op != "contains"

    def holds(document: Document, values: Values) -> bool | None:
        one = shape_at(document)
        if one is None or (wanted := shape_of(values[slot])) is None:
            return None
        if simple and (op == "within" or enclosed(one, wanted)):
            return enclosed(one, wanted)
        return spatial(op, one, wanted)

    return holds


def words_of(document: Document) -> str:
    """What full text finds of a resource."""
    if isinstance(document, Remembered):
        if document.words is None:
            document.words = _words_of(document)
        return document.words
    return _words_of(document)


def _words_of(document: Document) -> str:
    told = indexed(*(document.get(name) for name in ("name", "description", "tags")))
    return f"{told} {indexed(*(document.get(name) for name in ('key', 'metadata', 'user')))}".strip()


def _words(condition: tree.Words) -> Predicate:
    wanted = [(item.slot, "" if start else " ") for item, start in zip(condition.items, condition.starts, strict=True)]

    def holds(document: Document, values: Values) -> bool | None:
        text = f" {words_of(document)} "
        return all(f" {values[slot]}{end}" in text for slot, end in wanted)

    return holds


def _always(condition: tree.Always) -> Predicate:
    answer = condition.value
    return lambda document, values: answer


_CONDITIONS: dict[type, Callable[[Any], Predicate]] = {
    tree.Always: _always,
    tree.And: _all,
    tree.Or: _any,
    tree.Not: _not,
    tree.First: _first,
    tree.Compare: _compare,
    tree.In: _in,
    tree.Like: _like,
    tree.IsNull: _is_null,
    tree.Holds: lambda condition: value_of(condition.value),
    tree.Elements: _elements,
    tree.Spatial: _spatial,
    tree.Words: _words,
}
