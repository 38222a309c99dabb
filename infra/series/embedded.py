"""The embedded store: a write buffer, Parquet segments in a bucket of the lake, and the recent points in memory.

What is written is durable in the buffer (``DATA/series/buffer``) and visible at once. From time to time it becomes segments,
one an hour, in the bucket; what comes late becomes a further, small segment of its hour, until the pieces are put together. The
newest segments are kept in memory, decoded; older ones are read by DuckDB as they are asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from events.errors import Reject
from events.ports import ObjectStore
from infra.series import windows
from infra.series.batch import Batch, Series
from infra.series.buffer import Buffer
from infra.series.head import Head
from infra.series.retention import Retention, tier
from infra.series.run import Run, apart, merge
from infra.series.shelf import Shelf
from infra.series.store import Points, Select
from infra.series.windows import Column, Function

#: Points in the buffer that become segments without waiting for the next round.
FULL = 4_000_000


class EmbeddedSeries:
    """The store in ``bucket`` of ``objects``, with its buffer in ``folder``. One process at a time, any number of threads."""

    def __init__(
        self, objects: ObjectStore, bucket: str, folder: Path, retention: Retention, hot_points: int = 20_000_000
    ) -> None:
        self._retention = retention
        self._shelf = Shelf(objects, bucket, folder / "segments", hot_points)
        self._names = self._shelf.names
        #: Older first; the last one takes what is written.
        self._heads: tuple[Head, ...] = (Head(self._names),)
        self._maintaining = threading.Lock()
        self._buffer = Buffer(folder / "buffer", lambda batch: self._heads[-1].add(batch), self._shelf.manifest.buffer)
        for batch in self._buffer.replay():
            self._heads[-1].add(batch)
        self._buffer.start()

    def write(self, batch: Batch) -> Future[None]:
        return self._buffer.append(batch)

    def series(self, metric: str = "", tags: Sequence[tuple[str, str]] = ()) -> list[Series]:
        if metric:
            return sorted(self._names.all[number] for number in self._names.select(metric, tuple(tags)).tolist())
        found = (each for each in list(self._names.all) if all(tag in each.tags for tag in tags))
        return sorted(each for each in found if tier(each.metric) == "raw")

    def last(self, select: Select) -> list[Points]:
        for head in self._heads:
            head.runs()  # the names have seen them then
        ids = self._names.select(*select)
        times, values = self._names.last_of(ids)
        oldest = self._retention.oldest(tier(select.metric), _now())
        found = (
            Points.of(self._names.all[number], times[place : place + 1], values[place : place + 1])
            for place, number in enumerate(ids.tolist())
            if times[place] >= oldest
        )
        return sorted(found, key=_by_tags)

    def range(self, select: Select, start: int, end: int) -> list[Points]:
        run = self._find(select, start, end)
        return self._named(run, windows.whole(run))

    def aggregate(
        self, select: Select, start: int, end: int, interval: int, function: Function, by: Sequence[str] | None = None
    ) -> list[Points]:
        start, end = windows.intervals(start, end, interval)
        if by is not None and function == "last":
            raise Reject("several series have no last value: ask for last without by, or for another function")
        runs = apart(self._parts(select, start, end))
        groups: dict[Series, int] = {}
        places = [[groups.setdefault(self._group(each, by), len(groups)) for each in run.ids.tolist()] for run in runs]
        names = list(groups)
        columns = windows.aggregate(runs, [np.array(place, np.int64) for place in places], interval, function)
        return sorted((Points.of(names[each.group], each.time, each.value) for each in columns), key=_by_tags)

    def moving_average(self, select: Select, start: int, end: int, window: int, step: int) -> list[Points]:
        windows.steps(start, end, step)
        run = self._find(select, start - window, end)
        return self._named(run, windows.moving_average(run, start, end, window, step))

    def rate(self, select: Select, start: int, end: int, interval: int) -> list[Points]:
        start, end = windows.intervals(start, end, interval)
        run = self._find(select, start - interval, end)
        return self._named(run, windows.rate(run, start, interval))

    def flush(self) -> None:
        with self._maintaining:
            self._flush()

    def maintain(self, now: int) -> None:
        with self._maintaining:
            self._shelf.sweep()
            self._flush()
            self._shelf.expire(self._retention, now)
            self._shelf.compact(now)

    @property
    def full(self) -> bool:
        """Whether so much was written that it should become segments now."""
        return sum(head.points for head in self._heads) >= FULL

    def status(self) -> dict[str, int]:
        """The store in numbers; ``waiting`` are points that are in no segment yet."""
        held, waiting = self._shelf.manifest.segments, sum(head.points for head in self._heads)
        return {
            "series": len(self._names.all),
            "segments": len(held),
            "points": sum(each.points for each in held),
            "bytes": sum(each.size for each in held),
            "waiting": waiting,
        }

    def close(self) -> None:
        self._buffer.close()
        self._shelf.close()

    def _find(self, select: Select, start: int, end: int) -> Run:
        return merge(self._parts(select, start, end))

    def _parts(self, select: Select, start: int, end: int) -> list[Run]:
        """The points in the runs they are in, older writes first."""
        start = max(start, self._retention.oldest(tier(select.metric), _now()))
        ids = self._names.select(*select)
        if not len(ids):
            return []
        heads = self._heads  # before the segments: what goes from one to the other is then in both, and counts once
        return [*self._shelf.find(ids, start, end), *(run.select(ids, start, end) for head in heads for run in head.runs())]

    def _group(self, number: int, by: Sequence[str] | None) -> Series:
        """A series as itself, or as one of all with the same tags ``by``."""
        metric, tags = self._names.all[number]
        return Series(metric, tags if by is None else tuple(tag for tag in tags if tag[0] in by))

    def _named(self, run: Run, columns: Sequence[Column]) -> list[Points]:
        found = (Points.of(self._names.all[run.ids[each.group]], each.time, each.value) for each in columns)
        return sorted(found, key=_by_tags)

    def _flush(self) -> None:
        full = self._buffer.rotate(self._turn).result() if self._heads[-1].points else self._buffer.full
        done = self._heads[:-1]
        run = merge([run for head in done for run in head.runs()])
        if len(run):
            self._shelf.keep(run, full)
            self._heads = tuple(head for head in self._heads if head not in done)
            self._buffer.drop(full)

    def _turn(self) -> None:
        """What is written from now on goes to a new head. Called by the buffer as it begins a new file."""
        self._heads = (*self._heads, Head(self._names))


def _by_tags(points: Points) -> tuple[tuple[str, str], ...]:
    return points.tags


def _now() -> int:
    return time.time_ns() // 1_000_000
