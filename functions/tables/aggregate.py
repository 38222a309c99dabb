"""Aggregation in two phases: of each slice by itself, then of what those gave. Exact, however the data are cut.

Whole numbers are added as 128-bit integers. Floats are added as integers too, one sum for each exponent, so that no order of
adding can show: ``sum`` and ``avg`` are the real result, rounded once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, types

from events.errors import Reject
from functions.tables.concat import concat
from functions.tables.sql import as_table, query, quoted

FUNCTIONS = ("count", "sum", "min", "max", "avg")
_WRITTEN = re.compile(r"^(?:(?P<name>\w+)\s*=\s*)?(?P<function>\w+)\((?P<column>.+)\)$")
#: Bits of a double's mantissa.
BITS = 53


@dataclass(frozen=True)
class Value:
    """One aggregate: ``function`` of ``column`` (``*`` for rows), called ``name`` in the result."""

    name: str
    function: str
    column: str


@dataclass(frozen=True)
class Partial:
    """What one slice gives: a row for each group, and for each column of floats that is added its sums by exponent."""

    groups: pa.Table
    floats: dict[str, pa.Table]


def value_of(text: str) -> Value:
    """``avg(flux)`` or ``mean=avg(flux)``. Raises ``Reject``."""
    found = _WRITTEN.match(text.strip())
    if found is None or found["function"].lower() not in FUNCTIONS:
        raise Reject(f"{text!r} is no aggregate: write NAME=FUNCTION(COLUMN) with one of {', '.join(FUNCTIONS)}")
    function, column = found["function"].lower(), found["column"].strip()
    if column == "*" and function != "count":
        raise Reject(f"{text!r} has no column: only rows can be counted by *")
    return Value(found["name"] or (function if column == "*" else f"{function}_{column}"), function, column)


@dataclass(frozen=True)
class Aggregate:
    """The aggregates ``values`` of the groups by the columns ``by``; of all rows where there are none.

    Called with a slice it gives its ``Partial``; ``combine`` makes the result of those of all slices.
    """

    by: tuple[str, ...]
    values: tuple[Value, ...]

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return list(dict.fromkeys([*self.by, *(value.column for value in self.values if value.column != "*")]))

    def __call__(self, opened: Any) -> Partial:
        table = as_table(opened)
        floats = {}
        for column in self._added():
            if types.is_floating(table.schema.field(column).type):
                floats[column] = self._by_exponent(table, column)
        asked = [f"{self._first(value, value.column in floats)} AS {quoted(value.name)}" for value in self.values]
        counts = [f"count({quoted(column)}) AS {quoted('#' + column)}" for column in self._added()]
        return Partial(self._grouped(asked + counts, table), floats)

    def combine(self, partials: Sequence[Partial]) -> pa.Table:
        """The aggregates over all slices, in the order of the groups' values."""
        groups = concat([each.groups for each in partials])
        asked = [f"{self._second(value)}({quoted(value.name)}) AS {quoted(value.name)}" for value in self.values]
        counts = [f"sum({quoted('#' + column)}) AS {quoted('#' + column)}" for column in self._added()]
        whole = self._grouped(asked + counts, groups)
        for value in self.values:
            if value.function in ("sum", "avg"):
                tables = [each.floats[value.column] for each in partials if value.column in each.floats]
                sums = self._sums(tables) if tables else None
                whole = self._finished(whole, value, sums)
            elif value.function == "count":
                whole = _set(whole, value.name, whole.column(value.name).cast(pa.int64()))
        return whole.select([*self.by, *(value.name for value in self.values)])

    def _added(self) -> list[str]:
        return list(dict.fromkeys(value.column for value in self.values if value.function in ("sum", "avg")))

    def _first(self, value: Value, float_: bool) -> str:
        column = quoted(value.column) if value.column != "*" else "*"
        if value.function in ("sum", "avg"):  # of floats only what is no number; the others are added by exponent
            return f"sum({column}) FILTER (NOT isfinite({column}))" if float_ else f"sum({column})"
        return f"{value.function}({column})"

    def _second(self, value: Value) -> str:
        return {"count": "sum", "avg": "sum"}.get(value.function, value.function)

    def _grouped(self, asked: list[str], data: pa.Table) -> pa.Table:
        by = ", ".join(map(quoted, self.by))
        grouped = f" GROUP BY {by} ORDER BY {by}" if by else ""
        return query("SELECT " + ", ".join([by, *asked] if by else asked) + f" FROM data{grouped}", data=data)  # noqa: S608

    def _by_exponent(self, table: pa.Table, column: str) -> pa.Table:
        """Per group and exponent, the sum of the mantissas."""
        values = table.column(column).cast(pa.float64())
        numbers = compute.fill_null(values, 0.0).to_numpy()
        mantissa, exponent = np.frexp(np.where(np.isfinite(numbers), numbers, 0.0))
        data = table.select(list(self.by)).append_column("#e", pa.array(exponent.astype(np.int32)))
        data = data.append_column("#m", pa.array((mantissa * 2.0**BITS).astype(np.int64)))
        return self._exponents(data)

    def _exponents(self, data: pa.Table) -> pa.Table:
        by = ", ".join([*map(quoted, self.by), '"#e"'])
        return query(f'SELECT {by}, sum("#m"::HUGEINT)::VARCHAR AS "#m" FROM data GROUP BY {by}', data=data)  # noqa: S608 - quoted

    def _sums(self, tables: list[pa.Table]) -> dict[tuple[Any, ...], Fraction]:
        """The exact sum of each group."""
        found: dict[tuple[Any, ...], Fraction] = {}
        for row in self._exponents(pa.concat_tables(tables, promote_options="permissive")).to_pylist():
            key = _key(row[name] for name in self.by)
            found[key] = found.get(key, Fraction(0)) + Fraction(int(row["#m"])) * Fraction(2) ** (row["#e"] - BITS)
        return found

    def _finished(self, whole: pa.Table, value: Value, sums: dict[tuple[Any, ...], Fraction] | None) -> pa.Table:
        """``whole`` with a sum or an average as it is."""
        made: list[Any] = []
        for row in whole.select([*self.by, value.name, "#" + value.column]).to_pylist():
            count, odd = int(row["#" + value.column] or 0), row[value.name]
            if not count:
                made.append(None)
            elif sums is None:
                made.append(odd if value.function == "sum" else float(Fraction(odd) / count))
            elif odd is not None:
                made.append(odd)
            else:
                exact = sums[_key(row[name] for name in self.by)]
                made.append(_rounded(exact if value.function == "sum" else exact / count))
        if sums is not None or value.function == "avg":
            return _set(whole, value.name, pa.array(made, pa.float64()))
        whole_numbers = types.is_decimal(whole.schema.field(value.name).type) and all(
            each is None or (each == int(each) and abs(each) < 2**63) for each in made
        )
        scale = getattr(whole.schema.field(value.name).type, "scale", 0)
        return (
            _set(whole, value.name, pa.array([each if each is None else int(each) for each in made], pa.int64()))
            if (whole_numbers and not scale)
            else whole
        )


def _key(values: Any) -> tuple[Any, ...]:
    """A group's values; NaN is one group, as in SQL."""
    return tuple("NaN" if isinstance(value, float) and value != value else value for value in values)


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _set(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
