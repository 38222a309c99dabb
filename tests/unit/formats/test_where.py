"""Conditions that do not fit are refused in a sentence that names the column, its type and the condition, in every format."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.errors import Reject
from functions.formats import where as wanted

TABLE = pa.table({"id": [1, 2, 3], "name": ["a", "b", None], "place": [{"x": 1}] * 3})
ROWS = np.array([(1, b"a", "a", [1, 2]), (2, b"b", "b", [1, 2])], "i8,S1,U1,2f4")
ROWS.dtype.names = ("id", "raw", "name", "pair")


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer)
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, ROWS)
    return buffer.getvalue()


CONTENT = {
    "csv": b"id,name\n1,a\n2,b\n3,\n",
    "jsonlines": b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n{"id": 3, "name": null}\n',
    "parquet": parquet(),
    "fixed": npy(),
}


def found(lake: Any, form: str, condition: Any) -> Any:
    key = "t.npy" if form == "fixed" else f"t.{form}"
    (part,) = lake.cut(form, lake.put(key, CONTENT[form]), 1)
    with part.open(lake, where=[condition]) as opened:
        return opened["id"].tolist() if form == "fixed" else opened.column("id").to_pylist()


@pytest.mark.parametrize("form", CONTENT)
@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (("id", "in", 3), r"id in 3 is no condition on .*/t\.\w+: in takes a list of values"),
        (("name", "not in", "ab"), "name not in 'ab' is no condition on .*: not in takes a list of values"),
        (("id", "==", [1]), r"id == \[1\] is no condition on .*: == takes one value"),
        (("id", ">", "x"), r"/t\.\w+ has a column 'id' of type int64, so the condition id > 'x' cannot be tried: give a value"),
        (("id", "==", "1"), "column 'id' of type int64, so the condition id == '1' cannot"),
        (("id", "in", ["x"]), r"column 'id' of type int64, so the condition id in \['x'\] cannot"),
        (("name", "<=", 3), "column 'name' of type (string|<U1), so the condition name <= 3 cannot"),
        (("name", "!=", 3), "column 'name' of type (string|<U1), so the condition name != 3 cannot"),
        (("name", "not in", ["a", 3]), r"column 'name' of type (string|<U1), so the condition name not in \['a', 3\] cannot"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(lake: Any, form: str, condition: Any, text: str) -> None:
    with pytest.raises(Reject, match=text):
        found(lake, form, condition)


@pytest.mark.parametrize("form", CONTENT)
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("id", ">", 1.5), [2, 3]),
        (("id", "in", (1, 2.0)), [1, 2]),
        (("id", "in", []), []),
        (("id", "not in", {1, 3}), [2]),
        (("name", ">", "a"), [2]),
        (("name", "in", ["b", "c"]), [2]),
    ],
)
def test_a_condition_that_fits_is_tried(lake: Any, form: str, condition: Any, expected: list[int]) -> None:
    assert found(lake, form, condition) == [one for one in expected if one < 3 or form != "fixed"]


@pytest.mark.parametrize("condition", [("place", "==", 1), ("place", "in", [1])])
def test_what_holds_others_is_not_compared(lake: Any, condition: Any) -> None:
    with pytest.raises(Reject, match=r"column 'place' of type struct<x: int64>, so the condition place"):
        found(lake, "parquet", condition)


@pytest.mark.parametrize(("condition", "expected"), [(("raw", "==", "a"), [1]), (("raw", "in", ["b", b"c"]), [2])])
def test_text_is_compared_with_bytes_as_bytes(lake: Any, condition: Any, expected: list[int]) -> None:
    assert found(lake, "fixed", condition) == expected


@pytest.mark.parametrize("condition", [("raw", "==", 1), ("raw", "in", ["a", 1]), ("pair", ">", 1), ("pair", "==", "x")])
def test_numpy_says_no_less(lake: Any, condition: Any) -> None:
    with pytest.raises(Reject, match=f"column '{condition[0]}' of type .*, so the condition {condition[0]}"):
        found(lake, "fixed", condition)


def test_no_row_group_is_read_for_a_condition_that_does_not_fit(lake: Any) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": np.random.default_rng(1).random(100_000)}), buffer)
    (part,) = lake.cut("parquet", lake.put("l.parquet", buffer.getvalue()), 1)
    lake.read_bytes = 0
    with pytest.raises(Reject, match="type double"), part.open(lake, where=[("id", ">", "x")]):
        pass
    assert lake.read_bytes < 10_000


@pytest.mark.parametrize("symbol", wanted.OPERATORS)
def test_a_column_of_nothing_meets_no_condition(symbol: str) -> None:
    table = pa.table({"n": pa.nulls(3)})
    assert wanted.table(table, None, [("n", symbol, ["x"] if symbol in wanted.MANY else 1)], "t").num_rows == 0
