"""MeasurementSets: every slice is byte for byte what casacore selects, for every tiling that the demo can write."""

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, sniff
from functions.formats import measurement_set as module
from functions.formats.casacore_table import BadHeader, parse
from functions.formats.folder import look
from functions.formats.format import Broken, decode_index
from functions.formats.isolated import CASACORE, Failed
from infra.demo.measurement_set import LAYOUTS, Observation, pack, write
from tests.unit.formats.measurement_set_compare import Comparer

FORMAT = by_name("measurementset")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every layout, as (folder, zip)."""
    folder = tmp_path_factory.mktemp("ms")
    found = {}
    for layout in LAYOUTS:
        what = Observation(stations=5, times=13, channels=10, layout=layout)
        path = write(folder / f"{layout}.ms", what)
        found[layout] = (path, pack(path, folder / f"{layout}.ms.zip"))
    return found


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    made = Comparer()
    yield made
    made.close()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 3, 9])
def test_slices_are_what_casacore_selects(lake: Any, made: Any, comparer: Comparer, layout: str, count: int) -> None:
    folder, archive = made[layout]
    source = lake.put("a.ms.zip", archive)
    parts = lake.cut("measurementset", source, count)
    assert len(parts) == count
    first = 0
    for part in parts:
        rows = part.data["rows"][1] - part.data["rows"][0]
        assert part.data["rows"][0] == first
        with part.open(lake) as path:
            assert comparer.differs(folder, path, first, rows) == ""
        first += rows
    assert sum(part.units for part in parts) == 13


def test_large_tiles_are_read_once_and_the_index_is_small(lake: Any, tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "o.ms", Observation(stations=16, times=48, channels=64)), tmp_path / "o.ms.zip")
    source = lake.put("o.ms.zip", archive)
    assert FORMAT.describe(source, {})
    index = lake.index("measurementset", source)
    assert lake.read_bytes < 0.03 * source.size
    assert len(index.encode()) < 0.001 * source.size
    parts = FORMAT.slices(index, 9, bucket="lake", key="o.ms.zip", index_at="lake/index/o.ms.zip")
    whole = FORMAT.slices(index, 1, bucket="lake", key="o.ms.zip")[0]
    assert sum(part.bytes for part in parts) == whole.bytes < source.size
    lake.read_bytes = 0
    with parts[4].open(lake):
        assert lake.read_bytes == parts[4].bytes + len(index.encode())


def test_cuts_keep_to_the_alignment(lake: Any, made: Any) -> None:
    index = lake.index("measurementset", lake.put("a.ms.zip", made["dp3"][1]))
    aligned = msgspec.structs.replace(index, data=index.data | {"align": 4})
    parts = FORMAT.slices(aligned, 9, bucket="lake", key="a.ms.zip")
    assert [part.data["times"] for part in parts] == [[0, 4], [4, 8], [8, 12], [12, 13]]


def test_describe(lake: Any, made: Any) -> None:
    found = lake.describe("measurementset", lake.put("a.ms.zip", made["windows"][1]))
    assert found["telescope"] == "NenuFAR"
    assert found["antennas"] == [f"ST{number:03}" for number in range(5)]
    assert (found["rows"], found["times"], found["channels"]) == (13 * 15 * 2, 13, 15)
    assert found["start"] == "2023-08-29T04:26:44.000Z"
    assert (found["min_hz"], found["correlations"]) == (60e6, ["XX", "XY", "YX", "YY"])
    assert found["columns"]["DATA"] == "TiledShapeStMan"
    assert "unsliceable" not in found


def test_the_index_survives_its_encoding_and_is_the_same_each_time(lake: Any, made: Any) -> None:
    index = lake.index("measurementset", lake.put("a.ms.zip", made["casa"][1]))
    again = lake.index("measurementset", lake.put("a.ms.zip", made["casa"][1]))
    assert decode_index(index.encode()) == decode_index(again.encode())


def test_a_changed_object_or_index_is_refused(lake: Any, made: Any) -> None:
    source = lake.put("a.ms.zip", made["dp3"][1])
    (part,) = lake.cut("measurementset", source, 1)
    lake.put("a.ms.zip", made["casa"][1])
    with pytest.raises(Changed), part.open(lake):
        pass
    lake.index("measurementset", lake.put("a.ms.zip", made["casa"][1]))
    with pytest.raises(Changed, match="index"), part.open(lake):
        pass
    with pytest.raises(Reject, match="does not say"), msgspec.structs.replace(part, index="").open(lake):
        pass


def test_rows_out_of_time_order_are_described_with_the_reason(lake: Any, made: Any, tmp_path: Path) -> None:
    script = """
import sys
from casacore.tables import table
t = table(sys.argv[1], ack=False)
t.sort("TIME desc").copy(sys.argv[2], deep=True).close()
"""
    folder = tmp_path / "back.ms"
    subprocess.run([sys.executable, "-c", script, str(made["dp3"][0]), str(folder)], check=True, capture_output=True)
    source = lake.put("back.ms.zip", pack(folder, tmp_path / "back.ms.zip"))
    assert "time order" in lake.describe("measurementset", source)["unsliceable"]
    assert lake.index("measurementset", source) is None


@pytest.mark.parametrize("manager", [b"DyscoStMan", b"LofarStMan"])
def test_columns_of_other_managers_are_described_with_the_reason(lake: Any, made: Any, tmp_path: Path, manager: bytes) -> None:
    archive = tmp_path / "d.ms.zip"
    with zipfile.ZipFile(made["dp3"][1]) as old, zipfile.ZipFile(archive, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content + manager if name == "dp3.ms/table.dat" else content)
    source = lake.put("d.ms.zip", archive)
    found = lake.describe("measurementset", source)
    assert manager.decode() in found["unsliceable"]
    assert found["telescope"] == "NenuFAR"
    assert lake.index("measurementset", source) is None


def test_a_multifile_is_described_with_the_reason(lake: Any, made: Any, tmp_path: Path) -> None:
    archive = tmp_path / "m.ms.zip"
    archive.write_bytes(made["dp3"][1].read_bytes())
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("dp3.ms/table.mf", b"x")
    assert "MultiFile" in lake.describe("measurementset", lake.put("m.ms.zip", archive))["unsliceable"]


def test_what_is_no_measurement_set_says_so(lake: Any, made: Any, tmp_path: Path) -> None:
    archive = tmp_path / "n.ms.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("holiday/beach.txt", "sand")
    with pytest.raises(Broken, match=r"holds no table\.dat; its members are holiday/beach\.txt"):
        lake.describe("measurementset", lake.put("n.ms.zip", archive))
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../table.dat", "sand")
    with pytest.raises(Broken, match="unsafe path"):
        lake.describe("measurementset", lake.put("n.ms.zip", archive))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.ms/table.dat", "sand" * 100)
    with pytest.raises(Broken, match=r"compressed .*zip -0"):
        lake.describe("measurementset", lake.put("n.ms.zip", archive))
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(made["dp3"][0] / "table.dat", "a.ms/table.dat")
        opened.write(made["dp3"][0] / "table.dat", "b.ms/table.dat")
    with pytest.raises(Broken, match="several tables"):
        lake.describe("measurementset", lake.put("n.ms.zip", archive))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("measurementset", lake.put("n.ms.zip", b""))
    with zipfile.ZipFile(archive, "w") as opened:
        for file in (made["dp3"][0] / "ANTENNA").iterdir():
            opened.write(file, f"a.ms/{file.name}")
    with pytest.raises(Broken, match="no MeasurementSet: no TIME"):
        lake.describe("measurementset", lake.put("n.ms.zip", archive))


def test_sniff(made: Any) -> None:
    head = made["dp3"][1].read_bytes()[:65536]
    assert sniff(head, "x.zip").name == "measurementset"
    assert sniff(b"PK\x03\x04" + bytes(60), "x.zip").name == "opaque"
    assert sniff(b"PK\x03\x04" + bytes(60), "X.MS.ZIP").name == "measurementset"
    assert sniff(b"", "x.ms.zip").name == "measurementset"
    assert sniff(b"no zip", "x.ms.zip").name == "opaque"


def test_casacore_that_crashes_or_hangs_harms_only_its_own_process(tmp_path: Path) -> None:
    with pytest.raises(Failed):
        CASACORE.call("describe", path=str(tmp_path / "missing"), main=True)
    child = CASACORE._running()
    child.kill()
    child.wait()
    assert CASACORE.call("describe", path=str(tmp_path), main=False) == {}
    os.kill(CASACORE._running().pid, signal.SIGSTOP)
    with pytest.raises(Failed, match="no answer within"):
        CASACORE.call("describe", timeout=0.1, path=str(tmp_path), main=False)
    assert CASACORE.call("describe", path=str(tmp_path), main=False) == {}
    child = CASACORE._running()
    assert child.stdin is not None
    child.stdin.close()  # it ends as an idle one does, before anyone has noticed
    child.stdin = open(os.devnull, "wb")  # noqa: PTH123, SIM115
    assert CASACORE.call("describe", path=str(tmp_path), main=False) == {}


def test_a_storage_managers_header_says_what_is_wrong(made: Any) -> None:
    header = (made["windows"][0] / "table.f0").read_bytes()
    assert [cube.rows for cube in parse(header, "table.f0").cubes] == [0, 195, 195]
    for end in range(len(header)):
        with pytest.raises(BadHeader):
            parse(header[:end], "table.f0")
    rng = np.random.default_rng(1)
    for _ in range(500):
        bad = bytearray(header)
        bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(BadHeader):
            parse(bytes(bad), "table.f0")


CHOSEN = """
import sys
import numpy as np
from casacore.tables import table
whole, part = table(sys.argv[1], ack=False), table(sys.argv[2], ack=False)
first, rows = int(sys.argv[3]), part.nrows()
for name in ("TIME", "ANTENNA2", "UVW"):
    assert np.array_equal(whole.getcol(name, first, rows), part.getcol(name)), name
try:
    part.getcol("DATA")
except RuntimeError as error:
    assert "exceeds" in str(error)
else:
    raise AssertionError("a column that was not read was shown")
"""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_managers_of_chosen_columns_are_read_and_others_cannot_be(lake: Any, made: Any, layout: str) -> None:
    source = lake.put("a.ms.zip", made[layout][1])
    parts = lake.cut("measurementset", source, 3)
    index = lake.index("measurementset", source)
    lake.read_bytes = 0
    with parts[1].open(lake, columns=["TIME", "UVW"]) as path:
        assert lake.read_bytes < len(index.encode()) + parts[1].bytes // 4
        arguments = [str(made[layout][0]), path, str(parts[1].data["rows"][0])]
        done = subprocess.run([sys.executable, "-c", CHOSEN, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    lake.read_bytes = 0
    with parts[1].open(lake, columns=["ANTENNA1"]):
        assert lake.read_bytes == len(index.encode())
    with pytest.raises(Reject, match="has no column 'NOISE'"), parts[1].open(lake, columns=["NOISE"]):
        pass
    with pytest.raises(Reject), parts[1].open(lake, where=[("TIME", ">", 0)]):
        pass


@pytest.mark.parametrize("prefix", [False, True])
def test_large_untiled_files_are_read_once_a_worker(
    lake: Any, made: Any, comparer: Comparer, monkeypatch: Any, tmp_path: Path, prefix: bool
) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(module, "BULK", 5000)
    folder = write(tmp_path / "o.ms", Observation(stations=7, times=13, channels=20))
    (folder / "POINTING").mkdir(exist_ok=True)
    (folder / "POINTING" / "bulk").write_bytes(os.urandom(100_000))
    if prefix:
        for file in filter(Path.is_file, folder.rglob("*")):
            lake.write("lake", f"o.ms/{file.relative_to(folder)}", file.read_bytes())
        source, _ = look(lake, "lake", "o.ms/")
    else:
        source = lake.put("o.ms.zip", pack(folder, tmp_path / "o.ms.zip"))
    lake.read_bytes = 0
    index = FORMAT.index(source, {})
    assert index is not None
    lake.write("lake", "index/o", index.encode())
    assert "POINTING/bulk" in index.data["apart"]
    assert lake.read_bytes < source.size / 2
    assert len(index.encode()) < 100_000
    bulk = sum(size for _, size in index.data["apart"].values())
    first = 0
    for part in FORMAT.slices(index, 3, bucket="lake", key=source.key, index_at="lake/index/o"):
        lake.read_bytes = 0
        with part.open(lake) as path:
            assert lake.read_bytes == part.bytes + len(index.encode()) + (0 if first else bulk)
            rows = part.data["rows"][1] - part.data["rows"][0]
            assert comparer.differs(folder, path, first, rows) == ""
            bulky = Path(path).parent / "base.ms" / "POINTING" / "bulk"
            assert bulky.read_bytes() == (folder / "POINTING" / "bulk").read_bytes()
        first += rows


def test_mostly_untiled_is_refused_with_the_reason(lake: Any, made: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(module, "BULK", 5000)
    folder = write(tmp_path / "o.ms", Observation(stations=5, times=9, channels=10))
    (folder / "POINTING").mkdir(exist_ok=True)
    (folder / "POINTING" / "bulk").write_bytes(os.urandom(3_000_000))
    source = lake.put("o.ms.zip", pack(folder, tmp_path / "o.ms.zip"))
    lake.read_bytes = 0
    assert "so every worker would have to read them" in lake.describe("measurementset", source)["unsliceable"]
    assert lake.read_bytes < 1_000_000
