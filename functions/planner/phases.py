"""What the phases of measured waves say of a task: seconds to start, and to read and compute a slice and a GB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from events.types import Wave
from functions.planner.grid import Load, Vector
from functions.planner.squares import non_negative

#: How little a curve of three slice sizes is believed: noise of a tenth looks like one.
CURVE_PULL, FIXED_PULL = 0.5, 0.01
#: Seconds that opening a slice and telling of its result are believed to take before runs of several sizes tell, at most half
#: of what a slice was seen to take.
SLICE_S = 0.02
#: Part of its work that the last worker is believed to be late by (see ``lateness``) before any run tells, as so many runs.
LATE, LATE_RUNS = 0.15, 1.0
#: What the workers' own phases leave unexplained is lateness up to here; more is merging, or nothing that workers do.
MOST_LATE = 1.0


@dataclass(frozen=True)
class Phases:
    """Seconds: ``start`` a worker, ``slice`` a slice, ``read`` a GB, ``one`` and ``many`` a GB computed on one core and on all.

    ``crowd`` is a GB read and worker that reads beside, ``square`` a GB and GB of slice, ``late`` the part of its work that the
    last worker is late by for each ``lateness``; ``paid`` are the seconds that each wave's workers took together.
    """

    start: float
    slice: float
    read: float
    crowd: float
    one: float
    many: float
    square: float
    late: float
    paid: Vector

    def work(self, load: Load) -> Vector:
        """Seconds that all workers together read and compute."""
        volume = load.bytes / 1e9
        one, many = slowdown(load)
        rate = (
            self.read
            + self.crowd * load.workers
            + self.one * one
            + self.many * many
            + self.square * one * load.slice_bytes / 1e9
        )
        return volume * rate + self.slice * load.slices


def slowdown(load: Load) -> tuple[Vector, Vector]:
    """How much longer a worker computes than with a core of its own: a single-threaded task, and one that uses all."""
    one = np.minimum(load.vcpus, 1.0)
    return np.maximum(load.workers * one / load.cores, 1) / one, np.maximum(
        load.workers * load.vcpus / load.cores, 1
    ) / load.vcpus


def lateness(load: Load) -> Vector:
    """How many standard deviations of a slice's duration the last of the workers is late by, each doing some in a row."""
    return np.sqrt(2 * np.log(np.maximum(load.workers, 1)) / np.ceil(load.slices / load.workers))


def measured_phases(waves: Sequence[Wave], weights: Vector, load: Load) -> Phases:
    """The phases of these waves. One that told none computed for as long as it took, on every worker."""

    def column(name: str) -> Vector:
        return np.array([getattr(wave, name) for wave in waves], dtype=float)

    seconds, start, read, compute = column("seconds"), column("start_s"), column("read_s"), column("compute_s")
    told = read + compute > 0
    compute = np.where(told, compute, np.maximum(seconds - start, 1e-6) * load.workers)
    size = np.maximum(load.bytes / load.slices / 1e9, 1e-12)
    one, many = slowdown(load)
    threads = _threads(compute, column("cpu_s"), load.vcpus, weights)
    slow = (1 - threads) * one + threads * many
    fixed, rate, crowd = _line(read / load.slices, size, size * load.workers, weights, 0.0)
    extra, speed, square = _line(compute / load.slices, size * slow, size * slow * load.slice_bytes / 1e9, weights, SLICE_S)
    return Phases(
        start=float(np.average(start, weights=weights)),
        slice=fixed + extra,
        read=rate,
        crowd=crowd,
        one=speed * (1 - threads),
        many=speed * threads,
        square=square,
        late=_late(seconds - start, read + compute, load, np.where(told, weights, 0)),
        paid=np.maximum(start * load.workers + read + compute, 1e-6),
    )


def _threads(compute: Vector, cpu: Vector, vcpus: Vector, weights: Vector) -> float:
    """The share of the computing that uses all cores of a worker (Amdahl), where workers had more than one; else 0."""
    seen = (vcpus > 1) & (cpu > 0)
    if not seen.any():
        return 0.0
    single = compute[seen] / cpu[seen]
    share = np.clip((1 - single) / (1 - 1 / vcpus[seen]), 0, 1)
    return float(np.average(share, weights=weights[seen]))


def _late(seconds: Vector, work: Vector, load: Load, weights: Vector) -> float:
    """How late the last workers were, as ``Phases.late``: what is believed, until waves with several workers tell."""
    apart = lateness(load)
    seen = (apart > 0) & (work > 0) & (weights > 0)
    even = work[seen] * np.ceil(load.slices / load.workers)[seen] / load.slices[seen]
    found = np.clip((seconds[seen] / even - 1) / apart[seen], 0, MOST_LATE)
    return float((LATE * LATE_RUNS + found @ weights[seen]) / (LATE_RUNS + weights[seen].sum()))


def _line(values: Vector, size: Vector, square: Vector, weights: Vector, believed: float) -> tuple[float, float, float]:
    """Seconds of a slice as fixed + rate x size + curve x square, with relative errors, the straighter the better.

    ``believed`` is what the fixed part is as long as the values do not tell.
    """
    if not values.any():
        return 0.0, 0.0, 0.0
    values = np.maximum(values, 1e-9)
    rows = np.column_stack([np.ones(len(values)), size, square]) / values[:, None] * np.sqrt(weights)[:, None]
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-30)
    pull = np.diag(np.sqrt([FIXED_PULL, 0.0, CURVE_PULL]))
    centre = np.array([min(believed, float(values.min()) / 2), 0.0, 0.0]) * scale
    found = non_negative(np.vstack([rows / scale, pull]), np.concatenate([np.sqrt(weights), pull @ centre]))
    fixed, rate, curve = found / scale
    return float(fixed), float(rate), float(curve)
