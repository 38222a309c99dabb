"""The S3 door: an S3-compatible endpoint over one folder of one machine. It is no cluster store.

Content is in files, everything else in SQLite, and a change of an object commits in one transaction with the records of its
notifications: there is no moment at which one is there without the other. ``Door.app`` is the ASGI application to serve,
``Door.pending`` the outbox from which a relay delivers.

    app       one request from the socket to the answer; the tables of operations
    request   bucket, key, query and headers        sigv4, sigv2, chunked   signatures        conditions   preconditions, ranges
    body      content coming in                     download                content going out  checksums    what guards it
    buckets, objects, uploads, lists, listen        the operations          service            what they share
    store     the database and its transactions     listing                 pages of keys      files        content files
    notify    rules and records                     xml, errors             the protocol's documents
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from infra.objects.door import notify
from infra.objects.door.app import App
from infra.objects.door.files import Files
from infra.objects.door.service import Service
from infra.objects.door.store import Store

THREADS = 16


class Door:
    """An open door over ``folder``; ``close`` it when the server has stopped.

    Args:
        folder: where everything is kept; made if missing. One process at a time may open it.
        keys: access key -> secret key of everybody who may do everything.
        region: the name of the region, as buckets and records tell it.
        notify: whether new buckets tell the target ``lake`` of every object created or removed.
        targets: further names that bucket notifications may go to (``arn:sluice:sns:::NAME``), with their URLs.

    Raises:
        RuntimeError: another process has the folder open.

    """

    def __init__(
        self,
        folder: Path,
        keys: Mapping[str, str],
        region: str = "us-east-1",
        notify: bool = True,
        targets: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder / "lock")
        self._store = Store(folder / "door.sqlite", Files(folder / "content"), _rules(notify))
        self._threads = ThreadPoolExecutor(THREADS, "door")
        self._closed = threading.Event()
        host_id = sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        service = Service(self._store, self._store.files, self._threads, region, host_id, dict(targets or {}))
        self.app = App(service, keys)

    def pending(self, limit: int = 100, target: str = "") -> list[tuple[int, str, dict[str, Any]]]:
        """The outbox, oldest first: sequence, target and record of at most ``limit`` notifications, of one target if given."""
        where, values = ("WHERE target = ?", (target,)) if target else ("", ())
        with self._store.pool.reading() as connection:
            rows = connection.execute(
                f"SELECT sequence, target, record FROM outbox {where} ORDER BY sequence LIMIT ?",  # noqa: S608
                (*values, limit),
            )
            return [(row["sequence"], row["target"], msgspec.json.decode(row["record"])) for row in rows]

    def backlog(self) -> int:
        """How many notifications are in the outbox."""
        with self._store.pool.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def delivered(self, sequences: Iterable[int]) -> None:
        """Take notifications out of the outbox, durably."""
        values = [(sequence,) for sequence in sequences]
        if values:
            self._store.commit(
                lambda transaction: transaction.connection.executemany("DELETE FROM outbox WHERE sequence = ?", values)
            ).result()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until something is in the outbox (true), or ``timeout`` seconds have passed or the door closes (false)."""
        self._store.ready.clear()  # before looking: what commits after the look sets it again
        if self._closed.is_set():
            return False
        return bool(self.pending(1)) or (self._store.ready.wait(timeout) and not self._closed.is_set())

    def hang_up(self) -> None:
        """End the streams of those who listen, which would otherwise keep the server from stopping."""
        self._store.listeners.clear()

    def close(self) -> None:
        """Finish what is under way and free the folder."""
        if not self._closed.is_set():
            self._closed.set()
            self._store.ready.set()
            self._threads.shutdown()
            self._store.close()
            os.close(self._lock)


def _rules(wanted: bool) -> list[notify.Rule]:
    return notify.DEFAULT if wanted else []


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RuntimeError(f"the folder {path.parent} is open in another process; stop it or choose another folder") from error
    return descriptor
