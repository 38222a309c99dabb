"""How fast is the S3 door beside Ceph RGW? PUT and GET of 64 MB objects through boto3, the sides taking turns in one run.

    python -m infra.bench.door [--rounds 9] [--megabytes 64] [--folder FOLDER]

The last line is one JSON object; ``door_vs_rgw_put`` at 1 or more means that the door is at least as fast.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from infra.bench.load import PATIENCE, Unmeasured, free_port
from infra.objects.door import Door

CEPH = Path(__file__).parents[1] / "deploy" / "ceph"
ACCESS, SECRET, BUCKET = "bench", "bench-secret", "bench"


def client(port: int) -> Any:
    """A boto3 client of the server at this port, once it answers.

    Raises:
        Unmeasured: it does not.

    """
    made = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    end = time.monotonic() + PATIENCE
    while True:
        try:
            made.list_buckets()
            return made
        except BotoCoreError as error:
            if time.monotonic() > end:
                raise Unmeasured(f"the server at port {port} does not answer: {error}") from error
            time.sleep(0.1)


def _serve(folder: Path, port: int) -> None:
    door = Door(folder, {ACCESS: SECRET})
    uvicorn.run(door.app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    door.close()


@contextmanager
def door(folder: Path) -> Iterator[Any]:
    """A client of a door in a process of its own."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, port), daemon=True)
    process.start()
    try:
        yield client(port)
    finally:
        process.terminate()
        process.join()


@contextmanager
def rgw(folder: Path) -> Iterator[Any]:
    """A client of a Ceph RGW of its own: one monitor, one OSD on a file.

    Raises:
        Unmeasured: Ceph is not installed or does not start.

    """
    if missing := [name for name in ("ceph-mon", "ceph-osd", "radosgw") if shutil.which(name) is None]:
        raise Unmeasured(f"Ceph is not installed ({', '.join(missing)}): apt-get install radosgw ceph-mon ceph-osd ceph-common")
    port = free_port()
    settings = {"CEPH_DIR": str(folder), "MON_PORT": str(free_port()), "RGW_PORT": str(port)}
    environment = {**os.environ, **settings, "S3_ACCESS_KEY": ACCESS, "S3_SECRET_KEY": SECRET}
    try:
        started = subprocess.run(["bash", CEPH / "up.sh"], env=environment, capture_output=True, text=True, check=False)
        if started.returncode:
            raise Unmeasured(f"Ceph does not start: {started.stderr.strip()}")
        yield client(port)
    finally:
        subprocess.run(["bash", CEPH / "down.sh", "--purge"], env=environment, check=False)


def measure(sides: dict[str, Any], size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median MB/s (10^6 bytes) of PUT and GET on each side.

    Args:
        sides: name -> boto3 client.
        size: bytes of the object.
        rounds: measured turns of each side, after one that is not.

    """
    content = os.urandom(size)
    seconds: dict[str, dict[str, list[float]]] = {name: {"put": [], "get": []} for name in sides}
    for side in sides.values():
        side.create_bucket(Bucket=BUCKET)
    for turn in range(rounds + 1):
        for name, side in sides.items():
            put = _timed(side.put_object, Bucket=BUCKET, Key="object", Body=content)
            get = _timed(_get, side=side, size=size)
            if turn:
                seconds[name]["put"].append(put)
                seconds[name]["get"].append(get)
    return {
        name: {verb: size / 1e6 / statistics.median(values) for verb, values in verbs.items()}
        for name, verbs in seconds.items()
    }


def _timed(work: Callable[..., object], **arguments: Any) -> float:
    start = time.perf_counter()
    work(**arguments)
    return time.perf_counter() - start


def _get(side: Any, size: int) -> None:
    with side.get_object(Bucket=BUCKET, Key="object")["Body"] as body:
        got = sum(len(block) for block in iter(lambda: body.read(1 << 20), b""))
    if got != size:
        raise Unmeasured(f"a GET of {size} bytes brought {got}")


def door_against_rgw(folder: Path, megabytes: int = 64, rounds: int = 9) -> dict[str, float]:
    """The figures of this benchmark; servers keep their data below ``folder``.

    Raises:
        Unmeasured: a side cannot be measured here.

    """
    with ExitStack() as stack:
        sides = {"rgw": stack.enter_context(rgw(folder / "ceph")), "door": stack.enter_context(door(folder / "door"))}
        speeds = measure(sides, megabytes << 20, rounds)
    figures = {f"{name}_{verb}_mb_s": round(speed, 1) for name, verbs in speeds.items() for verb, speed in verbs.items()}
    for verb in ("put", "get"):
        figures[f"door_vs_rgw_{verb}"] = round(speeds["door"][verb] / speeds["rgw"][verb], 3)
    return figures


def main() -> int:
    """Measure, print the table and the JSON line; 1 when a side cannot be measured."""
    parser = argparse.ArgumentParser(description="The S3 door beside Ceph RGW: PUT and GET throughput through boto3.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where the servers keep their data (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        try:
            figures = door_against_rgw(Path(folder), options.megabytes, options.rounds)
        except Unmeasured as error:
            print(f"not measured: {error}", file=sys.stderr)
            return 1
    print(f"{'MB/s':8}{'PUT':>10}{'GET':>10}")
    for name in ("door", "rgw"):
        print(f"{name:8}{figures[f'{name}_put_mb_s']:>10.1f}{figures[f'{name}_get_mb_s']:>10.1f}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
