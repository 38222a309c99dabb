"""The end of a process that runs until it is told to stop."""

from __future__ import annotations

import signal
from queue import SimpleQueue


class Ending:
    """Takes SIGINT and SIGTERM from its creation on; ``wait`` returns once one has come.

    ``threading.Event`` will not do: its ``set`` in a signal handler takes the lock that ``wait`` holds for a moment in the same
    thread, and a signal at that moment would stop the process for ever. ``SimpleQueue.put`` may interrupt its own ``get``.
    """

    def __init__(self) -> None:
        self._signals: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: self._signals.put(number))

    def wait(self) -> int:
        """Block until a signal has come. Returns its number."""
        return self._signals.get()
