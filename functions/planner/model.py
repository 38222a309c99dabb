"""A task's model: non-negative least squares on physical features, pulled towards what the phases of its runs showed.

Time and paid seconds have features of their own: a time model read as a cost model misplaces the knee. Errors are relative,
so a run of a second counts as much as one of an hour. The pull is a ridge whose centre comes from the measured phases (start,
read, compute), in units of what the centre predicts for the configurations to choose from: after one run it decides, after some
runs the data do, and it keeps what no run has shown (crowding at a thousand workers) near nothing but uncertain. ``fit`` tells
how sure all that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from events.types import Wave
from functions.planner.change import unchanged
from functions.planner.fit import Fit, fit, likeness, places
from functions.planner.grid import Load, Vector, load_of
from functions.planner.phases import Phases, lateness, measured_phases, slowdown
from functions.planner.squares import non_negative, product

#: After so many newer runs a run counts half.
HALF_LIFE = 8
#: Newest waves that the time and the cost are fitted to; older ones would weigh little.
NEWEST = 16
#: Room left above the memory line.
MARGIN = 1.15
#: How memory may grow faster than the largest slice seen: the exponent above 1.
BEYOND = 0.1
#: A worker that died of its memory wanted more than it had: so many times as much.
DEAD = 1.5
#: Memory of a task nobody has measured yet: the interpreter with its libraries, and copies of the slice.
GUESS_MB, GUESS_COPIES = 256.0, 4.0
#: How many copies of a slice more than guessed would surprise: what slices of some kB seem to need are the task's imports.
COPIES_DOUBT = 200.0
#: How far a measured peak may be from the line (relative).
MEMORY_NOISE = 0.1
#: How far each feature may be from its centre, as a share of what a configuration takes where the feature weighs most.
TIME_DOUBT = np.array([0.45, 0.3, 0.3, 0.3, 0.45, 0.2, 0.45, 0.45, 0.45, 0.2, 0.45])
BUSY_DOUBT = np.array([0.3, 0.3, 0.3, 0.3, 0.15, 0.45, 0.45, 0.2])
#: The share of it that crowding and merging are believed to take there before any run tells: nothing scales for ever.
TIME_BELIEF = np.array([0, 0, 0, 0, 0.05, 0, 0.05, 0.05, 0, 0, 0])
BUSY_BELIEF = np.array([0, 0, 0, 0, 0, 0.1, 0, 0])
#: Relative doubt about the time for each doubling of the workers beyond those seen.
FAR = 0.2


def time_features(load: Load) -> np.ndarray:
    """Columns: 1, largest share (I/O), the same at one core each, at all cores, all bytes, slices in a row, workers ...

    ... their square (merging), how late the last of them is, the square of a slice, and all slices (handing them out).
    """
    rounds = np.ceil(load.slices / load.workers)
    share = np.maximum(load.bytes * rounds / load.slices, load.slice_bytes) / 1e9
    one, many = slowdown(load)
    return np.array(
        [np.ones(len(load)), share, share * one, share * many, load.bytes / 1e9, rounds, load.workers, load.workers**2,
         share * one * lateness(load), share * one * load.slice_bytes / 1e9, load.slices]
    ).T  # fmt: skip


def busy_features(load: Load) -> np.ndarray:
    """Columns of the seconds that all workers together take: workers, bytes, ... at one core, at all, slices, squares."""
    volume = load.bytes / 1e9
    one, many = slowdown(load)
    return np.array(
        [load.workers, volume, volume * one, volume * many, load.slices, volume * load.workers, load.workers**2,
         volume * one * load.slice_bytes / 1e9]
    ).T  # fmt: skip


def believed(
    features: np.ndarray, values: Vector, centre: Vector, doubt: Vector, belief: Vector, grid: np.ndarray
) -> tuple[Vector, Vector]:
    """What the coefficients are believed to be, and how far from that they may be.

    ``doubt`` and ``belief`` are shares of what the centre predicts for ``grid``, where the feature weighs most.
    """
    surprise = max(1.0, float(np.max(values / np.maximum(features @ centre, 1e-9))))
    typical = np.max(grid / np.maximum(product(grid, centre), 1e-9)[:, None], axis=0)
    usual = np.average(features / values[:, None], axis=0)
    return centre + belief / np.maximum(typical, 1e-30), doubt / np.maximum(np.maximum(usual, typical / surprise), 1e-12)


@dataclass(frozen=True)
class Model:
    """What a task's measured waves say about any configuration, at once about those of ``grid`` (whose ``features`` it has)."""

    time: Fit
    busy: Fit
    places: np.ndarray
    memory: Vector
    slack: float
    seen: float
    workers: tuple[float, float]
    runs: int
    grid: Load
    features: tuple[np.ndarray, np.ndarray]

    def predict(self, load: Load) -> tuple[Vector, Vector, Vector]:
        """Seconds, how unsure that is (relative), and the seconds that all workers together are paid for.

        Fewer or more workers than ever ran are the more unsure.
        """
        alike = likeness(places(load), self.places)
        features, busy = self.features if load is self.grid else (time_features(load), busy_features(load))
        least, most = self.workers
        far = FAR * np.log2(np.maximum(np.maximum(load.workers / most, least / load.workers), 1))
        doubt: Vector = np.hypot(self.time.spread(features, alike), far)
        return self.time.predict(features, alike), doubt, self.busy.predict(busy, alike)

    def busy_doubt(self, load: Load) -> Vector:
        """How unsure the paid seconds are (relative)."""
        return self.busy.spread(busy_features(load), likeness(places(load), self.places))

    def need_mb(self, load: Load) -> Vector:
        """Memory a worker must have so that it does not die of its largest slice: more, the larger than any seen."""
        beyond = np.maximum(load.slice_bytes / self.seen, 1) ** BEYOND
        return self.peak_mb(load) * max(MARGIN, 1 + 2 * self.slack) * beyond

    def peak_mb(self, load: Load) -> Vector:
        """The predicted peak memory of a worker."""
        line: Vector = self.memory[0] + self.memory[1] * load.slice_bytes / 1e6
        return line


def learn(runs: Sequence[Sequence[Wave]], grid: Load | None = None) -> Model | None:
    """The model of these runs' waves (newest run first), or ``None`` where none holds a duration.

    ``grid`` are the configurations that it is for; else those of the waves.
    """
    runs = [[wave for wave in waves if _tells(wave)] for waves in runs]
    runs = runs[: unchanged(runs)]
    aged = [(wave, 0.5 ** (age / HALF_LIFE)) for age, waves in enumerate(runs) for wave in waves]
    lasting = [(wave, weight) for wave, weight in aged if not wave.failed][:NEWEST]
    if not lasting:
        return None
    memory, slack, seen = _memory_line([wave for wave, _ in aged], np.array([weight for _, weight in aged]))
    waves, weights = [wave for wave, _ in lasting], np.array([weight for _, weight in lasting])
    load = load_of(waves)
    grid = load if grid is None else grid
    seconds = np.array([wave.seconds for wave in waves])
    phases = measured_phases(waves, weights, load)
    where = places(load)
    alike = likeness(where, where)
    waves_time, waves_busy = time_features(load), busy_features(load)
    features = time_features(grid), busy_features(grid)
    time = believed(waves_time, seconds, _time_centre(phases), TIME_DOUBT, TIME_BELIEF, features[0])
    busy = believed(waves_busy, phases.paid, _busy_centre(phases), BUSY_DOUBT, BUSY_BELIEF, features[1])
    return Model(
        time=fit(waves_time, seconds, weights, *time, alike),
        busy=fit(waves_busy, phases.paid, weights, *busy, alike),
        places=where,
        memory=memory,
        slack=slack,
        seen=seen,
        workers=(float(load.workers.min()), float(load.workers.max())),
        runs=len(runs),
        grid=grid,
        features=features,
    )


def _tells(wave: Wave) -> bool:
    """Whether a wave says how long so many bytes take, or of how many a worker died."""
    return wave.seconds > 0 and bool((wave.slices and wave.bytes) or (wave.out_of_memory and wave.slice_bytes))


def _time_centre(known: Phases) -> Vector:
    """Coefficients of ``time_features`` as the phases tell them."""
    late = known.late * (known.read + known.one + known.many)
    return np.array([known.start, known.read, known.one, known.many, known.crowd, known.slice, 0, 0, late, known.square, 0])


def _busy_centre(known: Phases) -> Vector:
    """Coefficients of ``busy_features`` as the phases tell them."""
    return np.array([known.start, known.read, known.one, known.many, known.slice, known.crowd, 0, known.square])


def _memory_line(waves: Sequence[Wave], weights: Vector) -> tuple[Vector, float, float]:
    """Peak memory as a + b x slice size (MB, MB a MB), its largest relative residual, and the largest slice seen (bytes)."""
    load = load_of(waves)
    dead = np.array([wave.out_of_memory > 0 for wave in waves])
    peak = np.array([wave.memory_mb * DEAD if wave.out_of_memory else 0.0 if wave.failed else wave.peak_mb for wave in waves])
    seen = peak > 0
    if not seen.any():
        return np.array([GUESS_MB, GUESS_COPIES]), 0.0, float(load.slice_bytes.max())
    size, peak, heavy = load.slice_bytes[seen] / 1e6, peak[seen], np.sqrt(weights[seen])
    lived = ~dead[seen]
    base = np.array([wave.base_mb for wave in waves])[seen]
    known = base > 0
    # An idle worker needs less than any other: what it has is the least of the fixed part, the task's modules come on top.
    idle = float(base[known].mean()) if known.any() else 0.0
    likely, doubt = (0.0, idle) if idle else (float(peak.min()) / 2,) * 2
    scale = heavy / (MEMORY_NOISE * peak)
    rows = np.vstack([np.column_stack([scale, scale * size]), [[1 / doubt, 0.0], [0.0, 1 / COPIES_DOUBT]]])
    wanted = np.concatenate([scale * np.maximum(peak - idle, 0), [likely / doubt, GUESS_COPIES / COPIES_DOUBT]])
    line = non_negative(rows, wanted) + np.array([idle, 0.0])
    slack = np.maximum(peak / (line[0] + line[1] * size) - 1, 0)
    largest = float(size[lived].max() if lived.any() else size.max()) * 1e6
    # What died is a bound and no measurement: it lifts the margin at most to itself.
    return line, float(max(np.max(slack[lived], initial=0), np.max(slack[~lived], initial=0) / 2)), max(largest, 1.0)
