"""CSV: the scanner agrees with Python's csv module, and slices together are the whole, for any text and number."""

import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, csv_table, sniff
from functions.formats import csv as csv_module
from functions.formats import csv_scan as scan_module
from functions.formats.csv_scan import CsvScanner
from functions.formats.format import Broken, decode_index
from functions.formats.records import unpack
from functions.tables.aggregate import Aggregate, value_of
from functions.tables.concat import concat

FORMAT = by_name("csv")
SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
CELLS = st.text(alphabet='ab,"\n\r é日', max_size=6)


def scan(data: bytes, chunk: int, delimiter: str = ",") -> dict[str, Any]:
    scanner = CsvScanner(lambda head, encoding: delimiter)
    for start in range(0, len(data), chunk):
        scanner.feed(data[start : start + chunk])
    return scanner.result()


def records_of(data: bytes, delimiter: str = ",") -> list[list[str]]:
    text = data.decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


@SETTINGS
@given(st.text(alphabet='ab,;"\n\r', max_size=120), st.integers(1, 30), st.booleans(), st.sampled_from([64, 128]))
def test_records_are_those_of_the_csv_module_whatever_the_quotes(text: str, chunk: int, bom: bool, block: int) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    before, head = scan_module.BLOCK, scan_module.HEAD
    scan_module.BLOCK, scan_module.HEAD = block, 16
    try:
        found = scan(data, chunk)
    finally:
        scan_module.BLOCK, scan_module.HEAD = before, head
    expected = records_of(data)
    assert found["records"] == len(expected)
    starts, rows = unpack(found["marks"])
    for start, row in zip(starts.tolist(), rows.tolist(), strict=True):
        assert records_of(data[start:]) == expected[row:]


@SETTINGS
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30), st.integers(1, 9), st.booleans(), st.data())
def test_slices_together_are_the_whole_for_any_number(lake: Any, rows: Any, count: int, quote_all: bool, data: Any) -> None:
    text = io.StringIO(newline="")
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    quote_all = quote_all or any("\r" in cell for row in rows for cell in row)  # which the csv module forgets to quote
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerow(["one", "two", "three"])
    writer.writerows(rows)
    content = text.getvalue().encode()
    if data.draw(st.booleans()):
        content = content.removesuffix(end.encode())
    source = lake.put("t.csv", content)
    scanned = lake.scan("csv", source, data.draw(st.integers(1, 50)))
    index = FORMAT.index(source, scanned)
    assert index is not None
    index.data["columns"] = dict.fromkeys(("one", "two", "three"), "string")
    parts = FORMAT.slices(index, count, bucket="lake", key="t.csv")
    assert 1 <= len(parts) <= count
    assert sum(part.units for part in parts) == index.units == len(rows)
    found: list[Any] = []
    for part in parts:
        with part.open(lake) as table:
            assert table.num_rows == part.units
            assert part.data["first_row"] == len(found)
            found += [tuple(row.values()) for row in table.to_pylist()]
    expected = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert found == [tuple(row) for row in expected[1:]]


def test_a_large_file_has_few_marks_and_even_slices_with_one_schema(lake: Any) -> None:
    rng = np.random.default_rng(3)
    lines = [f'{number},"name, {number}\n",{value:.5f}' for number, value in enumerate(rng.random(60_000))]
    source = lake.put("big.csv", ("id,name,value\n" + "\n".join(lines) + "\n").encode())
    scanned = lake.scan("csv", source, 65_537)
    assert len(json.dumps(scanned)) < 40_000
    assert scanned == lake.scan("csv", source, 1 << 20)
    parts = lake.cut("csv", source, 16)
    assert len(parts) == 16
    assert [part.ranges[0][0] for part in parts[1:]] == [part.ranges[0][1] for part in parts[:-1]]
    assert max(part.bytes for part in parts) - min(part.bytes for part in parts) < 0.02 * source.size / 16
    lake.read_bytes = 0
    tables = []
    for part in parts:
        with part.open(lake) as table:
            tables.append(table)
    assert lake.read_bytes == sum(part.bytes for part in parts) < source.size
    whole = pa.concat_tables(tables)
    assert whole.column("id").to_pylist() == list(range(60_000))
    assert str(whole.schema.field("value").type) == "double"


def test_describe(lake: Any) -> None:
    source = lake.put("d.tsv", "stäbe\tx\n1\t2.5\n2\t3\n".encode())
    assert lake.describe("csv", source) == {
        "delimiter": "\t",
        "encoding": "utf-8",
        "header": True,
        "columns": {"stäbe": "int64", "x": "double"},
        "rows": 2,
    }


def test_without_a_header_the_columns_are_numbered(lake: Any) -> None:
    source = lake.put("d.csv", b"1,2\n3,4\n")
    assert lake.describe("csv", source)["columns"] == {"f0": "int64", "f1": "int64"}
    assert lake.describe("csv", source)["rows"] == 2


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (b"time,flux,flux\n1,2,x\n3,4,y\n", {"time": "int64", "flux": "int64", "flux_": "string"}),
        (b"time,flux,flux\n,,\n1,2,3\n", {"time": "int64", "flux": "int64", "flux_": "int64"}),
        (b"a,a,a_\n1,2,3\n", {"a": "int64", "a_": "int64", "a__": "int64"}),
        (b"yes,yes\nno,yes\n", {"f0": "string", "f1": "string"}),
        (b"yes,yes\nno,7\nyes,no\n", {"f0": "string", "f1": "string"}),
    ],
)
def test_a_name_that_is_repeated_over_numbers_is_one(lake: Any, text: bytes, columns: dict[str, str]) -> None:
    source = lake.put("r.csv", text)
    assert lake.describe("csv", source)["columns"] == columns
    (part,) = lake.cut("csv", source, 1)
    with part.open(lake) as table:
        assert {field.name: str(field.type) for field in table.schema} == columns


def test_types_come_from_the_whole_file_not_its_head(lake: Any) -> None:
    body = "".join(f"{number},{number}\n" for number in range(700_000)) + "0.5,late text\n"
    source = lake.put("late.csv", ("a,b\n" + body).encode())
    assert lake.describe("csv", source)["columns"] == {"a": "double", "b": "string"}


def test_latin_1_and_utf_16(lake: Any) -> None:
    latin = lake.put("l.csv", "n,name\n1,größe\n2,maß\n".encode("latin-1"))
    assert lake.describe("csv", latin)["encoding"] == "latin-1"
    (part,) = lake.cut("csv", latin, 1)
    with part.open(lake) as table:
        assert table.column("name").to_pylist() == ["größe", "maß"]
    late = lake.put("late.csv", b"n,name\n" + b"1,abc\n" * 40_000 + "2,maß\n".encode("latin-1"))
    assert lake.scan("csv", late)["encoding"] == "latin-1"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1", "utf-8"])
def test_quoted_newlines_in_every_encoding(lake: Any, encoding: str) -> None:
    rows = [(number, f'größe {number}\r\n"x",') for number in range(5000)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t").writerows([("n", "name"), *rows])
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    source = lake.put("w.tsv", mark + text.getvalue().encode(encoding))
    assert sniff(lake.objects["lake", "w.tsv"][:65536], "w.tsv").name == "csv"
    found = lake.describe("csv", source)
    assert (found["encoding"], found["delimiter"], found["rows"]) == (encoding, "\t", 5000)
    read: list[Any] = []
    for part in lake.cut("csv", source, 7):
        with part.open(lake) as table:
            read += [tuple(row.values()) for row in table.to_pylist()]
    assert read == rows


def test_columns_and_conditions(lake: Any) -> None:
    body = "".join(f"{number},text {number % 3},{number / 2}\n" for number in range(1000))
    source = lake.put("c.csv", ("n,t,x\n" + body).encode())
    found = []
    for part in lake.cut("csv", source, 3):
        with part.open(lake, columns=["x"], where=[("t", "==", "text 1"), ("n", ">=", 500)]) as table:
            assert table.schema.names == ["x"]
            found += table.column("x").to_pylist()
    assert found == [number / 2 for number in range(500, 1000) if number % 3 == 1]
    with pytest.raises(Reject, match="has no column 'y'; its columns are n, t, x"), part.open(lake, columns=["y"]):
        pass
    with pytest.raises(Reject, match="is no condition"), part.open(lake, where=[("n", "~", 1)]):
        pass


def test_an_old_macintosh_file_is_described_but_not_cut(lake: Any) -> None:
    source = lake.put("m.csv", b"a,b\r1,2\r3,4\r")
    found = lake.describe("csv", source)
    assert found["rows"] == 2
    assert "carriage return" in found["unsliceable"]
    assert lake.index("csv", source) is None


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"a,b\n1,2\n3,4\n", "data", "csv"),
        (b"a;b\n1;2\n3;4\n", "x.txt", "csv"),
        (b"one column\n1\n", "x.csv", "csv"),
        (b"", "x.csv", "csv"),
        (b"", "x", "opaque"),
        (b"Hello, world.\nThis is a letter, and, well, more text.\nBye.\n", "x.txt", "text"),
        (b'{"a": 1, "b": 2}\n' * 5, "x.jsonl", "jsonlines"),
        (b"\x00\x01,\n\x00,\n", "x.csv", "opaque"),
        (bytes(range(256)) * 10, "x", "opaque"),
    ],
)
def test_sniff(head: bytes, name: str, expected: str) -> None:
    assert sniff(head, name).name == expected


def test_broken_files_say_what_is_wrong(lake: Any) -> None:
    with pytest.raises(Broken, match="is empty"):
        lake.describe("csv", lake.put("e.csv", b""))
    with pytest.raises(Broken, match=r"lake/r.csv: row 1 \(counted from 0\) has 3 fields, not 2: 1,2,3"):
        lake.describe("csv", lake.put("r.csv", b"a,b\n1,2\n1,2,3\n"))


LATE: dict[str, tuple[str, list[Any]]] = {
    "1.5": ("double", [1.5]),
    "unknown": ("string", ["unknown"]),
    "-": ("string", ["-"]),
    "1e9": ("double", [1e9]),
    "99999999999999999999": ("string", ["99999999999999999999"]),
}


@pytest.mark.parametrize("late", LATE)
def test_one_late_value_is_wider_in_its_slice_and_nothing_is_lost(lake: Any, monkeypatch: Any, late: str) -> None:
    monkeypatch.setattr(csv_module, "WHOLE", 0)
    monkeypatch.setattr(csv_module, "SAMPLE", 256)
    rows = [f"{number},t{number}" for number in range(5000)]
    rows[800] = f"{late},t800"
    source = lake.put("v.csv", ("id,t\n" + "\n".join(rows) + "\n").encode())
    assert lake.describe("csv", source)["columns"]["id"] == "int64"  # no sample has seen it
    tables = []
    for part in lake.cut("csv", source, 4):
        with part.open(lake) as table:
            tables.append(table)
    kind, value = LATE[late]
    assert [str(table.schema.field("id").type) for table in tables] == [kind, "int64", "int64", "int64"]
    assert json.loads(tables[0].schema.metadata[csv_table.WIDENED]) == {"id": kind}
    assert tables[0].column("id").to_pylist()[800:801] == value
    assert [int(one) for table in tables for one in table.column("id").to_pylist() if one != value[0]] == [
        number for number in range(5000) if number != 800
    ]
    if kind == "string":
        told = "column 'id' of type string, so the condition id > 3 cannot be tried"
        with pytest.raises(Reject, match=told), lake.cut("csv", source, 4)[0].open(lake, where=[("id", ">", 3)]):
            pass
    with lake.cut("csv", source, 4)[0].open(lake, columns=["t"]) as chosen:
        assert chosen.schema.metadata is None


def test_all_of_a_text_that_is_not_long_tells_its_types(lake: Any) -> None:
    rows = [f"{number},{'x' * 60}" for number in range(100_000)]
    rows[8000] = "unknown,x"
    source = lake.put("v.csv", ("id,p\n" + "\n".join(rows) + "\n").encode())
    for part in lake.cut("csv", source, 4):
        with part.open(lake) as table:
            assert str(table.schema.field("id").type) == "string"


def test_a_row_of_another_length_is_named_by_its_number(lake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(csv_module, "WHOLE", 0)
    monkeypatch.setattr(csv_module, "SAMPLE", 256)
    rows = [f"{number},t" for number in range(5000)]
    rows[1800] = "7,x,y"
    source = lake.put("v.csv", ("id,t\n" + "\n".join(rows) + "\n").encode())
    parts = lake.cut("csv", source, 4)
    with pytest.raises(Broken, match=r"row 1800 \(counted from 0\) has 3 fields, not 2: 7,x,y"), parts[1].open(lake):
        pass
    with pytest.raises(Broken, match="a quote behind a blank"):
        lake.describe("csv", lake.put("q.csv", b'a,b\n1, "x,y"\n'))


def test_records_longer_than_a_sample_have_types_too(lake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(csv_module, "WHOLE", 0)
    monkeypatch.setattr(csv_module, "SAMPLE", 1 << 10)
    body = "".join(f"{number},{'x' * 20_000}\n" for number in range(40))
    assert lake.describe("csv", lake.put("w.csv", ("n,t\n" + body).encode()))["columns"] == {"n": "int64", "t": "string"}


def test_comments_before_the_header_and_lines_of_blanks_are_no_rows(lake: Any) -> None:
    source = lake.put("c.csv", b"# made by hand, in a hurry\n# twice\nn,t\n" + b"1,a\n   \n2,b\n" * 20)
    found = lake.describe("csv", source)
    assert (found["columns"], found["header"], found["rows"]) == ({"n": "int64", "t": "string"}, True, 60)
    for count in (1, 3, 7):
        read = []
        for part in lake.cut("csv", source, count):
            with part.open(lake) as table:
                read += table.column("n").to_pylist()
        assert read == [1, 2] * 20
    assert lake.describe("csv", lake.put("v.tsv", b"##x\n#a\tb\n1\t2\n"))["columns"] == {"#a": "int64", "b": "int64"}


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        (b"# made by x, y\ntime,flux\n1,2\n3,4\n", ["time", "flux"], 2),
        (b"# made by x, y\n# at noon, UTC\ntime,flux\n1,2\n", ["time", "flux"], 1),
        (b"# made by x, y\ntime,flux,flux\n1,2,3\n", ["time", "flux", "flux_"], 1),
        (b"#time,flux\n1,2\n", ["#time", "flux"], 1),
        (b"# made by x, y\n#time,flux\n1,2\n", ["#time", "flux"], 1),
        (b"#name,flux\nbob,NA\nann,3\n", ["#name", "flux"], 2),
        (b"#name,flux\nbob,\nann,3\n", ["#name", "flux"], 2),
        (b"#name,kind\nbob,x\nann,y\n", ["#name", "kind"], 2),
    ],
)
def test_a_comment_of_as_many_fields_is_no_header_where_one_follows(
    lake: Any, text: bytes, names: list[str], rows: int
) -> None:
    source = lake.put("c.csv", text)
    found = lake.describe("csv", source)
    assert (list(found["columns"]), found["header"], found["rows"]) == (names, True, rows)
    (part,) = lake.cut("csv", source, 1)
    with part.open(lake) as table:
        assert (table.schema.names, table.num_rows) == (names, rows)


@pytest.mark.parametrize("text", [b"id,t\n", b"id,t", b"id,t\n   \n", b"# none today\nid,t\n"])
def test_columns_without_rows_fit_every_other_table(lake: Any, text: bytes) -> None:
    source = lake.put("e.csv", text)
    assert lake.describe("csv", source)["columns"] == {"id": "null", "t": "null"}
    (part,) = lake.cut("csv", source, 3)
    with part.open(lake) as empty:
        assert empty.num_rows == 0
    with part.open(lake, columns=["t"], where=[("id", ">", 1), ("t", "in", ["x"])]) as chosen:
        assert chosen.schema.names == ["t"]
    (part,) = lake.cut("csv", lake.put("f.csv", b"id,t\n1,x\n2,y\n"), 1)
    with part.open(lake) as full:
        aggregate = Aggregate((), (value_of("sum(id)"), value_of("max(t)"), value_of("avg(id)")))
        for tables in ((empty, full), (full, empty)):
            assert concat(tables).equals(full)
            assert aggregate.combine([aggregate(each) for each in tables]).to_pylist() == [
                {"sum_id": 3, "max_t": "y", "avg_id": 1.5}
            ]


def test_half_a_character_at_the_end_is_told(lake: Any) -> None:
    source = lake.put("u.csv", "a,b\n1,2\n".encode("utf-16") + b"x")
    with pytest.raises(Broken, match="ends inside of a character"):
        lake.describe("csv", source)


def test_a_changed_object_is_refused(lake: Any) -> None:
    source = lake.put("c.csv", b"a,b\n1,2\n")
    (part,) = lake.cut("csv", source, 1)
    lake.put("c.csv", b"a,b\n1,9\n")
    with pytest.raises(Changed), part.open(lake):
        pass


def test_the_index_survives_its_encoding(lake: Any) -> None:
    index = lake.index("csv", lake.put("i.csv", b"a,b\n1,2\n"))
    assert decode_index(index.encode()) == index


def test_quoted_ends_of_lines_are_kept_wherever_a_text_grows_in_utf8() -> None:
    dialect = csv_table.Dialect(",", "latin-1", ["a"])
    for length in range(2):  # so that one byte more lies before each end of a line
        cells = ["ÿ" * length, *["ÿ" + "\r\n" * 40] * 300]
        text = "".join(f'"{cell}"\n' for cell in cells)
        table, _ = dialect.table(text.encode("latin-1"), {"a": "string"}, None, "t.csv", 0)
        assert table.column("a").to_pylist() == cells
