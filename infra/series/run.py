"""A run: points sorted by series and time, one for each time of a series; what queries compute on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infra.series.batch import Floats, Ints


@dataclass(frozen=True)
class Run:
    """``ids`` are series, ascending; the points of ``ids[i]`` are those from ``starts[i]`` to ``starts[i + 1]``."""

    ids: Ints
    starts: Ints
    time: Ints
    value: Floats
    #: The first and last time in it.
    first: int
    last: int

    def __len__(self) -> int:
        return len(self.time)

    @property
    def which(self) -> Ints:
        """The place in ``ids`` of every point's series."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.starts))

    @classmethod
    def of(cls, which: Ints, time: Ints, value: Floats) -> Run:
        """Sort points of these series. Of two with one series and time the later one stays."""
        if len(which) == 0:
            return EMPTY
        if not _sorted(which, time):
            most = int(which.max())
            order = np.argsort(which.astype(np.uint16) if most < 1 << 16 else which, kind="stable")  # 16 bits: radix sort
            if not _sorted(which[order], time[order]):
                order = np.lexsort((time, which))
            which, time, value = which[order], time[order], value[order]
        same = (which[1:] == which[:-1]) & (time[1:] == time[:-1])
        if same.any():
            keep = np.append(~same, True)
            which, time, value = which[keep], time[keep], value[keep]
        starts = np.flatnonzero(np.append(True, which[1:] != which[:-1]))
        return cls(which[starts], np.append(starts, len(which)), time, value, int(time.min()), int(time.max()))

    def select(self, ids: Ints, start: int, end: int) -> Run:
        """The points of these series (ascending) from ``start`` to ``end`` (exclusive)."""
        if end <= self.first or start > self.last or not len(ids):
            return EMPTY
        places = np.searchsorted(self.ids, ids)
        there = places < len(self.ids)
        there[there] = self.ids[places[there]] == ids[there]
        places = places[there]
        if not len(places):
            return EMPTY
        low, high = self.starts[places], self.starts[places + 1]
        if len(places) == 1:
            part = slice(*(low[0] + np.searchsorted(self.time[low[0] : high[0]], (start, end))))
            return _made(self.ids[places], np.array([0, part.stop - part.start]), self.time[part], self.value[part])
        lengths = high - low
        starts = np.append(0, np.cumsum(lengths))
        if np.array_equal(low[1:], high[:-1]):
            time, value = self.time[low[0] : high[-1]], self.value[low[0] : high[-1]]
        else:
            rows = np.repeat(low - starts[:-1], lengths) + np.arange(starts[-1])
            time, value = self.time[rows], self.value[rows]
        if start <= self.first and end > self.last:
            return _made(ids[there], starts, time, value)
        keep = (time >= start) & (time < end)
        starts = np.append(0, np.cumsum(keep))[starts]
        filled = np.diff(starts) > 0
        return _made(ids[there][filled], np.append(starts[:-1][filled], starts[-1]), time[keep], value[keep])


def _made(ids: Ints, starts: Ints, time: Ints, value: Floats) -> Run:
    if not len(time):
        return EMPTY
    return Run(ids, starts, time, value, int(time.min()), int(time.max()))


def _sorted(which: Ints, time: Ints) -> bool:
    step = np.diff(which)
    return bool(((step > 0) | ((step == 0) & (np.diff(time) >= 0))).all())


def apart(runs: Sequence[Run]) -> list[Run]:
    """The same points in runs by time that do not overlap; of two points of one series and time the later run's stays."""
    in_time = sorted((run for run in runs if len(run)), key=lambda run: run.first)
    if all(before.last < after.first for before, after in pairwise(in_time)):
        return in_time
    return [_joined([run for run in runs if len(run)])]


def merge(runs: Sequence[Run]) -> Run:
    """Runs as one; of two points of one series and time the later run's stays."""
    runs = apart(runs)
    return _joined(runs) if len(runs) > 1 else runs[0] if runs else EMPTY


def _joined(runs: Sequence[Run]) -> Run:
    which = np.concatenate([run.ids[run.which] for run in runs])
    return Run.of(which, np.concatenate([run.time for run in runs]), np.concatenate([run.value for run in runs]))


EMPTY = Run(np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), 2**62, -(2**62))
