"""Which columns and rows of a slice are wanted: ``columns=["ra"], where=[("flux", ">", 1.5), ("band", "in", ["g", "r"])]``.

A row is wanted where every condition holds. A value that is missing meets no condition. This is the notation of
``pyarrow.parquet.read_table(filters=...)``, so formats that Arrow reads hand it on, and skip what cannot match.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from events.errors import Reject

Where = Sequence[tuple[str, str, Any]]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda values, wanted: np.isin(values, list(wanted)),
    "not in": lambda values, wanted: ~np.isin(values, list(wanted)),
}

#: Those that take several values.
MANY = ("in", "not in")


def check(columns: Sequence[str] | None, where: Where, known: Collection[str], what: object) -> list[str] | None:
    """All columns that answering takes, or ``None`` for all there are. Raises ``Reject`` for what ``what`` does not have."""
    for condition in where:
        if len(condition) != 3 or condition[1] not in OPERATORS:
            raise Reject(f"{condition!r} is no condition: write (column, operator, value) with one of {', '.join(OPERATORS)}")
        many = isinstance(condition[2], Iterable) and not isinstance(condition[2], str | bytes)
        if many != (condition[1] in MANY):
            asked = "a list of values" if condition[1] in MANY else "one value"
            raise Reject(f"{_written(condition)} is no condition on {what}: {condition[1]} takes {asked}")
    needed = list(dict.fromkeys([*(columns or ()), *(column for column, _, _ in where)]))
    if missing := [name for name in needed if name not in known]:
        raise Reject(f"{what} has no column {missing[0]!r}; its columns are {', '.join(list(known)[:50]) or 'none'}")
    return None if columns is None else needed


def compare(where: Where, schema: Any, what: object) -> None:
    """Raise ``Reject`` where a condition's value cannot be compared with its column, by the types of a ``pyarrow.Schema``."""
    import pyarrow
    from pyarrow import parquet

    for condition in where:
        field = schema.field(condition[0])
        if pyarrow.types.is_null(field.type):  # as of a table without rows: it may be of any type elsewhere
            continue
        try:
            pyarrow.schema([field]).empty_table().filter(parquet.filters_to_expression([tuple(condition)]))
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise _misfit(condition, field.type, what) from error


def table(found: Any, columns: Sequence[str] | None, where: Where, what: object) -> Any:
    """The wanted part of a ``pyarrow.Table``. Raises ``Reject`` as ``compare`` does."""
    if where:
        from pyarrow import parquet, types

        compare(where, found.schema, what)  # a slice may have wider types than the others
        if any(types.is_null(found.schema.field(name).type) for name, _, _ in where):
            found = found.slice(0, 0)
        else:
            found = found.filter(parquet.filters_to_expression([tuple(condition) for condition in where]))
    return found if columns is None else found.select(list(columns))


def rows(found: Any, columns: Sequence[str] | None, where: Where, what: object) -> Any:
    """The wanted part of a structured numpy array or an ``astropy.table.Table``. Raises ``Reject`` as ``met`` does."""
    if where:
        mask = np.ones(len(found), dtype=bool)
        for condition in where:
            mask &= np.ma.filled(met(condition, found[condition[0]], what), False)
        found = found[mask]
    return found if columns is None else found[list(columns)]


def met(condition: tuple[str, str, Any], values: Any, what: object) -> Any:
    """Which of these numpy values of its column meet the condition. Raises ``Reject`` where they cannot be compared."""
    _, symbol, value = condition
    many, none_of = symbol in MANY, np.asarray(values[:0])
    try:
        if values.ndim > 1:
            raise TypeError("each is an array")
        wanted = [
            one.encode() if values.dtype.kind == "S" and isinstance(one, str) else one for one in (value if many else [value])
        ]
        for one in wanted:
            np.less(none_of, one)  # for == and != numpy would say that nothing is alike
        return OPERATORS[symbol](values, wanted if many else wanted[0])
    except (TypeError, ValueError) as error:
        kind = f"{values.dtype} {list(values.shape[1:])}" if values.ndim > 1 else values.dtype
        raise _misfit(condition, kind, what) from error


def _misfit(condition: tuple[str, str, Any], kind: object, what: object) -> Reject:
    told = f"{what} has a column {condition[0]!r} of type {kind}, so the condition {_written(condition)} cannot be tried"
    return Reject(f"{told}: give a value of that type, or another column")


def _written(condition: tuple[str, str, Any]) -> str:
    name, symbol, value = condition
    return f"{name} {symbol} {value!r}"[:200]


def none(columns: Sequence[str] | None, where: Where, what: object) -> None:
    """Raise ``Reject`` where columns or conditions are given for something that has no columns."""
    if columns is not None or where:
        raise Reject(f"{what} has no columns to choose from or to compare: open it without columns and where")
