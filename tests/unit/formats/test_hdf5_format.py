"""HDF5: every layout and filter of h5py, slices of whole chunks that together are the dataset, and damage that harms no one."""

import importlib.util
import io
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, hdf5, sniff
from functions.formats.format import Broken, decode_index
from functions.formats.source import Source

FORMAT: Any = by_name("hdf5")
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def written(**datasets: Any) -> bytes:
    """A file with these datasets: name = (array, options of h5py)."""
    file = io.BytesIO()
    with h5py.File(file, "w", libver="latest") as opened:
        for name, (array, options) in datasets.items():
            opened.create_dataset(name, data=array, **options)
    return file.getvalue()


def opened(lake: Any, parts: Any, **options: Any) -> list[Any]:
    found = []
    for part in parts:
        with part.open(lake, **options) as rows:
            found.append(rows)
    return found


@SETTINGS
@given(
    st.integers(1, 60),
    st.integers(1, 17),
    st.sampled_from(
        [
            {},
            {"chunks": True},
            {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
            {"chunks": True, "compression": "lzf"},
            {"chunks": True, "maxshape": (None, None)},
        ]
    ),
    st.integers(1, 20),
    st.integers(1, 9),
    st.sampled_from(["<f4", ">i8", "S3"]),
)
def test_slices_together_are_the_dataset(
    lake: Any, rows: int, wide: int, options: dict[str, Any], height: int, count: int, kind: str
) -> None:
    array = np.arange(rows * wide).reshape(rows, wide).astype(kind)
    options = {**options, "chunks": (min(height, rows), min(5, wide))} if options else {}
    source = lake.put("a.h5", written(a=(array, options)))
    parts = lake.cut("hdf5", source, count)
    bands = -(-rows // min(height, rows)) if options else rows
    assert len(parts) == min(count, bands)
    found = np.concatenate(opened(lake, parts))
    assert (found.dtype.newbyteorder("<"), found.shape) == (array.dtype.newbyteorder("<"), array.shape)
    assert (found == array).all()


def test_a_slice_reads_its_chunks_and_little_else(lake: Any) -> None:
    array = np.random.default_rng(4).random((4000, 500))
    source = lake.put("b.h5", written(a=(array, {"chunks": (100, 125), "compression": "gzip"}), small=(np.arange(9), {})))
    lake.read_bytes = 0
    index = FORMAT.index(source, {})
    assert lake.read_bytes < source.size / 10
    assert (index.units, index.unit, index.data["dataset"]) == (40, "rows of chunks", "a")
    assert len(index.encode()) < 5000
    assert decode_index(index.encode()) == index
    parts = FORMAT.slices(index, 8, bucket="lake", key="b.h5")
    lake.read_bytes = lake.reads = 0
    with parts[5].open(lake) as rows:
        assert (rows == array[2500:3000]).all()
    assert lake.read_bytes < parts[5].bytes + 800_000
    assert lake.reads < 12


def test_the_dataset_is_the_largest_or_the_one_named(lake: Any) -> None:
    groups: dict[str, Any] = {"g/deep/few": (np.arange(5), {}), "many": (np.arange(500), {}), "scalar": (7, {})}
    source = lake.put("g.h5", written(**groups))
    found = lake.describe("hdf5", source)
    assert found["dataset"] == "many"
    assert found["datasets"]["g/deep/few"] == {"shape": [5], "dtype": "int64", "bytes": 40}
    named = Source(lake, "lake", "g.h5", source.size, source.etag, {"dataset": "/g/deep/few"})
    parts = FORMAT.slices(FORMAT.index(named, {}), 2, bucket="lake", key="g.h5")
    assert [rows.tolist() for rows in opened(lake, parts)] == [[0, 1], [2, 3, 4]]
    with pytest.raises(Broken, match="has no dataset 'none'"):
        FORMAT.describe(Source(lake, "lake", "g.h5", source.size, source.etag, {"dataset": "none"}), {})
    assert lake.index("hdf5", lake.put("s.h5", written(scalar=(7, {})))) is None


def test_compact_unwritten_text_and_nested_groups(lake: Any) -> None:
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((6,))
        h5py.Dataset(h5py.h5d.create(made.id, b"compact", h5py.h5t.NATIVE_INT32, space, plist))[...] = np.arange(6)
    parts = lake.cut("hdf5", lake.put("c.h5", file.getvalue()), 4)
    assert np.concatenate(opened(lake, parts)).tolist() == list(range(6))
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made.create_dataset("empty", (10, 2), "f4", chunks=(3, 2), fillvalue=1.5)
    assert (np.concatenate(opened(lake, lake.cut("hdf5", lake.put("u.h5", file.getvalue()), 3))) == 1.5).all()
    names = np.array(["größe", "x" * 500, ""] * 40, dtype=object)
    source = lake.put("t.h5", written(t=(names, {"dtype": h5py.string_dtype(), "chunks": (7,)})))
    assert [text.decode() for text in np.concatenate(opened(lake, lake.cut("hdf5", source, 5)))] == names.tolist()


def test_columns_and_conditions_of_a_compound_type(lake: Any) -> None:
    table = np.zeros(1000, [("n", "i4"), ("x", "f8"), ("t", "S4")])
    table["n"], table["x"], table["t"] = np.arange(1000), np.arange(1000) / 2, b"ab"
    parts = lake.cut("hdf5", lake.put("t.h5", written(t=(table, {"chunks": (64,)}))), 6)
    found = np.concatenate(opened(lake, parts, columns=["x"], where=[("n", ">=", 995), ("t", "==", "ab")]))
    assert found.dtype.names == ("x",)
    assert found["x"].tolist() == [497.5, 498.0, 498.5, 499.0, 499.5]
    with pytest.raises(Reject, match="has no column 'y'; its columns are n, x, t"), parts[0].open(lake, columns=["y"]):
        pass


def test_numbers_in_other_files_are_never_followed(lake: Any, tmp_path: Any) -> None:
    (tmp_path / "secret").write_bytes(bytes(80))
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made.create_dataset("e", (10,), "f8", external=[(str(tmp_path / "secret"), 0, 80)])
    source = lake.put("e.h5", file.getvalue())
    assert lake.describe("hdf5", source)["unsliceable"] == "its numbers lie in other files"
    assert lake.index("hdf5", source) is None


def test_damage_changed_and_sniff(lake: Any) -> None:
    data = written(a=(np.arange(10_000), {"chunks": (100,)}))
    for damaged in (data[:-100], data[:40], hdf5.MAGIC + bytes(5000)):
        with pytest.raises(Broken, match="cannot be read as HDF5"):
            lake.describe("hdf5", lake.put("d.h5", damaged))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("hdf5", lake.put("d.h5", b""))
    assert sniff(data, "x").name == sniff(bytes(512) + data, "x").name == sniff(b"", "x.nc").name == "hdf5"
    source = lake.put("c.h5", data)
    (part,) = lake.cut("hdf5", source, 1)
    lake.put("c.h5", written(a=(np.arange(9), {})))
    with pytest.raises(Changed), part.open(lake):
        pass
    source.memo.clear()
    with pytest.raises(Changed):
        FORMAT.describe(source, {})
    assert lake.index("hdf5", lake.put("n.h5", data)).units == 100  # the process apart goes on


def test_without_h5py_the_object_is_still_described(lake: Any, monkeypatch: Any) -> None:
    source = lake.put("m.h5", written(a=(np.arange(9), {})))
    (part,) = lake.cut("hdf5", source, 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "sluice[formats]" in lake.describe("hdf5", source)["unsliceable"]
    assert lake.index("hdf5", source) is None
    with pytest.raises(Reject, match="h5py is not installed"), part.open(lake):
        pass
