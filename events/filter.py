"""Subscription filters: which events a subscriber wants, told by context attributes.

Source: CloudEvents Subscriptions API 0.1-wip, "Filters": the dialects ``exact``, ``prefix``, ``suffix``, ``all``, ``any``,
``not`` and ``sql`` (CloudEvents SQL; ``cesql`` is the same, the name that Knative gives it). A filter is compiled once, to
nested functions, and never looks at data::

    [{"prefix": {"subject": "raw/"}}, {"not": {"suffix": {"subject": ".tmp"}}}]

Every filter of the list must hold. An attribute that an event lacks makes ``exact``, ``prefix`` and ``suffix`` false; integers
and booleans are compared by their text (``"5"``, ``"true"``). An expression that fails, or gives no boolean, does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from events.attributes import CORE
from events.cesql import ParseError
from events.cesql import compile as compile_expression
from events.errors import Reject
from events.event import Event
from events.pattern import matcher

Predicate = Callable[[Event], bool]
_MAX_DEPTH = 32
_NAME = re.compile(r"[a-z0-9]+").fullmatch


class Filter:
    """Wanted types, filters and source, compiled: call it with an event. ``types`` and ``filters`` are their JSON form."""

    def __init__(self, types: Sequence[str], filters: Sequence[dict[str, Any]], source: str = "") -> None:
        self.types, self.filters, self.source = types, filters, source
        compiled = [_compile(each, f"filters[{n}]", 0) for n, each in enumerate(_array(filters))]
        self._holds = _all([*_source(source), *_types(types), *compiled])

    def __call__(self, event: Event) -> bool:
        return self._holds(event)


def compile_filters(types: Sequence[str], filters: Sequence[dict[str, Any]], source: str = "") -> Filter:
    """The filter of a subscription.

    Args:
        types: event types, any of which is wanted; ``*`` matches any text. Empty: all.
        filters: filter expressions as the Subscriptions API writes them in JSON, all of which must hold.
        source: the only source whose events are wanted. Empty: all.

    Raises:
        Reject: a filter makes no sense; the text has its path, like ``filters[0].any[1].prefix``.

    """
    return Filter(types, filters, source)


def _source(source: str) -> list[Predicate]:
    return [lambda event: event.source == source] if source else []


def _types(types: Sequence[str]) -> list[Predicate]:
    for number, wanted in enumerate(types):
        if not isinstance(wanted, str) or not wanted:
            raise Reject(f"types[{number}]: an event type must be a text that is not empty")
    if not types:
        return []
    match = matcher(types)
    return [lambda event: match(event.type)]


def _array(filters: Any, path: str = "filters") -> Sequence[Any]:
    if not isinstance(filters, list | tuple):
        raise Reject(f"{path}: an array of filters is expected")
    return filters


def _compile(expression: Any, path: str, depth: int) -> Predicate:
    if depth > _MAX_DEPTH:
        raise Reject(f"{path}: filters are nested more than {_MAX_DEPTH} deep")
    if not isinstance(expression, dict) or len(expression) != 1:
        raise Reject(f"{path}: a filter is an object with one member, its dialect, as in {{'exact': {{'type': '...'}}}}")
    dialect, value = next(iter(expression.items()))
    where = f"{path}.{dialect}"
    if dialect in _COMPARE:
        return _all(_attributes(value, where, _COMPARE[dialect]))
    if dialect in ("all", "any"):
        nested = [_compile(each, f"{where}[{n}]", depth + 1) for n, each in enumerate(_array(value, where))]
        if not nested:
            raise Reject(f"{where}: at least one filter is needed")
        return _all(nested) if dialect == "all" else lambda event: any(holds(event) for holds in nested)
    if dialect == "not":
        inner = _compile(value, where, depth + 1)
        return lambda event: not inner(event)
    if dialect in ("sql", "cesql"):
        return _expression(value, where)
    raise Reject(f"{where}: there is no such dialect; use {', '.join(DIALECTS)}")


def _expression(text: Any, path: str) -> Predicate:
    if not isinstance(text, str):
        raise Reject(f"{path}: a text is expected, an expression of CloudEvents SQL")
    try:
        expression = compile_expression(text)
    except ParseError as error:
        raise Reject(f"{path}: {error}") from error
    for missing in expression.missing:
        raise Reject(f"{path}: {missing}")
    return expression.matches


def _attributes(value: Any, path: str, compare: Callable[[str, str], bool]) -> list[Predicate]:
    if not isinstance(value, dict) or not value:
        raise Reject(f"{path}: an object is expected that maps at least one attribute to a text")
    return [_attribute(name, wanted, path, compare) for name, wanted in value.items()]


def _attribute(name: str, wanted: Any, path: str, compare: Callable[[str, str], bool]) -> Predicate:
    if not _NAME(name) or name == "data":
        raise Reject(f"{path}.{name}: {name!r} is no attribute; names have lower-case letters a-z and digits")
    if not isinstance(wanted, str) or not wanted:
        raise Reject(f"{path}.{name}: a text that is not empty is expected")

    def holds(event: Event) -> bool:
        value = getattr(event, name) if name in CORE else event.extensions.get(name)
        if value is None:
            return False
        return compare(value if isinstance(value, str) else str(value).lower(), wanted)

    return holds


def _all(predicates: list[Predicate]) -> Predicate:
    return predicates[0] if len(predicates) == 1 else lambda event: all(holds(event) for holds in predicates)


_COMPARE: dict[str, Callable[[str, str], bool]] = {"exact": str.__eq__, "prefix": str.startswith, "suffix": str.endswith}
DIALECTS = (*_COMPARE, "all", "any", "not", "sql", "cesql")
