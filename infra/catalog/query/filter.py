"""A filter, understood: as a SQL condition, as a predicate, and as the key under which compiled statements are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from infra.catalog.query import match, shapes, tree
from infra.catalog.query.binder import Binder, both
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Field, Fields
from infra.catalog.query.operators import OPERATORS
from infra.catalog.query.shapes import AS_WRITTEN
from infra.catalog.query.sql import CONVERTED, Sql, Writer, bound
from infra.catalog.query.written import written

#: Most nodes that are counted as deep or as many as a filter may have; both databases limit their expressions.
MOST_NODES, DEEPEST = 5_000, 100

#: Most shapes of filters that are kept.
KEPT = 2_000
_known: dict[Any, Filter] = {}


class Filter:
    """A filter on one kind of resource.

    ``tree`` equals that of every other filter of the same shape; compiled SQL is kept by ``shape``, and ``values`` are what to
    bind then.
    """

    def __init__(self, condition: tree.Condition, literals: list[tree.Literal], reads: Mapping[str, Field]) -> None:
        self.tree = condition
        self.shape: Any = condition  #: the key for compiled SQL
        self.types = tuple(one.type for one in literals)
        self.literal_values: tuple[Any, ...] = tuple(one.value for one in literals)  #: by slot
        self.reads = dict(reads)
        self.scans = sorted(name for name, field in reads.items() if field.path and not field.indexed)
        self._names = tuple(f"f{slot}" for slot in range(len(literals)))
        self._converted = {
            name: [i for i, type_ in enumerate(self.types) if type_ in kinds] for name, kinds in CONVERTED.items()
        }
        self.as_written = all(type_ in AS_WRITTEN for type_ in self.types)

    def expression(self, table: sa.FromClause, dialect: str) -> Sql:
        """The WHERE condition, with parameters ``f0``, ``f1`` ... that have this filter's values unless others are given."""
        return Writer(table, dialect).condition(self.tree, only_true=True)

    def values(self, dialect: str, literals: Sequence[Any] | None = None) -> dict[str, Any]:
        """The parameters of the expression: of this filter, or of one of the same shape that has these literals."""
        if literals is None:
            literals = self.literal_values
        values = dict(zip(self._names, literals, strict=True))
        for slot in self._converted[dialect]:
            values[self._names[slot]] = bound(self.types[slot], literals[slot], dialect)
        return values

    @cached_property
    def predicate(self) -> Callable[[match.Document], bool | None]:
        """The same condition on a resource's JSON: true, false or unknown (``None``)."""
        shared, values = match.predicate_of(self.tree), self.literal_values
        return lambda document: shared(document, values)


def bind(ast: Any, fields: Fields) -> Filter:
    """Understand CQL2-JSON for one kind of resource. Raises ``FilterError`` with the JSON pointer of what is wrong."""
    _size(ast, 0, [0])
    binder = Binder(fields, OPERATORS)
    condition = binder.condition(ast, "")
    return Filter(both((condition,)), binder.literals, binder.reads)


def recognised(ast: Any, fields: Fields) -> tuple[Filter, Sequence[Any]]:
    """As ``bind``, but quicker for a shape that was seen before: the first filter of its shape, and this one's literals."""
    literals: list[Any] = []
    try:
        shape = shapes.shape(ast, literals)
    except RecursionError:  # bind tells of it
        shape = None
    if shape is None:
        found = bind(ast, fields)
        return found, found.literal_values
    known = _known.get((fields, shape))
    if known is not None:
        values = literals if known.as_written else shapes.filled(known.types, literals)
        if values is not None:
            return known, values
    found = bind(ast, fields)
    if shapes.filled(found.types, literals) == list(found.literal_values):
        if len(_known) >= KEPT:
            _known.clear()
        found.shape = object()  # quicker to look up than a tree
        _known[fields, shape] = found
    return found, found.literal_values


def understand(filter: str | dict[str, Any] | bool, lang: str, fields: Fields) -> tuple[Any, Filter]:
    """What a user wrote as CQL2-JSON, and understood. A ``FilterError`` points at the character, or into the JSON."""
    found = written(filter, lang)
    return found.ast, found.bound(fields, bind)


def compile_filter(ast: Any, fields: Fields, dialect: str) -> Sql:
    """The WHERE condition of CQL2-JSON on ``fields.table``; for repeated use see ``Filter``."""
    return bind(ast, fields).expression(fields.table, dialect)


def predicate(ast: Any, fields: Fields) -> Callable[[match.Document], bool | None]:
    """CQL2-JSON as a function of a resource's JSON: true, false or unknown (``None``)."""
    return bind(ast, fields).predicate


def _size(node: Any, depth: int, count: list[int]) -> None:
    count[0] += 1
    if depth > DEEPEST or count[0] > MOST_NODES:
        raise FilterError(f"the filter is nested more than {DEEPEST} deep or has more than {MOST_NODES} parts")
    if isinstance(node, dict):
        if "coordinates" in node:
            return  # geometry.py has a limit of its own
        for one in node.values():
            _size(one, depth + 1, count)
    elif isinstance(node, list):
        for one in node:
            _size(one, depth + 1, count)
