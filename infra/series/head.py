"""What was written and is in no segment yet, in memory, and what every series was called and last had."""

from __future__ import annotations

import threading

import numpy as np

from infra.series.batch import Batch, Floats, Ints, Series
from infra.series.run import Run, merge


class Names:
    """The series by number: an id is for ever. Thread-safe; ids only grow."""

    def __init__(self, names: list[Series], time: Ints, value: Floats) -> None:
        self.all, self.ids = names, {each: number for number, each in enumerate(names)}
        self._time, self._value = time, value
        self._lock = threading.Lock()
        self._selected: dict[object, tuple[int, Ints]] = {}
        self._metrics: dict[str, list[int]] = {}
        for number, each in enumerate(names):
            self._metrics.setdefault(each.metric, []).append(number)

    def number(self, names: list[Series]) -> Ints:
        """The ids of these, new ones where they are new."""
        with self._lock:
            # Sorted, so that the series of a metric stand together in a run, and are taken from it as one piece.
            for each in sorted({each for each in names if each not in self.ids}):
                self._metrics.setdefault(each.metric, []).append(len(self.all))
                self.ids[each] = len(self.all)
                self.all.append(each)
            if len(self.all) > len(self._time):
                more = max(1024, len(self.all))
                self._time = np.append(self._time, np.full(more, -(2**62)))
                self._value = np.append(self._value, np.zeros(more))
            return np.array([self.ids[each] for each in names], np.int64)

    def select(self, metric: str, tags: tuple[tuple[str, str], ...]) -> Ints:
        """The ids of the series of a metric that have these tags, ascending."""
        mine = self._metrics.get(metric, [])
        size = len(mine)
        known = self._selected.get((metric, tags))
        if known is None or known[0] != size:
            wanted = [number for number in mine[:size] if all(tag in self.all[number].tags for tag in tags)]
            known = size, np.array(wanted, np.int64)
            if len(self._selected) > 10_000:
                self._selected.clear()
            self._selected[(metric, tags)] = known
        return known[1]

    def saw(self, run: Run) -> None:
        """Remember the last points of a run; of equal times the later seen one stays."""
        if len(run):
            with self._lock:
                ends = run.starts[1:] - 1
                newer = run.time[ends] >= self._time[run.ids]
                ids, ends = run.ids[newer], ends[newer]
                self._time[ids], self._value[ids] = run.time[ends], run.value[ends]

    def snapshot(self) -> tuple[list[Series], Ints, Floats]:
        """All series by id with the time and value of their last points; a time of -2**62 where there is none."""
        with self._lock:
            return list(self.all), self._time[: len(self.all)].copy(), self._value[: len(self.all)].copy()

    def last_of(self, ids: Ints) -> tuple[Ints, Floats]:
        """The last time and value of these, as in ``snapshot``."""
        with self._lock:
            return self._time[ids], self._value[ids]


class Head:
    """Batches as they came, sorted when somebody asks: into runs, which merge with those of their size."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._new: list[tuple[Ints, Ints, Floats]] = []
        self._runs: list[Run] = []
        self.points = 0

    def add(self, batch: Batch) -> None:
        """Take a batch, which is durable by now."""
        which = self._names.number(batch.series)[batch.which]
        with self._lock:
            self._new.append((which, batch.time, batch.value))
            self.points += len(batch)

    def runs(self) -> list[Run]:
        """All there is, older runs first."""
        with self._lock:
            if self._new:
                run = Run.of(*(np.concatenate([part[place] for part in self._new]) for place in range(3)))
                self._new.clear()
                self._names.saw(run)
                while self._runs and len(self._runs[-1]) < 2 * len(run):
                    run = merge([self._runs.pop(), run])
                self._runs.append(run)
            return list(self._runs)
