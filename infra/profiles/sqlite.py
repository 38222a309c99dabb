"""Task profiles as JSON documents in SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

SCHEMA = "CREATE TABLE profile (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class SqliteProfiles:
    """The ``Profiles`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, key: str) -> dict[str, Any] | None:
        row = self._connection.execute("SELECT body FROM profile WHERE key = ?", (key,)).fetchone()
        return _decode(row["body"]) if row else None

    def put(self, key: str, profile: dict[str, Any]) -> None:
        body = msgspec.json.encode(profile).decode()
        self._connection.execute("INSERT OR REPLACE INTO profile VALUES (?, ?)", (key, body))

    def keys(self, prefix: str = "") -> list[str]:
        rows = self._connection.execute(
            "SELECT key FROM profile WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
        )
        return [row["key"] for row in rows]
