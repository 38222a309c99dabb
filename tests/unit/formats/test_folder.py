"""Stores of many objects: named by their prefix they are cut as their zip is, and nothing of two versions is mixed up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from events.errors import Reject
from events.ports import Changed, Entry
from functions.formats import by_name
from functions.formats.folder import look
from functions.formats.format import Slice, decode_index
from infra.catalog.stores import Stores
from infra.demo.measurement_set import Observation, write
from tests.unit.formats.measurement_set_compare import Comparer


class Nothing:
    """A catalogue that knows the keys it is given."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def get(self, bucket: str, key: str) -> Entry | None:
        return Entry(bucket=bucket, key=key) if key in self.keys else None

    def search(self, query: Any) -> list[Entry]:
        return []

    def upsert(self, entry: Entry) -> bool:
        return False


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    made = Comparer()
    yield made
    made.close()


def put(lake: Any, folder: Path, prefix: str) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            lake.write("data", f"{prefix}{file.relative_to(folder)}", file.read_bytes())


def cut(lake: Any, entry: Entry, count: int) -> list[Slice]:
    at = f"sluice/{entry.index}"
    index = decode_index(lake.objects["sluice", entry.index])
    return by_name(entry.format).slices(index, count, bucket=entry.bucket, key=entry.key, index_at=at)


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("layout", ["dp3", "casa"])
def test_slices_of_a_prefix_are_what_casacore_selects(
    lake: Any, tmp_path: Path, comparer: Comparer, layout: str, count: int
) -> None:
    folder = write(tmp_path / "obs.ms", Observation(stations=5, times=13, channels=10, layout=layout))
    put(lake, folder, "raw/obs.ms/")
    lake.write("data", "raw/obs.ms.txt", b"another object")
    entry = Stores(Nothing(), lake, "sluice").get("data", "raw/obs.ms/")
    assert entry is not None
    assert (entry.format, entry.metadata["units"]) == ("measurementset", 13)
    assert entry.size == sum(len(data) for (_, key), data in lake.objects.items() if key.startswith("raw/obs.ms/"))
    first = 0
    for part in cut(lake, entry, count):
        rows = part.data["rows"][1] - part.data["rows"][0]
        with part.open(lake) as path:
            assert comparer.differs(folder, path, first, rows) == ""
        first += rows
    assert first == 13 * 15


def test_the_index_is_kept_until_something_below_the_prefix_changes(lake: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "obs.ms", Observation(stations=4, times=9, channels=8))
    put(lake, folder, "obs.ms/")
    stores = Stores(Nothing(), lake, "sluice")
    entry = stores.get("data", "obs.ms/")
    assert entry is not None
    lake.read_bytes = 0
    assert stores.get("data", "obs.ms/") == entry
    assert lake.read_bytes == len(lake.objects["sluice", entry.index])  # nothing of the store
    parts = cut(lake, entry, 2)
    name = next(key for _, key in lake.objects if key.endswith("_TSM0"))
    lake.write("data", name, lake.objects["data", name][:-1] + b"!")
    with pytest.raises(Changed), parts[0].open(lake), parts[1].open(lake):
        pass
    lake.write("data", "obs.ms/README", b"more")
    renewed = stores.get("data", "obs.ms/")
    assert renewed is not None
    assert renewed.etag != entry.etag
    with pytest.raises(Changed, match="plan again"), parts[0].open(lake):
        pass  # its index is not there any more


def test_a_member_that_is_gone_is_told(lake: Any) -> None:
    lake.write("data", "s/table.dat", b"abc")
    lake.write("data", "s/x", b"defg")
    folder, _ = look(lake, "data", "s/")
    assert (folder.read(0, 99), folder.read(2, 5), folder.size) == (b"abcdefg", b"cde", 7)
    lake.delete("data", "s/x")
    with pytest.raises(Changed, match=r"s3://data/s/x is gone"):
        folder.read(2, 5)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_zarr_prefix(lake: Any, tmp_path: Path, version: int, count: int) -> None:
    array = np.random.default_rng(3).random((37, 9))
    made = zarr.create_array(tmp_path / "a", shape=array.shape, chunks=(4, 5), dtype="f8", zarr_format=version)
    made[:] = array
    put(lake, tmp_path / "a", "a.zarr/")
    entry = Stores(Nothing(), lake, "sluice").get("data", "a.zarr/")
    assert entry is not None
    assert (entry.format, entry.metadata) == ("zarr", {"units": 10, "unit": "rows of chunks"})
    parts = cut(lake, entry, count)
    assert len(parts) == min(count, 10)
    lake.read_bytes = 0
    found = []
    for part in parts:
        with part.open(lake) as rows:
            found.append(rows)
    assert (np.concatenate(found) == array).all()
    index = len(lake.objects["sluice", entry.index])
    assert lake.read_bytes == sum(part.bytes + index for part in parts)


def test_what_is_no_store_is_told(lake: Any) -> None:
    lake.write("data", "night/one.csv", b"a,b\n")
    stores = Stores(Nothing(), lake, "sluice")
    with pytest.raises(Reject, match="s3://data/night/ is no store of many objects"):
        stores.get("data", "night/")
    assert stores.get("data", "night") is None
    lake.write("data", "z/.zgroup", b'{"zarr_format": 2}')
    with pytest.raises(Reject, match="holds no Zarr array"):
        stores.get("data", "z/")
    lake.write("data", "v/table.dat", b"\xbe\xbe\xbe\xbe" + bytes(20) + b"RefTable")
    with pytest.raises(Reject, match="cannot be cut: it is a RefTable"):
        stores.get("data", "v/")


def test_whoever_may_not_view_the_store_s_objects_may_not_plan_with_it(lake: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(4,), chunks=(2,), dtype="f8")[:] = 1
    put(lake, tmp_path / "a", "a.zarr/")
    assert Stores(Nothing(), lake, "sluice", private=True).get("data", "a.zarr/") is None
    assert Stores(Nothing("a.zarr/zarr.json"), lake, "sluice", private=True).get("data", "a.zarr/") is not None
