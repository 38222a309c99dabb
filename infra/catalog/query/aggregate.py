"""Aggregations as SQL: one statement each, over what a filter and the access lists let through.

Values that are not there, or of another type than the algorithm needs, are left out. Numbers in metadata are exact as far as
64-bit integers are; their sums and averages are doubles. Sums of whole columns (``bytes``) are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Double, case, func, literal_column, or_, select
from sqlalchemy.dialects import postgresql

from infra.catalog import times
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Field, Fields, Type
from infra.catalog.query.numbers import plain
from infra.catalog.query.sql import Sql, Writer, json_path, text

#: Which percentiles ``percentiles`` tells, and how many values ``terms`` lists at most.
PERCENTS, TERMS = (1, 5, 25, 50, 75, 95, 99), 100
_NUMERIC = ("sum", "avg", "percentiles", "stats")
_ANY: tuple[Type, ...] = ("text", "number", "boolean")
_HALF = 2**32


@dataclass(frozen=True)
class Aggregation:
    """``statement`` makes the SELECT from a table and its WHERE conditions, ``answer`` JSON from its rows."""

    statement: Callable[[Any, Sequence[Any]], Any]
    answer: Callable[[Sequence[Any]], Any]


def aggregation(algorithm: str, path: str, fields: Fields, dialect: str) -> Aggregation:
    """One of ``ALGORITHMS`` on an attribute. Raises ``FilterError`` for what makes no sense."""
    if algorithm not in ALGORITHMS:
        raise FilterError(f"aggregation {algorithm[:40]!r} is none of {', '.join(ALGORITHMS)}")
    field = fields.find(path)
    type_: Type = "time" if field.type == "interval" else field.type
    if type_ in ("geometry", "json") and algorithm not in ("count", "missing"):
        raise FilterError(f"aggregation {algorithm}: {path!r} is {type_}, which has no {algorithm}")
    if algorithm in (*_NUMERIC, "min", "max") and type_ in ("boolean", "array"):
        raise FilterError(f"aggregation {algorithm}: {path!r} is {type_}, which has no {algorithm}")
    if algorithm in ("sum", "avg", "percentiles", "stats") and type_ not in ("integer", "number", "any"):
        raise FilterError(f"aggregation {algorithm}: {path!r} is {type_}, not a number")
    if type_ == "any" and algorithm in (*_NUMERIC, "min", "max"):
        type_ = "number"
    return ALGORITHMS[algorithm](Writer(fields.table, dialect), field, type_)


def _value(writer: Writer, field: Field, type_: Type) -> Sql:
    if type_ in ("array", "json", "geometry"):
        return writer.table.c[field.columns[0]] if type_ != "geometry" else writer.table.c.west
    return writer.read(field, type_)


def _shown(type_: Type) -> Callable[[Any], Any]:
    """A value of the database as JSON."""
    if type_ == "time":
        return lambda value: None if value is None else times.text(int(value)) or "1970-01-01T00:00:00.000Z"
    if type_ == "boolean":
        return lambda value: None if value is None else bool(value)
    if type_ == "integer":
        return lambda value: None if value is None else int(value)
    return plain if type_ == "number" else lambda value: value


def _plain(columns: Callable[[Writer, Sql, Type], list[Sql]], answer: Callable[[Any, Callable[[Any], Any]], Any]) -> Any:
    """An algorithm that is one row of ordinary aggregates."""

    def made(writer: Writer, field: Field, type_: Type) -> Aggregation:
        found = columns(writer, _value(writer, field, type_), type_)
        return Aggregation(
            lambda table, tests: select(*found).select_from(table).where(*tests), lambda rows: answer(rows[0], _shown(type_))
        )

    return made


def _sum(writer: Writer, value: Sql, type_: Type) -> list[Sql]:
    """Whole numbers in two halves in SQLite, whose sum has 64 bits."""
    if writer.sqlite and type_ == "integer":
        return [func.sum(value.op(">>")(literal_column("32"))), func.sum(value.op("&")(literal_column("4294967295")))]
    return [func.sum(_double(writer, value, type_)), literal_column("NULL")]


def _double(writer: Writer, value: Sql, type_: Type) -> Sql:
    """What is added up: of open numbers doubles, as integers of 64 bits soon have no sum."""
    return sa.cast(value, sa.REAL if writer.sqlite else Double) if type_ == "number" else value


def _total(high: Any, low: Any) -> Any:
    if low is not None:
        return high * _HALF + low
    return None if high is None else high if isinstance(high, float) else int(high)


def _stats(row: Any, shown: Callable[[Any], Any]) -> Any:
    count, least, most, high, low, mean = row
    return {
        "count": count,
        "min": shown(least),
        "max": shown(most),
        "sum": _total(high, low),
        "avg": None if mean is None else float(mean),
    }


def _percentiles(writer: Writer, field: Field, type_: Type) -> Aggregation:
    value = sa.cast(writer.read(field, type_), sa.REAL if writer.sqlite else Double)

    def statement(table: Any, tests: Sequence[Any]) -> Any:
        if not writer.sqlite:
            wanted: Sql = literal_column(f"ARRAY[{', '.join(str(one / 100) for one in PERCENTS)}]::float8[]")
            return select(func.percentile_cont(wanted).within_group(value)).select_from(table).where(*tests)
        inner = (
            select(value.label("v"), (func.row_number().over(order_by=value) - 1).label("r"), func.count().over().label("many"))
            .select_from(table)
            .where(*tests, value.is_not(None))
            .subquery()
        )
        place = [sa.cast(literal_column(str(one / 100)) * (inner.c.many - 1), sa.Integer) for one in PERCENTS]
        return select(inner.c.v, inner.c.r, inner.c.many).where(or_(*(inner.c.r.between(one, one + 1) for one in place)))

    def answer(rows: Sequence[Any]) -> Any:
        if not writer.sqlite:
            found = rows[0][0]
            return {str(one): found[i] if found else None for i, one in enumerate(PERCENTS)}
        values = {row[1]: row[0] for row in rows}
        if not rows:
            return {str(one): None for one in PERCENTS}
        told = {}
        for one in PERCENTS:
            exact = one / 100 * (rows[0][2] - 1)
            low = values[floor(exact)]
            told[str(one)] = low + (values.get(floor(exact) + 1, low) - low) * (exact - floor(exact))
        return told

    return Aggregation(statement, answer)


def _distinct(writer: Writer, field: Field, type_: Type) -> Callable[[Any, Sequence[Any]], Any]:
    """A SELECT of the attribute's values, as text, number and boolean (one of them is not NULL)."""
    if type_ == "array":
        column = writer.table.c[field.columns[0]]
        if writer.sqlite:
            each = func.json_each(column, text(json_path(()))).table_valued("value", "type", name="each")
            one: Sql = case((each.c.type == text("text"), each.c.value))
        else:
            array = case((func.jsonb_typeof(column) == text("array"), column), else_=sa.cast(text("[]"), postgresql.JSONB))
            each = func.jsonb_array_elements(array).table_valued("value", name="each")
            one = case((func.jsonb_typeof(each.c.value) == text("string"), each.c.value.op("#>>")(text("{}")))).collate("C")
        nothing: Sql = literal_column("NULL")
        columns = [one.label("v0"), nothing.label("v1"), nothing.label("v2")]
        return lambda table, tests: select(*columns).select_from(table).join(each, sa.true()).where(*tests, one.is_not(None))
    types = _ANY if type_ == "any" else (type_,)
    read = [writer.read(field, one) for one in types]
    columns = [one.label(f"v{i}") for i, one in enumerate(read)] + [
        literal_column("NULL").label(f"v{i}") for i in range(len(read), 3)
    ]
    known = or_(*(one.is_not(None) for one in read))
    return lambda table, tests: select(*columns).select_from(table).where(*tests, known)


def _cardinality(writer: Writer, field: Field, type_: Type) -> Aggregation:
    values = _distinct(writer, field, type_)

    def statement(table: Any, tests: Sequence[Any]) -> Any:
        return select(func.count()).select_from(values(table, tests).distinct().subquery())

    return Aggregation(statement, lambda rows: rows[0][0])


def _terms(writer: Writer, field: Field, type_: Type) -> Aggregation:
    values = _distinct(writer, field, type_)
    types: tuple[Type, ...] = _ANY if type_ == "any" else (type_,)
    shown = [_shown(one) for one in types] + [_shown("text")] * (3 - len(types))

    def statement(table: Any, tests: Sequence[Any]) -> Any:
        inner = values(table, tests).subquery()
        keys = [inner.c.v0, inner.c.v1, inner.c.v2]
        order = [key.asc().nulls_last() for key in keys[: len(types)]]
        return select(*keys, func.count().label("many")).group_by(*keys).order_by(sa.desc("many"), *order).limit(TERMS)

    def answer(rows: Sequence[Any]) -> Any:
        return [
            {
                "value": next((show(one) for show, one in zip(shown, row[:3], strict=True) if one is not None), None),
                "count": row[3],
            }
            for row in rows
        ]

    return Aggregation(statement, answer)


#: algorithm -> what makes it
ALGORITHMS: dict[str, Callable[[Writer, Field, Type], Aggregation]] = {
    "min": _plain(lambda writer, value, type_: [func.min(value)], lambda row, shown: shown(row[0])),
    "max": _plain(lambda writer, value, type_: [func.max(value)], lambda row, shown: shown(row[0])),
    "sum": _plain(_sum, lambda row, shown: _total(row[0], row[1])),
    "avg": _plain(
        lambda writer, value, type_: [func.avg(_double(writer, value, type_))],
        lambda row, shown: None if row[0] is None else float(row[0]),
    ),
    "count": _plain(lambda writer, value, type_: [func.count(value)], lambda row, shown: row[0]),
    "missing": _plain(lambda writer, value, type_: [func.count() - func.count(value)], lambda row, shown: row[0]),
    "stats": _plain(
        lambda writer, value, type_: [
            func.count(value),
            func.min(value),
            func.max(value),
            *_sum(writer, value, type_),
            func.avg(_double(writer, value, type_)),
        ],
        _stats,
    ),
    "cardinality": _cardinality,
    "percentiles": _percentiles,
    "terms": _terms,
}
