"""MeasurementSets of layouts that only others write: slices are what casacore selects, or are refused with the reason."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.formats.format import Broken
from infra.taska.archive import pack
from tests.unit.formats.measurement_set_compare import Comparer

LAYOUTS = Path(__file__).with_name("measurement_set_layouts.py")
SLICED = (
    "bits", "column", "together", "shapes", "big", "little", "untiled", "scalars", "types", "descriptions", "ragged", "grown",
    "row", "moment", "engine", "strings", "pointing", "buckets", "indirect", "altered",
)  # fmt: skip
REFUSED = {
    "elsewhere": "its sub-table HISTORY lies outside of its folder",
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


def zipped(folder: Path, prefix: str = "a.ms/", *, others: tuple[str, ...] = (), **how: Any) -> bytes:
    """The MeasurementSet in a zip as others make them, behind some other members."""
    target = Pipe() if how.get("pipe") else io.BytesIO()
    target.write(how.get("before", b""))
    with zipfile.ZipFile(target, "w") as archive:
        for name in others:
            archive.writestr(name, (folder / "ANTENNA" / "table.dat").read_bytes())
        for file in sorted(filter(Path.is_file, folder.rglob("*"))):
            member = zipfile.ZipInfo(prefix + str(file.relative_to(folder)))
            with archive.open(member, "w", force_zip64=how.get("wide", False)) as opened:
                opened.write(file.read_bytes())
        archive.comment = how.get("comment", b"")
    return target.getvalue()


class Pipe(io.BytesIO):
    """What cannot seek, so that sizes come behind the members."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: Any) -> int:
        raise OSError


ZIPS: dict[str, dict[str, Any]] = {
    "below folders": {"prefix": "data/x y/größe/a.ms/"},
    "without a folder": {"prefix": ""},
    "among others": {"others": ("README", "__MACOSX/a.ms/._table.dat", "a.ms/QUICKLOOK/plot.png")},
    "beside other tables": {"prefix": "obs/a.ms/", "others": ("cal/table.dat", "obs/cal/table.dat")},
    "data descriptors": {"pipe": True},
    "zip64": {"wide": True},
    "both": {"pipe": True, "wide": True},
    "behind a program": {"before": b"#!/bin/sh\n" * 99, "comment": b"c" * 60_000},
}


@pytest.mark.parametrize("kind", ZIPS)
def test_zips_of_others_are_sliced_alike(lake: Any, comparer: Comparer, tmp_path: Path, kind: str) -> None:
    folder, _ = made(tmp_path, "ragged")
    end = 0
    for part in lake.cut("measurementset", lake.put("a.ms.zip", zipped(folder, **ZIPS[kind])), 3):
        first, end = end, part.data["rows"][1]
        with part.open(lake) as path:
            assert comparer.differs(folder, path, first, end - first) == ""
    assert end == 47


def test_one_measurement_set_among_several_is_not_picked(lake: Any, tmp_path: Path) -> None:
    folder, _ = made(tmp_path, "row")
    archive = zipped(folder, others=("more/b.ms/table.dat", "more/b.ms/ANTENNA/table.dat"))
    with pytest.raises(Broken, match=r"several tables \(a\.ms, more/b\.ms\)"):
        lake.describe("measurementset", lake.put("a.ms.zip", archive))


COLUMNS = """
import sys
from casacore.tables import table
whole, part, first, wanted = table(sys.argv[1], ack=False), table(sys.argv[2], ack=False), int(sys.argv[3]), sys.argv[4:]
refused = set()
for name in whole.colnames():
    for row in filter(lambda row: whole.iscelldefined(name, first + row), range(part.nrows())):
        try:
            found, true = part.getcell(name, row), whole.getcell(name, first + row)
        except RuntimeError:
            assert name not in wanted, name
            refused.add(name)
        else:
            assert found.tobytes() == true.tobytes() if hasattr(true, "tobytes") else found == true, (name, row)
print(*sorted(refused))
"""


@pytest.mark.parametrize(
    ("layout", "wanted", "refused"),
    [
        ("bits", ["FLAG"], "DATA"), ("column", ["DATA"], "FLAG"), ("together", ["FLAG"], ""), ("together", [], None),
        ("shapes", ["FLAG", "TIME"], "DATA SIGMA_SPECTRUM"), ("scalars", ["ANTENNA2"], "FLAG_ROW"), ("engine", ["DATA"], ""),
        ("types", ["C3", "C5"], "C0 C1 C10 C2 C4 C6 C7 C8 C9"), ("altered", ["RAW"], None),
    ],
)  # fmt: skip
def test_a_column_is_right_or_refused_and_never_zeros(
    lake: Any, tmp_path: Path, layout: str, wanted: list[str], refused: str | None
) -> None:
    folder, archive = made(tmp_path, layout)
    part = lake.cut("measurementset", lake.put("a.ms.zip", archive), 3)[1]
    with part.open(lake, columns=wanted) as path:
        told = subprocess.run(
            [sys.executable, "-c", COLUMNS, folder, path, str(part.data["rows"][0]), *wanted], capture_output=True, text=True
        )
    assert told.returncode == 0, told.stderr
    assert refused is None or told.stdout.split() == refused.split()
