"""How much memory does reconciling a bucket of a million keys take, and how long? `--keys N` for another number.

The embedded door lists over HTTP, in a process of its own; one key in a hundred is not in the catalogue. Half-way the sweep is
broken off, and a new one goes on from there. The last line is one JSON object: ``grown_mb`` is the peak of this process's
resident memory during the sweep, less what it had before.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from infra.bench.door import ACCESS, SECRET, door
from infra.bench.table import report
from infra.config import Config
from infra.delivery.reconcile import Tally
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.objects.s3 import S3Store
from infra.sources.sweep import Sweeper

BUCKET, MISSED = "many", 100
#: Objects without content: a listing looks at their rows only.
_STORED = """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :keys - 1)
    INSERT INTO objects (bucket, key, size, etag, modified, upload, about, segments, sequence)
    SELECT :bucket, CAST(printf('run/%08d.csv', i) AS BLOB), 8, printf('%032x', i), 1767322800000000, '', '{}', '[]', i + 1
    FROM n
"""
_CATALOGUED = """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :keys - 1)
    INSERT INTO data_object (id, acl, created, updated, t, bucket, key, state, etag, digest, bytes, modified)
    SELECT 'data-object/' || i, 1, 0, 0, 0, :bucket, printf('run/%08d.csv', i), 'READY', printf('%032x', i), 'blake3:' || i, 8,
        '2026-01-02T03:00:00.000Z'
    FROM n WHERE i % :missed
"""


def main(arguments: list[str] | None = None) -> None:
    """Fill, sweep, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000, help="how many keys the bucket has (1,000,000)")
    keys = parser.parse_args(arguments).keys
    numbers = {"keys": keys, "bucket": BUCKET, "missed": MISSED}
    with tempfile.TemporaryDirectory(prefix="sluice-sweep-") as name, door(Path(name) / "objects") as client:
        client.create_bucket(Bucket=BUCKET)
        with closing(sqlite3.connect(Path(name) / "objects" / "door.sqlite")) as database, database:
            database.execute(_STORED, numbers)
        store = S3Store(client.meta.endpoint_url, ACCESS, SECRET)
        with closing(Lake(Config(data=str(Path(name) / "lake")), store)) as lake:
            lake.write(lambda connection: connection.execute(_CATALOGUED, numbers)).result()
            _report(keys, *_swept(lake, store, keys))
        store.close()


def _swept(lake: Lake, store: S3Store, keys: int) -> tuple[Tally, float, int, int]:
    """The tally, the seconds, and this process's memory before and at its peak."""
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begun = time.monotonic()
    tally = Tally(bucket=BUCKET)
    for half in (True, False):
        providers = Providers(store, [])
        sweep = Sweeper(lake, providers, lake.config.reconcile).sweep(BUCKET)
        for tally in sweep:
            if half and tally.listed >= keys // 2:
                break
        sweep.close()  # type: ignore[attr-defined]
    return tally, time.monotonic() - begun, before, _memory("VmHWM")


def _memory(name: str) -> int:
    """A line of this process's status, in bytes."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(found.split()[1]) << 10


def _report(keys: int, tally: Tally, seconds: float, before: int, peak: int) -> None:
    if (tally.listed, tally.missed, tally.new, tally.done) != (keys, -(-keys // MISSED), -(-keys // MISSED), True):
        raise SystemExit(f"the sweep did not find what was missing: {tally}")
    rows = [
        ("keys listed", f"{tally.listed:,}"),
        ("missed, and made up for", f"{tally.missed:,}"),
        ("keys/s", f"{keys / seconds:,.0f}"),
        ("memory before, MB", f"{before / 1e6:.0f}"),
        ("peak during the sweep, MB", f"{peak / 1e6:.0f}"),
    ]
    figures = {"keys": keys, "keys_per_s": keys / seconds, "peak_mb": peak / 1e6, "grown_mb": (peak - before) / 1e6}
    report("reconcile", ("", ""), rows, figures)


if __name__ == "__main__":
    main()
