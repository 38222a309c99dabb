"""What filters need of a database beyond its own functions: Python's in SQLite, ``functions.sql`` in PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from infra.catalog.query.match import calculated, shape_of, spatial
from infra.catalog.query.moments import moment
from infra.catalog.query.patterns import fold

#: Statements that create the functions in PostgreSQL, again and again without harm.
POSTGRESQL = Path(__file__).with_name("functions.sql").read_text()


def _ms(text: object) -> int | None:
    return moment(text) if isinstance(text, str) else None


def _spatial(op: str, geometry: str | None, wanted: str) -> bool | None:
    one, other = shape_of(geometry) if geometry is not None else None, shape_of(wanted)
    return None if one is None or other is None else spatial(op, one, other)


def install(connection: sqlite3.Connection) -> None:
    """Give a SQLite connection the functions; each connection that searches or writes needs them."""
    connection.create_function("sluice_ms", 1, _ms, deterministic=True)
    connection.create_function("sluice_calc", 3, calculated, deterministic=True)
    connection.create_function("sluice_spatial", 3, _spatial, deterministic=True)
    for op in ("casei", "accenti"):
        connection.create_function(
            f"sluice_{op}", 1, lambda text, op=op: fold(op, text) if isinstance(text, str) else None, deterministic=True
        )
