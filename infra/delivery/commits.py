"""Changes that a request makes: the effects and the events that tell of them happen together, or not at all.

Where the log is in the catalogue's own database they are one transaction. Elsewhere the events wait in the outbox, which is
that transaction's, until the log has them; what a crash left there is told at the next start, and the log knows repetitions.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from events.event import Event
from infra.catalog.database import Database
from infra.complaint import Complaint
from infra.delivery import outbox
from infra.log.stored import pack, unpack
from infra.writer import GroupWriter

T = TypeVar("T")
Work = Callable[[Database], tuple[T, Sequence[Event]]]
logger = logging.getLogger("sluice.commits")
PREFIX = "commit/"
#: How often it is looked for what another process, which died, has left.
LOOK_SECONDS = 10.0


class Commits(Protocol):
    """Runs ``work`` in a transaction with the events it returns; the future has its answer, after the commit."""

    def submit(self, work: Work[T]) -> Future[T]: ...

    def close(self) -> None: ...


class JoinedCommits:
    """The log is in the same database: ``append`` writes events to it within the transaction."""

    def __init__(
        self,
        writer: GroupWriter[Any],
        append: Callable[[Any, Sequence[Event]], int],
        told: Callable[[Sequence[Event], int], None],
    ) -> None:
        self._writer, self._append, self._told = writer, append, told

    def submit(self, work: Work[T]) -> Future[T]:
        committed: tuple[Sequence[Event], int] = (), 0

        def run(connection: Any) -> T:
            nonlocal committed
            answer, events = work(Database(connection))
            committed = events, self._append(connection, events)
            return answer

        future = self._writer.submit(run)
        future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else self._told(*committed))
        return future

    def close(self) -> None:
        pass


class OutboxCommits:
    """The log is elsewhere: a thread moves events from the outbox to it."""

    def __init__(self, writer: GroupWriter[Any], append: Callable[[Sequence[Event]], Future[int]]) -> None:
        self._writer, self._append = writer, append
        self._waiting: SimpleQueue[tuple[str, Sequence[Event]] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._trouble = Complaint(logger, "events wait in the outbox")
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        mark = f"{PREFIX}{uuid.uuid4()}"
        told: list[Event] = []

        def run(connection: Any) -> T:
            database = Database(connection)
            answer, events = work(database)
            told[:] = events
            if told:
                outbox.add(database, mark, [pack(event) for event in told])
            return answer

        future = self._writer.submit(run)
        future.add_done_callback(
            lambda done: None if done.cancelled() or done.exception() or not told else self._waiting.put((mark, told))
        )
        return future

    def close(self) -> None:
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        look = True
        while True:
            try:
                if look:
                    self._leftovers()
                    look = False
                    self._trouble.over()
                item = self._waiting.get(timeout=LOOK_SECONDS)
                if item is None:
                    return
                self._publish(*item)
            except Empty:
                look = True
            except Exception as error:  # it stays in the outbox
                self._trouble.tell(error)
                look = True
                if self._closing.wait(1.0):
                    return

    def _leftovers(self) -> None:
        def read(connection: Any) -> list[tuple[str, list[str]]]:
            return outbox.unpublished(Database(connection), PREFIX)

        while left := self._writer.submit(read).result():
            for mark, bodies in left:
                self._publish(mark, [unpack(body.encode()) for body in bodies])

    def _publish(self, mark: str, events: Sequence[Event]) -> None:
        self._append(events).result()
        self._writer.submit(lambda connection: outbox.tidy(Database(connection), [mark])).result()
