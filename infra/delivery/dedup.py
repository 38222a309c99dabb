"""De-duplication: an event counts once, by ``Event.key`` (its source, id, subject and type), however often it comes.

Each log remembers the keys of what it accepted. A runtime without a log has an inbox instead: which events were handled, and
what came of them. A repetition within ``KEEP_SECONDS`` gets the same replies and runs nothing. Replies are on the disk before
they are sent.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from events.event import Event
from events.json_format import from_batch, to_batch
from infra.sqlite import Writer, connect

SCHEMA = """
CREATE TABLE handled (key TEXT PRIMARY KEY, at REAL NOT NULL, replies BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX handled_at ON handled (at)
"""
#: Longer than any sender repeats: Knative and AWS give up within a day.
KEEP_SECONDS = 7 * 86400.0


class Inbox:
    """One file. Thread-safe; ``close`` frees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = Writer(path, [SCHEMA])

    def once(self, event: Event, run: Callable[[], list[Event]]) -> list[Event]:
        """The replies to ``event``: those remembered, else what ``run`` gives. An error is not remembered."""
        known = self._find(event.key)
        if known is not None:
            return known
        replies = run()
        body = to_batch(replies)
        kept = self._writer.submit(lambda connection: _keep(connection, event.key, body)).result()
        return replies if kept else self._find(event.key) or replies

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.close()

    def _find(self, key: str) -> list[Event] | None:
        connection = connect(self._path)
        try:
            row = connection.execute("SELECT replies FROM handled WHERE key = ?", (key,)).fetchone()
        finally:
            connection.close()
        return None if row is None else from_batch(row["replies"])


def _keep(connection: sqlite3.Connection, key: str, body: bytes) -> bool:
    """Remember; whether nobody was quicker."""
    now = time.time()
    connection.execute(
        "DELETE FROM handled WHERE key IN (SELECT key FROM handled WHERE at < ? LIMIT 100)", (now - KEEP_SECONDS,)
    )
    return connection.execute("INSERT OR IGNORE INTO handled VALUES (?, ?, ?)", (key, now, body)).rowcount == 1
