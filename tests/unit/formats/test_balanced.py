"""Runs of units of any weight: all units once, as many runs as asked for, none much heavier than its share."""

import io
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from functions.formats import by_name
from functions.formats.format import balanced, spans
from infra.runtime.dealing import split

WEIGHTS = st.lists(st.integers(0, 1000) | st.just(10**9), min_size=1, max_size=60)


@given(WEIGHTS, st.integers(1, 70))
def test_every_unit_is_in_one_run_and_there_are_as_many_as_asked_for(weights: list[int], count: int) -> None:
    runs = balanced(weights, count)
    assert [unit for low, high in runs for unit in range(low, high)] == list(range(len(weights)))
    assert len(runs) == min(count, len(weights))
    assert all(high > low for low, high in runs)


@given(WEIGHTS, st.integers(1, 20))
def test_no_run_is_heavier_than_its_share_and_a_unit(weights: list[int], count: int) -> None:
    share = sum(weight + 1 for weight in weights) / count
    for low, high in balanced(weights, count):
        assert sum(weight + 1 for weight in weights[low:high]) <= share + max(weights) + 1


@given(st.lists(st.integers(90, 110), min_size=40, max_size=200), st.integers(1, 10), st.integers(2, 4))
def test_a_finer_cutting_has_the_borders_of_a_coarser_one(weights: list[int], count: int, finer: int) -> None:
    coarse = {low for low, _ in balanced(weights, count)}
    if count * finer <= len(weights) // 2:
        assert coarse <= {low for low, _ in balanced(weights, count * finer)}


def test_units_of_one_weight_are_shared_evenly_and_none_makes_one_run() -> None:
    lengths = sorted(high - low for low, high in balanced([7] * 10, 4))
    assert lengths == sorted(high - low for low, high in spans(10, 4))
    assert balanced([], 3) == [(0, 0)]


@pytest.mark.parametrize("count", [2, 4, 9])
def test_row_groups_of_any_size_make_slices_of_about_one_size(lake: Any, count: int) -> None:
    table = pa.table({"x": [float(number) * 1.1 for number in range(60_000)]})
    out = io.BytesIO()
    with parquet.ParquetWriter(out, table.schema) as writer:
        for first in range(0, 40_000, 10_000):
            writer.write_table(table.slice(first, 10_000), row_group_size=10_000)
        for first in range(40_000, 60_000, 100):
            writer.write_table(table.slice(first, 100))
    source = lake.put("t.parquet", out.getvalue())
    parts = lake.cut("parquet", source, count)
    sizes = [part.bytes - (part.ranges[-1][1] - part.ranges[-1][0]) for part in parts]
    assert len(parts) == count
    assert max(sizes) < sum(sizes) / count + sum(sizes) / 5
    rows = []
    for part in parts:
        with part.open(lake) as opened:
            rows += opened.column("x").to_pylist()
    assert rows == table.column("x").to_pylist()
    index = lake.index("parquet", source)
    last = parts[-1]
    pieces = split(last, index, 2)
    assert sum(piece.units for piece in pieces) == last.units
    assert len(pieces) >= 2
    assert by_name("parquet").slices(index, count, bucket="lake", key="t.parquet")[0].data == parts[0].data


@pytest.mark.parametrize(
    ("format", "name", "line"),
    [
        ("csv", "t.csv", lambda number, text: f"{number},{text}\n"),
        ("jsonlines", "t.jsonl", lambda number, text: f'{{"n": {number}, "text": "{text}"}}\n'),
        ("text", "t.txt", lambda number, text: f"{number} {text}\n"),
        ("fasta", "t.fasta", lambda number, text: f">{number}\n{text.upper().replace('X', 'A')}\n"),
    ],
)
def test_slices_of_records_of_any_length_have_as_many_bytes(lake: Any, format: str, name: str, line: Any) -> None:
    lengths = [10] * 20_000 + [2_000] * 300 + [40] * 5_000  # most rows are short, most bytes in few rows
    head = "n,text\n" if format == "csv" else ""
    source = lake.put(name, (head + "".join(line(n, "x" * length) for n, length in enumerate(lengths))).encode())
    for count in range(2, 10):
        parts = lake.cut(format, source, count)
        assert len(parts) == count
        assert sum(part.units for part in parts) == len(lengths)
        assert [part.ranges[0][0] for part in parts[1:]] == [part.ranges[0][1] for part in parts[:-1]]
        assert max(part.bytes for part in parts) < 1.03 * source.size / count
        rows = 0
        for part in parts:
            assert part.data.get("first_row", part.data.get("first_line", rows)) == rows
            if format in ("csv", "jsonlines"):
                with part.open(lake) as table:
                    assert table.column("n").to_pylist() == list(range(rows, rows + part.units))
            rows += part.units


def test_a_row_longer_than_a_share_is_a_slice_of_its_own_and_the_others_are_shared_out(lake: Any) -> None:
    rows = ["a,b", *(f"{number},x" for number in range(400)), "400," + "y" * 50_000, *(f"{n},x" for n in range(401, 800))]
    source = lake.put("t.csv", ("\n".join(rows) + "\n").encode())
    parts = lake.cut("csv", source, 6)
    found: list[int] = []
    for part in parts:
        with part.open(lake) as table:
            found += table.column("a").to_pylist()
    assert len(parts) == 6
    assert found == list(range(800))
    assert sorted(part.bytes for part in parts)[-2] < 3_000
