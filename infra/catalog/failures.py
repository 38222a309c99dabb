"""How what a binding asked for failed last. It is shown beside the binding: not everybody who sees that may see the object."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import bindparam, select, update

from infra.access.visible import visible
from infra.catalog import times
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.schema import binding

_FIND = select(binding.c.failure).where(binding.c.id == bindparam("id_"))
_WRITE = update(binding).where(binding.c.id == bindparam("id_")).values(failure=bindparam("failure"))


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The cause, the id of the object, and when."""

    cause: str
    object: str
    at: str


def record(database: Database, id: str, object: str, cause: str) -> None:
    """A binding has failed for an object. It stays the revision that it is: nobody has changed it."""
    failure = Failure(cause=cause, object=object, at=times.text(time.time_ns() // 1_000_000))
    database.run(_WRITE, {"id_": id, "failure": msgspec.to_builtins(failure)})


def last(database: Database, id: str, caller: Caller) -> Failure | None:
    """The last failure of a binding that the caller may view, if it may view the object too."""
    row = database.row(_FIND, {"id_": id})
    if row is None or row[0] is None:
        return None
    found = msgspec.convert(row[0], Failure)
    return found if visible(database, [found.object], caller) else None
