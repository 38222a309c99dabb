"""Slices: a MeasurementSet's index beside copying it with casacore and beside a static split; the other formats' slices.

    python -m infra.bench.slices [--rounds 3] [--megabytes 1000] [--others 64] [--slices 4]

The store is the S3 door on the loopback interface. The copy is of casacore alone, into as many MeasurementSets as slices; the
static split downloads, unpacks, copies, zips (without compression) and uploads. Both run in a process that has casacore loaded,
as the index's has. Of every other format: seconds to look at every byte once (``scan``) and to index, bytes read for the index,
seconds a slice, seconds that the plain library takes for the whole file on disk (``library s``), and whether all slices
together are what it reads. dataplug 1.0.2 gets the same objects, where it has their format and that runs here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from events.ports import ObjectInfo
from functions.formats import by_name, sniff
from functions.formats.folder import look
from functions.formats.format import Index
from functions.formats.source import Source
from infra.bench import door as doors
from infra.bench import load, slice_inputs, slices_dataplug
from infra.bench.table import report
from infra.demo.inputs import observation
from infra.demo.measurement_set import Observation, write
from infra.objects.s3 import S3Store
from infra.runtime.probe import MeteredStore

BUCKET, MS, PREFIX = "slices", "observation.ms.zip", "small.ms/"


def copy(path: str, to: str, slices: int) -> float:
    """Seconds that casacore takes to copy the MeasurementSet at ``path`` into so many, by runs of rows."""
    from casacore import tables

    start = time.perf_counter()
    with tables.table(path, ack=False) as opened:
        rows = opened.nrows()
        for number in range(slices):
            low, high = rows * number // slices, rows * (number + 1) // slices
            with tables.taql(f"select from $1 limit {high - low} offset {low}", tables=[opened]) as chosen:
                chosen.copy(f"{to}/{number}.ms", deep=True, valuecopy=True).close()
    return time.perf_counter() - start


def static(store: S3Store, folder: Path, slices: int, pool: Any, bucket: str = BUCKET, key: str = MS) -> float:
    """Seconds of a static split: download, unpack, copy, zip and upload."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start = time.perf_counter()
    store.client.download_file(bucket, key, str(folder / MS))
    with zipfile.ZipFile(folder / MS) as archive:
        archive.extractall(folder / "whole")
    (path,) = (folder / "whole").iterdir()
    pool.apply(copy, (str(path), str(folder), slices))
    for number in range(slices):
        part = folder / f"{number}.ms"
        with zipfile.ZipFile(folder / f"{number}.zip", "w", zipfile.ZIP_STORED) as archive:
            for file in part.rglob("*"):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))
        store.client.upload_file(str(folder / f"{number}.zip"), bucket, f"static/{number}.zip")
    return time.perf_counter() - start


def indexed(store: S3Store, info: ObjectInfo, scan: dict[str, Any] | None = None) -> tuple[Index, float, int]:
    """The index of an object, stored beside it; the seconds and the bytes read that it took, without the scan."""
    metered = MeteredStore(store)
    known = sniff(store.read(BUCKET, info.key, 0, 1 << 16), info.key)
    start = time.perf_counter()
    source = Source(metered, BUCKET, info.key, info.size, info.etag)
    known.describe(source, scan or {})
    index = known.index(source, scan or {})
    if index is None:
        raise load.Unmeasured(f"{info.key} has no index")
    store.write(BUCKET, f"index/{info.key}", index.encode())
    return index, time.perf_counter() - start, metered.bytes


def measurement_set(
    store: S3Store, folder: Path, megabytes: int, rounds: int, slices: int
) -> tuple[list[Any], dict[str, float]]:
    """The table's rows and the figures of the MeasurementSet."""
    made = observation(folder, Observation(times=max(8, megabytes * 32 // 23)))
    store.client.upload_file(str(made), BUCKET, MS)
    info = store.head(BUCKET, MS)
    _, cold, _ = indexed(store, info)
    ours, copies, statics = [], [], []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for turn in range(rounds + 1):
            shutil.rmtree(folder / "copies", ignore_errors=True)
            (folder / "copies").mkdir()
            os.sync()  # nobody shall wait for the disk on behalf of another
            indexed(store, info)  # the process apart ends when it is idle; the copy's has casacore loaded, too
            index, took, read = indexed(store, info)
            seconds = pool.apply(copy, (str(folder / "observation.ms"), str(folder / "copies"), slices))
            os.sync()
            whole = static(store, folder / "static", slices, pool)
            if turn:  # the first is to warm up
                ours.append(took)
                copies.append(seconds)
                statics.append(whole)
    parts = by_name("measurementset").slices(index, slices, bucket=BUCKET, key=MS, index_at=f"{BUCKET}/index/{MS}")
    start = time.perf_counter()
    for part in parts:
        with part.open(store):
            pass
    slice_s = (time.perf_counter() - start) / len(parts)
    index_s, copy_s, static_s = map(statistics.median, (ours, copies, statics))
    size = len(index.encode())
    rows: list[Any] = [
        ["index, first in a process", f"{cold:.3f}", ""],
        ["index", f"{index_s:.3f}", f"{read / 1e6:.1f} MB read, {size / 1e3:.0f} kB kept"],
        ["one slice opened", f"{slice_s:.3f}", f"{parts[0].bytes / 1e6:.0f} MB"],
        ["casacore copy", f"{copy_s:.3f}", f"{info.size / 1e6:.0f} MB"],
        ["static split", f"{static_s:.3f}", "twice over the network"],
    ]
    figures = {
        "index_vs_casacore_copy": copy_s / index_s,
        "index_vs_static_stage": static_s / index_s,
        "index_bytes_read_pct": 100 * read / info.size,
        "index_size_pct": 100 * size / info.size,
    }
    return rows, figures


def other(store: S3Store, name: str, made: slice_inputs.Kind, slices: int) -> list[Any]:
    """One row: a format's index and slices. Raises ``Unmeasured`` if they are not the whole."""
    path, whole, join = made
    store.client.upload_file(str(path), BUCKET, path.name)
    info = store.head(BUCKET, path.name)
    known = sniff(store.read(BUCKET, path.name, 0, 1 << 16), path.name)
    scanner, seen = known.scanner(), 0.0
    if scanner is not None:
        for chunk in store.stream(BUCKET, path.name, etag=info.etag):
            start = time.perf_counter()
            scanner.feed(chunk)
            seen += time.perf_counter() - start
    index, took, read = indexed(store, info, scanner.result() if scanner else {})
    parts = known.slices(index, slices, bucket=BUCKET, key=path.name, index_at=f"{BUCKET}/index/{path.name}")
    metered, contents = MeteredStore(store), []
    start = time.perf_counter()
    for part in parts:
        with part.open(metered) as opened:
            contents.append(slice_inputs.content(opened))
    slice_s = (time.perf_counter() - start) / len(parts)
    start = time.perf_counter()
    expected = whole()
    library = time.perf_counter() - start
    if not slice_inputs.same(expected, join(contents)):
        raise load.Unmeasured(f"the slices of {name} are not what its library reads")
    size = info.size / 1e6
    return [name, f"{size:.0f}", f"{seen:.3f}" if scanner else "", f"{took:.3f}", f"{100 * read / info.size:.2f}",
            f"{100 * len(index.encode()) / info.size:.3f}", len(parts), f"{slice_s:.3f}", f"{metered.bytes / info.size:.2f}",
            f"{library:.3f}", "equal"]  # fmt: skip


def upload(store: S3Store, folder: Path, times: int) -> Path:
    """A MeasurementSet as a folder, also put into the store as many objects below a prefix."""
    folder.mkdir()
    path = write(folder / "small.ms", Observation(times=times))
    for file in filter(Path.is_file, path.rglob("*")):
        store.client.upload_file(str(file), BUCKET, f"{PREFIX}{file.relative_to(path)}")
    return path


def prefix(store: S3Store, path: Path, slices: int) -> list[Any]:
    """One row: the index and slices of a MeasurementSet that is many objects; what they hold is a matter of the tests."""
    metered = MeteredStore(store)
    start = time.perf_counter()
    source, format = look(metered, BUCKET, PREFIX)
    known = by_name(format)
    index = known.index(source, {})
    if index is None:
        raise load.Unmeasured(f"{PREFIX} has no index")
    store.write(BUCKET, "index/prefix", index.encode())
    took, read = time.perf_counter() - start, metered.bytes
    parts = known.slices(index, slices, bucket=BUCKET, key=PREFIX, index_at=f"{BUCKET}/index/prefix")
    start = time.perf_counter()
    for part in parts:
        with part.open(metered):
            pass
    slice_s = (time.perf_counter() - start) / len(parts)
    return ["measurementset, prefix", f"{source.size / 1e6:.0f}", "", f"{took:.3f}", f"{100 * read / source.size:.2f}",
            f"{100 * len(index.encode()) / source.size:.3f}", len(parts), f"{slice_s:.3f}",
            f"{(metered.bytes - read) / source.size:.2f}", "", ""]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the MeasurementSet")
    parser.add_argument("--others", type=int, default=64, help="size of each other object")
    parser.add_argument("--slices", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        try:
            with (
                doors.door(folder / "door") as client,
                closing(S3Store(client.meta.endpoint_url, doors.ACCESS, doors.SECRET)) as store,
            ):
                store.ensure(BUCKET)
                made = slice_inputs.files(folder / "in", options.others)
                others = [other(store, kind, one, options.slices) for kind, one in made.items()]
                rows, figures = measurement_set(store, folder, options.megabytes, options.rounds, options.slices)
                small = upload(store, folder / "small", max(8, options.others * 32 // 23))
                peers = {name: (made[name][0].name, made[name][0]) for name in ("csv", "fasta", "fastq.gz")}
                others += [prefix(store, small, options.slices)]
                others += slices_dataplug.rows(store, BUCKET, peers | {"measurementset": (PREFIX, small)}, options.slices)
        except load.Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    columns = ["format", "MB", "scan s", "index s", "read %", "index %", "slices", "s a slice", "read", "library s", "whole"]
    report("other formats: index and slices", columns, others, {})
    report(f"MeasurementSet of {options.megabytes} MB, {options.slices} slices", ["what", "s", ""], rows, figures)


if __name__ == "__main__":
    main()
