"""PostgreSQL as the lake uses it: connections in autocommit mode, one writer that groups commits, a pool to read from.

Rows are read by column name or position, and JSON columns take and give dicts and lists, as with ``infra/sqlite.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar

import msgspec
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.postgres import types
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads

from events.errors import Retry
from infra import pool
from infra.writer import GroupWriter

Connection = psycopg.Connection[Any]
#: How long a start, and a writer whose connection was lost, waits for the server, seconds.
CONNECT_SECONDS = 10
#: What a connection ends with, and the next ones do until the server is back: that is no reason of its own.
_AWAY = re.compile(
    "Connection (refused|reset)|the database system is|server closed|terminating connection|connection is (closed|lost)"
)


class Row(tuple[Any, ...]):
    """A row, read by position or by the column's name."""

    __slots__ = ()
    places: ClassVar[dict[str, int]] = {}

    def __getitem__(self, at: Any) -> Any:
        return tuple.__getitem__(self, self.places[at] if type(at) is str else at)

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self.places)


class _Jsonb(Dumper):
    """Dicts and lists as jsonb: psycopg's own has Python's encoder for them, whatever ``set_json_dumps`` says."""

    oid = types["jsonb"].oid

    def dump(self, obj: Any) -> Buffer:
        return msgspec.json.encode(obj)


@lru_cache(1000)
def _row_type(names: tuple[str, ...]) -> type[Row]:
    return type("Row", (Row,), {"__slots__": (), "places": {name: place for place, name in enumerate(names)}})


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    return _row_type(tuple(column.name for column in cursor.description or ()))


def connect(url: str) -> Connection:
    """A connection in autocommit mode (transactions are written out) that any one thread at a time may use."""
    connection: Connection = psycopg.connect(
        url, autocommit=True, row_factory=_rows, connect_timeout=CONNECT_SECONDS, application_name="sluice"
    )
    for kind in (dict, list):
        connection.adapters.register_dumper(kind, _Jsonb)
    set_json_loads(msgspec.json.decode, connection)
    connection.execute("SET jit = off")  # to compile a question takes longer than to answer it
    return connection


def _unreachable(url: str, error: psycopg.Error) -> Retry:
    """What to tell of a server that is away: the same, however one learnt it, to be told once; other reasons are said."""
    where = conninfo_to_dict(url)
    place = f"{where.get('host', '')}:{where.get('port') or 5432}/{where.get('dbname', '')}"
    reason = "" if _AWAY.search(str(error)) else ": " + " ".join(str(error).split())
    return Retry(f"the catalogue's PostgreSQL at {place} cannot be reached now{reason}")


class PostgresWriter(GroupWriter[Connection]):
    """The thread that writes to one database. A lost connection fails what was under way, with ``Retry``; the next batch opens
    another.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url)
        super().__init__("PostgreSQL")

    def _open(self) -> Connection:
        if self._connection.closed:
            self._connection = connect(self._url)
        return self._connection

    def _undo(self) -> None:
        try:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, psycopg.Error) or not self._connection.closed:
            return error
        told = _unreachable(self._url, error)
        told.__cause__ = error
        return told

    def _end(self) -> None:
        self._connection.close()


class Pool(pool.Pool[Connection]):
    """Connections for reading; a broken one is not used again. ``Retry`` where the server cannot be reached."""

    def __init__(self, url: str) -> None:
        super().__init__(lambda: _reader(url), lambda connection: not connection.closed)
        self._url = url

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        connection: Connection | None = None
        try:
            with super().reading() as connection:
                yield connection
        except psycopg.OperationalError as error:
            if connection is None or connection.closed:
                raise _unreachable(self._url, error) from error
            raise


def _reader(url: str) -> Connection:
    connection = connect(url)
    connection.execute("SET default_transaction_read_only = on")
    return connection
