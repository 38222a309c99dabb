"""How far a map is: a bar in a terminal, plain lines elsewhere, or the caller's own function."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

#: Seconds between two plain lines.
EVERY = 5.0


class Progress:
    """Shows how many of ``total`` slices have ended. ``how``: ``False`` for nothing, a function (done, total), ``None``."""

    def __init__(self, how: bool | Callable[[int, int], None] | None, name: str) -> None:
        self._how, self._name = how, name
        self._bar: Bar | None = None
        self._row: Any = None
        self._said = 0.0

    def __enter__(self) -> Progress:
        console = Console(stderr=True)
        if not callable(self._how) and self._how is not False and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, TextColumn("{task.fields[left]}"), console=console)
            self._row = self._bar.add_task(f"map {self._name}", total=None, left="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, left: float | None) -> None:
        """So many slices have ended; ``left`` is how many seconds the others should take, if that is known."""
        about = f"about {left:.0f} s left" if left is not None and done < total else ""
        if callable(self._how):
            self._how(done, total)
        elif self._bar is not None:
            self._bar.update(self._row, completed=done, total=total, left=about)
        elif self._how is not False and (done == total or time.monotonic() - self._said >= EVERY):
            self._said = time.monotonic()
            print(f"map {self._name}: {done} of {total} slices{', ' if about else ''}{about}", file=sys.stderr)


def seconds_left(part: float, elapsed: float, predicted: float | None) -> float | None:
    """How long the rest takes: at first by the prediction, the more has been done (``part``, 0 to 1) by what that took.

    ``None`` where there is neither.
    """
    measured = elapsed / part * (1 - part) if part > 0 else None
    if predicted is None:
        return measured
    expected = max(predicted - elapsed, 0.0)
    return expected if measured is None else (1 - part) * expected + part * measured
