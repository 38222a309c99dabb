"""The history of the catalogue's tables: every database is brought forward from whatever it is when a lake starts on it.

One file in ``versions/`` is one step, never changed once released. All steps run in one transaction: a start that dies halfway
leaves the database as it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.catalog.query.functions import POSTGRESQL
from infra.config import ConfigError

#: The newest step. A database that has it needs no look at the others.
HEAD = "0010"
#: Two lakes that start at the same time do so one after the other.
LOCK = "SELECT pg_advisory_xact_lock(7355608)"
_FOLDER = Path(__file__).parent


def upgrade(connect: Callable[[], Any], to: str = HEAD) -> bool:
    """Bring the database forward; whether there was anything to do. ``connect`` opens a raw connection in autocommit mode."""
    connection = connect()
    sqlite = isinstance(connection, sqlite3.Connection)
    try:
        if not sqlite:
            with connection.transaction():
                connection.execute(LOCK)
                connection.execute(POSTGRESQL)
        found = _revision(connection, sqlite)
        if found == to:
            return False
        if found is not None and found > HEAD:
            raise ConfigError(
                f"the catalogue was written by a newer version (step {found}, this one knows {HEAD}): start that one"
            )
    finally:
        connection.close()
    from alembic import command  # here: it takes a quarter of a second, and most starts need none of it
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://" if sqlite else "postgresql+psycopg://", creator=connect, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    with engine.connect() as opened, opened.begin():
        opened.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")  # raw connections are in autocommit mode
        if not sqlite:
            opened.exec_driver_sql(LOCK)
        config.attributes["connection"] = opened
        command.upgrade(config, to)
    engine.dispose()
    return True


def _revision(connection: Any, sqlite: bool) -> str | None:
    there = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'" if sqlite else "SELECT to_regclass('alembic_version')"
    row = connection.execute(there).fetchone()
    if row is None or row[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])
