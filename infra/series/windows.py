"""What queries compute over the points of a run: values of intervals, moving averages, rates.

Intervals are counted from 1970 and closed on the left: that of ``t`` is ``[k * interval, (k + 1) * interval)``, and its result
stands at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from events.errors import Reject
from infra.series.batch import Floats, Ints
from infra.series.run import Run

Function = Literal["avg", "min", "max", "sum", "count", "last"]
#: The most results of one series, and the most points that the windows of one moving average may hold together.
MOST_RESULTS, MOST_WORK = 30_000, 200_000_000


class Column(NamedTuple):
    """The results of one group (or series): ``group`` is its place."""

    group: int
    time: Ints
    value: Floats


def intervals(start: int, end: int, interval: int) -> tuple[int, int]:
    """``start`` and ``end`` widened to whole intervals. Raises ``Reject`` for too many of them."""
    steps(start, end, interval)
    return start // interval * interval, -(-end // interval) * interval


def steps(start: int, end: int, step: int) -> None:
    """Raises ``Reject`` where a step is none, or leads to too many results."""
    if step <= 0 or end <= start:
        raise Reject(f"there is no step of {step} ms from {start} to {end}")
    if (end - start) // step > MOST_RESULTS:
        raise Reject(f"{(end - start) // step} intervals are more than {MOST_RESULTS}: ask for longer ones, or less time")


def whole(run: Run) -> list[Column]:
    """The points of every series as they are."""
    cuts = zip(run.starts[:-1].tolist(), run.starts[1:].tolist(), strict=True)
    return [Column(place, run.time[low:high], run.value[low:high]) for place, (low, high) in enumerate(cuts)]


def aggregate(runs: Sequence[Run], groups: Sequence[Ints], interval: int, function: Function) -> list[Column]:
    """One value for each group and interval with points.

    Args:
        runs: by time, and no two of them with a common one (see ``run.apart``).
        groups: of every series of each run.
        interval: in ms.
        function: what of an interval's points.

    """
    parts = [_partial(run, mine, interval, function) for run, mine in zip(runs, groups, strict=True) if len(run)]
    if not parts:
        return []
    group, bucket, counts, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((bucket, group))  # keeps the order of the runs, and so of time
    group, bucket, counts, value = group[order], bucket[order], counts[order], value[order]
    first = _firsts(group, bucket)
    value = value[np.append(first[1:], len(value)) - 1] if function == "last" else _reduce(function, value, first)
    if function in ("avg", "count"):
        counts = np.add.reduceat(counts, first)
        value = counts if function == "count" else value / counts
    return _columns(group[first], bucket[first] * interval, value)


def _partial(run: Run, groups: Ints, interval: int, function: Function) -> tuple[Ints, Ints, Floats, Floats]:
    """Of every series and interval of a run: its group, the interval, how many points, and what is to be reduced further."""
    which, bucket = run.which, run.time // interval
    first = _firsts(which, bucket)
    ends = np.append(first[1:], len(run))
    value = run.value[ends - 1] if function == "last" else _reduce(function, run.value, first)
    return groups[which[first]], bucket[first], (ends - first).astype(np.float64), value


def _firsts(one: Ints, two: Ints) -> Ints:
    """Where a new pair begins."""
    found: Ints = np.flatnonzero(np.append(True, (one[1:] != one[:-1]) | (two[1:] != two[:-1])))
    return found


def _reduce(function: Function, value: Floats, first: Ints) -> Floats:
    how = {"min": np.minimum, "max": np.maximum}.get(function, np.add)
    reduced: Floats = how.reduceat(value, first)
    return reduced


def _columns(group: Ints, time: Ints, value: Floats) -> list[Column]:
    """Cut sorted results by their group."""
    cuts = np.flatnonzero(np.diff(group)) + 1
    parts = zip(np.split(group, cuts), np.split(time, cuts), np.split(value, cuts), strict=True)
    return [Column(int(which[0]), times, values) for which, times, values in parts if len(times)]


def moving_average(run: Run, start: int, end: int, window: int, step: int) -> list[Column]:
    """For every series and every ``step`` from ``start`` to before ``end``: the mean of the ``window`` that ends there.

    The window of ``t`` is ``(t - window, t]``; an empty one has no result.
    """
    grid = np.arange(start, end, step)
    found: list[Column] = []
    work = 0
    for place in range(len(run.ids)):
        part = slice(run.starts[place], run.starts[place + 1])
        time, value = run.time[part], run.value[part]
        low, high = np.searchsorted(time, grid - window, "right"), np.searchsorted(time, grid, "right")
        counts = high - low
        work += int(counts.sum())
        if work > MOST_WORK:
            raise Reject(f"these windows hold more than {MOST_WORK} points together: ask for shorter ones, or longer steps")
        there = counts > 0
        pairs = np.stack([low[there], high[there]], axis=1).ravel()
        sums = np.add.reduceat(np.append(value, 0.0), pairs)[::2]  # from each low to its high
        if len(sums):
            found.append(Column(place, grid[there], sums / counts[there]))
    return found


def rate(run: Run, start: int, interval: int) -> list[Column]:
    """The increase a second in every interval from ``start`` on, of every series; a counter that falls began again at 0.

    Each step from one point to the next belongs to the interval of the later one; a step from before the interval counts if it
    is no longer ago than one interval.
    """
    if len(run) < 2:
        return []
    which = run.which[1:]
    bucket = run.time[1:] // interval
    use = (which == run.which[:-1]) & (run.time[1:] >= start) & (run.time[:-1] >= (bucket - 1) * interval)
    rise = np.diff(run.value)
    rise = np.where(rise < 0, run.value[1:], rise)[use]
    passed, which, bucket = np.diff(run.time)[use], which[use], bucket[use]
    if not len(which):
        return []
    first = _firsts(which, bucket)
    value = np.add.reduceat(rise, first) * 1000.0 / np.add.reduceat(passed, first)
    return _columns(which[first], bucket[first] * interval, value)
