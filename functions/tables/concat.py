"""The tables of several slices as one, also where one slice had to read a column as a wider type than another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all; a column that is missing is null, and one whose types have none in common is text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        differ = {name for table in tables for name in table.schema.names if _differs(name, tables)}
        return pa.concat_tables([_as_text(table, differ) for table in tables], promote_options="permissive")


def texts(column: Any) -> Any:
    """A column's values as text: as CSV has them, and what it has no notation for as JSON."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        found = [None if one is None else json.dumps(one, ensure_ascii=False, default=str) for one in column.to_pylist()]
        return pa.chunked_array([pa.array(found, pa.string())])


def _differs(name: str, tables: Sequence[pa.Table]) -> bool:
    """Whether the column's types have none in common."""
    fields = [pa.schema([table.schema.field(name)]) for table in tables if name in table.schema.names]
    try:
        pa.unify_schemas(fields, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return True
    return False


def _as_text(table: pa.Table, names: set[str]) -> pa.Table:
    """The table with these columns as text."""
    for place, name in enumerate(table.schema.names):
        if name in names and not pa.types.is_null(table.schema.field(name).type):
            table = table.set_column(place, name, texts(table.column(place)))
    return table
