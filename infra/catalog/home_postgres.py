"""A catalogue in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import OperationalError

from infra import postgres
from infra.catalog.database import Database
from infra.catalog.home import Home
from infra.catalog.migrations import upgrade
from infra.config import ConfigError


class PostgresHome(Home):
    """A PostgreSQL database, which several lakes may share."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            upgrade(self.connect)
        except OperationalError as error:
            raise ConfigError(f"catalog.url: the catalogue cannot be reached: {error}") from error
        self.writer = postgres.PostgresWriter(url)
        self._pool = postgres.Pool(url)

    def connect(self) -> Any:
        return postgres.connect(self._url)

    @contextmanager
    def reading(self) -> Iterator[Database]:
        with self._pool.reading() as connection:
            yield Database(connection)

    def close(self) -> None:
        self.writer.close()
        self._pool.close()
