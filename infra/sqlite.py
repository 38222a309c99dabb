"""SQLite as every embedded store here uses it: write-ahead log, durable commits, and one writer that groups them.

A commit with ``synchronous=FULL`` costs one disk flush, whatever it holds. ``Writer`` therefore runs the work of all who
wait in one transaction and answers them only once it is on the disk: durable for each, at the price of one flush for all.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from infra.batches import batches

T = TypeVar("T")
BUSY_SECONDS = 30.0
#: Most pieces of work in one transaction: bounds how long the first waits for the last.
GROUP = 512


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (transactions are written out) that any one thread at a time may use."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Bring a database's schema up to ``steps`` (SQL scripts, oldest first, never edited once released).

    How many have run is kept in the database itself (``user_version``); each runs in a transaction of its own.
    """
    while True:
        done = connection.execute("PRAGMA user_version").fetchone()[0]
        if done >= len(steps):
            return
        script = f"BEGIN IMMEDIATE; {steps[done]}; PRAGMA user_version={done + 1}; COMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if connection.execute("PRAGMA user_version").fetchone()[0] == done:  # no other process was quicker
                raise


class Writer:
    """The thread that writes to one database. ``submit`` a function of the connection; its future resolves after the commit."""

    def __init__(self, path: Path, steps: Sequence[str] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = connect(path)
        migrate(self._connection, steps)
        self._queue: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``work`` in the next transaction. An exception it raises undoes its own writes only and is the future's."""
        if self._closed:
            raise RuntimeError("the database is closed")
        future: Future[T] = Future()
        self._queue.put((work, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then close the database."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            self._connection.close()

    def _run(self) -> None:
        for batch in batches(self._queue, GROUP):
            self._commit(batch)

    def _commit(self, batch: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]]) -> None:
        connection = self._connection
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in batch:
                if not future.set_running_or_notify_cancel():
                    continue  # who asked has gone, before anything was done
                connection.execute("SAVEPOINT one")
                try:
                    answers.append((future, work(connection), None))
                except Exception as error:  # this one's failure is its own
                    connection.execute("ROLLBACK TO one")
                    answers.append((future, None, error))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except BaseException as error:  # nothing of the batch is on the disk
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for _, future in batch:
                if future.running() or future.set_running_or_notify_cancel():
                    future.set_exception(error)
            return
        for future, value, failure in answers:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)
