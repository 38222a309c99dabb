"""Stored results in an SQLite file: they outlive the process."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from infra.serving.results import Result
from infra.sqlite import connect, migrate

SCHEMA = "CREATE TABLE result (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID"


class SqliteResults:
    """The ``Results`` port over a file of its own."""

    shared = False

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection, self._lock = connect(path), threading.Lock()
        migrate(self._connection, [SCHEMA])

    def get(self, name: str) -> Result | None:
        with self._lock:
            row = self._connection.execute("SELECT content FROM result WHERE name = ?", (name,)).fetchone()
        return msgspec.msgpack.decode(row["content"], type=Result) if row else None

    def put(self, name: str, result: Result) -> None:
        content = msgspec.msgpack.encode(result)
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO result VALUES (?, ?)", (name, content))

    def remove(self, name: str) -> bool:
        with self._lock:
            return self._connection.execute("DELETE FROM result WHERE name = ?", (name,)).rowcount == 1

    def names(self) -> list[str]:
        with self._lock:
            return [row["name"] for row in self._connection.execute("SELECT name FROM result ORDER BY name")]

    def close(self) -> None:
        self._connection.close()
