"""MeasurementSets of layouts that only others write: slices are what casacore selects, or are refused with the reason."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.taska.archive import pack
from tests.unit.formats.measurement_set_compare import Comparer

LAYOUTS = Path(__file__).with_name("measurement_set_layouts.py")
SLICED = (
    "bits", "column", "together", "shapes", "big", "little", "untiled", "scalars", "types", "descriptions", "ragged", "grown",
    "row", "moment", "engine", "strings",
)  # fmt: skip
REFUSED = {
    "empty": "no rows",
    "cells": "DATA is stored by TiledCellStMan",
    "times": "TIME is tiled",
    "again": "not in time order",
    "query": "DOUBLE is stored by VirtualTaQLColumn",
    "reference": "a RefTable, which only refers to other tables",
    "concatenation": "a ConcatTable, which only refers to other tables",
    "forwarded": "columns stored by ForwardColumnEngine",
}


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    made = Comparer()
    yield made
    made.close()


def made(folder: Path, layout: str) -> tuple[Path, Path]:
    """The layout as a folder and as a zip."""
    path = folder / f"{layout}.ms"
    subprocess.run([sys.executable, LAYOUTS, layout, path], check=True, capture_output=True)
    return path, pack(path, folder / f"{layout}.ms.zip")


@pytest.mark.parametrize("layout", SLICED)
def test_slices_are_what_casacore_selects(lake: Any, comparer: Comparer, tmp_path: Path, layout: str) -> None:
    folder, archive = made(tmp_path, layout)
    source = lake.put("a.ms.zip", archive)
    rows, times = (lake.describe("measurementset", source)[name] for name in ("rows", "times"))
    for count in range(1, 10):
        parts, end = lake.cut("measurementset", source, count), 0
        assert len(parts) == min(count, times)
        for part in parts:
            first, end = end, part.data["rows"][1]
            assert part.data["rows"][0] == first
            with part.open(lake) as path:
                assert comparer.differs(folder, path, first, end - first) == "", f"slice {part.number} of {count}"
        assert end == rows


@pytest.mark.parametrize("layout", REFUSED)
def test_what_cannot_be_sliced_is_described_with_the_reason(lake: Any, tmp_path: Path, layout: str) -> None:
    source = lake.put("a.ms.zip", made(tmp_path, layout)[1])
    reason = lake.describe("measurementset", source)["unsliceable"]
    assert REFUSED[layout] in reason
    assert str(tmp_path) not in reason
    assert lake.index("measurementset", source) is None


def test_a_slice_of_other_rows_is_noticed(lake: Any, comparer: Comparer, tmp_path: Path) -> None:
    folder, archive = made(tmp_path, "bits")
    part = lake.cut("measurementset", lake.put("a.ms.zip", archive), 3)[1]
    first, end = part.data["rows"]
    with part.open(lake) as path:
        assert comparer.differs(folder, path, first, end - first) == ""
        assert "AssertionError" in comparer.differs(folder, path, first - 6, end - first)
