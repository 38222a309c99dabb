"""Rate: deliveries to one sink, so many a minute, and none while it asked for a pause.

Every delivery that comes too early gets a turn of its own, so that those who wait neither crowd nor starve each other. Each
process counts for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Turns that nobody came to take are forgotten once there are so many.
MOST_TURNS = 10_000
FORGET_SECONDS = 600.0


class Rate:
    """``per_minute`` deliveries, evenly spaced; 0 is no limit. ``clock`` counts seconds."""

    def __init__(self, per_minute: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._lock = threading.Lock()
        self._turns: dict[str, float] = {}
        self._free = self._paused = 0.0

    def wait(self, key: str) -> float:
        """Seconds until the turn of the delivery ``key``; 0 means now, and takes the turn."""
        with self._lock:
            now = self._clock()
            if now < self._paused or not self.per_minute:
                return max(0.0, self._paused - now)
            turn = self._turns.pop(key, None)
            if turn is None:
                turn = max(now, self._free)
                self._free = turn + 60.0 / self.per_minute
            if turn <= now:
                return 0.0
            if len(self._turns) >= MOST_TURNS:
                self._turns = {each: at for each, at in self._turns.items() if at > now - FORGET_SECONDS}
            self._turns[key] = turn
            return turn - now

    @property
    def paused(self) -> float:
        """Seconds until the end of the pause; 0 if there is none."""
        return max(0.0, self._paused - self._clock())

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        with self._lock:
            self._paused = max(self._paused, self._clock() + seconds)
