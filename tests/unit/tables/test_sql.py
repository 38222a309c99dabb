"""SQL inside a slice: rows, columns and joins, and nothing outside of the tables given."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from events.errors import Reject
from functions.tables.sql import Joined, Rows, Shaped, as_table

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", None]})


def test_rows_and_columns() -> None:
    assert Rows("a * 2 AS double", "b IS NOT NULL")(TABLE).to_pylist() == [{"double": 2}, {"double": 4}]
    assert Rows()(TABLE) is TABLE


@pytest.mark.parametrize("sql", ["a IN (SELECT 1 FROM read_csv('/etc/passwd'))", "nothing > 1", "a >"])
def test_other_sql_is_refused(sql: str) -> None:
    with pytest.raises(Reject, match="the query fails"):
        Rows(where=sql)(TABLE)


def test_columns_of_other_tables_are_cast_filled_and_left_out() -> None:
    wanted = pa.schema([("b", pa.string()), ("a", pa.float64()), ("c", pa.int8())])
    assert Shaped(wanted)(TABLE).to_pylist()[0] == {"b": "x", "a": 1.0, "c": None}
    mixed = pa.table({"a": [1.5, 2.0, None], "b": [[1], None, []], "c": pa.nulls(3), "d": [True, False, None]})
    assert Shaped(pa.schema(dict.fromkeys("abcd", pa.string())))(mixed).to_pydict() == {
        "a": ["1.5", "2", None],
        "b": ["[1]", None, "[]"],
        "c": [None] * 3,
        "d": ["true", "false", None],
    }


def test_columns_are_cast_only_to_what_holds_them() -> None:
    table = pa.table({"a": [{"x": 1, "y": 2}], "b": ["unknown"]})
    wider = pa.schema([("a", pa.struct([("y", pa.int64()), ("x", pa.float64()), ("z", pa.int8())]))])
    assert Shaped(wider)(table).to_pylist() == [{"a": {"y": 2, "x": 1.0, "z": None}}]
    with pytest.raises(Reject, match=r"the column a of type struct<x: int64, y: int64> does not fit in struct<x: int64>"):
        Shaped(pa.schema([("a", pa.struct([("x", pa.int64())]))]))(table)
    with pytest.raises(Reject, match="the column b of type string does not fit in int64"):
        Shaped(pa.schema([("b", pa.int64())]))(table)


@pytest.mark.parametrize(("how", "rows"), [("inner", 1), ("left", 3), ("semi", 1), ("anti", 2)])
def test_joins(how: str, rows: int) -> None:
    sink = pa.BufferOutputStream()
    other = pa.table({"a": [2, 9], "c": [True, False]})
    with pa.ipc.new_stream(sink, other.schema) as writer:
        writer.write_table(other)
    assert Joined(sink.getvalue().to_pybytes(), ("a",), how)(TABLE).num_rows == rows


def test_records_of_other_formats_are_tables_too() -> None:
    records = np.array([(1, b"g", 2.5)], dtype=[("n", ">i4"), ("band", "S1"), ("flux", ">f8")])
    assert as_table(records).to_pylist() == [{"n": 1, "band": b"g", "flux": 2.5}]
    with pytest.raises(Reject, match="no columns"):
        as_table(np.zeros(3))
