"""Back-pressure: while the worker is far behind, new events are refused with 429 and ``Retry-After``.

The measure is the age of the oldest delivery that waits for a worker: neither one that has started counts, nor one that waits
for its next attempt, nor one behind that, so a long run or a subscriber that is away does not close the door for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: For how long a measured age is believed, in seconds: accepting must not cost a query each time.
FRESH_SECONDS = 1.0
#: Bounds of what ``Retry-After`` asks for, in seconds.
LEAST, MOST = 1, 60


class BackPressure:
    """``age`` gives the seconds that the oldest of those deliveries has waited; ``limit`` of 0 never refuses."""

    def __init__(self, age: Callable[[], float], limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._age, self._limit, self._clock = age, limit, clock
        self._measured, self._at = 0.0, -FRESH_SECONDS

    @property
    def stale(self) -> bool:
        """Whether the next ``retry_after`` will ask for the age anew."""
        return self._limit > 0 and self._clock() - self._at >= FRESH_SECONDS

    def retry_after(self) -> int | None:
        """Seconds after which to send again, or ``None``: send now. The further behind, the longer."""
        if self._limit <= 0:
            return None
        if self.stale:
            self._at = self._clock()
            self._measured = self._age()
        if self._measured <= self._limit:
            return None
        return min(MOST, max(LEAST, round(self._measured - self._limit)))
