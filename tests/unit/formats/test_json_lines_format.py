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
from functions.formats import by_name, json_lines, records, sniff
from functions.formats.csv_table import WIDENED
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
    with pytest.raises(Broken, match=r"b\.jsonl: row 1 \(counted from 0\) is no JSON"):
        lake.describe("jsonlines", lake.put("b.jsonl", b'{"a": 1}\n{"a": \n'))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("jsonlines", lake.put("b.jsonl", b""))
    with pytest.raises(Broken, match=r"row 1 \(counted from 0\) is no JSON object"):
        lake.describe("jsonlines", lake.put("b.jsonl", b'{"a": 1}\n[2]\n'))
    with pytest.raises(Broken, match="no UTF-8"):
        lake.describe("jsonlines", lake.put("b.jsonl", '{"a": "ß"}\n'.encode("latin-1")))


def test_a_field_of_several_types_is_text(lake: Any) -> None:
    source = lake.put("m.jsonl", b'{"a": 1, "b": [1]}\n{"a": "x", "b": {"c": 2}}\n{"a": null, "b": null}\n')
    assert lake.describe("jsonlines", source)["columns"] == {"a": "string", "b": "string"}
    found = opened(lake, lake.cut("jsonlines", source, 3))
    assert found.to_pydict() == {"a": ["1", "x", None], "b": ["[1]", '{"c": 2}', None]}


LATE = {
    '{"id": 1.5, "s": {"k": 1}}': ("double", 1.5),
    '{"id": "unknown", "s": {"k": 1}}': ("string", "unknown"),
    '{"id": 99999999999999999999, "s": {"k": 1}}': ("string", "99999999999999999999"),
    '{"id": 800, "s": {"k": 1}, "new": "key"}': ("int64", 800),
    '{"id": 800, "s": {"k": "x"}}': ("int64", 800),
    '{"id": "other", "s": {"k": 1, "l": 2}}': ("string", "other"),
}


@pytest.mark.parametrize("late", LATE)
def test_one_late_line_is_wider_in_its_slice_and_nothing_is_lost(lake: Any, monkeypatch: Any, late: str) -> None:
    monkeypatch.setattr(json_lines, "WHOLE", 0)
    monkeypatch.setattr(json_lines, "SAMPLE", 256)
    rows: list[Any] = [{"id": number, "s": {"k": number}} for number in range(5000)]
    texts = [json.dumps(row) for row in rows]
    texts[800], rows[800] = late, json.loads(late)
    source = lake.put("v.jsonl", ("\n".join(texts) + "\n").encode())
    assert lake.describe("jsonlines", source)["columns"] == {"id": "int64", "s": "struct<k: int64>"}
    parts = lake.cut("jsonlines", source, 4)
    with parts[0].open(lake) as table:
        assert (str(table.schema.field("id").type), table.column("id")[800].as_py()) == LATE[late]
        assert table.num_rows == parts[0].units
        kinds = {one.name: str(one.type) for one in table.schema if one.name != "new"}
        known = {"id": "int64", "s": "struct<k: int64>"}
        told = json.loads((table.schema.metadata or {}).get(WIDENED, b"{}"))
        assert told == {name: kind for name, kind in kinds.items() if kind != known[name]}
        if "new" in rows[800]:
            assert table.column("new")[800].as_py() == "key"
        deep = table.column("s")[800].as_py()
        assert (json.loads(deep) if isinstance(deep, str) else deep) == rows[800]["s"]
    with parts[1].open(lake) as table:
        assert table.schema.names == ["id", "s"]
        assert table.column("id").to_pylist() == [row["id"] for row in rows[parts[1].data["first_row"] :][: parts[1].units]]


def test_records_that_are_all_longer_than_a_sample_are_read(lake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(json_lines, "WHOLE", 0)
    monkeypatch.setattr(json_lines, "SAMPLE", 1 << 10)
    lines = [{"n": number, "t": "x" * 20_000} for number in range(40)]
    source = lake.put("w.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert lake.describe("jsonlines", source)["columns"] == {"n": "int64", "t": "string"}
    assert opened(lake, lake.cut("jsonlines", source, 7)).to_pylist() == lines
