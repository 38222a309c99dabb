"""The outbox: effects in a store that is not the log's own, and the events they cause.

The effects, the mark that they happened and those events are one transaction of that store. Then the events go to the log, in
one step with the end of the delivery. After a crash in between the delivery comes again, finds its mark, runs nothing, and only
the second half is done. The log's de-duplication makes a repeated second half harmless. So a worker that starts does it for all
that is left: a log that was lost, or that lost its last second, will not deliver again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

import msgspec

from events.event import Event

SCHEMA = """
CREATE TABLE outbox (mark TEXT PRIMARY KEY, at REAL NOT NULL, events BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX outbox_at ON outbox (at)
"""
#: How long a mark is kept: longer than any worker can be held up with a delivery in its hand.
KEEP_SECONDS = 7 * 86400.0
PORTION = 100
_NONE = msgspec.msgpack.encode([])
_decode = msgspec.msgpack.Decoder(list[str]).decode


def find(connection: sqlite3.Connection, mark: str) -> list[str] | None:
    """The events of a delivery whose effects are here already, in the log's form; ``None`` if they are not."""
    row = connection.execute("SELECT events FROM outbox WHERE mark = ?", (mark,)).fetchone()
    return None if row is None else _decode(row["events"])


def unpublished(connection: sqlite3.Connection, seconds: float) -> list[tuple[str, list[str]]]:
    """Marks of the last so many seconds whose events the log may not have, oldest first, with those events."""
    rows = connection.execute(
        "SELECT mark, events FROM outbox WHERE at > ? AND events != ? ORDER BY at", (time.time() - seconds, _NONE)
    )
    return [(row["mark"], _decode(row["events"])) for row in rows]


def add(connection: sqlite3.Connection, mark: str, events: list[str]) -> None:
    """Mark a delivery's effects as done, with its events."""
    connection.execute("INSERT INTO outbox VALUES (?, ?, ?)", (mark, time.time(), msgspec.msgpack.encode(events)))


def tidy(connection: sqlite3.Connection, published: Iterable[str]) -> None:
    """Empty the marks whose events the log has, and drop some that are so old that nobody can ask for them."""
    connection.executemany("UPDATE outbox SET events = ? WHERE mark = ?", ((_NONE, mark) for mark in published))
    old = time.time() - KEEP_SECONDS
    connection.execute("DELETE FROM outbox WHERE mark IN (SELECT mark FROM outbox WHERE at < ? LIMIT ?)", (old, PORTION))


def mark_of(id: str, target: str, event: Event) -> str:
    """The name of a delivery's mark. The event is in it, because a new log begins to count its deliveries from 1 again."""
    return f"{id}/{target}/{event.key}"
