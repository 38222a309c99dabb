"""Which slices take suspiciously long: judged by those of the same map that have ended, else by the plan's upper bound."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

#: A slice is late after so many times what is expected of it, and so many seconds.
TIMES, SECONDS = 3.0, 2.0


class Paces:
    """How long those slices took that have ended."""

    def __init__(self, done: Sequence[tuple[int, float]] = ()) -> None:
        self._seconds: list[float] = []
        self._rates: list[float] = []
        for size, seconds in done:
            self.add(size, seconds)

    def add(self, size: int, seconds: float) -> None:
        """One of ``size`` bytes has ended."""
        insort(self._seconds, seconds)
        insort(self._rates, seconds / max(size, 1))

    def expected(self, size: int, prior: float = 0.0) -> float:
        """Seconds that a slice of ``size`` bytes should take at most; where none has ended, the plan's (``prior``, or 0)."""
        return max(_median(self._seconds), _median(self._rates) * size) if self._seconds else prior

    def late(self, waited: float, size: int, prior: float = 0.0) -> bool:
        """Whether a slice that has been worked on for ``waited`` seconds should be given to another worker too."""
        usual = self.expected(size, prior)
        return usual > 0 and waited > TIMES * usual + SECONDS


def _median(ordered: Sequence[float]) -> float:
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
