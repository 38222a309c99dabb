"""A complaint to the log: told once, not at every attempt, until its reason changes or it is over."""

from __future__ import annotations

import logging
import threading


class Complaint:
    """What keeps something from working, for people. Thread-safe."""

    def __init__(self, logger: logging.Logger, about: str) -> None:
        self._logger, self._about, self._told = logger, about, ""
        self._lock = threading.Lock()

    def tell(self, reason: object) -> None:
        """It does not work, for this reason: a line, unless the last one said so."""
        text = str(reason)
        with self._lock:
            if text == self._told:
                return
            self._told = text
        self._logger.warning("%s; trying again until it works: %s", self._about, text)

    def over(self) -> None:
        """It works: a line if it did not before."""
        if not self._told:
            return
        with self._lock:
            self._told = ""
        self._logger.warning("over: %s", self._about)
