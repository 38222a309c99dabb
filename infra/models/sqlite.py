"""The numbered versions of each model repository, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from events.types import ModelPublished
from infra.config import Repository

SCHEMA = """
CREATE TABLE model (
    repository TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (repository, name, version)
) WITHOUT ROWID
"""


class SqliteModels:
    """The ``Models`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, connection: sqlite3.Connection, repositories: Sequence[Repository]) -> None:
        self._connection, self._repositories = connection, repositories

    def repositories(self) -> list[tuple[str, str, str]]:
        return [(found.name, found.bucket, found.prefix) for found in self._repositories]

    def latest(self, repository: str, name: str) -> ModelPublished | None:
        row = self._connection.execute(
            "SELECT body FROM model WHERE repository = ? AND name = ? ORDER BY version DESC LIMIT 1", (repository, name)
        ).fetchone()
        return msgspec.json.decode(row["body"], type=ModelPublished) if row else None

    def add(self, version: ModelPublished) -> None:
        body = msgspec.json.encode(version).decode()
        self._connection.execute(
            "INSERT INTO model VALUES (?, ?, ?, ?)", (version.repository, version.name, version.version, body)
        )

    def versions(self, repository: str = "", name: str = "") -> list[ModelPublished]:
        rows = self._connection.execute(
            "SELECT body FROM model WHERE (?1 = '' OR repository = ?1) AND (?2 = '' OR name = ?2) "
            "ORDER BY repository, name, version",
            (repository, name),
        )
        return [msgspec.json.decode(row["body"], type=ModelPublished) for row in rows]
