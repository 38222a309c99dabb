"""Progress: a bar in a terminal, a plain line now and then anywhere else, nothing at all for programs."""

from __future__ import annotations

import threading
import time

from rich import progress as bars
from rich.console import Console

from infra.console import text

#: Seconds between two plain lines.
EVERY = 5.0


class Progress:
    """How far a work of ``total`` bytes (or ``unit``) has come. ``advance`` may be called from any thread."""

    def __init__(self, what: str, total: float, console: Console, *, quiet: bool = False, unit: str = "") -> None:
        self._what, self._total, self._console, self._unit = what, total, console, unit
        self._done, self._told, self._lock = 0.0, time.monotonic(), threading.Lock()
        self._bar: bars.Progress | None = None
        self._plain = not quiet and not console.is_terminal
        if console.is_terminal and not quiet:
            amount: list[bars.ProgressColumn] = (
                [bars.MofNCompleteColumn(), bars.TextColumn(unit)]
                if unit
                else [bars.DownloadColumn(), bars.TransferSpeedColumn()]
            )
            columns = [bars.TextColumn("{task.description}"), bars.BarColumn(), *amount, bars.TimeRemainingColumn()]
            self._bar = bars.Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, amount: float) -> None:
        """``amount`` more is done."""
        with self._lock:
            self._done += amount
            tell = self._plain and time.monotonic() - self._told >= EVERY
            if tell:
                self._told = time.monotonic()
        if self._bar:
            self._bar.advance(self._task, amount)
        elif tell:
            self._console.print(f"{self._what}: {self._amount(self._done)} of {self._amount(self._total)}")

    def _amount(self, value: float) -> str:
        return f"{value:.0f} {self._unit}" if self._unit else text.size(value)
