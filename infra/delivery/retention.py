"""Retention: events are forgotten after some days, a few at a time, so that the log does not grow for ever."""

from __future__ import annotations

import time

from infra.log.log import Log

BATCH = 500
#: How often old events are looked for, in seconds.
PERIOD = 3600.0


class Retention:
    """Forgets what is older than ``days`` (0: nothing). ``step`` is called again and again and does a little each time."""

    def __init__(self, days: float) -> None:
        self._seconds = days * 86400
        self._due = 0.0
        self._after = 0

    def step(self, log: Log) -> None:
        """Forget the next few events, if it is time."""
        if not self._seconds or time.monotonic() < self._due:
            return
        before, after = time.time() - self._seconds, self._after
        last = log.forget(before, after, BATCH)
        if last is None:
            self._after, self._due = 0, time.monotonic() + PERIOD
        else:
            self._after = last
