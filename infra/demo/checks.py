"""What the demonstration promises, each checked on what really happened."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Check:
    """One promise: whether it held, and by what it shows."""

    promise: str
    held: bool
    shown: str


class Checks:
    """The promises so far."""

    def __init__(self) -> None:
        self.all: list[Check] = []

    def hold(self, promise: str, held: bool, shown: object = "") -> None:
        """Note whether a promise held."""
        self.all.append(Check(promise, bool(held), str(shown)))

    @property
    def passed(self) -> bool:
        """Whether there were promises and all of them held."""
        return bool(self.all) and all(check.held for check in self.all)

    def table(self) -> Table:
        """The summary."""
        table = Table("", "check", "seen", title="Summary", title_justify="left")
        for check in self.all:
            mark = Text("✓", "bold green") if check.held else Text("✗", "bold red")
            table.add_row(mark, Text(check.promise), Text(check.shown))
        return table
