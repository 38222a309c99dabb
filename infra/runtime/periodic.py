"""Work that is looked for now and then, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod

from infra.complaint import Complaint


class Periodic:
    """Calls ``step`` every ``every_s`` seconds, and at once again while there is more. A step that fails is tried again."""

    def __init__(self, name: str, every_s: float) -> None:
        self._every, self._logger = every_s, logging.getLogger(f"sluice.{name}")
        self._trouble = Complaint(self._logger, "it waits")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step at hand."""
        self._stopping.set()
        self._thread.join()

    @abstractmethod
    def step(self) -> bool:
        """Do what there is to do; whether there is more."""

    def _run(self) -> None:
        more = False
        while not self._stopping.wait(0 if more else self._every):
            try:
                more = self.step()
                self._trouble.over()
            except Exception as error:  # what it needs cannot be reached: the next time will do
                self._trouble.tell(error)
                more = False
