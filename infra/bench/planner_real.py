"""Real tasks: small Lithops maps on this machine, each configuration measured, to see how near plans come to the best."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle
import numpy as np

from events.types import Choice, Wave, WorkerSize
from functions.planner.decide import decide
from functions.planner.grid import configurations
from infra.bench.planner_simulation import PRICES
from infra.bench.planner_tasks import Task, place

#: Bytes of a whole job, and how often each configuration is measured: again only within so many seconds, for all tasks.
VOLUME, ROUNDS, PATIENCE = 48_000_000, 2, 60.0
#: Seconds after which a map is given up: Lithops would wait for ever for a worker that never came. And those after which no
#: further task is begun, on a machine that has other things to do.
STUCK, ENOUGH = 40, 240.0
CONFIG = {
    "lithops": {"backend": "localhost", "storage": "localhost", "data_cleaner": False},
    "localhost": {"version": 1, "runtime": sys.executable, "worker_processes": 2},
}
SIZE = [WorkerSize(memory_mb=2048, vcpus=1, max_workers=2)]


def hashing(size: int) -> None:
    """CPU-bound: digests of a buffer."""
    block = bytes(min(size, 1_000_000))
    for _ in range(max(size // len(block), 1) * 12):
        hashlib.sha256(block).digest()


def waiting(size: int) -> None:
    """I/O-bound: latency, and a store of 60 MB/s a connection."""
    time.sleep(0.05 + size / 60e6)


def sorting(size: int) -> None:
    """Memory-bound: a copy and a sort of all of a slice."""
    np.sort(np.random.default_rng(1).random(size // 8 * 3))


TASKS: dict[str, Callable[[int], None]] = {"hashing": hashing, "waiting": waiting, "sorting": sorting}


def work(part: tuple[str, list[int]]) -> dict[str, float]:
    """What a worker does: its slices one after the other, measured."""
    name, sizes = part
    began, before = time.time(), sum(os.times()[:2])
    for size in sizes:
        TASKS[name](size)
    return {
        "began": began, "ended": time.time(), "cpu": sum(os.times()[:2]) - before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }  # fmt: skip


def once(executor: Any, name: str, workers: int, slices: int, volume: float) -> Wave:
    """Run a configuration and tell what it took."""
    size = int(volume / slices)
    dealt = [(name, [size] * len(range(worker, slices, workers))) for worker in range(workers)]
    at = time.time()
    told = executor.get_result(executor.map(work, [(part,) for part in dealt], include_modules=None), timeout=STUCK)
    first = min(one["began"] for one in told)
    return Wave(
        workers=workers, slices=slices, bytes=int(volume), seconds=max(one["ended"] for one in told) - at, memory_mb=2048,
        cores=2.0, start_s=first - at, compute_s=sum(one["ended"] - one["began"] for one in told),
        cpu_s=sum(one["cpu"] for one in told), slice_bytes=size, peak_mb=max(one["peak"] for one in told), base_mb=60.0,
    )  # fmt: skip


@dataclass
class Real:
    """A real task: its regret at first sight and after three runs, and a task for simulations with what was measured."""

    name: str
    first: float
    after3: float
    like: Task


def real_tasks() -> list[Real]:
    """Tasks over every configuration, and the plans that a user would have got; fewer of them where a map hangs."""
    from lithops import FunctionExecutor

    import infra.runtime.lithops  # noqa: F401 - gives Lithops a folder of its own, which it fixes when it is imported

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    with FunctionExecutor(config=CONFIG, log_level=None) as executor:
        begin, found = time.monotonic(), list[Real]()
        try:
            once(executor, "waiting", 2, 2, 1e6)
            for name in TASKS:
                if time.monotonic() - begin < ENOUGH:
                    found.append(_real(executor, name, begin + PATIENCE))
        except TimeoutError:
            print(f"a real map did not end within {STUCK} s: only {len(found)} of {len(TASKS)} tasks are told", file=sys.stderr)
        return found


def _real(executor: Any, name: str, until: float) -> Real:
    load = configurations(SIZE, volume=VOLUME, units=8, cores=2)
    waves: list[list[Wave]] = [[] for _ in range(len(load))]
    for number in range(ROUNDS):
        for at, found in enumerate(waves):
            if number == 0 or time.monotonic() < until:
                found.append(once(executor, name, int(load.workers[at]), int(load.slices[at]), VOLUME))
    took = np.array([np.mean([wave.seconds for wave in one]) for one in waves])
    probe = [once(executor, name, 1, 1, VOLUME / parts) for parts in (4, 16)]

    def regret(runs: list[list[Wave]]) -> tuple[float, Choice]:
        choice = decide(runs, load, PRICES, objective="time").choice
        return float(took[place(load, choice)] / took.min() - 1), choice

    history: list[list[Wave]] = [probe]
    first, choice = regret(history)
    last = first
    for number in range(3):
        history.insert(0, [(one := waves[place(load, choice)])[number % len(one)]])
        last, choice = regret(history)
    return Real(name, first, last, _like(name, waves[0][0], took, waves))


def _like(name: str, one: Wave, took: np.ndarray, waves: list[list[Wave]]) -> Task:
    """A task with these phases and this much noise, for other volumes."""
    noise = float(np.std([np.log(wave.seconds / np.mean([w.seconds for w in runs])) for runs in waves for wave in runs]))
    base = replace(Task(name), start=one.start_s, read=4.0, compute=one.compute_s / one.bytes * 1e9, noise=max(noise, 0.02))
    slope = max(one.peak_mb - one.base_mb, 1) / (one.slice_bytes / 1e6)
    return replace(base, memory=(one.base_mb, slope, 1.0), straggle=max(noise, 0.05), bandwidth=2000)


def at_scale(task: Task) -> Task:
    """The same over a petabyte in a million slices' worth of units."""
    return replace(task, volume=1e6, units=2_000_000)
