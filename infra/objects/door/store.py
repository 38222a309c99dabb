"""The door's database: buckets, objects, uploads, and the outbox of notifications. A change and its records commit together.

Keys are BLOBs of UTF-8, so that they sort as S3 lists them, byte by byte. Every content file a row names stands in ``files``
too: what is on the disk but not in that table is the leftover of a crash. ``counter`` numbers every change of any object.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from infra.objects.door import notify
from infra.objects.door.errors import S3Error
from infra.objects.door.files import Files
from infra.pool import Pool
from infra.sqlite import Writer, connect

T = TypeVar("T")

SCHEMA = [
    """
    CREATE TABLE buckets (name TEXT PRIMARY KEY, created INTEGER NOT NULL, tags TEXT NOT NULL, rules TEXT NOT NULL);
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY, bucket TEXT NOT NULL REFERENCES buckets, key BLOB NOT NULL, size INTEGER NOT NULL,
        etag TEXT NOT NULL, modified INTEGER NOT NULL, upload TEXT NOT NULL, about TEXT NOT NULL, segments TEXT NOT NULL,
        UNIQUE (bucket, key)
    );
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY, bucket TEXT NOT NULL REFERENCES buckets, key BLOB NOT NULL, started INTEGER NOT NULL,
        about TEXT NOT NULL
    );
    CREATE UNIQUE INDEX uploads_by_key ON uploads (bucket, key, id);
    CREATE TABLE parts (
        upload TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE, number INTEGER NOT NULL, size INTEGER NOT NULL,
        etag TEXT NOT NULL, modified INTEGER NOT NULL, checksum TEXT NOT NULL, file TEXT NOT NULL,
        PRIMARY KEY (upload, number)
    ) WITHOUT ROWID;
    CREATE TABLE files (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE outbox (sequence INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, record TEXT NOT NULL);
    CREATE INDEX outbox_by_target ON outbox (target, sequence);
    CREATE TABLE counter (value INTEGER NOT NULL);
    INSERT INTO counter VALUES (0);
    """,
    "ALTER TABLE objects ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
]
#: What hears of every change once it is durable, whatever the bucket's rules say.
Listener = Callable[[str, str, dict[str, Any]], None]


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of an object's content: a content file, its size, and the part's checksum if it has one."""

    name: str
    size: int
    checksum: str = ""


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client said of an object. ``headers`` are returned with it; ``algorithm`` and ``whole`` are for uploads."""

    headers: dict[str, str] = {}
    user: dict[str, str] = {}
    tags: dict[str, str] = {}
    checksums: dict[str, str] = {}
    algorithm: str = ""
    whole: bool = True


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """An object's row. ``modified`` is in microseconds since 1970; ``upload`` names the multipart upload it came from.

    ``sequence`` is the number of the change that made it, which its notification has as ``sequencer``.
    """

    bucket: str
    key: str
    size: int
    etag: str
    modified: int
    about: About
    segments: list[Segment]
    upload: str = ""
    sequence: int = 0


def present() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1000


def iso(microseconds: int, timespec: str = "milliseconds") -> str:
    """A time as S3's XML has it."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


class Store:
    """The database of one door. Reads run anywhere, writes through ``commit``."""

    def __init__(self, path: Path, files: Files, rules: Sequence[notify.Rule]) -> None:
        self.files = files
        self.ready = threading.Event()
        self._path = path
        self._rules = msgspec.json.encode(rules).decode()
        self._writer = Writer(path, SCHEMA)
        self._remover = ThreadPoolExecutor(1, "door-remover")
        self.listeners: set[Listener] = set()
        self.pool = Pool(lambda: connect(path))
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        files.sweep(self._known)

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection for reading that the calling thread has, which ends before ``close``. (Others use ``pool``.)"""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            self._connections.append(connection)
        return connection

    def commit(self, work: Callable[[Transaction], T], new: Sequence[str] = ()) -> Future[T]:
        """Run ``work`` in a durable transaction.

        Args:
            work: the changes to make. An exception it raises undoes them.
            new: content files made for it, removed if it fails. (Decided by what became of the transaction, not of whoever
                waits for it: a request may be cancelled while its transaction commits.)

        """
        transactions: list[Transaction] = []

        def run(connection: sqlite3.Connection) -> T:
            transactions.append(Transaction(connection))
            return work(transactions[0])

        def after(future: Future[T]) -> None:
            failed = future.exception() is not None
            waste = list(new) if failed else transactions[0].released
            if not failed and transactions[0].told:
                self.ready.set()
            if not failed:
                for event, key, record in transactions[0].heard:
                    for listener in tuple(self.listeners):
                        listener(event, key, record)
            if waste:
                self._remover.submit(self.files.remove, waste)

        future = self._writer.submit(run)
        future.add_done_callback(after)
        return future

    def create_bucket(self, name: str) -> Callable[[Transaction], None]:
        """The transaction that makes a bucket with this door's default notifications."""

        def work(transaction: Transaction) -> None:
            try:
                transaction.execute("INSERT INTO buckets VALUES (?, ?, '{}', ?)", (name, present(), self._rules))
            except sqlite3.IntegrityError as error:
                raise S3Error("BucketAlreadyOwnedByYou", BucketName=name) from error

        return work

    def close(self) -> None:
        """Finish what was submitted and close the database."""
        self._writer.close()
        self._remover.shutdown()
        self.pool.close()
        for connection in self._connections:
            connection.close()

    def _known(self, directory: str) -> set[str]:
        rows = self.reader.execute("SELECT name FROM files WHERE name > ? AND name < ?", (directory + "/", directory + "0"))
        return {row[0] for row in rows}


class Transaction:
    """One change being made. ``released`` are files to remove once it is durable; ``told`` says whether anyone is to know.

    ``heard`` are the event, key and record of each change, for listeners.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.connection = connection
        self.released: list[str] = []
        self.told = False
        self.heard: list[tuple[str, str, dict[str, Any]]] = []

    def put(self, new: Object, event: str, cause: notify.Cause, taken: Iterable[str] = ()) -> None:
        """Make ``new`` the object of its key, in place of what is there, and tell of it.

        Args:
            new: the object; its files are on the disk.
            event: ``ObjectCreated:Put`` and the like.
            cause: the request.
            taken: those of its files that rows named before (an upload's parts).

        """
        bucket(self.connection, new.bucket)
        old = find(self.connection, new.bucket, new.key)
        if old is not None:
            self._release(segment.name for segment in old.segments)
            self.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (new.bucket, new.key.encode()))
        known = set(taken)
        self.keep(segment.name for segment in new.segments if segment.name not in known)
        number = self._number()
        self.execute(
            "INSERT INTO objects (bucket, key, size, etag, modified, upload, about, segments, sequence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.bucket,
                new.key.encode(),
                new.size,
                new.etag,
                new.modified,
                new.upload,
                msgspec.json.encode(new.about).decode(),
                msgspec.json.encode(new.segments).decode(),
                number,
            ),
        )
        self._tell(new, event, cause, number)

    def delete(self, old: Object, cause: notify.Cause) -> None:
        """Remove an object that is there, and tell of it."""
        self._release(segment.name for segment in old.segments)
        self.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (old.bucket, old.key.encode()))
        self._tell(old, "ObjectRemoved:Delete", cause, self._number())

    def describe(self, old: Object, about: About) -> None:
        """Change what is said of an object, not its content: no notification."""
        text = msgspec.json.encode(about).decode()
        self.execute("UPDATE objects SET about = ? WHERE bucket = ? AND key = ?", (text, old.bucket, old.key.encode()))

    def keep(self, names: Iterable[str]) -> None:
        """Enter files that rows now name."""
        self.connection.executemany("INSERT INTO files VALUES (?)", ((name,) for name in names))

    def drop(self, names: Iterable[str]) -> None:
        """Give up files that no row names any more."""
        self._release(names)

    def _release(self, names: Iterable[str]) -> None:
        gone = list(names)
        self.connection.executemany("DELETE FROM files WHERE name = ?", ((name,) for name in gone))
        self.released += gone

    def _number(self) -> int:
        """The number of this change: greater than that of every change before, of any object."""
        return int(self.execute("UPDATE counter SET value = value + 1 RETURNING value").fetchone()[0])

    def _tell(self, changed: Object, event: str, cause: notify.Cause, number: int) -> None:
        row = self.execute("SELECT rules FROM buckets WHERE name = ?", (changed.bucket,)).fetchone()
        time = iso(present(), "microseconds")

        def record(rule: str) -> dict[str, Any]:
            return notify.record(
                rule,
                cause,
                event,
                time=time,
                bucket=changed.bucket,
                key=changed.key,
                size=changed.size,
                etag=changed.etag,
                sequencer=f"{number:016X}",
            )

        for rule in msgspec.json.decode(row[0], type=list[notify.Rule]):
            if rule.wants(event, changed.key):
                text = msgspec.json.encode(record(rule.id)).decode()
                self.execute("INSERT INTO outbox (target, record) VALUES (?, ?)", (rule.target, text))
                self.told = True
        self.heard.append((event, changed.key, record("Config")))


def bucket(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    """The bucket's row.

    Raises:
        S3Error: NoSuchBucket.

    """
    row: sqlite3.Row | None = connection.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise S3Error("NoSuchBucket", BucketName=name)
    return row


def find(connection: sqlite3.Connection, bucket: str, key: str) -> Object | None:
    """The object of a key, or ``None``."""
    row = connection.execute("SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key.encode())).fetchone()
    return None if row is None else _object(row)


def get(connection: sqlite3.Connection, name: str, key: str) -> Object:
    """The object of a key.

    Raises:
        S3Error: NoSuchBucket or NoSuchKey.

    """
    found = find(connection, name, key)
    if found is None:
        bucket(connection, name)
        raise S3Error("NoSuchKey", Key=key)
    return found


def _object(row: Any) -> Object:
    return Object(
        bucket=row["bucket"],
        key=row["key"].decode(),
        size=row["size"],
        etag=row["etag"],
        modified=row["modified"],
        upload=row["upload"],
        about=msgspec.json.decode(row["about"], type=About),
        segments=msgspec.json.decode(row["segments"], type=list[Segment]),
        sequence=row["sequence"],
    )
