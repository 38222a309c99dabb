"""What the command line of staging understands, and how rows are shared out."""

from __future__ import annotations

from typing import Any

import pytest

from infra.console.client import Complaint
from infra.console.stage import bytes_of, condition
from infra.staging.parts import shares


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("flux > 1.5", ("flux", ">", 1.5)),
        ("flux>=2", ("flux", ">=", 2)),
        ("band = g", ("band", "==", "g")),
        ("band in [g, r]", ("band", "in", ["g", "r"])),
        ("band not  in [g]", ("band", "not in", ["g"])),
        ("a column != 'x y'", ("a column", "!=", "x y")),
    ],
)
def test_conditions(text: str, wanted: tuple[str, str, Any]) -> None:
    assert condition(text) == wanted


@pytest.mark.parametrize("text", ["flux", "> 1", "flux ~ 1", "flux in [1"])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(Complaint):
        condition(text)


def test_sizes() -> None:
    assert [bytes_of(text) for text in ("10", "1.5kB", "128MB", "1GiB")] == [10, 1500, 128_000_000, 1 << 30]
    for text in ("", "0", "many", "-1", "1TB"):
        with pytest.raises(Complaint):
            bytes_of(text)


@pytest.mark.parametrize("rows", [[10], [3, 0, 4, 5], [1, 1], [0, 0], [7] * 5])
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_rows_are_shared_out_in_order_and_evenly(rows: list[int], count: int) -> None:
    made = shares(rows, count)
    assert len(made) == count
    told = [(piece, first + n) for part in made for piece, first, taken in part for n in range(taken)]
    assert told == [(piece, n) for piece, size in enumerate(rows) for n in range(size)]
    sizes = [sum(taken for _, _, taken in part) for part in made]
    assert max(sizes) - min(sizes) <= 1
