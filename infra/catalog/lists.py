"""The distinct access lists in the database: resources carry a list's number, and a query joins by it."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from sqlalchemy import bindparam, select

from events.ports import NotFound
from infra.catalog.acl import Acl
from infra.catalog.database import Database, Upsert
from infra.catalog.schema import acl, acl_view

_FIND = select(acl.c.id).where(acl.c.body == bindparam("body"))
_READ = select(acl.c.body).where(acl.c.id == bindparam("id"))
_ADD = Upsert(lambda insert: insert(acl).values(body=bindparam("body")).on_conflict_do_nothing())
_VIEW = Upsert(lambda insert: insert(acl_view).on_conflict_do_nothing())


def number(database: Database, wanted: Acl) -> int:
    """The number of a list, stored if nobody has used it before."""
    body = wanted.canonical()
    row = database.row(_FIND, {"body": body})
    if row is None:
        database.run(_ADD, {"body": body})
        row = database.row(_FIND, {"body": body})
        views = [{"principal": principal, "acl": row[0]} for principal in sorted(wanted.who("view"))]
        database.many(_VIEW, views)
    found: int = row[0]
    return found


def read(database: Database, id: int) -> Acl:
    """The list of a number."""
    row = database.row(_READ, {"id": id})
    if row is None:
        raise NotFound(f"there is no access list {id}")
    return _parsed(row[0])


@lru_cache(4096)
def _parsed(body: str) -> Acl:
    return msgspec.json.decode(body, type=Acl)
