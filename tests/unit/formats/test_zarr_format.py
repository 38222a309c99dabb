"""Zarr in a stored zip: both versions, sharded and not, slices of whole chunks that together are the array."""

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, sniff
from functions.formats.format import Broken, decode_index
from functions.formats.source import Source

FORMAT: Any = by_name("zarr")
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def zipped(folder: Path, to: Path) -> bytes:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return to.read_bytes()


def opened(lake: Any, parts: Any, **options: Any) -> Any:
    found = []
    for part in parts:
        with part.open(lake, **options) as rows:
            found.append(rows)
    return np.concatenate(found)


@SETTINGS
@given(
    st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.integers(1, 5), st.sampled_from([2, 3]),
    st.booleans(), st.integers(1, 8),
)  # fmt: skip
def test_slices_together_are_the_array(
    lake: Any, tmp_path_factory: Any, rows: int, wide: int, height: int, width: int, version: int, sharded: bool, count: int
) -> None:
    folder = tmp_path_factory.mktemp("zarr")
    array = np.arange(rows * wide, dtype="f4").reshape(rows, wide)
    options: dict[str, Any] = {"shards": (height * 2, width * 3)} if sharded and version == 3 else {}
    made = zarr.create_array(
        folder / "a", shape=array.shape, chunks=(height, width), dtype="f4", zarr_format=version, fill_value=7, **options
    )
    made[: rows // 2 + 1] = array[: rows // 2 + 1]  # the rest was never written
    expected = made[:]
    source = lake.put("a.zarr.zip", zipped(folder / "a", folder / "a.zip"))
    band = height * 2 if options else height
    parts = lake.cut("zarr", source, count)
    assert len(parts) == min(count, -(-rows // band))
    assert (opened(lake, parts) == expected).all()


@pytest.mark.parametrize("version", [2, 3])
def test_the_largest_of_a_group_or_the_one_named(lake: Any, tmp_path: Path, version: int) -> None:
    group = zarr.open_group(tmp_path / "g", mode="w", zarr_format=version)
    large = group.create_array("deep/large", shape=(400, 300), chunks=(50, 100), dtype="f8")
    large[:] = np.random.default_rng(1).random((400, 300))
    group.create_array("few", shape=(5,), chunks=(2,), dtype="i4")[:] = np.arange(5)
    data = zipped(tmp_path / "g", tmp_path / "g.zip")
    assert sniff(data[:65536], "x.zip").name == "zarr"
    source = lake.put("g.zarr.zip", data)
    lake.read_bytes = 0
    found = lake.describe("zarr", source)
    assert found["array"] == "deep/large"
    assert found["arrays"]["few"]["shape"] == [5]
    index = lake.index("zarr", source)
    assert lake.read_bytes < 0.2 * source.size
    assert decode_index(index.encode()) == index
    parts = lake.cut("zarr", source, 4)
    lake.read_bytes = 0
    assert (opened(lake, parts[1:2]) == large[100:200]).all()
    assert lake.read_bytes < parts[1].bytes + len(index.encode()) + 100
    named = Source(lake, "lake", "g.zarr.zip", source.size, source.etag, {"dataset": "few"})
    index = FORMAT.index(named, {})
    lake.write("lake", "i", index.encode())
    assert opened(lake, FORMAT.slices(index, 9, bucket="lake", key="g.zarr.zip", index_at="lake/i")).tolist() == list(range(5))
    with pytest.raises(Broken, match="has no array 'none'"):
        FORMAT.describe(Source(lake, "lake", "g.zarr.zip", source.size, source.etag, {"dataset": "none"}), {})


def test_a_store_that_zarr_zipped_itself(lake: Any, tmp_path: Path) -> None:
    store = zarr.storage.ZipStore(tmp_path / "z.zip", mode="w")
    made = zarr.create_array(store, shape=(100,), chunks=(9,), dtype="i8")
    made[:] = np.arange(100)
    store.close()
    parts = lake.cut("zarr", lake.put("z.zip", tmp_path / "z.zip"), 5)
    assert opened(lake, parts).tolist() == list(range(100))


def test_columns_and_conditions(lake: Any, tmp_path: Path) -> None:
    table = np.zeros(50, [("n", "<i4"), ("x", "<f8")])
    table["n"], table["x"] = np.arange(50), np.arange(50) / 2
    made = zarr.create_array(tmp_path / "t", shape=(50,), chunks=(7,), dtype=table.dtype, zarr_format=2)
    made[:] = table
    parts = lake.cut("zarr", lake.put("t.zarr.zip", zipped(tmp_path / "t", tmp_path / "t.zip")), 3)
    assert opened(lake, parts, columns=["x"], where=[("n", "in", [3, 49])])["x"].tolist() == [1.5, 24.5]
    with pytest.raises(Reject, match="has no column 'y'"), parts[0].open(lake, columns=["y"]):
        pass


def test_a_prefix_is_described(lake: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(10, 4), chunks=(3, 4), dtype="f4")
    text = (tmp_path / "a" / "zarr.json").read_bytes()
    assert sniff(text, "store/a/zarr.json").name == "zarr"
    assert sniff(text, "other.json").name != "zarr"
    source = lake.put("store/a/zarr.json", text)
    found = lake.describe("zarr", source)
    assert found["arrays"] == {"": {"shape": [10, 4], "chunks": [3, 4], "dtype": "float32"}}
    assert "name its prefix" in found["unsliceable"]
    assert lake.index("zarr", source) is None


def test_pickled_chunks_damage_and_change(lake: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(100,), chunks=(10,), dtype="i4", zarr_format=2)[:] = np.arange(100)
    data = zipped(tmp_path / "a", tmp_path / "a.zip")
    source = lake.put("c.zarr.zip", data)
    parts = lake.cut("zarr", source, 2)
    for end in (10, len(data) // 2, len(data) - 5):
        with pytest.raises(Broken, match="no readable zip"):
            lake.describe("zarr", lake.put("b.zarr.zip", data[:end]))
    damaged = data.replace(b'"shape"', b'"shapf"')
    with pytest.raises(Broken, match="no Zarr: KeyError"):
        lake.describe("zarr", lake.put("b.zarr.zip", damaged))
    lake.put("c.zarr.zip", damaged)
    with pytest.raises(Changed), parts[0].open(lake):
        pass
    document = tmp_path / "a" / ".zarray"
    document.write_text(document.read_text().replace('"filters": null', '"filters": [{"id": "pickle"}]'))
    source = lake.put("p.zarr.zip", zipped(tmp_path / "a", tmp_path / "p.zip"))
    assert "pickled" in lake.describe("zarr", source)["unsliceable"]
    assert lake.index("zarr", source) is None


def test_without_zarr_the_object_is_still_described(lake: Any, tmp_path: Path, monkeypatch: Any) -> None:
    zarr.create_array(tmp_path / "a", shape=(100,), chunks=(10,), dtype="i4")
    source = lake.put("m.zarr.zip", zipped(tmp_path / "a", tmp_path / "a.zip"))
    (part,) = lake.cut("zarr", source, 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    source.memo.clear()
    found = lake.describe("zarr", source)
    assert found["arrays"][""]["shape"] == [100]
    assert "sluice[formats]" in found["unsliceable"]
    with pytest.raises(Reject, match="zarr is not installed"), part.open(lake):
        pass


class Stream(io.RawIOBase):
    """A file that cannot go back, so that sizes come behind the members."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("how", ["stream", "zip64"])
def test_sizes_are_those_of_the_directory_whatever_local_headers_say(lake: Any, tmp_path: Path, how: str) -> None:
    array = np.random.default_rng(2).random((37, 5))
    zarr.create_array(tmp_path / "a", shape=array.shape, chunks=(4, 5), dtype="f8")[:] = array
    out = Stream()
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(filter(Path.is_file, (tmp_path / "a").rglob("*"))):
            name = str(file.relative_to(tmp_path / "a"))
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=how == "zip64") as member:
                member.write(file.read_bytes())
    source = lake.put("s.zarr.zip", bytes(out.data))
    for count in (1, 3, 100):
        assert (opened(lake, lake.cut("zarr", source, count)) == array).all()
