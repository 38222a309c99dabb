"""Which columns and rows of a slice are wanted: ``columns=["ra"], where=[("flux", ">", 1.5), ("band", "in", ["g", "r"])]``.

A row is wanted where every condition holds. A value that is missing meets no condition. This is the notation of
``pyarrow.parquet.read_table(filters=...)``, so formats that Arrow reads hand it on, and skip what cannot match.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
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


def check(columns: Sequence[str] | None, where: Where, known: Collection[str], what: object) -> list[str] | None:
    """All columns that answering takes, or ``None`` for all there are. Raises ``Reject`` for what ``what`` does not have."""
    for condition in where:
        if len(condition) != 3 or condition[1] not in OPERATORS:
            raise Reject(f"{condition!r} is no condition: write (column, operator, value) with one of {', '.join(OPERATORS)}")
    needed = list(dict.fromkeys([*(columns or ()), *(column for column, _, _ in where)]))
    if missing := [name for name in needed if name not in known]:
        raise Reject(f"{what} has no column {missing[0]!r}; its columns are {', '.join(list(known)[:50]) or 'none'}")
    return None if columns is None else needed


def table(found: Any, columns: Sequence[str] | None, where: Where) -> Any:
    """The wanted part of a ``pyarrow.Table``."""
    if where:
        from pyarrow import parquet

        found = found.filter(parquet.filters_to_expression([tuple(condition) for condition in where]))
    return found if columns is None else found.select(list(columns))


def rows(found: Any, columns: Sequence[str] | None, where: Where) -> Any:
    """The wanted part of a structured numpy array or an ``astropy.table.Table``."""
    if where:
        mask = np.ones(len(found), dtype=bool)
        for column, symbol, value in where:
            values = found[column]
            if values.dtype.kind == "S":
                value = [text.encode() for text in value] if symbol.endswith("in") else str(value).encode()
            mask &= np.ma.filled(OPERATORS[symbol](values, value), False)
        found = found[mask]
    return found if columns is None else found[list(columns)]


def none(columns: Sequence[str] | None, where: Where, what: object) -> None:
    """Raise ``Reject`` where columns or conditions are given for something that has no columns."""
    if columns is not None or where:
        raise Reject(f"{what} has no columns to choose from or to compare: open it without columns and where")
