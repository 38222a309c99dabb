"""A radio pipeline: two workers beside one, what more slices cost, and the project's four figures.

    python -m infra.bench.taska [--rounds 3] [--megabytes 1000]

Flag and average (AOFlagger over 40 time steps, 8 x 4) on a synthetic observation in the S3 door on the loopback interface. Two
workers are processes that stay, as a platform's warm ones do; each opens its virtual slices one after the other and runs DP3 on
them. The sides take turns. Wall seconds are the best of the rounds, for others only ever add to them; CPU seconds are those of
the workers and all their children, the least of the rounds. Pictures go to ``build/taska/``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from events.errors import Reject
from events.types import ObjectDerived
from functions.formats import by_name
from functions.formats.format import Index, Slice
from functions.formats.source import Source
from infra.bench import door as doors
from infra.bench import load
from infra.bench.slices import copy, static
from infra.bench.table import report
from infra.bench.taska_chart import Point, Series, chart
from infra.bench.taska_model import Cost, front, modelled
from infra.demo.inputs import observation
from infra.demo.measurement_set import Observation, sky_model
from infra.objects.s3 import S3Store
from infra.runtime.probe import ENVIRONMENT
from infra.taska.tasks import calibrate, image, rebin

BUCKET, MS = "taska", "observation.ms.zip"
TIMESTEP, WINDOW = 8, 40
#: Time steps of the observation: windows for two, three and nine equal slices. Bytes of a row of it.
TIMES, ROW = 18 * WINDOW, 3150
PICTURES = Path(__file__).parents[2] / "build" / "taska"
WORKERS = range(1, 10)
Task = Callable[..., ObjectDerived]


class Took(NamedTuple):
    """Wall and CPU seconds, and the CPU seconds of each slice."""

    wall: float
    cpu: float
    slices: list[float]


def work(task: Task, parts: list[Slice]) -> tuple[list[ObjectDerived], list[float]]:
    """What one worker does: its slices, one after the other; what it made, and the CPU seconds of each."""
    store = S3Store(**{name: os.environ[variable] for name, variable in ENVIRONMENT.items()})
    made, spent = [], []
    with closing(store):
        for part in parts:
            before = cpu(os.getpid())
            with part.open(store) as opened:
                made.append(task(opened))
            spent.append(cpu(os.getpid()) - before)
    return made, spent


def cpu(pid: int) -> float:
    """CPU seconds of a process, of the children it waited for and of those that live."""
    root = psutil.Process(pid)
    times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
    return float(sum(sum(each[:4]) for each in times))


class Bench:
    """The store with the observation, and two warm workers."""

    def __init__(self, store: S3Store, pool: ProcessPoolExecutor) -> None:
        self.store, self._pool, self._runs = store, pool, 0
        self._indexes: dict[str, Index] = {}

    def slices(self, key: str, count: int, align: int = 1) -> list[Slice]:
        """Virtual slices of an object."""
        if key not in self._indexes:
            info = self.store.head(BUCKET, key)
            source = Source(self.store, BUCKET, key, info.size, info.etag, {"align": str(align)})
            index = by_name("measurementset").index(source, {})
            if index is None:
                raise load.Unmeasured(f"{key} cannot be sliced")
            self._indexes[key] = index
            self.store.write(BUCKET, f"index/{key}", index.encode())
        return by_name("measurementset").slices(
            self._indexes[key], count, bucket=BUCKET, key=key, index_at=f"{BUCKET}/index/{key}"
        )

    def run(self, task: Task, parts: list[Slice], workers: int) -> tuple[list[ObjectDerived], Took]:
        """Run a task over slices, dealt to one or two workers."""
        self._runs += 1
        told = partial(task, to=f"s3://{BUCKET}/{self._runs}/")
        start = time.perf_counter()
        begun = [self._pool.submit(work, told, parts[number::workers]) for number in range(workers)]
        done = [each.result() for each in begun]
        wall = time.perf_counter() - start
        made = [one for results, _ in done for one in results]
        spent = [one for _, seconds in done for one in seconds]
        return sorted(made, key=lambda one: one.result.key), Took(wall, sum(spent), spent)


def sides(bench: Bench, rounds: int) -> dict[str, Took]:
    """Flag and average in each way: the best wall and the least CPU seconds of the rounds. One before them warms up."""
    flagged = partial(rebin, timestep=TIMESTEP, window=WINDOW)
    ways: dict[str, tuple[Task, int, int]] = {
        "one worker, 1 thread": (flagged, 1, 1),
        "two workers": (flagged, 2, 2),
        "one worker, 2 threads": (partial(flagged, threads=2), 1, 1),
        "nine slices, two workers": (flagged, 9, 2),
    }
    for _ in range(2):
        bench.run(partial(rebin, timestep=TIMESTEP, flagging=""), bench.slices(MS, 2), 2)
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else reversed(ways):  # nobody always goes first
            task, count, workers = ways[name]
            took[name].append(bench.run(task, bench.slices(MS, count), workers)[1])
    return {
        name: Took(min(one.wall for one in found), *min((one.cpu, one.slices) for one in found)) for name, found in took.items()
    }


def steps(bench: Bench) -> list[dict[str, Any]]:
    """Each step over the whole observation, one thread and two: bytes in and out, wall and CPU seconds."""
    chain: list[tuple[str, Task]] = [
        ("average", partial(rebin, timestep=TIMESTEP, flagging="")),
        ("flag + average", partial(rebin, timestep=TIMESTEP, window=WINDOW)),
        ("calibrate", partial(calibrate, sky=sky_model())),
        ("image", image),
    ]
    found, key = [], MS
    for name, task in chain:
        told: dict[str, Any] = {"step": name}
        for threads in (1, 2):
            ((made,), took) = bench.run(partial(task, threads=threads), bench.slices(key, 1), 1)
            told |= {"in": made.of.size, "out": made.result.size, f"wall{threads}": took.wall, f"cpu{threads}": took.cpu}
        found.append(told)
        if name != "average":
            key = made.result.key
    return found


def partition(bench: Bench, folder: Path, archive: Path) -> dict[str, float]:
    """Seconds to partition: the index of virtual slices; copying four by casacore; the whole static stage of four."""
    info = bench.store.head(BUCKET, MS)
    virtual = []
    for _ in range(3):
        start = time.perf_counter()
        by_name("measurementset").index(Source(bench.store, BUCKET, MS, info.size, info.etag), {})
        virtual.append(time.perf_counter() - start)
    (folder / "copies").mkdir()
    with get_context("spawn").Pool(1) as pool:
        copied = pool.apply(copy, (str(archive.with_suffix("")), str(folder / "copies"), 4))
        shutil.rmtree(folder / "copies")
        whole = static(bench.store, folder / "static", 4, pool, BUCKET, MS)
    return {"virtual": min(virtual), "copy": copied, "static": whole}


def plane(bench: Bench, took: dict[str, Took]) -> tuple[list[Cost], list[Cost]]:
    """Time and cost of one to nine workers of one vCPU and one slice each, without partitioning: modelled, and measured."""
    one, two, nine = (took[name] for name in ("one worker, 1 thread", "two workers", "nine slices, two workers"))
    found = []
    for count in WORKERS:
        sizes = [part.bytes for part in bench.slices(MS, count)]
        found.append(modelled(count, [size / sum(sizes) for size in sizes], one.cpu, nine.cpu, len(nine.slices)))
    measured = [Cost(1, one.wall, one.cpu), *([Cost(2, two.wall, two.cpu)] if (os.cpu_count() or 1) > 1 else [])]
    return found, measured


def pictures(told: list[dict[str, Any]], costs: list[Cost], measured: list[Cost], parted: dict[str, float]) -> None:
    """The four figures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    speed = []
    for step in told:
        share = max(0.0, min(1.0, 2 * (1 - step["wall2"] / step["wall1"])))  # what two threads halve of it (Amdahl)
        points = [Point(1, step["in"] / step["wall1"] / 1e6), Point(2, step["in"] / step["wall2"] / 1e6, measured=cores > 1)]
        points += [Point(n, step["in"] / (step["wall1"] * (1 - share + share / n)) / 1e6, measured=False) for n in (4, 8)]
        speed.append(Series(step["step"], points))
    volume = [Series(side, [Point(at, step[side] / 1e6) for at, step in enumerate(told)]) for side in ("in", "out")]
    names = [step["step"] for step in told]

    def placed(costs: list[Cost], seconds: float = 0.0, full: bool = False) -> list[Point]:
        return [Point(one.cost + seconds, one.time + seconds, full, str(one.workers)) for one in costs]

    best = Series("Pareto front", placed(front(costs)), line=True)
    runs = [best, Series("modelled", placed(costs)), Series("measured", placed(measured, full=True))]
    axes = ("vCPU seconds", "seconds")
    drawn = {
        "throughput": chart("Throughput of one worker", "vCPUs", "MB a second", speed, log=True),
        "volume": chart("Data volume of each step", "", "MB", volume, names=names, log=True),
        "plane": chart("Flag + average with 1 to 9 workers", *axes, runs),
        "partition": chart("The same with partitioning", *axes, [
            Series(f"{how} slices", placed(costs, parted[how])) for how in ("virtual", "static")
        ]),
    }  # fmt: skip
    for name, text in drawn.items():
        (PICTURES / f"{name}.svg").write_text(text)


def tables(
    took: dict[str, Took], told: list[dict[str, Any]], costs: list[Cost], measured: list[Cost], parted: dict[str, float]
) -> None:
    """The same as text."""
    report("flag + average", ["side", "wall s", "CPU s"],
           [[name, f"{one.wall:.1f}", f"{one.cpu:.1f}"] for name, one in took.items()], {})  # fmt: skip
    columns = ["step", "MB in", "MB out", "MB/s, 1 vCPU", "MB/s, 2 vCPUs", "CPU s"]
    report("steps, one worker", columns, [
        [step["step"], f"{step['in'] / 1e6:.1f}", f"{step['out'] / 1e6:.1f}", f"{step['in'] / step['wall1'] / 1e6:.1f}",
         f"{step['in'] / step['wall2'] / 1e6:.1f}", f"{step['cpu1']:.2f}"] for step in told
    ], {})  # fmt: skip
    best = front(costs)
    rows = []
    for one in costs:
        parts = [f"{one.time + parted[how]:.1f}" for how in ("virtual", "copy", "static")]
        seen = next((f"{each.time:.1f}" for each in measured if each.workers == one.workers), "")
        rows.append([one.workers, seen, f"{one.time:.1f}", f"{one.cost:.1f}", *parts, "yes" if one in best else ""])
    columns = ["workers", "s", "s, modelled", "vCPU s", "virtual slices", "casacore's copy", "static split", "front"]
    report("time and cost, modelled from CPU seconds", columns, rows, {})
    report("partition", ["how", "s"], [[name, f"{seconds:.2f}"] for name, seconds in parted.items()], {})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the observation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, doors.door(Path(name) / "door") as client:
        folder = Path(name)
        stations = max(4, round((2e6 * options.megabytes / (ROW * TIMES)) ** 0.5))
        made = observation(folder, Observation(stations=stations, times=TIMES))
        keys = {"endpoint": client.meta.endpoint_url, "access_key": doors.ACCESS, "secret_key": doors.SECRET}
        os.environ |= {ENVIRONMENT[name]: value for name, value in (keys | {"region": "us-east-1"}).items()}
        with closing(S3Store(**keys)) as store, ProcessPoolExecutor(2, get_context("spawn")) as pool:
            store.ensure(BUCKET)
            store.client.upload_file(str(made), BUCKET, MS)
            bench = Bench(store, pool)
            try:
                bench.slices(MS, 1, align=WINDOW)
                took = sides(bench, options.rounds)
                told = steps(bench)
                parted = partition(bench, folder, made)
                costs, measured = plane(bench, took)
            except (load.Unmeasured, Reject) as reason:
                sys.exit(f"cannot measure: {reason}")
    tables(took, told, costs, measured, parted)
    pictures(told, costs, measured, parted)
    one, two, threads = (took[name] for name in ("one worker, 1 thread", "two workers", "one worker, 2 threads"))
    figures = {
        "speedup_two_workers": one.wall / two.wall,
        "vs_two_threads": threads.wall / two.wall,
        "cpu_overhead_n2": two.cpu / one.cpu,
        "cpu_overhead_n9": took["nine slices, two workers"].cpu / one.cpu,
    }
    report(f"pictures in {PICTURES}", ["figure", ""], [[name, f"{value:.2f}"] for name, value in figures.items()], figures)


if __name__ == "__main__":
    main()
