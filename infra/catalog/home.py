"""Where the catalogue lives: in the lake's own SQLite database, or elsewhere (``home_postgres``)."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from infra import sqlite as files
from infra.catalog.database import Database
from infra.catalog.migrations import upgrade
from infra.catalog.query.functions import install
from infra.writer import GroupWriter

#: A million rows and their indexes do not fit into the 2 MB of memory that SQLite takes unless told; a commit appends to the
#: write-ahead log, which is copied into the database every 80 MB.
SETTINGS = ("cache_size=-65536", "mmap_size=2147483648", "wal_autocheckpoint=20000")


def open_sqlite(path: Path) -> sqlite3.Connection:
    """A connection to a SQLite database that has, or will have, a catalogue."""
    connection = files.connect(path)
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    install(connection)
    return connection


class Home:
    """A catalogue's database, brought forward to the present tables when it is opened. ``writer`` writes to it."""

    writer: GroupWriter[Any]

    @abstractmethod
    def connect(self) -> Any:
        """A raw connection of one's own, in autocommit mode."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Database]:
        """A database to read from, from a pool."""

    @contextmanager
    def trial(self) -> Iterator[Database]:
        """A database in which everything that is written is undone at the end."""
        connection = self.connect()
        try:
            connection.execute(self.writer.begin)
            yield Database(connection)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    @abstractmethod
    def close(self) -> None:
        """Finish what was submitted, close what was opened."""


class SqliteHome(Home):
    """The database of the lake: its writer and its pool are the lake's, who also closes them."""

    def __init__(
        self, path: Path, writer: GroupWriter[Any], reading: Callable[[], AbstractContextManager[sqlite3.Connection]]
    ) -> None:
        self._path, self.writer, self._reading = path, writer, reading
        upgrade(self.connect)

    def connect(self) -> Any:
        return open_sqlite(self._path)

    @contextmanager
    def reading(self) -> Iterator[Database]:
        with self._reading() as connection:
            yield Database(connection)

    def close(self) -> None:
        pass
