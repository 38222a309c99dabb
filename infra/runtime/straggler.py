"""Which slices take suspiciously long: judged by those of the same map that have ended, else by the plan's upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

#: A slice is late after so many times what is expected of it, and so many seconds.
TIMES, SECONDS = 3.0, 2.0


def expected(done: Sequence[tuple[int, float]], size: int, prior: float = 0.0) -> float:
    """Seconds that a slice of ``size`` bytes should take at most.

    Args:
        done: (bytes, seconds) of the slices that have ended.
        size: of the slice in question.
        prior: what the plan says, 0 for nothing.

    Returns:
        0 where nothing is known.

    """
    if not done:
        return prior
    pace = median(seconds / max(bytes, 1) for bytes, seconds in done)
    return max(median(seconds for _, seconds in done), pace * size)


def late(waited: float, done: Sequence[tuple[int, float]], size: int, prior: float = 0.0) -> bool:
    """Whether a slice that has been worked on for ``waited`` seconds should be given to another worker too."""
    usual = expected(done, size, prior)
    return usual > 0 and waited > TIMES * usual + SECONDS
