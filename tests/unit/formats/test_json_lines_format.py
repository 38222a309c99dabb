"""JSON Lines: slices are tables of whole lines with one schema, together what Arrow reads of the whole."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.json
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from functions.formats import by_name, records, sniff
from functions.formats.format import Broken

FORMAT: Any = by_name("jsonlines")
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.integers(-(2**40), 2**40),
            "x": st.floats(allow_nan=False, allow_infinity=False),
            "t": st.text(alphabet='a"\\\né日', max_size=5),
            "deep": st.fixed_dictionaries({"list": st.lists(st.integers(0, 9), max_size=3)}),
            "no": st.none() | st.booleans(),
        },
    ),
    min_size=1,
    max_size=30,
)


def opened(lake: Any, parts: Any, **options: Any) -> pa.Table:
    tables = []
    for part in parts:
        with part.open(lake, **options) as table:
            tables.append(table)
    return pa.concat_tables(tables)


@SETTINGS
@given(ROWS, st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.integers(1, 40), st.integers(1, 8))
def test_slices_together_are_the_table(lake: Any, rows: Any, end: str, ended: bool, chunk: int, count: int) -> None:
    data = end.join(json.dumps(row, ensure_ascii=False) for row in rows).encode() + end.encode() * ended
    source = lake.put("t.jsonl", data)
    before, records.BLOCK = records.BLOCK, 16
    try:
        scan = lake.scan("jsonlines", source, chunk)
    finally:
        records.BLOCK = before
    assert scan["records"] == len(rows)
    whole = pyarrow.json.read_json(io.BytesIO(data), pyarrow.json.ReadOptions(block_size=1 << 20))
    index = FORMAT.index(source, scan)
    parts = FORMAT.slices(index, count, bucket="lake", key="t.jsonl")
    assert sum(part.units for part in parts) == len(rows)
    found = opened(lake, parts)
    assert found.num_rows == len(rows) or not whole.num_columns  # Arrow counts no rows without a column
    assert found.select(whole.schema.names).to_pydict() == whole.to_pydict()
    assert found.schema.equals(whole.schema)


def test_types_are_those_of_the_whole_file(lake: Any) -> None:
    lines = [{"a": number, "b": "x" * 50} for number in range(60_000)]
    lines[40_000:] = [{"a": number + 0.5, "b": None, "c": [number]} for number in range(40_000, 60_000)]
    source = lake.put("l.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert lake.describe("jsonlines", source)["columns"] == {"a": "double", "b": "string", "c": "list<item: int64>"}
    found = opened(lake, lake.cut("jsonlines", source, 13))
    assert found.column("a").to_pylist() == [line["a"] for line in lines]
    assert found.column("c")[-1].as_py() == [59_999]


def test_columns_and_conditions(lake: Any) -> None:
    source = lake.put(
        "c.jsonl", "".join(json.dumps({"n": n, "t": f"t{n % 3}", "x": n / 2}) + "\n" for n in range(999)).encode()
    )
    parts = lake.cut("jsonlines", source, 4)
    found = opened(lake, parts, columns=["x"], where=[("t", "in", ["t1"]), ("n", "<", 9)])
    assert found.to_pydict() == {"x": [0.5, 2.0, 3.5]}
    with pytest.raises(Reject, match="has no column 'y'"), parts[0].open(lake, columns=["y"]):
        pass


def test_sniff() -> None:
    line = b'{"a": [1, {"b": 2}]}\n'
    assert sniff(line * 3, "x").name == "jsonlines"
    assert sniff(line * 3 + b'{"a": [1', "x").name == "jsonlines"
    assert sniff(line, "x.ndjson").name == "jsonlines"
    assert sniff(b'{\n  "a": 1\n}\n', "x.json").name == "text"
    assert sniff(b"[1, 2]\n[3, 4]\n", "x").name != "jsonlines"
    assert sniff(b"", "x.jsonl").name == "jsonlines"


def test_broken_files_say_where(lake: Any) -> None:
    with pytest.raises(Broken, match=r"b\.jsonl.*JSON parse error.*in row 1"):
        lake.describe("jsonlines", lake.put("b.jsonl", b'{"a": 1}\n{"a": \n'))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("jsonlines", lake.put("b.jsonl", b""))
    with pytest.raises(Broken, match="changed from number to string"):
        lake.describe("jsonlines", lake.put("b.jsonl", b'{"a": 1}\n{"a": "x"}\n'))
    with pytest.raises(Broken, match="no UTF-8"):
        lake.describe("jsonlines", lake.put("b.jsonl", '{"a": "ß"}\n'.encode("latin-1")))
