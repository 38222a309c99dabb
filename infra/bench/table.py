"""What every benchmark prints: a table for people, then one JSON object on the last line."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table


def report(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], figures: dict[str, float]) -> None:
    """Print the table and the figures."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
