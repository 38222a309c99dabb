"""SQLite as every embedded store here uses it: write-ahead log, durable commits (``synchronous=FULL``), and one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from infra.disk import explained
from infra.writer import GroupWriter

sqlite3.register_converter("JSON", msgspec.json.decode)
sqlite3.register_adapter(dict, lambda document: msgspec.json.encode(document).decode())
sqlite3.register_adapter(list, lambda document: msgspec.json.encode(document).decode())
BUSY_SECONDS = 30.0
#: Pages in the write-ahead log before they are copied to the database: what changes often is copied once for many commits.
CHECKPOINT_PAGES = 4096


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (transactions are written out) that any one thread at a time may use.

    Columns declared as JSON take and give dicts and lists.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, detect_types=sqlite3.PARSE_DECLTYPES
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Bring a database's schema up to ``steps`` (SQL scripts, oldest first, never edited once released).

    How many have run is kept in the database itself (``user_version``); each runs in a transaction of its own.
    """
    while True:
        done = connection.execute("PRAGMA user_version").fetchone()[0]
        if done >= len(steps):
            return
        script = f"BEGIN IMMEDIATE; {steps[done]}; PRAGMA user_version={done + 1}; COMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if connection.execute("PRAGMA user_version").fetchone()[0] == done:  # no other process was quicker
                raise


class Writer(GroupWriter[sqlite3.Connection]):
    """The thread that writes to one database."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path, steps: Sequence[str] = (), open: Callable[[Path], sqlite3.Connection] = connect) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = open(path)
        migrate(self._connection, steps)
        self._name = path.name
        super().__init__(path.name)

    def _open(self) -> sqlite3.Connection:
        return self._connection

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _explained(self, error: BaseException) -> BaseException:
        return explained(error, self._name)

    def _end(self) -> None:
        self._connection.close()
