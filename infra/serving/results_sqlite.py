"""Stored results in an SQLite file: they outlive the process; servers that share the file compute each once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from events.errors import Retry
from infra.serving.results import Result

if TYPE_CHECKING:
    import sqlite3

SCHEMA = "CREATE TABLE result (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID"
LEASES = """
ALTER TABLE result ADD COLUMN began REAL NOT NULL DEFAULT 0;
CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID
"""
PUT = (
    "INSERT INTO result (name, content, began) VALUES (:name, :content, :began) ON CONFLICT (name) DO UPDATE "
    "SET content = excluded.content, began = excluded.began WHERE excluded.began >= result.began"
)
AGAIN = "UPDATE result SET content = :content, began = :began WHERE name = :name AND :began >= began"
CLAIM = (
    "INSERT INTO lease VALUES (:name, :owner, :until) ON CONFLICT (name) DO UPDATE "
    "SET owner = excluded.owner, until = excluded.until WHERE lease.until < :now"
)


class SqliteResults:
    """The ``Results`` port over a file of its own, opened when it is first needed: a start does not wait for it."""

    shared = False

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._opened: sqlite3.Connection | None = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """For one thread at a time. Raises ``Retry`` where the file cannot be had."""
        with self._lock:
            try:
                if self._opened is None:
                    from infra.sqlite import connect, migrate

                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    connection = connect(self._path)
                    migrate(connection, [SCHEMA, LEASES])
                    self._opened = connection
                yield self._opened
            except Exception as error:
                raise Retry(
                    f"results cannot be kept in {self._path} ({error}): sluice.data must be a folder that can be written"
                ) from error

    def get(self, name: str) -> Result | None:
        with self._connection() as connection:
            row = connection.execute("SELECT content FROM result WHERE name = ?", (name,)).fetchone()
        return msgspec.msgpack.decode(row["content"], type=Result) if row else None

    def put(self, name: str, result: Result, *, again: bool = False) -> bool:
        values = {"name": name, "content": msgspec.msgpack.encode(result), "began": result.began}
        with self._connection() as connection:
            return connection.execute(AGAIN if again else PUT, values).rowcount == 1

    def claim(self, name: str, owner: str, seconds: float) -> bool:
        now = time.time()
        values = {"name": name, "owner": owner, "until": now + seconds, "now": now}
        with self._connection() as connection:
            return connection.execute(CLAIM, values).rowcount == 1

    def release(self, name: str, owner: str) -> None:
        with self._connection() as connection:
            connection.execute("DELETE FROM lease WHERE name = ? AND owner = ?", (name, owner))

    def remove(self, name: str) -> bool:
        with self._connection() as connection:
            return connection.execute("DELETE FROM result WHERE name = ?", (name,)).rowcount == 1

    def names(self) -> list[str]:
        if self._opened is None and not self._path.exists():
            return []
        with self._connection() as connection:
            return [row["name"] for row in connection.execute("SELECT name FROM result ORDER BY name")]

    def close(self) -> None:
        with self._lock:  # SQLite ends the process when a connection is closed that another thread uses
            if self._opened is not None:
                self._opened.close()
