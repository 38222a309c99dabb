"""The versions of the ontology in the lake's database; the newest is the active one, before any it is the built-in one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, bindparam, func, insert, select

from events.types import OntologyChecked, Triple
from functions.ontologies.reading import builtin, builtin_inferred
from infra.catalog.database import Database

_columns: list[Column[Any]] = [Column("bucket", Text), Column("key", Text), Column("etag", Text), Column("body", LargeBinary)]
_table = Table("ontology", MetaData(), Column("version", BigInteger, primary_key=True), *_columns)
_c = _table.c
_LAST = select(func.max(_c.version).label("version"))
_LATEST = select(_c.version, _c.etag).order_by(_c.version.desc()).limit(1)
_BODY = select(_c.body).where(_c.version == bindparam("v"))
_ADD = insert(_table).values(
    version=bindparam("v"), bucket=bindparam("b"), key=bindparam("k"), etag=bindparam("e"), body=bindparam("body")
)
#: How long another process may go on with the version before, in seconds.
LOOK_S = 0.5


class StoredOntologies:
    """The ``Ontologies`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def activate(self, checked: OntologyChecked) -> int:
        self._database.one_by_one("ontology")
        version: int = (self._database.row(_LAST)["version"] or 0) + 1
        body = msgspec.json.encode((checked.triples, checked.inferred))
        values = {"v": version, "b": checked.bucket, "k": checked.key, "e": checked.etag, "body": body}
        self._database.run(_ADD, values)
        return version


class ActiveTriples:
    """Gives the triples of the active ontology, the same object while it is active; ``parts``: asserted, and inferred."""

    def __init__(self, database: Callable[[], AbstractContextManager[Database]]) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._known: tuple[int, str] | None = None
        self.parts: tuple[Sequence[Triple], Sequence[Triple]] = ((), ())
        self._whole: Sequence[Triple] = ()

    def __call__(self, within: Database | None = None) -> Sequence[Triple]:
        """All of them; ``within`` a transaction those that hold there, else those of at most ``LOOK_S`` ago."""
        with self._lock:
            if within is not None:
                self._look(within)
            elif time.monotonic() - self._looked > LOOK_S:
                with self._database() as database:
                    self._look(database)
                self._looked = time.monotonic()
            return self._whole

    def _look(self, database: Database) -> None:
        row = database.row(_LATEST)
        latest = (0, "") if row is None else (row["version"], row["etag"])  # a number that was undone comes again
        if latest == self._known:
            return
        if version := latest[0]:
            body = bytes(database.row(_BODY, {"v": version})["body"])
            self.parts = msgspec.json.decode(body, type=tuple[list[Triple], list[Triple]])
        else:
            self.parts = builtin(), builtin_inferred()
        self._known, self._whole = latest, (*self.parts[0], *self.parts[1])
