"""dataplug 1.0.2 on the objects of the slices benchmark, in an environment of its own: what it has and what of it runs here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.bench import door as doors
from infra.objects.s3 import S3Store

PEER = Path(__file__).parents[2] / "build" / "peers" / "dataplug"
PACKAGES = ["cloud-dataplug==1.0.2", "biopython==1.88", "pandas==3.1.1", "python-casacore==3.8.1"]
#: What it has besides, and why that is not measured.
NOT_RUN = {"las": "not run: it calls lasindex and a fork of laxquery that is not published"}
#: Where it puts MeasurementSets, whatever the machine's own folder for that is.
SCRATCH = Path("/tmp")
#: Runs in dataplug's environment: endpoint, keys, bucket, key, format, slices, the file itself; prints what came of it.
SCRIPT = """
import gzip, hashlib, json, os, sys, time
from dataplug import CloudObject
endpoint, access, secret, bucket, key, name, count, path = sys.argv[1:]
count = int(count)
keys = {"AccessKeyId": access, "SecretAccessKey": secret}
config = {"endpoint_url": endpoint, "region_name": "us-east-1", "credentials": keys}
if name == "csv":
    from dataplug.formats.generic.csv import CSV as kind, partition_num_chunks as strategy
elif name == "fasta":
    from dataplug.formats.genomics.fasta import FASTA as kind, partition_chunks_strategy as strategy
elif name == "fastq.gz":
    from dataplug.formats.genomics.fastq import FASTQGZip as kind, partition_reads_batches as strategy
else:
    from dataplug.formats.astronomics.ms import MS as kind, ms_partitioning_strategy as strategy
start = time.perf_counter()
opened = CloudObject.from_s3(kind, f"s3://{bucket}/{key}", s3_config=config)
more = {"chunk_size": opened.size // 4} if name == "fasta" else {}
opened.preprocess(parallel_config={"backend": "sequential"}, force=True, **more)
indexed = time.perf_counter()
parts = opened.partition(strategy, **{"num_batches" if name == "fastq.gz" else "num_chunks": count})
found = [part.get() for part in parts]
ended = time.perf_counter()


def told():
    if name == "measurementset":
        return table_differs()
    if name == "fastq.gz":
        lines = [line.rstrip("\\n") for part in found for line in part]
        return "equal" if lines == gzip.open(path, "rt").read().splitlines() else "differs"
    texts = [text if isinstance(text, bytes) else text.encode() for text in found]
    if name == "csv":
        texts = [text if not number else text.partition(b"\\n")[2] for number, text in enumerate(texts)]
    return "equal" if b"".join(texts) == open(path, "rb").read() else "differs"


def table_differs():
    import numpy as np
    from casacore.tables import table
    whole, wrong, row = table(path, ack=False), set(), 0
    for one in found:
        part = table(one, ack=False)
        for column in ("TIME", "ANTENNA1", "ANTENNA2", "SCAN_NUMBER", "UVW", "FLAG", "DATA"):
            same = np.array_equal(whole.getcol(column, row, part.nrows()), part.getcol(column))
            wrong |= set() if same else {column}
        row += part.nrows()
    lost = [] if row == whole.nrows() else [f"{whole.nrows() - row} rows lost"]
    return ", ".join([*sorted(wrong), *lost]) or "equal"


answer = {"index": indexed - start, "slice": (ended - indexed) / len(parts), "slices": len(parts), "told": told()}
sys.stdout.flush()
print("\\n" + json.dumps(answer))
"""


def rows(store: S3Store, bucket: str, made: dict[str, tuple[str, Path]], slices: int) -> list[list[Any]]:
    """Its rows of the table: ``made`` has key and file of each format, a MeasurementSet's being prefix and folder."""
    if not (PEER / "installed-4").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER / "venv"], check=True)
        subprocess.run([PEER / "venv/bin/python", "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (PEER / "installed-4").touch()
    store.ensure(f"{bucket}.meta")
    found = [_row(store, bucket, name, *one, slices) for name, one in made.items()]
    return found + [[f"{name} (dataplug)", *[""] * 9, reason] for name, reason in NOT_RUN.items()]


def _row(store: S3Store, bucket: str, name: str, key: str, path: Path, slices: int) -> list[Any]:
    if name == "fastq.gz" and shutil.which("gztool") is None:
        return [f"{name} (dataplug)", *[""] * 9, "not run: it needs gztool, which is not installed"]
    told = [store.endpoint, doors.ACCESS, doors.SECRET, bucket, key, name, str(slices), str(path)]
    try:
        ran = subprocess.run(
            [PEER / "venv/bin/python", "-c", SCRIPT, *told], capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"{name} (dataplug)", *[""] * 9, "did not end within ten minutes"]
    finally:
        _clean(key)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    if ran.returncode:
        return [f"{name} (dataplug)", f"{size / 1e6:.0f}", *[""] * 8, (ran.stderr.strip().splitlines() or ["failed"])[-1][:60]]
    answer = json.loads(ran.stdout.strip().splitlines()[-1])
    kept = sum(info.size for info in store.list(f"{bucket}.meta", key.rstrip("/")))
    return [f"{name} (dataplug)", f"{size / 1e6:.0f}", "", f"{answer['index']:.3f}", "", f"{100 * kept / size:.3f}",
            answer["slices"], f"{answer['slice']:.3f}", "", "", answer["told"]]  # fmt: skip


def _clean(key: str) -> None:
    """Remove what it leaves in the folders that it uses for MeasurementSets."""
    shutil.rmtree(SCRATCH / f"metadata_{key.replace('/', '_')}", ignore_errors=True)
    for folder in ("temp", "output"):
        for left in (SCRATCH / folder).glob("slice_*.ms"):
            shutil.rmtree(left, ignore_errors=True)
