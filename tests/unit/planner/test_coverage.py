"""How much of an object its slices read, and its largest unit: what time and memory are planned by, whatever the format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from events.event import Event
from events.ports import ObjectInfo, Settings
from events.types import MetadataExtracted, ObjectIngested, Wave
from functions.formats import by_name
from functions.formats.format import Index, Slice, decode_index
from functions.metadata import metadata
from functions.planner.coverage import COVERED, LARGEST, MOST, coverage, even, kept, volume
from infra.runtime.direct import DirectCatalog
from tests.unit.planner.test_plan_function import Ports


class Memory:
    """Objects in memory."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        return ObjectInfo(bucket=bucket, key=key, size=len(self.content[key]), etag="e")

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        return self.content[key][start:end]

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Iterator[bytes]:
        yield self.content[key]

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "") -> ObjectInfo:
        self.content[key] = data
        return self.head(bucket, key)


def indexed(key: str, content: bytes, format: str) -> tuple[dict[str, Any], Index]:
    """What the catalogue is told of an object, and its index."""
    objects: Any = Memory()
    objects.content[key] = content
    data = ObjectIngested(
        bucket="b", key=key, etag="e", size=len(content), sequence="1", modified="", digest="", format=format, content_type=""
    )
    (reply,) = metadata(Event(id="1", source="/t", type="t"), data, objects, Settings(bucket="lake"))
    told = reply.read(MetadataExtracted)
    assert DirectCatalog(objects, "sluice").get("b", key).metadata[COVERED] == told.metadata[COVERED]  # type: ignore[union-attr]
    return told.metadata, decode_index(objects.content[told.index])


def slices(index: Index, count: int) -> list[Slice]:
    return by_name(index.format).slices(index, count, bucket="b", key="k")


def hdf5(arrays: int = 1, *, written: bool = True) -> bytes:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        for number in range(arrays):
            shape = (1000, 20 + (number == 1))  # the largest one is what is cut
            if written:
                made.create_dataset(f"d{number}", data=np.random.default_rng(1).random(shape), chunks=(100, 20))
            else:
                made.create_dataset(f"d{number}", shape=shape, chunks=(100, 20), dtype="f8", fillvalue=1)
    return file.getvalue()


def test_of_several_arrays_only_what_the_slices_read_counts() -> None:
    content = hdf5(10)
    told, index = indexed("many.h5", content, "hdf5")
    covered = sum(volume(part) for part in slices(index, 8))
    assert told[COVERED] == pytest.approx(covered, rel=0.01)
    assert told[COVERED] < len(content) / 4


def test_an_array_that_was_never_written_counts_a_byte_a_unit_for_any_number_of_slices() -> None:
    told, index = indexed("empty.h5", hdf5(written=False), "hdf5")
    assert told[COVERED] == index.units == sum(volume(part) for part in slices(index, 4))
    assert told[LARGEST] == 1


def test_the_largest_row_group_is_told() -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table, file = pa.table({"x": np.random.default_rng(1).random(200_000)}), io.BytesIO()
    with parquet.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table.slice(0, 190_000), row_group_size=190_000)
        for number in range(100):
            writer.write_table(table.slice(190_000 + number * 100, 100))
    told, index = indexed("skewed.parquet", file.getvalue(), "parquet")
    assert told["units"] == 101
    largest = max(part.bytes for part in slices(index, 101))
    assert told[LARGEST] == largest > 0.8 * told[COVERED]


def test_of_more_units_than_are_looked_at_the_largest_is_as_usual_where_all_are_alike() -> None:
    file = io.BytesIO()
    np.save(file, np.zeros((MOST * 40 + 7, 3)))
    told, index = indexed("rows.npy", file.getvalue(), "fixed")
    assert told[COVERED] == index.units * 24
    assert told[LARGEST] == pytest.approx(24, abs=1)


def test_what_was_indexed_without_is_taken_to_be_even() -> None:
    assert kept({"units": 4}, 100) == even(4, 100)
    assert kept({"units": True}, 100) is kept({}, 100) is None
    assert kept({"units": 4, COVERED: 10, LARGEST: 9}, 100) == coverage_of(4, 10, 9)
    assert kept({"units": 4, COVERED: "10", LARGEST: 9}, 100) == even(4, 100)


def coverage_of(units: int, covered: int, largest: int) -> Any:
    return type(even(1, 1))(units, covered, largest)


def taught(ports: Ports, covered: int) -> None:
    """Eight runs of ten seconds each over ``covered`` bytes, as the workers measure them."""
    from events.types import TaskExecuted
    from functions.profile import profile

    for number in range(8):
        wave = Wave(
            workers=2, slices=8, bytes=covered, seconds=10 + number / 10, memory_mb=2048, cores=8, start_s=0.8, read_s=2,
            compute_s=16, cpu_s=16, slice_bytes=covered // 8, peak_mb=200, base_mb=90,
        )  # fmt: skip
        data = TaskExecuted(
            run=str(number), task="count", code="1", format="hdf5", backend="localhost", finished="2026-01-01T00:00:00Z",
            waves=[wave],
        )  # fmt: skip
        made: Any = ports
        list(profile(Event(id="1", source="/t", type="dev.sluice.task.executed.v1"), data, made))


@pytest.mark.parametrize("share", [1.0, 0.1, 1e-8])
def test_a_task_is_predicted_for_the_bytes_that_it_is_timed_by(share: float) -> None:
    ports, size = Ports(), 10**9
    covered = int(size * share)
    ports.add("some.h5", size, format="hdf5", metadata={"units": 10, COVERED: covered, LARGEST: covered // 10})
    taught(ports, covered)
    ready = ports.ask(objects=["s3://b/some.h5"], workers=2, slices=8)
    assert ready.time_s is not None
    assert ready.time_s.value == pytest.approx(10.3, rel=0.2)


def test_memory_is_planned_for_the_largest_unit() -> None:
    ports = Ports()
    skewed = {"units": 101, COVERED: 10**9, LARGEST: 9 * 10**8}
    ports.add("even.csv", metadata=skewed | {LARGEST: 10**7})
    ports.add("skewed.csv", metadata=skewed)
    ports.teach(runs=3)  # 600 MB at half a gigabyte
    small, large = (ports.ask(objects=[f"s3://b/{name}.csv"], slices=50) for name in ("even", "skewed"))
    assert small.peak_mb is not None
    assert large.peak_mb is not None
    assert small.peak_mb.value < 200
    assert large.peak_mb.value == pytest.approx(1000, rel=0.1)
    assert (small.memory_mb, large.memory_mb) == (512, 2048)


def test_slices_are_shared_out_by_what_is_read() -> None:
    ports = Ports()
    ports.add("whole.csv")
    ports.add("tenth.csv", metadata={"units": 1000, COVERED: 10**8, LARGEST: 10**5})
    ready = ports.ask(objects=["s3://b/whole.csv", "s3://b/tenth.csv"], slices=11)
    assert [part.slices for part in ready.objects] == [10, 1]
    assert [part.size for part in ready.objects] == [10**9, 10**9]


def test_the_coverage_is_kept_in_the_catalogue_under_names_that_are_documented() -> None:
    index = Index(format="fixed", size=80, etag="e", units=10, unit="records", data=FIXED)
    assert msgspec.json.decode(msgspec.json.encode(coverage(index).metadata())) == {"units": 10, COVERED: 80, LARGEST: 8}


FIXED = {"start": 0, "record": 8, "dtype": "V8", "descr": "'|V8'", "shape": []}
