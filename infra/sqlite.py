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
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from infra.batches import batches

T = TypeVar("T")
Item = TypeVar("Item")
BUSY_SECONDS = 30.0
#: Most pieces of work in one transaction: bounds how long the first waits for the last.
GROUP = 512
#: Pages in the write-ahead log before they are copied to the database: what changes often is copied once for many commits.
CHECKPOINT_PAGES = 4096


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (transactions are written out) that any one thread at a time may use."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
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


class _Task(NamedTuple):
    """A piece of work that waits: ``work`` of the connection and the items of all neighbours with the same ``work``."""

    work: Callable[[sqlite3.Connection, list[Any]], Sequence[Any]]
    item: Any
    future: Future[Any]


class Writer:
    """The thread that writes to one database. ``submit`` a function of the connection; its future resolves after the commit."""

    def __init__(self, path: Path, steps: Sequence[str] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = connect(path)
        migrate(self._connection, steps)
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``work`` in the next transaction. An exception it raises undoes its own writes only and is the future's."""
        return self.merge(lambda connection, _: [work(connection)], None)

    def merge(self, work: Callable[[sqlite3.Connection, list[Item]], Sequence[T]], item: Item) -> Future[T]:
        """As ``submit``, for work that is cheaper for many: neighbours in the queue with the same ``work`` are one call.

        ``work`` gets the items of all of them and returns as many answers. If it raises, each item is worked on by itself.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise RuntimeError("the database is closed")
            self._queue.put(_Task(work, item, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then close the database."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        for batch in batches(self._queue, GROUP):
            self._commit([task for task in batch if task.future.set_running_or_notify_cancel()])

    def _commit(self, tasks: list[_Task]) -> None:
        connection = self._connection
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for _, group in groupby(tasks, key=attrgetter("work")):
                answers += self._work(list(group))
            connection.execute("COMMIT")
        except BaseException as error:  # nothing of the batch is on the disk
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for task in tasks:
                task.future.set_exception(error)
            return
        for future, value, failure in answers:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def _work(self, tasks: list[_Task]) -> list[tuple[Future[Any], Any, BaseException | None]]:
        """Run tasks of the same work; an answer or a failure for each."""
        connection = self._connection
        connection.execute("SAVEPOINT work")
        try:
            values = tasks[0].work(connection, [task.item for task in tasks])
            answers: list[tuple[Future[Any], Any, BaseException | None]] = [
                (task.future, value, None) for task, value in zip(tasks, values, strict=True)
            ]
        except Exception as error:
            connection.execute("ROLLBACK TO work")
            if len(tasks) > 1:  # one's failure is its own
                answers = [answer for task in tasks for answer in self._work([task])]
            else:
                answers = [(tasks[0].future, None, error)]
        connection.execute("RELEASE work")
        return answers
