"""Tasks of shapes that neither the planner's model nor the other tasks of the benchmark have, with numbers drawn at random.

A shape bends one law of ``Task``: what a slice takes to read or to compute, or what passes besides. They are what outsiders may
bring: nothing in the planner is made for any one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from functions.planner.grid import Load, Vector
from infra.bench.planner_tasks import Task


@dataclass(frozen=True)
class Amdahl(Task):
    """A part of the work is done by one worker before the others may begin."""

    alone: float = 0.05

    def time(self, load: Load) -> Vector:
        """The others' time, and that part's."""
        return super().time(load) + self.alone * load.bytes / 1e9 * (self.read + self.compute)


@dataclass(frozen=True)
class Contention(Task):
    """Workers slow each other down, the more of them the more: a shared lock or database."""

    half: float = 60.0

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """Twice the compute time at ``half`` workers."""
        read, compute = super().phases(load)
        return read, compute * (1 + load.workers / self.half)


@dataclass(frozen=True)
class SoftCap(Task):
    """A store that slows down long before its bandwidth is reached."""

    cap: float = 2.0

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """The root of the sum of the squares of what one connection and what the store takes."""
        read, compute = super().phases(load)
        return read * np.hypot(1, load.workers / self.cap / self.read), compute


@dataclass(frozen=True)
class HeavyTail(Task):
    """Slices of very different durations (Pareto): the last worker is late by a power of their number."""

    tail: float = 3.0

    def time(self, load: Load) -> Vector:
        """One slice, longer than the mean, comes at the end."""
        read, compute = self.phases(load)
        return super().time(load) + (read + compute) * (load.slices ** (1 / self.tail) - 1) / 2


@dataclass(frozen=True)
class Cliff(Task):
    """Much slower as soon as a slice is larger than what fits into a cache or half of the memory."""

    cliff: float = 0.5
    slower: float = 3.0

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """A step, nearly."""
        read, compute = super().phases(load)
        over = 1 / (1 + np.exp(-40 * (self.peak(load) / load.memory_mb - self.cliff)))
        return read, compute * (1 + (self.slower - 1) * over)


@dataclass(frozen=True)
class LogLinear(Task):
    """Sorting: n log n of a slice, and a merge of n log n of them."""

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """More a byte, the larger the slice."""
        read, compute = super().phases(load)
        return read, compute * np.log2(2 + load.slice_bytes / 1e6) / 7

    def time(self, load: Load) -> Vector:
        """The merge at the end."""
        return super().time(load) + 0.02 * load.bytes / 1e9 * self.compute * np.log2(1 + load.slices)


@dataclass(frozen=True)
class Steps(Task):
    """Works in whole blocks: a slice takes as long as the next multiple of a block."""

    block: float = 0.05

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """Compute time rounded up to blocks of so many GB."""
        read, compute = super().phases(load)
        size = load.bytes / 1e9 / load.slices
        return read, compute * np.ceil(size / self.block) * self.block / size


@dataclass(frozen=True)
class Requests(Task):
    """So many requests a second and no more, whoever asks."""

    rate: float = 100.0

    def time(self, load: Load) -> Vector:
        """At least what the requests of all slices take."""
        usual = super().time(load)
        return np.hypot(usual, load.slices / self.rate)


@dataclass(frozen=True)
class Warmup(Task):
    """Each worker first loads a model or a table of its own."""

    warm: float = 8.0

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """That time, as part of the computing of its first slice."""
        read, compute = super().phases(load)
        return read, compute + self.warm * load.workers / load.slices

    def time(self, load: Load) -> Vector:
        """Once a worker."""
        read, compute = super().phases(load)
        return self.begun(load) + self.warm + np.ceil(load.slices / load.workers) * (read + compute) * 1.1


@dataclass(frozen=True)
class Broadcast(Task):
    """Everybody reads one more thing, from a store that all share."""

    shared: float = 0.2

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """So many GB a worker at first, slower the more there are."""
        read, compute = super().phases(load)
        return read + self.shared * (self.read + 0.3 * load.workers) * load.workers / load.slices, compute


@dataclass(frozen=True)
class Halting(Task):
    """Threads that stop scaling: beyond one core a worker gains a third of each."""

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        """A third of each further core."""
        read, compute = super().phases(load)
        return read, compute / (1 + np.maximum(load.vcpus - 1, 0) / 3)


@dataclass(frozen=True)
class Dispatch(Task):
    """One program hands out every slice, one after the other, and takes its result."""

    each: float = 0.02

    def time(self, load: Load) -> Vector:
        """It is the slowest of the two."""
        return np.maximum(super().time(load), self.start + self.each * load.slices) + self.each * load.workers


SHAPES = (Amdahl, Contention, SoftCap, HeavyTail, Cliff, LogLinear, Steps, Requests, Warmup, Broadcast, Halting, Dispatch)


def odd_tasks(each: int, seed: int) -> list[Task]:
    """So many tasks of each shape, their numbers drawn at random."""
    random = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    def one(shape: type[Task], number: int) -> Task:
        task = shape(
            f"{shape.__name__.lower()} {number}", volume=between(0.3, 100), units=int(between(500, 10_000)),
            start=between(0.5, 60), batch=between(50, 1000), read=between(4, 40), compute=between(5, 150),
            parallel=float(random.choice([0, 0, 0.7])), per_slice=between(0.005, 0.2), straggle=between(0.02, 0.3),
            memory=(between(60, 300), between(0.3, 6), 1.0), noise=between(0.05, 0.2),
        )  # fmt: skip
        bent = {
            name: float(getattr(task, name)) * between(0.5, 2)
            for name in shape.__dataclass_fields__
            if name not in Task.__dataclass_fields__
        }
        return replace(task, **bent)  # type: ignore[arg-type]

    return [one(shape, number) for shape in SHAPES for number in range(each)]
