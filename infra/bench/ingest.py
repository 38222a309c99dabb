"""One-pass ingest (read, hash, describe, index) beside a bare GET of the same objects, and the door's PUT beside Ceph's.

    python -m infra.bench.ingest [--rounds 3] [--megabytes 512] [--digest blake3]

``vs_get``: the throughput of ingest over that of the GET, all formats together, objects in Ceph RGW. ``vs_get_door``: the same
with the objects in the S3 door, which hands out files at memory speed, faster than most digests: there hashing is the
limit. ``door_vs_rgw_put``: PUT of 64 MB objects, door / Ceph RGW (see ``infra.bench.door``).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits

from events.claims import Unclaimed
from events.event import Event
from events.ports import ObjectInfo, Settings
from events.types import ObjectIngested, S3Record
from functions.ingest import ingest
from functions.metadata import metadata
from infra.bench import door as doors
from infra.bench import load
from infra.bench.table import report
from infra.demo.inputs import observation
from infra.demo.measurement_set import Observation
from infra.objects.s3 import S3Store

BUCKET = "ingest"


def inputs(folder: Path, megabytes: int) -> Iterator[Path]:
    """One file a format, of about this size each."""
    rows = megabytes * 1_000_000 // 40
    random = np.random.default_rng(7)
    table = pa.table({f"c{n}": random.integers(0, 10**9, rows) for n in range(4)})
    pyarrow.csv.write_csv(table, folder / "table.csv")
    yield folder / "table.csv"
    pq.write_table(table, folder / "table.parquet", compression="none", row_group_size=rows // 16)
    yield folder / "table.parquet"
    side = int((megabytes * 1_000_000 / 4) ** 0.5)
    fits.PrimaryHDU(random.random((side, side), dtype=np.float32)).writeto(folder / "image.fits")
    yield folder / "image.fits"
    yield observation(folder, Observation(times=max(8, megabytes * 32 // 23)))
    (folder / "blob.bin").write_bytes(random.bytes(megabytes * 1_000_000))
    yield folder / "blob.bin"


def bare(store: S3Store, info: ObjectInfo) -> None:
    """Read it and do nothing with it."""
    for _ in store.stream(BUCKET, info.key):
        pass


def one_pass(store: S3Store, info: ObjectInfo, settings: Settings) -> str:
    """What the lake does with it: ingest, then describe and index. Returns its format."""
    record = {"eventName": "ObjectCreated:Put", "eventTime": "2026-01-01T00:00:00Z"}
    s3 = {"bucket": {"name": BUCKET}, "object": {"key": info.key, "size": info.size, "eTag": info.etag}}
    event = Event(id=info.key, source="bench", type="com.amazonaws.s3.ObjectCreated:Put", data={**record, "s3": s3})
    (ingested,) = ingest(event, event.read(S3Record), store, settings, Unclaimed())
    (described,) = metadata(ingested, ingested.read(ObjectIngested), store, settings)
    return str(described.data["format"])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(store: S3Store, files: list[Path], rounds: int, digest: str) -> tuple[list[list[object]], float]:
    """A row a format, and the median over the rounds of GET time / ingest time of all objects together."""
    settings = Settings(digest=digest)
    store.ensure(BUCKET)
    infos = []
    for path in files:
        store.client.upload_file(str(path), BUCKET, path.name)
        infos.append(store.head(BUCKET, path.name))
    samples: dict[str, list[tuple[float, float, float, float]]] = {info.key: [] for info in infos}
    formats = {info.key: one_pass(store, info, settings) for info in infos}  # also warms caches and imports
    for turn in range(rounds):
        for info in infos:
            sides: list[Callable[[], object]] = [partial(bare, store, info), partial(one_pass, store, info, settings)]
            order = (0, 1) if turn % 2 else (1, 0)
            times: dict[int, tuple[float, float]] = {}
            for side in order:
                times[side] = timed(sides[side])
            samples[info.key].append((*times[0], *times[1]))
    rows: list[list[object]] = []
    for info in infos:
        get, get_cpu, one, one_cpu = (statistics.median(column) for column in zip(*samples[info.key], strict=True))
        size = info.size / 1e6
        rows.append([formats[info.key], f"{size:.0f}", f"{size / get:.0f}", f"{size / one:.0f}", f"{get / one:.2f}",
                     f"{get_cpu:.3f}", f"{one_cpu:.3f}"])  # fmt: skip
    ratios = [
        sum(samples[key][turn][0] for key in samples) / sum(samples[key][turn][2] for key in samples) for turn in range(rounds)
    ]
    return rows, statistics.median(ratios)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=512, help="size of each object")
    parser.add_argument("--digest", default="blake3")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / "in"
        files.mkdir()
        made = list(inputs(files, options.megabytes))
        try:
            with doors.door(folder / "door") as ours, doors.rgw(folder / "ceph") as theirs:
                sides = doors.measure({"door": ours, "rgw": theirs}, 64_000_000, options.rounds)
                for store, client in (("rgw", theirs), ("door", ours)):
                    with closing(S3Store(client.meta.endpoint_url, doors.ACCESS, doors.SECRET)) as connected:
                        found, ratio = measure(connected, made, options.rounds, options.digest)
                    rows += [[store, *row] for row in found]
                    figures["vs_get" if store == "rgw" else "vs_get_door"] = ratio
        except load.Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    for side, speed in sides.items():
        print(f"64 MB objects, {side:4s}: PUT {speed['put']:5.0f} MB/s, GET {speed['get']:5.0f} MB/s")
    figures["door_vs_rgw_put"] = sides["door"]["put"] / sides["rgw"]["put"]
    columns = ["store", "format", "MB", "GET MB/s", "ingest MB/s", "ratio", "GET CPU s", "ingest CPU s"]
    report(f"one-pass ingest ({options.digest}) beside a bare GET", columns, rows, figures)


if __name__ == "__main__":
    main()
