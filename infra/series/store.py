"""What every store of series does, embedded or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from infra.series.batch import Batch, Floats, Ints, Series
from infra.series.windows import Function


class Select(NamedTuple):
    """Which series: those of a metric that have all of these tags."""

    metric: str
    tags: tuple[tuple[str, str], ...] = ()


class Points(NamedTuple):
    """Points of one series or group, by time (ms since 1970)."""

    metric: str
    tags: tuple[tuple[str, str], ...]
    time: Ints
    value: Floats

    @classmethod
    def of(cls, series: Series, time: Ints, value: Floats) -> Points:
        """The points of one series."""
        return cls(series.metric, series.tags, time, value)

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "metric": self.metric,
            "tags": dict(self.tags),
            "points": list(zip(self.time.tolist(), self.value.tolist(), strict=True)),
        }


class SeriesStore(Protocol):
    """A store of series. Times are milliseconds since 1970, ``end`` is exclusive; what has no points is not in an answer.

    Answers are sorted by tags. Raises ``events.errors.Reject`` for what makes no sense, ``Retry`` when a server is away.
    """

    def write(self, batch: Batch) -> Future[Any]:
        """Keep points; resolves once they are durable. Points of a known series and time replace the older ones."""
        ...

    def series(self, metric: str = "", tags: Sequence[tuple[str, str]] = ()) -> list[Series]:
        """The series of a metric (or of all) that have these tags, without roll-ups unless one is named."""
        ...

    def last(self, select: Select) -> list[Points]:
        """The latest point of each."""
        ...

    def range(self, select: Select, start: int, end: int) -> list[Points]:
        """The points as they were written."""
        ...

    def aggregate(
        self, select: Select, start: int, end: int, interval: int, function: Function, by: Sequence[str] | None = None
    ) -> list[Points]:
        """One value for each interval (see ``infra/series/windows.py``) of each series, or of all with the same tags ``by``.

        An average by tags is that of all their points. ``last`` cannot be had by tags.
        """
        ...

    def moving_average(self, select: Select, start: int, end: int, window: int, step: int) -> list[Points]:
        """The mean of the window that ends at every step, both ends being as in ``windows.moving_average``."""
        ...

    def rate(self, select: Select, start: int, end: int, interval: int) -> list[Points]:
        """The increase a second in every interval."""
        ...

    def flush(self) -> None:
        """Make what was written visible to every reader, and put it where it stays."""
        ...

    def maintain(self, now: int) -> None:
        """Delete what is too old, put together what is in pieces."""
        ...

    @property
    def full(self) -> bool:
        """Whether so much waits to be put where it stays that it should not wait for the next round."""
        ...

    def status(self) -> dict[str, Any]:
        """The store in numbers."""
        ...

    def close(self) -> None:
        """Finish what was asked for and stop."""
        ...
