"""A task's model: non-negative least squares on physical features, pulled towards what the phases of its runs showed.

Time and paid seconds have features of their own: a time model read as a cost model misplaces the knee. Errors are relative,
so a run of a second counts as much as one of an hour. The pull is a ridge whose centre comes from the measured phases (start,
read, compute): after one run it decides, after some runs the data do, and it keeps what no run has shown (crowding at
a thousand workers) near nothing but uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from events.types import Wave
from functions.planner.grid import Load, Vector, load_of

#: After so many newer runs a run counts half.
HALF_LIFE = 8
#: What a relative error is believed to be before there are residuals, and for how many runs that belief counts.
SIGMA, SIGMA_RUNS = 0.15, 2.0
#: Room left above the memory line.
MARGIN = 1.15
#: Memory of a task nobody has measured yet: the interpreter with its libraries, and copies of the slice.
GUESS_MB, GUESS_COPIES = 256.0, 4.0
#: How strongly each feature is held to its centre, in runs' worth of evidence about a share of the whole.
TIME_PULL = np.array([0.05, 0.02, 0.02, 0.05, 0.5, 0.2, 1.0])
#: The same for how unsure it is: crowding that no run has shown is given little room, or nothing beyond what ran could be sure.
FIRMNESS = np.array([1, 1, 1, 1, 2, 2, 4])
BUSY_PULL = np.array([0.05, 0.02, 0.02, 0.1, 0.1, 0.2, 0.5])


def time_features(load: Load) -> np.ndarray:
    """Columns: 1, largest share (I/O), the same at one core each, at all cores, all bytes, slices in a row, workers."""
    rounds = np.ceil(load.slices / load.workers)
    share = load.bytes / 1e9 * rounds / load.slices
    one, many = _slowdown(load)
    return np.column_stack([np.ones(len(load)), share, share * one, share * many, load.bytes / 1e9, rounds, load.workers])


def busy_features(load: Load) -> np.ndarray:
    """Columns of the seconds that all workers together take: workers, bytes, ... at one core, at all, slices, crowding."""
    volume = load.bytes / 1e9
    one, many = _slowdown(load)
    return np.column_stack(
        [load.workers, volume, volume * one, volume * many, load.slices, volume * load.workers, load.workers**2]
    )


def _slowdown(load: Load) -> tuple[Vector, Vector]:
    """How much longer a worker computes than with a core of its own: a single-threaded task, and one that uses all."""
    one = np.minimum(load.vcpus, 1.0)
    return np.maximum(load.workers * one / load.cores, 1) / one, np.maximum(
        load.workers * load.vcpus / load.cores, 1
    ) / load.vcpus


@dataclass(frozen=True)
class Fit:
    """Coefficients over scaled features, and how sure they are."""

    coefficients: Vector
    scale: Vector
    covariance: np.ndarray
    sigma: float

    def predict(self, features: np.ndarray) -> Vector:
        """The predicted values, positive."""
        values: Vector = np.maximum((features / self.scale) @ self.coefficients, 1e-6)
        return values

    def spread(self, features: np.ndarray, values: Vector) -> Vector:
        """Relative standard deviation of what one run would measure, at most 2."""
        rows = features / self.scale / values[:, None]
        doubt = np.einsum("ij,jk,ik->i", rows, self.covariance, rows)
        spread: Vector = np.minimum(self.sigma * np.sqrt(1 + doubt), 2.0)
        return spread


def fit(features: np.ndarray, values: Vector, weights: Vector, centre: Vector, pull: Vector) -> Fit:
    """Fit ``values`` (positive) by non-negative coefficients, with relative errors, pulled towards ``centre``."""
    rows = features / values[:, None]
    scale = np.maximum(np.average(rows, axis=0, weights=weights), 1e-12)  # a coefficient of 1 is the whole of a typical run
    rows = rows / scale * np.sqrt(weights)[:, None]
    matrix = np.vstack([rows, np.diag(np.sqrt(pull))])
    target = np.concatenate([np.sqrt(weights), np.sqrt(pull) * centre * scale])
    coefficients, _ = nnls(matrix, target)
    residuals = rows @ coefficients - np.sqrt(weights)
    variance = (SIGMA_RUNS * SIGMA**2 + residuals @ residuals) / (SIGMA_RUNS + weights.sum())
    covariance = np.linalg.inv(rows.T @ rows + np.diag(pull * FIRMNESS))
    return Fit(coefficients, scale, covariance, float(np.sqrt(variance)))


@dataclass(frozen=True)
class Model:
    """What a task's measured waves say about any configuration."""

    time: Fit
    busy: Fit
    memory: Vector
    slack: float
    runs: int

    def need_mb(self, load: Load) -> Vector:
        """Memory a worker must have so that it does not die of its largest slice."""
        return self.peak_mb(load) * max(MARGIN, 1 + 2 * self.slack)

    def peak_mb(self, load: Load) -> Vector:
        """The predicted peak memory of a worker."""
        line: Vector = self.memory[0] + self.memory[1] * load.slice_bytes / 1e6
        return line


def learn(runs: Sequence[Sequence[Wave]]) -> Model | None:
    """The model of these runs' waves (newest run first), or ``None`` where none holds a duration."""
    aged = [
        (wave, 0.5 ** (age / HALF_LIFE)) for age, waves in enumerate(runs) for wave in waves if wave.seconds > 0 and wave.slices
    ]
    if not aged:
        return None
    waves, weights = [wave for wave, _ in aged], np.array([weight for _, weight in aged])
    load = load_of(waves)
    seconds = np.array([wave.seconds for wave in waves])
    # A run that told no phases was paid for as long as it took, on every worker.
    paid = np.array([wave.busy_s or wave.seconds * workers for wave, workers in zip(waves, load.workers, strict=True)])
    time_centre, busy_centre = _centres(waves, weights, load)
    memory, slack = _memory_line(waves, weights, load)
    return Model(
        time=fit(time_features(load), seconds, weights, time_centre, TIME_PULL),
        busy=fit(busy_features(load), paid, weights, busy_centre, BUSY_PULL),
        memory=memory,
        slack=slack,
        runs=len(runs),
    )


def _centres(waves: Sequence[Wave], weights: Vector, load: Load) -> tuple[Vector, Vector]:
    """Coefficients as the phases of the runs tell them: a fixed part, seconds a GB of reading and of computing."""
    volume = np.maximum(load.bytes / 1e9, 1e-9)
    one, _ = _slowdown(load)
    share = np.ceil(load.slices / load.workers) / load.slices
    read = np.array([wave.read_s for wave in waves])
    compute = np.array([wave.compute_s for wave in waves])
    told = (read + compute) > 0
    if not told.any():
        return np.zeros(len(TIME_PULL)), np.zeros(len(BUSY_PULL))
    start = np.array([wave.start_s for wave in waves])
    rest = np.array([wave.seconds for wave in waves]) - (read + compute) * share

    def mean(values: Vector) -> float:
        return float(np.average(values[told], weights=weights[told]))

    a_read, a_compute = mean(read / volume), mean(compute / volume / one)
    time = np.array([max(mean(rest), 0.0), a_read, a_compute, 0, 0, 0, 0])
    busy = np.array([mean(start), a_read, a_compute, 0, 0, 0, 0])
    return time, busy


def _memory_line(waves: Sequence[Wave], weights: Vector, load: Load) -> tuple[Vector, float]:
    """Peak memory as a + b x slice size, in MB and MB a MB, and its largest relative residual."""
    peak = np.array([wave.peak_mb for wave in waves])
    seen = peak > 0
    if not seen.any():
        return np.array([GUESS_MB, GUESS_COPIES]), 0.0
    size, peak, heavy = load.slice_bytes[seen] / 1e6, peak[seen], np.sqrt(weights[seen])
    base = np.array([wave.base_mb for wave in waves])[seen]
    known = base > 0
    # An idle worker is a measurement too: of no slice. Without one, half the peak is taken for the fixed part, weakly.
    idle = base[known] if known.any() else np.array([peak.min() / 2])
    faint = np.full(len(idle), 1.0 if known.any() else 0.1)
    rows = np.vstack(
        [np.column_stack([np.ones(len(size)), size]) * (heavy / peak)[:, None], np.column_stack([faint / idle, 0 * idle])]
    )
    line, _ = nnls(rows, np.concatenate([heavy, faint]))
    return line, float(np.max(np.maximum(peak / (line[0] + line[1] * size) - 1, 0)))
