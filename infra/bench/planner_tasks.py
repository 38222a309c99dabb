"""Tasks whose true time, cost and memory are known, to judge plans by: none has the shape of the planner's own model.

Slices take super-linear time, thrash when memory is short, use several cores by Amdahl's law and share a bandwidth; workers
start in batches, straggle, and merge what they made serially, in a tree or pairwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from events.types import Choice, Wave, WorkerSize
from functions.planner.choice import weights
from functions.planner.grid import Load, Vector, configurations

GB_S, REQUEST = 1.6667e-5, 2e-7
LAMBDA = [WorkerSize(memory_mb=mb, vcpus=mb / 1769, max_workers=1000) for mb in (512, 1024, 1769, 3538, 7076)]
CLUSTER = [WorkerSize(memory_mb=mb, vcpus=1, max_workers=64) for mb in (512, 1024, 2048, 4096)]
PODS = [
    WorkerSize(memory_mb=mb, vcpus=vcpus, max_workers=int(64 / vcpus)) for mb in (1024, 2048, 4096, 8192) for vcpus in (1, 2, 4)
]
FLEET = [WorkerSize(memory_mb=mb, vcpus=vcpus, max_workers=10_000) for mb, vcpus in ((2048, 1), (4096, 2), (8192, 4))]


@dataclass(frozen=True)
class Platform:
    """Where tasks run: worker sizes and the vCPUs of all workers together (0 = no limit)."""

    name: str
    sizes: list[WorkerSize]
    cores: float = 0.0

    def grid(self, volume: float, units: int) -> Load:
        """Every configuration for so many bytes that can be cut into ``units``."""
        return configurations(self.sizes, volume=int(volume), units=units, cores=self.cores)


PLATFORMS = [Platform("lambda", LAMBDA), Platform("cluster", CLUSTER, 64), Platform("pods", PODS, 64)]


@dataclass(frozen=True)
class Task:
    """A task's true behaviour. Seconds, bytes in GB, memory in MB.

    Attributes:
        start: cold start; ``batch`` workers begin at once, the next ones ``batch_s`` later.
        read: seconds a GB over one connection; ``bandwidth`` GB/s are shared by all.
        compute: seconds a GB on one core; ``power`` over 1 makes larger slices dearer than their bytes.
        parallel: share of the computing that uses all cores of a worker (Amdahl).
        per_slice: seconds to open a slice.
        serial: seconds a GB, and ``pairwise`` seconds a pair of workers, ``tree`` a level, to merge results at the end.
        memory: MB of an idle worker, MB a MB of slice, and the exponent of the slice's size.
        thrash: how much slower a worker computes that needs all of its memory.
        straggle: spread (log-normal) of one slice's duration; ``noise`` that of a whole run's.

    """

    name: str
    volume: float = 4.0
    units: int = 4096
    start: float = 1.0
    batch: float = 500.0
    batch_s: float = 0.5
    read: float = 8.0
    bandwidth: float = np.inf
    compute: float = 20.0
    power: float = 1.0
    parallel: float = 0.0
    per_slice: float = 0.02
    serial: float = 0.0
    pairwise: float = 0.0
    tree: float = 0.0
    memory: tuple[float, float, float] = (90.0, 2.0, 1.0)
    thrash: float = 0.0
    straggle: float = 0.1
    noise: float = 0.1

    def peak(self, load: Load) -> Vector:
        """MB of the largest worker."""
        base, factor, power = self.memory
        return base + factor * (load.slice_bytes / 1e6) ** power

    def fits(self, load: Load) -> np.ndarray:
        """Where a worker does not die of its memory."""
        fits: np.ndarray = self.peak(load) <= load.memory_mb
        return fits

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """Seconds to read and to compute one slice."""
        size = load.bytes / 1e9 / load.slices
        read = size * np.maximum(self.read, load.workers / self.bandwidth) + self.per_slice
        slow = (1 - self.parallel) / np.minimum(load.vcpus, 1) + self.parallel / load.vcpus
        crowd = np.maximum(load.workers * np.minimum(load.vcpus, 1 + self.parallel * (load.vcpus - 1)) / load.cores, 1)
        pressed = 1 + self.thrash * np.clip(self.peak(load) / load.memory_mb - 0.7, 0, 0.3) / 0.3
        compute = self.compute * size * (size / 0.1) ** (self.power - 1) * slow * np.maximum(crowd, 1) * pressed
        return read, compute

    def begun(self, load: Load) -> Vector:
        """Seconds until the last worker has begun."""
        return self.start + self.batch_s * np.floor((load.workers - 1) / self.batch)

    def time(self, load: Load) -> Vector:
        """The expected wall time."""
        read, compute = self.phases(load)
        rounds = np.ceil(load.slices / load.workers)
        tail = 1 + self.straggle * np.sqrt(2 * np.log(np.maximum(load.workers, 1)) / rounds)
        merge = self.serial * load.bytes / 1e9 + self.pairwise * load.workers**2 + self.tree * np.log2(load.workers)
        return self.begun(load) + rounds * (read + compute) * tail + merge

    def busy(self, load: Load) -> Vector:
        """Seconds of all workers together."""
        read, compute = self.phases(load)
        return self.start * load.workers + load.slices * (read + compute)

    def cost(self, load: Load) -> Vector:
        """What that costs."""
        return self.busy(load) * load.memory_mb / 1000 * GB_S + load.workers * REQUEST

    def value(self, load: Load, objective: str) -> Vector:
        """What the objective makes least; infinite where workers die."""
        fits, time, cost = self.fits(load), self.time(load), self.cost(load)
        value = {"time": time, "cost": cost}.get(objective)
        if value is None:
            by_time, by_cost = weights(objective) or (1.0, 1.0)
            value = np.hypot(by_time * time / time[fits].min(), by_cost * cost / cost[fits].min())
        return np.where(fits, value, np.inf)

    def run(self, load: Load, at: int, random: np.random.Generator) -> Wave:
        """The statistics of one run of a configuration."""
        one = load[np.array([at])]
        read, compute = (float(part[0] * one.slices[0]) for part in self.phases(one))
        luck, reading, computing = np.exp(random.normal(0, self.noise, 3) * (1, 0.5, 0.5))
        vcpus = float(one.vcpus[0])
        used = min(vcpus, 1) if vcpus <= 1 else 1 / ((1 - self.parallel) + self.parallel / vcpus)
        peak = float(self.peak(one)[0]) * float(np.exp(random.normal(0, 0.02)))
        died = peak > one.memory_mb[0]
        return Wave(
            workers=int(one.workers[0]), slices=int(one.slices[0]), bytes=int(one.bytes[0]),
            seconds=float(self.time(one)[0] * luck), memory_mb=int(one.memory_mb[0]), vcpus=vcpus,
            cores=0.0 if np.isinf(one.cores[0]) else float(one.cores[0]),
            start_s=self.start * luck, wait_s=float(self.begun(one)[0] - self.start), read_s=read * luck * reading,
            compute_s=compute * luck * computing, cpu_s=compute * luck * computing * used, slice_bytes=int(one.slice_bytes[0]),
            peak_mb=min(peak, float(one.memory_mb[0])), base_mb=self.memory[0], failed=int(died),
            out_of_memory=int(died),
        )  # fmt: skip


TASKS = [
    Task("cpu", compute=90),
    Task("threads", compute=90, parallel=0.9),
    Task("io", read=30, bandwidth=0.8, compute=3),
    Task("memory", memory=(250, 7, 1.0), thrash=2.0),
    Task("poor scaling", pairwise=0.004, compute=60),
    Task("serial merge", serial=3.0, tree=0.6),
    Task("slow start", start=18, batch=100, batch_s=2),
    Task("many slices", per_slice=0.3, power=0.9),
    Task("sort", power=1.25, memory=(120, 3, 1.05)),
    Task("stragglers", straggle=0.5, noise=0.15),
    Task("small", volume=0.05, units=400, start=0.5),
    Task("large", volume=500, units=20_000, compute=40, bandwidth=20),
    Task("rows", volume=1, units=10_000_000, per_slice=0.03),
]


def held_out(count: int, seed: int) -> list[Task]:
    """Tasks drawn at random, none of them among ``TASKS``."""
    random = np.random.default_rng(seed)

    def any_of(*values: float) -> float:
        return float(random.choice(values))

    def between(low: float, high: float) -> float:
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    return [
        Task(
            f"held out {number}",
            volume=between(0.05, 300),
            units=int(between(500, 20_000)),
            start=between(0.3, 25),
            batch=between(50, 1000),
            batch_s=between(0.2, 2),
            read=between(4, 40),
            bandwidth=any_of(np.inf, np.inf, between(0.5, 20)),
            compute=between(1, 150),
            power=any_of(1, 1, random.uniform(0.9, 1.3)),
            parallel=any_of(0, 0, random.uniform(0.3, 1)),
            per_slice=between(0.005, 0.4),
            serial=any_of(0, 0, between(0.05, 4)),
            pairwise=any_of(0, 0, between(1e-5, 5e-3)),
            tree=any_of(0, 0, between(0.05, 2)),
            memory=(between(60, 350), between(0.1, 8), any_of(1, 1, random.uniform(0.9, 1.08))),
            thrash=any_of(0, 0, random.uniform(0.5, 3)),
            straggle=between(0.02, 0.5),
            noise=between(0.03, 0.2),
        )
        for number in range(count)
    ]


def resized(task: Task, factor: float) -> Task:
    """The same task over more or less data."""
    return replace(task, volume=task.volume * factor)


def place(load: Load, choice: Choice) -> int:
    """Where a choice is among the configurations."""
    same = (load.workers == choice.workers) & (load.memory_mb == choice.memory_mb) & (load.slices == choice.slices)
    return int(np.flatnonzero(same & (load.vcpus == choice.vcpus))[0])
