"""PostgreSQL as the lake uses it: connections in autocommit mode, one writer that groups commits, a pool to read from.

Rows are read by column name or position, and JSON columns take and give dicts and lists, as with ``infra/sqlite.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import msgspec
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.postgres import types
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads

from events.errors import Retry
from infra import pool
from infra.writer import GroupWriter

Connection = psycopg.Connection[Any]
#: How long a start, and a writer whose connection was lost, waits for the server, seconds.
CONNECT_SECONDS = 10


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


class PostgresWriter(GroupWriter[Connection]):
    """The thread that writes to one database. A lost connection fails what was under way; the next batch opens another."""

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

    def _end(self) -> None:
        self._connection.close()


class Pool(pool.Pool[Connection]):
    """Connections for reading; a broken one is not used again. ``Retry`` where the server cannot be reached."""

    def __init__(self, url: str) -> None:
        super().__init__(lambda: _reader(url), lambda connection: not connection.closed)


def _reader(url: str) -> Connection:
    try:
        connection = connect(url)
    except psycopg.OperationalError as error:
        raise Retry(f"the catalogue's PostgreSQL cannot be reached now: {error}") from error
    connection.execute("SET default_transaction_read_only = on")
    return connection
