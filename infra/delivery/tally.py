"""What is counted at every delivery, in plain numbers: adding costs little, and Prometheus' form is made when somebody asks."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

MINUTE = 60


class Distribution:
    """How many values fell at or below each of ``bounds`` (ascending) and above the one before; last, how many above all."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.add_all((value,))

    def add_all(self, values: Iterable[float]) -> None:
        """Count them."""
        bounds, counts = self.bounds, self.counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: (upper bound, how many at or below it)."""
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


def quantile(found: Sequence[Distribution], share: float) -> float | None:
    """The value that this share of all values is below, interpolated in its bucket as Prometheus does; ``None`` without any.

    All distributions have the same bounds. A value above all bounds counts as the last one.
    """
    if not found:
        return None
    bounds = found[0].bounds
    counts: list[int] = [sum(column) for column in zip(*(each.counts for each in found), strict=True)]
    rank, below, low = share * sum(counts), 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return float(low + (bound - low) * (rank - below) / count)
        below, low = below + count, bound
    return float(bounds[-1]) if sum(counts) else None


class Rate:
    """How many happened in the last minute."""

    def __init__(self) -> None:
        self._second, self._counts = 0, [0] * MINUTE

    def add(self, count: int) -> None:
        """So many happened now."""
        self._advance()
        self._counts[self._second % MINUTE] += count

    def per_second(self) -> float:
        """The mean over the last minute."""
        self._advance()
        return sum(self._counts) / MINUTE

    def _advance(self) -> None:
        second = int(time.monotonic())
        if second != self._second:
            for passed in range(max(self._second + 1, second - MINUTE + 1), second + 1):
                self._counts[passed % MINUTE] = 0
            self._second = second
