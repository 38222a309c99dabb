"""Time series: a million samples embedded and on VictoriaMetrics - size, durable ingest from line protocol, the same queries.

    python -m infra.bench.series [--rounds 30] [--folder FOLDER]

200 sensors with 5 metrics and 1000 points each, ten seconds apart, random walks of two decimals. One side is a ``sluice up``,
the other a VictoriaMetrics; both get the same requests of line protocol over HTTP, and are asked over HTTP, each in its own
way, taking turns. ``bytes_per_sample`` counts all objects of the embedded store; ``vs_victoria_worst`` is the worst query's
median against the server's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np

from infra.bench.load import Unmeasured, free_port
from infra.bench.table import report
from infra.config import Config
from infra.objects.door_keys import door_keys
from infra.objects.s3 import S3Store
from infra.runtime.endpoints import FILE, Endpoints
from infra.series.retention import HOUR

HOSTS, COUNT, STEP = 200, 1000, 10_000
METRICS = ("temperature", "humidity", "pressure", "co2", "flow")
SAMPLES = HOSTS * COUNT * len(METRICS)
#: Lines of one request.
LINES = 5000
Ask = Callable[[], object]


def bodies(start: int) -> list[bytes]:
    """The samples as bodies of line protocol."""
    walk = np.round(20 + np.cumsum(np.random.default_rng(1).normal(0, 0.075, (COUNT, HOSTS, len(METRICS))), axis=0), 2)
    lines = [
        f"sensor,host=h{host},zone=z{host % 10} "
        + ",".join(f"{metric}={value}" for metric, value in zip(METRICS, walk[place, host].tolist(), strict=True))
        + f" {(start + place * STEP) * 1_000_000}"
        for place in range(COUNT)
        for host in range(HOSTS)
    ]
    return ["\n".join(lines[at : at + LINES]).encode() for at in range(0, len(lines), LINES)]


@contextmanager
def victoria(folder: Path) -> Iterator[httpx.Client]:
    """A VictoriaMetrics of its own. Raises ``Unmeasured`` where it is missing."""
    if shutil.which("victoria-metrics") is None:
        raise Unmeasured("VictoriaMetrics is not installed: apt-get install victoria-metrics")
    port = free_port()
    command = [
        "victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=365d",
        "-search.latencyOffset=0s", "-dedup.minScrapeInterval=1ms", "-loggerLevel=ERROR",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client:
            for _ in range(200):
                try:
                    client.get("/health")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            else:
                raise Unmeasured("VictoriaMetrics does not answer")
            yield client
    finally:
        process.terminate()
        process.wait()


@contextmanager
def lake(folder: Path) -> Iterator[httpx.Client]:
    """A ``sluice up`` of its own, with embedded series."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LITHOPS_"))}
    settings = {"SLUICE_DATA": str(folder), "SLUICE_HTTP_PORT": "0", "SLUICE_DOOR_PORT": "0", "SLUICE_SERIES_EVERY_S": "15"}
    process = subprocess.Popen([sys.executable, "-m", "infra.cli", "up"], env=given | settings, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (folder / FILE).exists():
                break
            time.sleep(0.1)
        else:
            raise Unmeasured("sluice up does not start")
        endpoints = msgspec.json.decode((folder / FILE).read_bytes(), type=Endpoints)
        with httpx.Client(base_url=endpoints.http, timeout=60.0, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def ingest(client: httpx.Client, content: list[bytes]) -> float:
    """Samples a second through ``POST /write``, two requests at a time, until the last is answered."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        for answer in pool.map(lambda body: client.post("/write", content=body), content):
            answer.raise_for_status()
    return SAMPLES / (time.perf_counter() - begun)


def settled(client: httpx.Client) -> dict[str, int]:
    """The numbers of the embedded store once all points are in segments, and those in the catalogue."""
    for _ in range(600):
        status = client.get("/status").json()
        numbers: dict[str, int] = status["series"]
        if numbers["points"] == SAMPLES and not numbers["waiting"] and not status["log"]["waiting"]:
            return numbers
        time.sleep(0.1)
    raise Unmeasured(f"the points did not become segments: {numbers}")


def queries(embedded: httpx.Client, server: httpx.Client, start: int) -> dict[str, tuple[Ask, Ask]]:
    """Each query on both sides; both give the same numbers (the contract tests see to that)."""
    end = start + COUNT * STEP
    one, every = 'sensor_temperature{host="h7"}', "sensor_temperature"

    def mine(fn: str, metric: str = every, **more: object) -> Ask:
        tag = {} if "by" in more else {"tag": "host=h7"}
        asked = {"metric": metric, "fn": fn, "start": start, "end": end, **tag, **more}
        return lambda: _get(embedded, "/series/query", asked)

    def over(query: str, step: int) -> Ask:
        at = {"start": start / 1000, "end": (end - 1) / 1000, "step": f"{step}ms", "nocache": "1"}
        return lambda: _get(server, "/api/v1/query_range", {"query": query, **at})

    exported = {"match[]": one, "start": start / 1000, "end": (end - 1) / 1000}
    zones = f"sum(sum_over_time({every}[5m])) by (zone) / sum(count_over_time({every}[5m])) by (zone)"
    maxima = [mine("max", f"sensor_{each}", interval="1h", by="zone") for each in METRICS]
    return {
        "last value, 1 series": (
            mine("last"),
            lambda: _get(server, "/api/v1/query", {"query": f"last_over_time({one}[7d])", "nocache": "1"}),
        ),
        "raw range, 1000 points": (mine("raw"), lambda: _get(server, "/api/v1/export", exported)),
        "5 min averages, 1 series": (mine("avg", interval="5m"), over(f"avg_over_time({one}[5m])", 300_000)),
        "1 min moving average, 1000 points": (
            mine("moving_average", interval="10s", window="1m"),
            over(f"avg_over_time({one}[1m])", STEP),
        ),
        "rate in 5 min, 1 series": (mine("rate", interval="5m"), over(f"rate({one}[5m])", 300_000)),
        "5 min averages by zone, 200 series": (mine("avg", interval="5m", by="zone"), over(zones, 300_000)),
        "max by zone per hour, all points": (
            lambda: [ask() for ask in maxima],
            over('max(max_over_time({__name__=~"sensor_.*"}[1h])) by (__name__,zone)', HOUR),
        ),
    }


def _get(client: httpx.Client, path: str, asked: dict[str, object]) -> bytes:
    answer = client.get(path, params=asked)  # type: ignore[arg-type]
    if not answer.is_success or len(answer.content) < 100:
        raise Unmeasured(f"{client.base_url} answers {path} with {answer.status_code}: {answer.text[:200]}")
    return answer.content


def compare(asks: dict[str, tuple[Ask, Ask]], rounds: int) -> dict[str, tuple[float, float]]:
    """The median ms of each query on each side, taking turns after one round that is not counted."""
    found: dict[str, tuple[float, float]] = {}
    for name, sides in asks.items():
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds + 1):
            for side, ask in enumerate(sides):
                begun = time.perf_counter()
                ask()
                if turn:
                    times[side].append(time.perf_counter() - begun)
        found[name] = (statistics.median(times[0]) * 1000, statistics.median(times[1]) * 1000)
    return found


def main() -> int:
    """Measure, print the table and the JSON line; 1 when it cannot be measured."""
    parser = argparse.ArgumentParser(description="A million samples, embedded and on VictoriaMetrics.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--folder", type=Path, help="where the stores keep their data (default: a temporary folder)")
    options = parser.parse_args()
    now = time.time_ns() // 1_000_000
    start = now // HOUR * HOUR - 4 * HOUR
    content = bodies(start)
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            with victoria(folder / "victoria") as server, lake(folder / "lake") as embedded:
                speeds = [ingest(side, content) for side in (embedded, server)]
                server.post("/internal/force_flush").raise_for_status()
                settled(embedded)
                times = compare(queries(embedded, server, start), options.rounds)
                stored = _stored(folder / "lake")
            parts = [file for part in ("data", "indexdb") for file in (folder / "victoria" / part).rglob("*")]
            server_size = sum(file.stat().st_size for file in parts if file.is_file())
    except Unmeasured as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    rows: list[tuple[object, ...]] = [
        ("ingest, samples/s", f"{speeds[0]:,.0f}", f"{speeds[1]:,.0f}", ""),
        ("bytes a sample", f"{stored / SAMPLES:.3f}", f"{server_size / SAMPLES:.3f}", ""),
        *((f"{name}, ms", f"{mine:.2f}", f"{its:.2f}", f"{mine / its:.2f}") for name, (mine, its) in times.items()),
    ]
    figures = {
        "bytes_per_sample": stored / SAMPLES,
        "vs_victoria_worst": max(mine / its for mine, its in times.values()),
        "ingest_per_s": speeds[0],
    }
    report("a million samples", ("", "embedded", "VictoriaMetrics", "ratio"), rows, figures)
    return 0


def _stored(folder: Path) -> int:
    """Bytes of all objects in the bucket of the series."""
    endpoints = msgspec.json.decode((folder / FILE).read_bytes(), type=Endpoints)
    objects = S3Store(endpoints.s3, *door_keys(Config(data=str(folder))))
    try:
        return sum(each.size for each in objects.list("series"))
    finally:
        objects.close()


if __name__ == "__main__":
    sys.exit(main())
