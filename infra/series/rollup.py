"""Roll-ups: what is left of points when they are too old to be kept as they were written.

Every hour of a series becomes one point of ``METRIC:1h_sum``, ``_count``, ``_min``, ``_max`` and ``_last``, every day one of
``:1d_...``, with the series' tags and at the start of the hour or day (UTC). They are series like all others, so both stores
keep them alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from events.errors import Reject
from infra.series.batch import Batch, Series
from infra.series.retention import DAY, HOUR, Retention, Tier
from infra.series.store import Points, Select, SeriesStore
from infra.series.windows import Function

FUNCTIONS: tuple[Function, ...] = ("sum", "count", "min", "max", "last")
#: Tier -> its interval, and the one it is computed from.
TIERS: dict[Tier, tuple[int, Tier]] = {"1h": (HOUR, "raw"), "1d": (DAY, "1h")}
#: So many intervals are computed again each time: points that come later than that are in no roll-up.
AGAIN = 3


class Rollup:
    """Computes roll-ups of a store, and answers over tiers: raw points where they are kept, roll-ups further back."""

    def __init__(self, store: SeriesStore, retention: Retention) -> None:
        self._store, self._retention = store, retention

    def run(self, now: int) -> int:
        """Compute the roll-ups of the hours and days that are over; how many points were written."""
        done = 0
        for metric in sorted({each.metric for each in self._store.series()}):
            done += sum(self._roll(metric, of, now) for of in TIERS)
        return done

    def _roll(self, metric: str, of: Tier, now: int) -> int:
        interval, source = TIERS[of]
        rolled = self._store.last(Select(_name(metric, of, "count")))
        start = max((int(each.time[-1]) for each in rolled), default=-(2**62)) - (AGAIN - 1) * interval
        start = max(start, self._retention.oldest(source, now) // interval * interval + interval)
        end = now // interval * interval
        points: list[tuple[Series, int, float]] = []
        while start < end:
            stop = min(end, start + 1000 * interval)
            for function in FUNCTIONS:
                name = _name(metric, of, function)
                found = self._store.aggregate(
                    Select(_name(metric, source, function)), start, stop, interval, _over(source, function)
                )
                for each in found:
                    pairs = zip(each.time.tolist(), each.value.tolist(), strict=True)
                    points += [(Series(name, each.tags), time, value) for time, value in pairs]
            start = stop
        if points:
            self._store.write(Batch.of(points)).result()
            self._store.flush()
        return len(points)

    def aggregate(
        self, select: Select, start: int, end: int, interval: int, function: Function, by: Sequence[str] | None, now: int
    ) -> list[Points]:
        """As the store's own, and beyond the raw points from the roll-ups, where an interval is at least an hour or a day."""
        found: list[Points] = []
        for of, low, high in self._parts(start, end, now):
            step = interval if of == "raw" else -(-interval // TIERS[of][0]) * TIERS[of][0]
            if of == "raw":
                found += self._store.aggregate(select, low, high, step, function, by)
            elif function == "avg":
                sums, counts = (self._rolled(select, of, low, high, step, each, by) for each in ("sum", "count"))
                found += [_ratio(*pair) for pair in zip(sums, counts, strict=True)]
            else:
                found += self._rolled(select, of, low, high, step, function, by)
        return _joined(found)

    def _rolled(
        self, select: Select, of: Tier, low: int, high: int, step: int, function: Function, by: Sequence[str] | None
    ) -> list[Points]:
        source = Select(_name(select.metric, of, function), select.tags)
        answers = self._store.aggregate(source, low, high, step, _over(of, function), by)
        return [each._replace(metric=select.metric) for each in answers]

    def _parts(self, start: int, end: int, now: int) -> list[tuple[Tier, int, int]]:
        """Which tier answers for which time; each begins with a whole hour or day of its own."""
        raw = -(-self._retention.oldest("raw", now) // HOUR) * HOUR
        hourly = -(-self._retention.oldest("1h", now) // DAY) * DAY
        cuts: list[tuple[Tier, int, int]] = [
            ("1d", start, min(end, hourly)),
            ("1h", max(start, hourly), min(end, raw)),
            ("raw", max(start, raw), end),
        ]
        found = [each for each in cuts if each[1] < each[2]]
        if not found:
            raise Reject(f"there is no time from {start} to {end}")
        return found


def _name(metric: str, of: Tier, function: Function) -> str:
    return metric if of == "raw" else f"{metric}:{of}_{function}"


def _over(source: Tier, function: Function) -> Function:
    """How the values of a tier make the next one's: counts are added."""
    return "sum" if source != "raw" and function == "count" else function


def _ratio(sums: Points, counts: Points) -> Points:
    return sums._replace(value=sums.value / counts.value)


def _joined(found: list[Points]) -> list[Points]:
    """The parts of each series or group as one, by time."""
    parts: dict[tuple[tuple[str, str], ...], list[Points]] = {}
    for each in found:
        parts.setdefault(each.tags, []).append(each)
    return [
        Points(
            mine[0].metric, tags, np.concatenate([each.time for each in mine]), np.concatenate([each.value for each in mine])
        )
        for tags, mine in sorted(parts.items())
    ]
