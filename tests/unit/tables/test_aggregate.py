"""Aggregation in two phases: the same, to the last bit, for every cut, and what one pass over everything gives."""

from __future__ import annotations

import math
import random

import pyarrow as pa
import pytest

from events.errors import Reject
from functions.tables.aggregate import Aggregate, value_of

ASKED = ["n=count(*)", "count(x)", "sum(x)", "avg(x)", "min(x)", "max(x)", "sum(k)", "avg(k)"]


def stars(rows: int) -> pa.Table:
    chance = random.Random(7)
    x = [
        chance.choice([1e16, -1e16, 1.0, 1e-300, 3.3, None]) if chance.random() < 0.9 else chance.gauss(0, 1)
        for _ in range(rows)
    ]
    return pa.table(
        {"band": [chance.choice(["g", "r", None]) for _ in range(rows)], "x": x, "k": [2**62 - n for n in range(rows)]}
    )


def cut(table: pa.Table, borders: list[int]) -> list[pa.Table]:
    return [table.slice(a, b - a) for a, b in zip([0, *borders], [*borders, table.num_rows], strict=True)]


@pytest.mark.parametrize("by", [(), ("band",)])
def test_the_result_is_that_of_exact_arithmetic_for_any_cut(by: tuple[str, ...]) -> None:
    table = stars(500)
    task = Aggregate(by, tuple(map(value_of, ASKED)))
    made = [
        task.combine([task(part) for part in cut(table, borders)]).to_pylist()
        for borders in ([], [250], [1, 2, 3, 499], list(range(20, 500, 20)))
    ]
    assert made[0] == made[1] == made[2] == made[3]
    assert sum(row["n"] for row in made[0]) == 500
    for row in made[0]:
        group = [each for each in table.to_pylist() if not by or each["band"] == row["band"]]
        x, k = [each["x"] for each in group if each["x"] is not None], [each["k"] for each in group]
        assert row["count_x"] == len(x)
        assert row["sum_x"] == math.fsum(x)
        assert row["avg_x"] == pytest.approx(math.fsum(x) / len(x), rel=1e-15)
        assert (row["min_x"], row["max_x"]) == (min(x), max(x))
        assert int(row["sum_k"]) == sum(k)
        assert row["avg_k"] == sum(k) / len(k)


def test_what_is_no_number_and_what_is_empty() -> None:
    task = Aggregate((), tuple(map(value_of, ["sum(x)", "avg(x)", "count(x)", "min(x)"])))
    inf = pa.table({"x": [1.0, math.inf]})
    assert task.combine([task(inf), task(pa.table({"x": [2.0]}))])["sum_x"].to_pylist() == [math.inf]
    opposite = task.combine([task(inf), task(pa.table({"x": [-math.inf]}))])
    assert math.isnan(opposite["sum_x"][0].as_py())
    empty = task(pa.table({"x": pa.array([], pa.float64())}))
    assert task.combine([empty, empty]).to_pylist() == [{"sum_x": None, "avg_x": None, "count_x": 0, "min_x": None}]
    assert task.combine([empty, task(inf.slice(0, 1))])["sum_x"].to_pylist() == [1.0]


@pytest.mark.parametrize("text", ["median(x)", "sum(*)", "x", "sum x", ""])
def test_what_is_no_aggregate(text: str) -> None:
    with pytest.raises(Reject, match=r"aggregate|counted"):
        value_of(text)
