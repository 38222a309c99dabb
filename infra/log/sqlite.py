"""The event log in SQLite: every event once, and one delivery for each function or subscription that wants it.

    event      what was accepted, in order of arrival; ``key`` makes a repetition a no-op
    delivery   what is still to be done; deleting the row is the inbox mark, in the transaction of the effects
    dead       what failed for good, with its cause; ``replay`` makes it a delivery again
    lease      which process works on which shard, and until when: a dead worker's shards are taken over

Order: a shard holds the events of a partition key; of one function and partition only the oldest delivery is ready.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from events.codec import from_json, to_json
from events.event import Event

SHARDS = 64
SCHEMA = """
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, type TEXT NOT NULL, subject TEXT,
    recorded REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE delivery (
    seq INTEGER NOT NULL REFERENCES event, target TEXT NOT NULL, shard INTEGER NOT NULL, partition TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, cause TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (seq, target)
) WITHOUT ROWID;
CREATE INDEX delivery_order ON delivery (target, partition, seq);
CREATE TABLE dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER, target TEXT NOT NULL, cause TEXT NOT NULL,
    attempts INTEGER NOT NULL, at REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE lease (shard INTEGER PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL)
"""
#: Who wants an event: names of functions and subscriptions.
Targets = Callable[[Event], Iterable[str]]


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one target. ``attempts`` counts the failed ones so far."""

    seq: int
    target: str
    attempts: int
    event: Event

    @property
    def lane(self) -> tuple[str, str]:
        """What must stay in order: the target and the event's partition."""
        return self.target, self.event.partition


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up. ``event`` is ``None`` for bytes that never were an event (``body`` holds them)."""

    id: int
    target: str
    cause: str
    attempts: int
    at: float
    body: bytes
    event: Event | None


def shard_of(partition: str) -> int:
    """The shard of a partition key: stable for ever, unlike ``hash``."""
    return crc32(partition.encode("utf-8", "surrogatepass")) % SHARDS


def append(connection: sqlite3.Connection, events: Iterable[Event], targets: Targets) -> int:
    """Accept events; those already known are left out. Returns how many were new."""
    new = 0
    for event in events:
        row = connection.execute(
            "INSERT INTO event (key, type, subject, recorded, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING RETURNING seq",
            (event.key, event.type, event.subject, time.time(), to_json(event)),
        ).fetchone()
        if row is not None:
            new += 1
            _deliver(connection, row["seq"], event, targets(event))
    return new


def _deliver(connection: sqlite3.Connection, seq: int, event: Event, targets: Iterable[str]) -> None:
    partition = event.partition
    connection.executemany(
        "INSERT OR IGNORE INTO delivery (seq, target, shard, partition) VALUES (?, ?, ?, ?)",
        [(seq, target, shard_of(partition), partition) for target in targets],
    )


def ready(connection: sqlite3.Connection, shards: Sequence[int], limit: int) -> list[Delivery]:
    """The next deliveries of these shards that are due, oldest first: of each lane (see ``Delivery.lane``) at most one."""
    rows = connection.execute(
        f"""
        SELECT d.seq, d.target, d.attempts, e.body FROM delivery d JOIN event e USING (seq)
        WHERE d.shard IN ({",".join("?" * len(shards))}) AND d.due <= ? AND NOT EXISTS (
            SELECT 1 FROM delivery o WHERE o.target = d.target AND o.partition = d.partition AND o.seq < d.seq)
        ORDER BY d.seq LIMIT ?
        """,  # noqa: S608 - question marks only
        (*shards, time.time(), limit),
    ).fetchall()
    return [Delivery(row["seq"], row["target"], row["attempts"], from_json(row["body"])) for row in rows]


def acknowledge(connection: sqlite3.Connection, delivery: Delivery) -> bool:
    """Mark as done. ``False`` if somebody else did it before: then its effects must not be written again."""
    done = connection.execute("DELETE FROM delivery WHERE seq = ? AND target = ?", (delivery.seq, delivery.target))
    return done.rowcount == 1


def postpone(connection: sqlite3.Connection, delivery: Delivery, seconds: float, cause: str) -> None:
    """Try again after ``seconds``; this attempt counts."""
    connection.execute(
        "UPDATE delivery SET attempts = attempts + 1, due = ?, cause = ? WHERE seq = ? AND target = ?",
        (time.time() + seconds, cause, delivery.seq, delivery.target),
    )


def bury(connection: sqlite3.Connection, target: str, cause: str, attempts: int, body: bytes, seq: int | None = None) -> int:
    """Make a dead letter of a delivery (``seq``), or of bytes that never became an event. Returns its number."""
    made = connection.execute(
        "INSERT INTO dead (seq, target, cause, attempts, at, body) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        (seq, target, cause, attempts, time.time(), body),
    ).fetchone()
    return int(made["id"])


def dead_letters(connection: sqlite3.Connection, limit: int = 100, number: int | None = None) -> list[DeadLetter]:
    """The newest dead letters, or the one with this number."""
    rows = connection.execute(
        "SELECT * FROM dead WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT ?2", (number, limit)
    ).fetchall()
    return [
        DeadLetter(
            row["id"], row["target"], row["cause"], row["attempts"], row["at"], row["body"],
            from_json(row["body"]) if row["seq"] is not None else None,
        )
        for row in rows
    ]  # fmt: skip


def replay(connection: sqlite3.Connection, number: int) -> DeadLetter | None:
    """Make a dead letter a delivery again, with all its attempts. ``None`` if there is no such letter, or it is no event."""
    found = dead_letters(connection, number=number)
    if not found or found[0].event is None:
        return None
    letter, seq = found[0], connection.execute("SELECT seq FROM dead WHERE id = ?", (number,)).fetchone()["seq"]
    _deliver(connection, seq, found[0].event, [letter.target])
    connection.execute("DELETE FROM dead WHERE id = ?", (number,))
    return letter


def lease(connection: sqlite3.Connection, owner: str, seconds: float) -> list[int]:
    """Renew this owner's shards and take those whose owner has been silent; returns the shards it may work on."""
    until = time.time() + seconds
    connection.executemany(
        "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, until = excluded.until "
        "WHERE owner = excluded.owner OR until < ?",
        [(shard, owner, until, time.time()) for shard in range(SHARDS)],
    )
    return [row["shard"] for row in connection.execute("SELECT shard FROM lease WHERE owner = ?", (owner,))]


def release(connection: sqlite3.Connection, owner: str) -> None:
    """Give this owner's shards back, at a clean stop."""
    connection.execute("DELETE FROM lease WHERE owner = ?", (owner,))


def tail(connection: sqlite3.Connection, after: int, limit: int, pattern: str = "*") -> list[tuple[int, float, Event]]:
    """Accepted events behind ``after``: (number, when recorded, event), oldest first; ``pattern`` is a glob over the type."""
    rows = connection.execute(
        "SELECT seq, recorded, body FROM event WHERE seq > ? AND type GLOB ? ORDER BY seq LIMIT ?", (after, pattern, limit)
    )
    return [(row["seq"], row["recorded"], from_json(row["body"])) for row in rows]


def prune(connection: sqlite3.Connection, before: float, after: int, limit: int) -> int | None:
    """Forget events recorded before a time (Unix seconds), except those that a delivery or a dead letter still needs.

    Looks at the next ``limit`` events behind the number ``after``, in the order of arrival. Returns where to go on, or
    ``None`` when no more are that old.
    """
    rows = connection.execute("SELECT seq, recorded FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)).fetchall()
    old = [(row["seq"],) for row in rows if row["recorded"] < before]
    connection.executemany(
        "DELETE FROM event WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE seq = ?1) "
        "AND NOT EXISTS (SELECT 1 FROM dead WHERE seq = ?1)",
        old,
    )
    return int(rows[-1]["seq"]) if len(old) == limit else None


def counts(connection: sqlite3.Connection) -> dict[str, float]:
    """Events accepted, deliveries waiting and retrying, dead letters, and the age in seconds of the oldest delivery."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM dead) AS dead,
               (SELECT count(*) FROM delivery) AS waiting, (SELECT count(*) FROM delivery WHERE attempts > 0) AS retrying,
               coalesce((SELECT max(0, ? - recorded) FROM event
                         WHERE seq = (SELECT min(seq) FROM delivery)), 0) AS oldest_s
        """,
        (time.time(),),
    ).fetchone()
    return dict(row)
