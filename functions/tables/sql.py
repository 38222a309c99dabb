"""SQL over tables in memory, by DuckDB: no files, no network, one core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from events.errors import Reject
from functions.tables.concat import texts


def query(sql: str, **tables: pa.Table) -> pa.Table:
    """The answer over tables that are called as the arguments are. Raises ``Reject`` for SQL that cannot be run."""
    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": "false"}) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        try:
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise Reject(f"the query fails: {' '.join(str(error).split())[:300]}") from error


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def as_table(opened: Any) -> pa.Table:
    """What a slice is opened as, as a table. Raises ``Reject`` for what has no columns."""
    if isinstance(opened, pa.Table):
        return opened
    names = getattr(getattr(opened, "dtype", None), "names", None)
    if not names:
        raise Reject(f"a {type(opened).__name__} has no columns: stage CSV, JSON Lines, Parquet or tables of FITS and HDF5")
    columns = {name: np.ma.asarray(opened[name]) for name in names}
    native = {name: values.astype(values.dtype.newbyteorder("=")) for name, values in columns.items()}
    return pa.table({name: pa.array(values.tolist()) for name, values in native.items()})


@dataclass(frozen=True)
class Rows:
    """Some rows and columns of a table, as SQL says: a list of expressions and a condition."""

    columns: str = "*"
    where: str = ""

    def __call__(self, opened: Any) -> pa.Table:
        table = as_table(opened)
        if self.columns == "*" and not self.where:
            return table
        condition = f" WHERE {self.where}" if self.where else ""
        return query(f"SELECT {self.columns} FROM data{condition}", data=table)  # noqa: S608 - the user's own SQL


@dataclass(frozen=True)
class Shaped:
    """A table with these columns and types: others are left out, missing ones are null."""

    schema: pa.Schema

    def __call__(self, opened: Any) -> pa.Table:
        table = as_table(opened)
        there = set(table.column_names)
        columns = [
            _cast(table.column(field.name), field) if field.name in there else pa.nulls(table.num_rows, field.type)
            for field in self.schema
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)


def _cast(column: Any, field: Any) -> Any:
    """A column as the type of the field. Raises ``Reject`` where that does not hold it; Arrow drops parts of structures."""
    if field.type == pa.string():
        return texts(column)
    try:
        if pa.types.is_nested(column.type):
            both = pa.unify_schemas([pa.schema([field]), pa.schema([(field.name, column.type)])], promote_options="permissive")
            if both.field(0).type != field.type:
                raise pa.ArrowTypeError("parts would be lost")
        return column.cast(field.type)
    except pa.ArrowException as error:
        why = " ".join(str(error).split())[:200]
        raise Reject(f"the column {field.name} of type {column.type} does not fit in {field.type}: {why}") from error


#: Joins that a slice of the left side can do by itself.
JOINS = ("inner", "left", "semi", "anti")


@dataclass(frozen=True)
class Joined:
    """A table joined with another one (Arrow IPC) on columns of the same names."""

    other: bytes
    on: tuple[str, ...]
    how: str = "inner"

    def __call__(self, opened: Any) -> pa.Table:
        other = pa.ipc.open_stream(self.other).read_all()
        on = ", ".join(map(quoted, self.on))
        sql = f"SELECT * FROM data {self.how.upper()} JOIN other USING ({on})"  # noqa: S608 - quoted
        return query(sql, data=as_table(opened), other=other)
