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
_LATEST = select(func.max(_c.version).label("version"))
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
        version: int = (self._database.row(_LATEST)["version"] or 0) + 1
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
        self._version = -1
        self.parts: tuple[Sequence[Triple], Sequence[Triple]] = ((), ())
        self._whole: Sequence[Triple] = ()

    def __call__(self) -> Sequence[Triple]:
        """All of them."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_S:
                with self._database() as database:
                    self._look(database)
                self._looked = time.monotonic()
            return self._whole

    def _look(self, database: Database) -> None:
        version = database.row(_LATEST)["version"] or 0
        if version == self._version:
            return
        if version:
            body = bytes(database.row(_BODY, {"v": version})["body"])
            self.parts = msgspec.json.decode(body, type=tuple[list[Triple], list[Triple]])
        else:
            self.parts = builtin(), builtin_inferred()
        self._version, self._whole = version, (*self.parts[0], *self.parts[1])
