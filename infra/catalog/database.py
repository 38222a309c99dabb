"""One raw connection to the catalogue's database, spoken to in SQLAlchemy's expression language.

Statements are compiled to text once and run on the DBAPI connection itself, so that they join whatever transaction is open on
it (the event log's, for one) and cost no more than SQL written by hand. On both databases a JSON column takes and gives dicts
and lists (``infra/sqlite.py`` and ``postgres.py`` teach the connections so).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement

_made: Any = sqlite.dialect, postgresql.dialect
DIALECTS = {"sqlite": _made[0](paramstyle="named"), "postgresql": _made[1](paramstyle="pyformat")}
_INSERTS: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_compiled: dict[str, WeakKeyDictionary[ClauseElement, tuple[str, dict[str, Any]]]] = {
    name: WeakKeyDictionary() for name in DIALECTS
}
#: Most rows that ``add`` puts into one statement.
TOGETHER = 100
_NONE: Mapping[str, Any] = {}


def compiled(statement: ClauseElement, dialect: str) -> tuple[str, dict[str, Any]]:
    """A statement's text and the values in it, kept for as long as the statement itself is."""
    found = _compiled[dialect].get(statement)
    if found is None:
        made = statement.compile(dialect=DIALECTS[dialect], compile_kwargs={"render_postcompile": True})
        found = _compiled[dialect][statement] = (str(made), dict(made.params))
    return found


@lru_cache(256)
def _insertion(table: Table, names: tuple[str, ...], rows: int) -> str:
    """How SQLite takes so many rows, or PostgreSQL (0) as many as there are in one JSON array."""
    quoted = ", ".join(f'"{name}"' for name in names)
    row = f"({', '.join('?' * len(names))})"
    given = f"VALUES {', '.join([row] * rows)}"
    if not rows:
        given = f"SELECT {quoted} FROM json_populate_recordset(NULL::{table.name}, %s::json)"  # noqa: S608 - names of our own
    return f"INSERT INTO {table.name} ({quoted}) {given} ON CONFLICT DO NOTHING"


class Upsert:
    """An insert with ``ON CONFLICT``, which SQLAlchemy has once for each dialect: ``build`` gets its insert."""

    def __init__(self, build: Callable[[Callable[[Any], Any]], ClauseElement]) -> None:
        self.by_dialect = {name: build(insert) for name, insert in _INSERTS.items()}


Statement = ClauseElement | Upsert | str


class Database:
    """A connection and its dialect (``sqlite`` or ``postgresql``). Transactions are the owner's business.

    ``changes`` counts the rows that were written through it.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.changes = 0
        self.dialect = "sqlite" if isinstance(connection, sqlite3.Connection) else "postgresql"

    def rows(self, statement: Statement, values: Mapping[str, Any] = _NONE) -> list[Any]:
        """The rows of a query; each is read by column name or position."""
        rows: list[Any] = self._run(statement, values).fetchall()
        return rows

    def row(self, statement: Statement, values: Mapping[str, Any] = _NONE) -> Any:
        """The first row, or ``None``."""
        return self._run(statement, values).fetchone()

    def run(self, statement: Statement, values: Mapping[str, Any] = _NONE) -> int:
        """Run a statement; how many rows it touched."""
        count: int = self._run(statement, values).rowcount
        self.changes += max(count, 0)
        return count

    def many(self, statement: Statement, all_values: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each; how many rows they touched."""
        text, known = self._text(statement)
        cursor = self.connection.cursor()
        cursor.executemany(text, [{**known, **values} for values in all_values])
        count: int = cursor.rowcount
        self.changes += max(count, 0)
        return count

    def add(self, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
        """Insert rows with these columns, but for those that are there already; how many were new.

        In SQLite many rows are one statement, and so one journal of the pages that its triggers change. PostgreSQL is given
        all as one JSON array, which for both sides is less work than a statement for each row.
        """
        if self.dialect == "postgresql":
            array = msgspec.json.encode([dict(zip(names, row, strict=True)) for row in rows]).decode()
            new: int = self.connection.execute(_insertion(table, tuple(names), 0), (array,)).rowcount
        else:
            new = 0
            for start in range(0, len(rows), TOGETHER):
                some = rows[start : start + TOGETHER]
                values = [value for row in some for value in row]
                new += self.connection.execute(_insertion(table, tuple(names), len(some)), values).rowcount
        self.changes += new
        return new

    def one_by_one(self, name: str) -> None:
        """Let no other transaction that asks for this name go on before this one has ended. SQLite has one writer anyway."""
        if self.dialect == "postgresql":
            self.connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (name,))

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        if type(statement) is str:  # without values psycopg takes a per cent sign as it is
            return self.connection.execute(statement, values) if values else self.connection.execute(statement)
        text, known = self._text(statement)
        return self.connection.execute(text, {**known, **values} if known else values)

    def _text(self, statement: Statement) -> tuple[str, Mapping[str, Any]]:
        if isinstance(statement, str):
            return statement, _NONE
        return compiled(statement.by_dialect[self.dialect] if isinstance(statement, Upsert) else statement, self.dialect)
