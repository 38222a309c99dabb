"""The log of memberships, read: the members of a data set now or at any time before, and what has changed behind a cursor.

Everybody is shown the members that they may view, by the list they had then and by the one they have now.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select

from events.errors import Reject
from events.ports import NotFound
from infra.catalog import times
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.schema import acl_view, data_object, data_record, data_set, membership

_l, _o, _r = membership.c, data_object.c, data_record.c
_later = membership.alias("later")
_NUMBER = select(data_set.c.n, data_set.c.acl).where(data_set.c.id == bindparam("id_"))
_SEEN = (
    select(
        _l.cursor, _l.change, _l.resource, _l.grp, _l.at, _l.acl,
        _o.bucket, _o.key, _o.acl.label("object_acl"), _r.acl.label("record_acl"),
    )
    .select_from(membership.outerjoin(data_object, _o.id == _l.resource).outerjoin(data_record, _r.id == _l.resource))
    .where(_l.data_set == bindparam("n_"), _l.cursor > bindparam("after"))
    .order_by(_l.cursor)
    .limit(bindparam("limit"))
)  # fmt: skip
_left = (
    select(_later.c.cursor)
    .where(_later.c.resource == _l.resource, _later.c.data_set == bindparam("n_"))
    .where(_later.c.cursor > _l.cursor, _later.c.cursor <= bindparam("upto"))
)
_THERE = _SEEN.where(_l.change == "added", _l.cursor <= bindparam("upto"), ~_left.exists())


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member came (``added``) or went (``removed``). ``bucket`` and ``key`` are an object's."""

    cursor: int
    change: str
    resource: str
    at: str
    bucket: str = ""
    key: str = ""
    group: str = ""


class Membership:
    """The log of one data set, for one caller. Raises ``NotFound`` where there is none that the caller may view."""

    def __init__(self, database: Database, id: str, caller: Caller) -> None:
        self._database, self._caller = database, caller
        self._mine: set[int] = set()
        if not caller.admin:
            asked = select(acl_view.c.acl).where(acl_view.c.principal.in_(sorted(caller.principals)))
            self._mine = {row[0] for row in database.rows(asked)}
        row = database.row(_NUMBER, {"id_": id})
        if row is None or not self._sees(row["acl"]):
            raise NotFound(f"there is no {id}")
        self._n: int = row["n"]

    def cursor(self, as_of: str = "") -> int:
        """The last cursor at a time (RFC 3339), or now; a cursor is itself."""
        if as_of.isascii() and as_of.isdigit() and len(as_of) < 19:
            return int(as_of)
        if as_of and times.ms(as_of) is None:
            raise Reject(f"as-of: {as_of[:60]!r} is neither a cursor nor a time such as 2026-03-01T12:00:00Z")
        statement = select(func.max(_l.cursor)).where(_l.data_set == self._n)
        if as_of:
            statement = statement.where(_l.at <= times.ms(as_of))
        if not self._caller.admin:  # the last that it may know of
            statement = statement.where(_l.acl.in_(self._mine))
        return self._database.row(statement)[0] or 0

    def changes(self, after: int, limit: int) -> tuple[int, list[Change]]:
        """What has changed behind a cursor, and the cursor of the last change that was looked at."""
        return self._read(_SEEN, {"n_": self._n, "after": after, "limit": limit}, after)

    def members(self, upto: int, after: int, limit: int) -> tuple[int, list[Change]]:
        """Who was a member at the cursor ``upto``, in the order they came, behind the cursor ``after``."""
        return self._read(_THERE, {"n_": self._n, "after": after, "limit": limit, "upto": upto}, after)

    def _read(self, statement: Any, values: dict[str, Any], after: int) -> tuple[int, list[Change]]:
        found = self._database.rows(statement, values)
        shown = [_change(row) for row in found if self._may_see(row)]
        return found[-1]["cursor"] if found else after, shown

    def _may_see(self, row: Any) -> bool:
        return all(self._sees(row[name]) for name in ("acl", "object_acl", "record_acl") if row[name] is not None)

    def _sees(self, acl: int) -> bool:
        return self._caller.admin or acl in self._mine


def _change(row: Any) -> Change:
    return Change(
        cursor=row["cursor"],
        change=row["change"],
        resource=row["resource"],
        at=times.text(row["at"]),
        bucket=row["bucket"] or "",
        key=row["key"] or "",
        group=row["grp"],
    )
