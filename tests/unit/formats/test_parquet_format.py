"""Parquet: slices are runs of row groups, and a footer that lies is found."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, sniff
from functions.formats.format import Broken, decode_index

TABLE = pa.table({"n": list(range(1000)), "text": [f"row {number}" for number in range(1000)]})


def written(table: pa.Table = TABLE, rows: int = 90) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows, compression="zstd")
    return buffer.getvalue()


@pytest.mark.parametrize("count", [1, 2, 5, 12, 50])
def test_slices_together_are_the_table(lake: Any, count: int) -> None:
    parts = lake.cut("parquet", lake.put("t.parquet", written()), count)
    assert len(parts) == min(count, 12)
    tables = []
    for part in parts:
        with part.open(lake) as table:
            tables.append(table)
            assert table.num_rows == part.data["rows"]
            assert table.slice(0, 1).column("n")[0].as_py() == part.data["first_row"]
    assert pa.concat_tables(tables).equals(TABLE)


def test_a_slice_reads_little_of_a_large_file(lake: Any) -> None:
    table = pa.table({"x": pa.array(range(2_000_000), pa.int64())})
    source = lake.put("l.parquet", written(table, 50_000))
    parts = lake.cut("parquet", source, 10)
    lake.read_bytes = 0
    with parts[3].open(lake):
        assert lake.read_bytes < source.size / 4


def test_describe(lake: Any) -> None:
    found = lake.describe("parquet", lake.put("d.parquet", written()))
    assert found["columns"] == {"n": "int64", "text": "string"}
    assert (found["rows"], found["row_groups"], found["compression"]) == (1000, 12, ["ZSTD"])


def test_an_empty_table_is_one_empty_slice(lake: Any) -> None:
    (part,) = lake.cut("parquet", lake.put("e.parquet", written(TABLE.slice(0, 0))), 4)
    with part.open(lake) as table:
        assert table.num_rows == 0
        assert table.schema.names == ["n", "text"]


def test_broken_files_say_so(lake: Any) -> None:
    data = written()
    with pytest.raises(Broken, match="cut off"):
        lake.describe("parquet", lake.put("b.parquet", data[:-100]))
    with pytest.raises(Broken, match="claims a footer"):
        lake.describe("parquet", lake.put("b.parquet", data[:-8] + b"\xff\xff\xff\x7fPAR1"))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("parquet", lake.put("b.parquet", b""))
    middle = data[:100] + data[-(int.from_bytes(data[-8:-4], "little") + 8) :]
    with pytest.raises(Broken, match="row group"):
        lake.index("parquet", lake.put("b.parquet", middle))


def test_sniff_changed_and_encoding(lake: Any) -> None:
    assert sniff(b"PAR1....", "x").name == "parquet"
    source = lake.put("c.parquet", written())
    index = lake.index("parquet", source)
    assert decode_index(index.encode()) == index
    (part,) = by_name("parquet").slices(index, 1, bucket="lake", key="c.parquet")
    lake.put("c.parquet", written(rows=100))
    with pytest.raises(Changed), part.open(lake):
        pass


def test_columns_and_conditions_are_pushed_down(lake: Any) -> None:
    random = np.random.default_rng(1)
    table = pa.table({"n": range(400_000), "x": random.random(400_000), "s": [f"s{n % 5}" for n in range(400_000)]})
    source = lake.put("w.parquet", written(table, 20_000))
    parts = lake.cut("parquet", source, 2)
    lake.read_bytes = 0
    where = [("n", ">=", 70_001), ("n", "<=", 72_000), ("s", "in", ["s1", "s2"])]
    found = []
    for part in parts:
        with part.open(lake, columns=["x"], where=where) as some:
            assert some.schema.names == ["x"]
            found.append(some)
    whole = pq.read_table(io.BytesIO(lake.objects["lake", "w.parquet"]), columns=["x"], filters=where)
    assert pa.concat_tables(found).column("x").to_pylist() == whole.column("x").to_pylist() != []
    assert lake.read_bytes < source.size / 8  # one row group of twenty, and two footers
    lake.read_bytes = 0
    with parts[0].open(lake, columns=["s"]):
        assert lake.read_bytes < source.size / 8
    with pytest.raises(Reject, match="has no column 'y'"), parts[0].open(lake, where=[("y", "==", 1)]):
        pass


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.none() | st.integers(-5, 5), min_size=1, max_size=40), st.integers(1, 7), st.integers(1, 5),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-6, 6),
)  # fmt: skip
def test_a_condition_keeps_what_arrow_keeps(lake: Any, values: Any, rows: int, count: int, symbol: str, value: int) -> None:
    data = written(pa.table({"v": pa.array(values, pa.int32())}), rows)
    parts = lake.cut("parquet", lake.put("p.parquet", data), count)
    found = []
    for part in parts:
        with part.open(lake, where=[("v", symbol, value)]) as some:
            found += some.column("v").to_pylist()
    assert found == pq.read_table(io.BytesIO(data), filters=[("v", symbol, value)]).column("v").to_pylist()


TYPES = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint16(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(),
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3),
    pa.decimal128(9, 2), pa.decimal256(50, 2), pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("us"),
    pa.timestamp("ns", "UTC"), pa.duration("us"), pa.list_(pa.bool_()), pa.large_list(pa.int8()), pa.list_(pa.bool_(),
    2), pa.map_(pa.string(), pa.bool_()), pa.struct([("a", pa.bool_()), ("b", pa.int8())]), pa.dictionary(pa.int32(),
    pa.string()),
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("groups", [(0,), (0, 3, 0, 0, 4), (3, 0, 4), (0, 0)], ids=str)
def test_row_groups_without_rows_are_read_as_arrow_reads_them(lake: Any, kind: Any, dictionary: bool, groups: Any) -> None:
    schema, buffer = pa.schema([("v", kind), ("n", pa.int32())]), io.BytesIO()
    with pq.ParquetWriter(buffer, schema, use_dictionary=dictionary) as writer:
        for rows in groups:
            writer.write_table(pa.table([pa.nulls(rows, kind), pa.array(range(rows), pa.int32())], schema=schema))
    whole = pq.read_table(io.BytesIO(buffer.getvalue()))
    source = lake.put("g.parquet", buffer.getvalue())
    places = lake.index("parquet", source).data["groups"]
    assert sum(end - start for start, end in places) <= source.size, "no two row groups overlap"
    for count in (1, 2, len(groups)):
        for columns in (None, ["v"]):
            tables = []
            for part in lake.cut("parquet", source, count):
                with part.open(lake, columns=columns) as table:
                    tables.append(table)
            assert pa.concat_tables(tables).equals(whole if columns is None else whole.select(columns))
