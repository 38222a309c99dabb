"""One thread that writes to a database for all: what waits is committed together.

A durable commit costs one disk flush, whatever it holds. The writer therefore runs the work of all who wait in one transaction
and answers them only once it is on the disk: durable for each, at the price of one flush for all.
"""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from infra.batches import batches

C = TypeVar("C")
T = TypeVar("T")
Item = TypeVar("Item")
#: Most pieces of work in one transaction: bounds how long the first waits for the last.
GROUP = 512
#: The future of each piece of work, its answer, or its failure.
Answers = list[tuple[Future[Any], Any, BaseException | None]]


class _Task(NamedTuple):
    """A piece of work that waits: ``work`` of the connection and the items of all neighbours with the same ``work``."""

    work: Callable[[Any, list[Any]], Sequence[Any]]
    item: Any
    future: Future[Any]


class GroupWriter(Generic[C]):
    """``submit`` a function of the connection; its future resolves after the commit."""

    #: How a transaction begins.
    begin = "BEGIN"

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"writer of {name}", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[C], T]) -> Future[T]:
        """Run ``work`` in the next transaction. An exception it raises undoes its own writes only and is the future's."""
        return self.merge(lambda connection, _: [work(connection)], None)

    def merge(self, work: Callable[[C, list[Item]], Sequence[T]], item: Item) -> Future[T]:
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
        self._end()

    @abstractmethod
    def _open(self) -> Any:
        """The connection, in autocommit mode, opened anew if it was lost."""

    @abstractmethod
    def _undo(self) -> None:
        """Leave the transaction that failed, if it is still open."""

    def _explained(self, error: BaseException) -> BaseException:
        """What to tell who waits of an error of the database."""
        return error

    @abstractmethod
    def _end(self) -> None:
        """Close the connection."""

    def _run(self) -> None:
        for batch in batches(self._queue, GROUP):
            self._commit([task for task in batch if task.future.set_running_or_notify_cancel()])

    def _commit(self, tasks: list[_Task]) -> None:
        answers: Answers = []
        try:
            connection = self._open()
            connection.execute(self.begin)
            if len(tasks) == 1:  # the transaction is its own; for a savepoint SQLite would write down every page it changes
                (task,) = tasks
                answers.append((task.future, task.work(connection, [task.item])[0], None))
            else:
                for _, group in groupby(tasks, key=attrgetter("work")):
                    answers += _work(connection, list(group))
            connection.execute("COMMIT")
        except BaseException as error:  # nothing of the batch is on the disk
            self._undo()
            error = self._explained(error)
            for task in tasks:
                task.future.set_exception(error)
            return
        for future, value, failure in answers:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(self._explained(failure))


def _work(connection: Any, tasks: list[_Task]) -> Answers:
    """Run tasks of the same work; an answer or a failure for each."""
    connection.execute("SAVEPOINT one")
    try:
        values = tasks[0].work(connection, [task.item for task in tasks])
        answers: Answers = [(task.future, value, None) for task, value in zip(tasks, values, strict=True)]
    except Exception as error:
        connection.execute("ROLLBACK TO one")
        if len(tasks) > 1:  # one's failure is its own
            answers = [answer for task in tasks for answer in _work(connection, [task])]
        else:
            answers = [(tasks[0].future, None, error)]
    connection.execute("RELEASE one")
    return answers
