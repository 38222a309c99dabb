"""How far a map is: a bar in a terminal, plain lines elsewhere, or the caller's own function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """Shows ``update(done)`` of ``total``. ``how`` is ``False`` for nothing, a function (done, total), or ``None``."""

    def __init__(self, how: bool | Callable[[int, int], None] | None, name: str, total: int) -> None:
        self._how, self._name, self._total = how, name, total
        self._bar: Bar | None = None
        self._row: Any = None

    def __enter__(self) -> Progress:
        console = Console(stderr=True)
        if not callable(self._how) and self._how is not False and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=console)
            self._row = self._bar.add_task(f"map {self._name}", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """So many slices have ended."""
        if callable(self._how):
            self._how(done, self._total)
        elif self._bar is not None:
            self._bar.update(self._row, completed=done)
        elif self._how is not False:
            print(f"map {self._name}: {done} of {self._total} slices", file=sys.stderr)
