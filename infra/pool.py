"""Connections to a database for reading, as many as are asked for at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar


class Connection(Protocol):
    """What a pool needs to know of a connection."""

    def close(self) -> Any:
        """Free it."""


C = TypeVar("C", bound=Connection)


class Pool(Generic[C]):
    """Connections, each used by one thread at a time.

    To close one that another thread uses would end the process (SQLite's library reads freed memory): such a one is closed when
    it is given back.

    Args:
        open: opens one.
        usable: whether one that was used may be used again.

    """

    def __init__(self, open: Callable[[], C], usable: Callable[[C], bool] = lambda connection: True) -> None:
        self._open, self._usable = open, usable
        self._idle: SimpleQueue[C] = SimpleQueue()
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[C]:
        """One of them, for the time of the ``with``."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._open()
        try:
            yield connection
        finally:
            if self._usable(connection):
                self._idle.put(connection)
            else:
                connection.close()
            if self._closed:
                self._drain()

    def close(self) -> None:
        """Close those that nobody uses; the others are closed when they are given back."""
        self._closed = True
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return
