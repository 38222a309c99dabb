"""Slices: a MeasurementSet's index beside copying it with casacore and beside a static split; the other formats' slices.

    python -m infra.bench.slices [--rounds 3] [--megabytes 1000] [--others 64] [--slices 4]

The store is the S3 door on the loopback interface. The copy is of casacore alone, into as many MeasurementSets as slices; the
static split downloads, unpacks, copies, zips (without compression) and uploads. Both run in a process that has casacore loaded,
as the index's has. Of every other format: seconds to look at every byte once (``scan``) and to index, bytes read for the index,
seconds a slice, and whether all slices together are what the plain library reads. dataplug 1.0.2, in an environment of its own,
is measured on CSV and FASTA, the formats of it that run here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from events.ports import ObjectInfo
from functions.formats import by_name, sniff
from functions.formats.format import Index
from functions.formats.source import Source
from infra.bench import door as doors
from infra.bench import load, slice_inputs
from infra.bench.table import report
from infra.demo.inputs import observation
from infra.demo.measurement_set import Observation
from infra.objects.s3 import S3Store
from infra.runtime.probe import MeteredStore

BUCKET, MS = "slices", "observation.ms.zip"
PEER = Path(__file__).parents[2] / "build" / "peers" / "dataplug"
#: Runs in dataplug's environment: endpoint, keys, key of the object, format, slices; prints what came of it.
DATAPLUG = """
import hashlib, json, sys, time
from dataplug import CloudObject
from dataplug.formats.generic.csv import CSV, partition_num_chunks
from dataplug.formats.genomics.fasta import FASTA, partition_chunks_strategy
endpoint, access, secret, bucket, key, name, count = sys.argv[1:]
keys = {"AccessKeyId": access, "SecretAccessKey": secret}
config = {"endpoint_url": endpoint, "region_name": "us-east-1", "credentials": keys}
kind, strategy = {"csv": (CSV, partition_num_chunks), "fasta": (FASTA, partition_chunks_strategy)}[name]
start = time.perf_counter()
opened = CloudObject.from_s3(kind, f"s3://{bucket}/{key}", s3_config=config)
more = {"chunk_size": opened.size // 4} if name == "fasta" else {}
opened.preprocess(parallel_config={"backend": "sequential"}, force=True, **more)
indexed = time.perf_counter()
parts = opened.partition(strategy, num_chunks=int(count))
texts = [part.get() for part in parts]
ended = time.perf_counter()
if name == "csv":
    texts = [text.encode() if not number else text.partition("\\n")[2].encode() for number, text in enumerate(texts)]
digest = hashlib.sha256(b"".join(texts)).hexdigest()
print(json.dumps({"index": indexed - start, "slice": (ended - indexed) / len(parts), "digest": digest}))
"""


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
    if not slice_inputs.same(whole(), join(contents)):
        raise load.Unmeasured(f"the slices of {name} are not what its library reads")
    size = info.size / 1e6
    return [name, f"{size:.0f}", f"{seen:.3f}" if scanner else "", f"{took:.3f}", f"{100 * read / info.size:.2f}",
            f"{100 * len(index.encode()) / info.size:.3f}", len(parts), f"{slice_s:.3f}", f"{metered.bytes / info.size:.2f}",
            "equal"]  # fmt: skip


def dataplug(store: S3Store, made: dict[str, slice_inputs.Kind], slices: int) -> list[list[Any]]:
    """The rows of dataplug, on the same objects."""
    python, packages = PEER / "venv" / "bin" / "python", ["cloud-dataplug==1.0.2", "biopython==1.88", "pandas==3.1.1"]
    if not (PEER / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
        (PEER / "installed").touch()
    store.ensure(f"{BUCKET}.meta")
    rows: list[list[Any]] = []
    for name in ("csv", "fasta"):
        path = made[name][0]
        told = [store.endpoint, doors.ACCESS, doors.SECRET, BUCKET, path.name, name, str(slices)]
        ran = subprocess.run([python, "-c", DATAPLUG, *told], capture_output=True, text=True, timeout=600, check=False)
        if ran.returncode:
            rows.append([f"{name} (dataplug)", *[""] * 8, ran.stderr.strip().splitlines()[-1][:60]])
            continue
        found = json.loads(ran.stdout.strip().splitlines()[-1])
        equal = found["digest"] == _digest(path)
        size = store.head(f"{BUCKET}.meta", path.name).size if name == "fasta" else 0
        rows.append([f"{name} (dataplug)", f"{path.stat().st_size / 1e6:.0f}", "", f"{found['index']:.3f}", "",
                     f"{100 * size / path.stat().st_size:.3f}", slices, f"{found['slice']:.3f}", "",
                     "equal" if equal else "differs"])  # fmt: skip
    return rows


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


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
                others += dataplug(store, made, options.slices)
                rows, figures = measurement_set(store, folder, options.megabytes, options.rounds, options.slices)
        except load.Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    columns = ["format", "MB", "scan s", "index s", "read %", "index %", "slices", "s a slice", "read", "whole"]
    report("other formats: index and slices", columns, others, {})
    report(f"MeasurementSet of {options.megabytes} MB, {options.slices} slices", ["what", "s", ""], rows, figures)


if __name__ == "__main__":
    main()
