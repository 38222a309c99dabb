"""The event log in SQLite: every event once, and one delivery for each function or subscription that wants it.

    event      what was accepted, in order of arrival; ``key`` makes a repetition a no-op
    delivery   what is still to be done; deleting the row is the inbox mark, in the transaction of the effects. ``given``
               counts how many workers may have died of it: see ``suspect``
    dead       what failed for good, with its cause; ``replay`` makes it a delivery again
    lease      which process works on which shard, and until when: a dead worker's shards are taken over

Order: a shard holds the events of a partition key; of one function and partition only the oldest delivery is ready.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

from events.codec import from_json, to_json
from events.errors import Reject
from events.event import Event
from infra.catalog.database import Database
from infra.delivery import dead_letter
from infra.delivery.order import SHARDS, Lane, shard_of
from infra.disk import DiskTrouble, explained
from infra.log.log import SUSPECT, DeadLetter, Delivery, Failure, Job, Judge, Targets
from infra.log.sqlite_counts import counts
from infra.sqlite import Writer

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
GIVEN = "ALTER TABLE delivery ADD COLUMN given INTEGER NOT NULL DEFAULT 0"
#: Of a dead letter that never was an event: the same bytes are one letter, however often they come.
DIGEST = "ALTER TABLE dead ADD COLUMN digest TEXT; CREATE UNIQUE INDEX dead_digest ON dead (digest)"
#: More than any worker has in hand.
IN_HAND = 1024
_READY = """
    FROM delivery d WHERE d.shard IN (SELECT value FROM json_each(?)) AND d.due <= ? AND NOT EXISTS (
        SELECT 1 FROM delivery o WHERE o.target = d.target AND o.partition = d.partition AND o.seq < d.seq)
    ORDER BY d.seq LIMIT ?
"""

#: An event and its body in the table.
Stored = tuple[Event, bytes]


def append(connection: sqlite3.Connection, events: Iterable[Event], targets: Targets) -> int:
    """Accept events; those already known are left out. Returns how many were new."""
    return accept(connection, [[(event, to_json(event)) for event in events]], targets)[0]


def accept(connection: sqlite3.Connection, requests: Sequence[Sequence[Stored]], targets: Targets) -> list[int]:
    """Accept the events of many requests at once; how many of each were new. Of equal events the first is."""
    known = _known(connection, [event.key for stored in requests for event, _ in stored])
    seq, at = end(connection), time.time()
    rows: list[tuple[Any, ...]] = []
    deliveries: list[tuple[int, str, int, str]] = []
    answer = []
    for stored in requests:
        before = len(rows)
        for event, body in stored:
            key = event.key
            if key not in known:
                known.add(key)
                seq += 1
                rows.append((seq, key, event.type, event.subject, at, body))
                deliveries += _deliveries(seq, event, targets(event))
        answer.append(len(rows) - before)
    connection.executemany("INSERT INTO event (seq, key, type, subject, recorded, body) VALUES (?, ?, ?, ?, ?, ?)", rows)
    _deliver(connection, deliveries)
    return answer


def _known(connection: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Which of these keys are of accepted events. Keys are hexadecimal, so that they need no escapes in JSON."""
    listed = '["' + '","'.join(keys) + '"]'
    rows = connection.execute("SELECT key FROM event WHERE key IN (SELECT value FROM json_each(?))", (listed,))
    return {row[0] for row in rows}


def _deliveries(seq: int, event: Event, targets: Iterable[str]) -> list[tuple[int, str, int, str]]:
    if not (wanted := list(targets)):
        return []
    partition = event.partition
    shard = shard_of(partition)
    return [(seq, target, shard, partition) for target in wanted]


def _deliver(connection: sqlite3.Connection, deliveries: Iterable[tuple[int, str, int, str]]) -> None:
    connection.executemany("INSERT OR IGNORE INTO delivery (seq, target, shard, partition) VALUES (?, ?, ?, ?)", deliveries)


def ready(connection: sqlite3.Connection, shards: Sequence[int], limit: int) -> list[Delivery]:
    """The next deliveries of these shards that are due, oldest first: of each lane (see ``Delivery.lane``) at most one."""
    columns = "d.seq, d.target, d.attempts, (SELECT body FROM event e WHERE e.seq = d.seq), d.partition, d.given + 1"
    rows = connection.execute(f"SELECT {columns} {_READY}", (json.dumps(shards), time.time(), limit))
    return [
        Delivery(seq, target, attempts, from_json(body), (target, partition), given)
        for seq, target, attempts, body, partition, given in rows
    ]


def suspect(connection: sqlite3.Connection, shards: Sequence[int]) -> None:
    """The worker of these shards has died: what it may have had in hand is what is ready.

    Who is a suspect by that is given out alone, and counted then.
    """
    connection.execute(
        f"UPDATE delivery SET given = given + 1 WHERE given < {SUSPECT} AND (seq, target) IN (SELECT d.seq, d.target {_READY})",  # noqa: S608
        (json.dumps(shards), time.time(), IN_HAND),
    )


def acknowledge(connection: sqlite3.Connection, delivery: Delivery) -> bool:
    """Mark as done. ``False`` if somebody else did it before: then its effects must not be written again."""
    done = connection.execute("DELETE FROM delivery WHERE seq = ? AND target = ?", (delivery.seq, delivery.target))
    return done.rowcount == 1


def postpone(connection: sqlite3.Connection, delivery: Delivery, seconds: float, cause: str) -> None:
    """Try again after ``seconds``; this attempt counts."""
    connection.execute(
        "UPDATE delivery SET attempts = attempts + 1, given = 0, due = ?, cause = ? WHERE seq = ? AND target = ?",
        (time.time() + seconds, cause, delivery.seq, delivery.target),
    )


def bury(connection: sqlite3.Connection, target: str, cause: str, attempts: int, body: bytes, seq: int | None = None) -> int:
    """Make a dead letter of a delivery (``seq``), or of bytes that never became an event. Returns its number.

    Of bytes that are one already, only the attempts are counted: who heard no answer sends them again.
    """
    digest = dead_letter.digest(body) if seq is None else None
    made = connection.execute(
        "INSERT INTO dead (seq, target, cause, attempts, at, body, digest) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (digest) DO UPDATE SET attempts = attempts + excluded.attempts RETURNING id",
        (seq, target, cause, attempts, time.time(), body, digest),
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
    _deliver(connection, _deliveries(seq, found[0].event, [letter.target]))
    connection.execute("DELETE FROM dead WHERE id = ?", (number,))
    return letter


def lease(connection: sqlite3.Connection, owner: str, seconds: float) -> list[int]:
    """Renew this owner's shards and take those whose owner has been silent; returns the shards it may work on."""
    now = time.time()
    silent = connection.execute("SELECT shard FROM lease WHERE owner != ? AND until < ?", (owner, now)).fetchall()
    if silent:
        suspect(connection, [row["shard"] for row in silent])
    connection.executemany(
        "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, until = excluded.until "
        "WHERE owner = excluded.owner OR until < ?",
        [(shard, owner, now + seconds, now) for shard in range(SHARDS)],
    )
    return [row["shard"] for row in connection.execute("SELECT shard FROM lease WHERE owner = ?", (owner,))]


def release(connection: sqlite3.Connection, owner: str) -> None:
    """Give this owner's shards back, at a clean stop."""
    connection.execute("DELETE FROM lease WHERE owner = ?", (owner,))


def tail(connection: sqlite3.Connection, after: int, limit: int, pattern: str = "*") -> list[tuple[int, float, Event]]:
    """Accepted events behind ``after`` whose type is as ``pattern`` says: (number, when recorded, event), oldest first."""
    pattern = pattern.replace("[", "[[]").replace("?", "[?]")  # of SQLite's own signs, only * is one of ours
    rows = connection.execute(
        "SELECT seq, recorded, body FROM event WHERE seq > ? AND type GLOB ? ORDER BY seq LIMIT ?", (after, pattern, limit)
    )
    return [(row["seq"], row["recorded"], from_json(row["body"])) for row in rows]


def end(connection: sqlite3.Connection) -> int:
    """The number of the newest event that ever was, or 0."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return last["seq"] if last else 0


def whole(connection: sqlite3.Connection, after: int) -> bool:
    """Whether no event behind ``after`` was forgotten: numbers have no gaps, and of the old only what is needed is kept."""
    free = connection.execute(
        "SELECT seq FROM event AS e WHERE seq > ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE seq = e.seq) "
        "AND NOT EXISTS (SELECT 1 FROM dead WHERE seq = e.seq) ORDER BY seq LIMIT 1",
        (after,),
    ).fetchone()
    upto = free["seq"] if free else end(connection)
    kept = connection.execute("SELECT count(*) FROM event WHERE seq > ? AND seq <= ?", (after, upto)).fetchone()[0]
    return bool(kept >= upto - after)


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


class SqliteLog:
    """The ``Log`` over one database: its writer, and how to read from it. One database means one transaction for all."""

    poll_s = 0.25

    def __init__(
        self, writer: Writer, reading: Callable[[], AbstractContextManager[sqlite3.Connection]], targets: Targets
    ) -> None:
        self._writer, self._reading, self._targets = writer, reading, targets
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._shards: list[int] = []
        self._suspect: Delivery | None = None
        self._busy: Collection[Lane] = ()

    def append(self, events: Sequence[Event]) -> Future[int]:
        try:
            stored = [(event, to_json(event)) for event in events]
        except Exception as error:  # it breaks the specification
            refused: Future[int] = Future()
            refused.set_exception(error)
            return refused
        return self._writer.merge(self._accept, stored)

    def _accept(self, connection: sqlite3.Connection, requests: list[list[Stored]]) -> list[int]:
        return accept(connection, requests, self._targets)

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        def work(connection: sqlite3.Connection) -> None:
            for body, cause in rejected:
                bury(connection, "ingress", cause, 1, body)

        return self._writer.submit(work)

    def lease(self, seconds: float, busy: Collection[Lane] = ()) -> None:
        self._busy = busy
        shards = self._writer.submit(lambda connection: lease(connection, self.owner, seconds)).result()
        if shards != self._shards:
            self._shards, self._suspect = shards, None

    def release(self) -> None:
        self._shards, self._suspect = [], None
        self._writer.submit(lambda connection: release(connection, self.owner)).result()

    def ready(self, limit: int, free: Callable[[Lane], bool]) -> list[Delivery]:
        if not self._shards:
            return []
        if self._suspect is not None:
            return [self._suspect] if free(self._suspect.lane) else []
        with self._reading() as connection:
            found = [each for each in ready(connection, self._shards, limit) if free(each.lane)]
        for each in found:
            if each.given > SUSPECT:
                self._give(each)
                return [each]
        return found

    def _give(self, delivery: Delivery) -> None:
        """Count that a suspect is in this worker's hand, on the disk before it can do harm."""
        count = "UPDATE delivery SET given = given + 1 WHERE seq = ? AND target = ?"
        self._writer.submit(lambda connection: connection.execute(count, (delivery.seq, delivery.target)).rowcount).result()
        self._suspect = delivery

    def settle(self, jobs: Sequence[Job], judge: Judge) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for job in jobs:
                self._settle(connection, job, judge)

        self._writer.submit(work).result()
        if any(job.delivery is self._suspect for job in jobs):
            self._suspect = None

    def _settle(self, connection: sqlite3.Connection, job: Job, judge: Judge) -> None:
        connection.execute("SAVEPOINT delivery")
        try:
            if acknowledge(connection, job.delivery):
                append(connection, job.run(Database(connection)), self._targets)
        except Exception as error:
            told = explained(error, "the event log")
            if isinstance(told, DiskTrouble) and isinstance(told.__cause__, sqlite3.Error):
                raise  # nothing can be written here, also not that it has failed
            connection.execute("ROLLBACK TO delivery")
            self._fail(connection, job.delivery, judge(job.delivery, error))
        connection.execute("RELEASE delivery")

    def _fail(self, connection: sqlite3.Connection, delivery: Delivery, failure: Failure) -> None:
        if failure.seconds is not None:
            postpone(connection, delivery, failure.seconds, failure.cause)
        elif acknowledge(connection, delivery):
            attempts = delivery.attempts + 1
            number = bury(connection, delivery.target, failure.cause, attempts, to_json(delivery.event), delivery.seq)
            append(connection, dead_letter.failed(delivery, failure.cause, number), self._targets)

    def unit(self, database: Database) -> Database:
        return database

    def dead_letters(self, limit: int = 100, number: int | None = None) -> list[DeadLetter]:
        with self._reading() as connection:
            return dead_letters(connection, limit, number)

    def replay(self, numbers: Iterable[int]) -> list[DeadLetter]:
        def work(connection: sqlite3.Connection) -> list[DeadLetter]:
            done = []
            for number in numbers:
                letter = replay(connection, number)
                if letter is None:
                    raise Reject(f"there is no dead letter {number} that holds an event; see: sluice dead-letters")
                done.append(letter)
            return done

        return self._writer.submit(work).result()

    def tail(self, after: int, limit: int, pattern: str = "*") -> list[tuple[int, float, Event]]:
        with self._reading() as connection:
            return tail(connection, after, limit, pattern)

    def end(self) -> int:
        with self._reading() as connection:
            return end(connection)

    def whole(self, after: int) -> bool:
        with self._reading() as connection:
            return whole(connection, after)

    def counts(self) -> dict[str, float]:
        with self._reading() as connection:
            return counts(connection, self._busy)

    def forget(self, before: float, after: int, limit: int) -> int | None:
        return self._writer.submit(lambda connection: prune(connection, before, after, limit)).result()

    def retarget(self) -> None:
        """Nothing to do: one process has one list of targets."""

    def close(self) -> None:
        """Nothing to do: the database belongs to the lake."""
