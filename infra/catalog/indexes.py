"""Indexes on open attributes, built for declared keys while the service goes on.

PostgreSQL builds them beside the writers (``CONCURRENTLY``), on a connection of their own. SQLite has one writer, which waits
for the few seconds that a million rows take. Whether a key has its index shows in ``Key.index``; an interrupted build is begun
again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import Any

from sqlalchemy import bindparam, select, update

from infra.catalog.database import Database
from infra.catalog.home import Home
from infra.catalog.query.fields import KEY_TYPES, fields_of
from infra.catalog.query.sql import key_ddl
from infra.catalog.schema import KINDS, key

PREFIX = "declared_"
logger = logging.getLogger("sluice.catalog")
_c = key.c
_KEYS = select(_c.id, _c.key, _c.kind, _c.type, _c.queryable, _c.index)
_THERE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND name GLOB 'declared_*'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'declared\\_%' AND schemaname = current_schema()",
}
_TOLD = update(key).where(_c.id == bindparam("id_")).values(index=bindparam("index"), revision=_c.revision + 1)
_PROGRESS = """
SELECT CASE WHEN blocks_total > 0 THEN blocks_done::float8 / blocks_total
            WHEN tuples_total > 0 THEN tuples_done::float8 / tuples_total ELSE 0 END
 FROM pg_stat_progress_create_index WHERE index_relid = to_regclass(%(name)s)
"""


def name_of(kind: str, path: str, type_: str) -> str:
    """An index's name: the same for the same key, and short enough for both databases."""
    made = f"{type_}, exact" if type_ == "number" else type_  # they were of doubles once
    return f"{PREFIX}{hashlib.blake2b(f'{kind}/{path}/{made}'.encode(), digest_size=10).hexdigest()}"


class Indexes:
    """Builds what is declared, drops what no longer is. ``step`` does all there is to do and is safe to repeat."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()

    def step(self) -> int:
        """How many indexes were built or dropped."""
        with self._lock:
            with self._home.reading() as database:
                keys = database.rows(_KEYS)
                there = {row[0] for row in database.rows(_THERE[database.dialect])}
            wanted = {name_of(kind, path, type_) for _, path, kind, type_, queryable, _ in keys if queryable}
            for name in there - wanted:
                self._alone(lambda database, name=name: database.connection.execute(f"DROP INDEX IF EXISTS {name}"), name)
            done = len(there - wanted)
            for id, path, kind, type_, queryable, index in keys:
                if queryable and (index != "ready" or name_of(kind, path, type_) not in there):
                    done += self._bring(id, path, kind, type_)
                elif not queryable and index != "none":
                    self._tell(id, "none")
            return done

    def progress(self, kind: str, path: str, type_: str) -> float:
        """How far a build is, from 0 to 1; 0 where the database does not tell."""
        with self._home.reading() as database:
            if database.dialect == "sqlite":
                return 0.0
            row = database.row(_PROGRESS, {"name": name_of(kind, path, type_)})
        return float(row[0]) if row else 0.0

    def _bring(self, id: str, path: str, kind: str, type_: str) -> bool:
        name = name_of(kind, path, type_)
        self._tell(id, "building")
        try:
            self._alone(lambda database: self._build(database, name, path, kind, type_), name)
        except Exception:
            logger.exception("the index on %s of %s could not be built", path, kind)
            self._tell(id, "failed")
            return False
        self._tell(id, "ready")
        return True

    def _build(self, database: Database, name: str, path: str, kind: str, type_: str) -> None:
        table = KINDS[kind].name
        column = key_ddl(fields_of(kind), path, KEY_TYPES[type_], database.dialect)
        if database.dialect == "sqlite":
            database.connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({column}, t, n)")
            return
        valid = database.row("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s)", {"name": name})
        if valid is not None and not valid[0]:  # a build that was interrupted
            database.connection.execute(f"DROP INDEX CONCURRENTLY {name}")
        database.connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({column}, t, n)")
        database.connection.execute(f"ANALYZE {table}")  # it has statistics of its own

    def _alone(self, work: Any, name: str) -> None:
        """In SQLite by the writer; in PostgreSQL outside any transaction, one process at a time."""
        with self._home.reading() as database:
            sqlite = database.dialect == "sqlite"
        if sqlite:
            self._home.writer.submit(lambda connection: work(Database(connection))).result()
            return
        connection = self._home.connect()
        try:
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (name,))
            work(Database(connection))
        finally:
            connection.close()

    def _tell(self, id: str, index: str) -> None:
        self._home.writer.submit(lambda connection: Database(connection).run(_TOLD, {"id_": id, "index": index})).result()
