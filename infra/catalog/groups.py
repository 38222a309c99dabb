"""The groups of a data set: how many members each has, and when one is complete, which is told once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from events.errors import Reject
from events.types import DatasetCompleted
from infra.catalog import rows, schema
from infra.catalog.acl import Acl
from infra.catalog.database import Database, Upsert
from infra.catalog.query import bind, fields_of
from infra.catalog.query.match import getter
from infra.catalog.query.numbers import plain
from infra.catalog.resources import Completeness, DataSet
from infra.catalog.schema import grouping, member

#: The group of a member that is still to be counted. No value of a resource is it.
UNGROUPED = "\x01"
_g, _m = grouping.c, member.c
_THIS = (_g.data_set == bindparam("set_"), _g.grp == bindparam("grp_"))


def _more(insert: Any) -> Any:
    made = insert(grouping).values(data_set=bindparam("set_"), grp=bindparam("grp_"), count=1, last=bindparam("at"))
    new = {"count": _g.count + 1, "last": made.excluded.last}
    return made.on_conflict_do_update(index_elements=[_g.data_set, _g.grp], set_=new)


_JOIN = Upsert(_more)
_LEAVE = update(grouping).where(*_THIS, _g.count > 0).values(count=_g.count - 1)
_READ = select(_g.count, _g.last, _g.completed).where(*_THIS)
_COMPLETE = update(grouping).where(*_THIS, _g.completed.is_(None)).values(completed=bindparam("at"))
_FORGET = delete(grouping).where(_g.data_set == bindparam("set_"))
_DROP_OPEN = delete(grouping).where(_g.data_set == bindparam("set_"), _g.completed.is_(None))
_EMPTY = update(grouping).where(_g.data_set == bindparam("set_")).values(count=0)
_UNGROUP = update(member).where(_m.data_set == bindparam("set_")).values(grp=UNGROUPED)
_CURSOR = select(func.max(_m.cursor)).where(_m.data_set == bindparam("set_"), _m.grp == bindparam("grp_"))
_QUIET = (
    select(_g.grp)
    .where(_g.data_set == bindparam("set_"), _g.completed.is_(None), _g.count > 0, _g.last <= bindparam("before"))
    .order_by(_g.grp)
    .limit(bindparam("limit"))
)


class SetHead(msgspec.Struct, frozen=True):
    """What membership needs of a data set besides its filters."""

    n: int
    id: str
    complete: Completeness | None


class Groups:
    """The groups of all data sets, in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, head: SetHead, kind: str, document: dict[str, Any]) -> str | None:
        """The group that a resource belongs to; ``None`` if it has no value there, or the data set no groups."""
        if head.complete is None:
            return None
        return value_at(kind, head.complete.group_by, document) if head.complete.group_by else ""

    def joined(self, head: SetHead, grp: str, kind: str, document: dict[str, Any], at: int) -> DatasetCompleted | None:
        """A member has come (it is in ``member`` already); what that completes."""
        wanted = head.complete
        if wanted is None:
            return None
        values = {"set_": head.n, "grp_": grp}
        self._database.run(_JOIN, {**values, "at": at})
        found = self._database.row(_READ, values)
        if found["completed"] is not None:
            return None
        if wanted.count and found["count"] >= wanted.count:
            return self._completed(head, grp, "count", at)
        if wanted.members and found["count"] >= len(set(wanted.members)):
            named = value_at(kind, wanted.member_by, document)
            if named in wanted.members and self._names(head.n, grp, wanted) >= set(wanted.members):
                return self._completed(head, grp, "members", at)
        return None

    def left(self, head: SetHead, grp: str) -> None:
        """A member has gone."""
        if head.complete is not None and (grp or not head.complete.group_by):
            self._database.run(_LEAVE, {"set_": head.n, "grp_": grp})

    def begin_anew(self, n: int) -> None:
        """What makes groups of a data set complete has changed: its scan counts anew. What was told stays told."""
        self._database.run(_DROP_OPEN, {"set_": n})
        self._database.run(_EMPTY, {"set_": n})
        self._database.run(_UNGROUP, {"set_": n})

    def quiet(self, head: SetHead, present: int, limit: int = 100) -> list[DatasetCompleted]:
        """The groups that nobody has joined for long enough, of a data set that asks for that."""
        if head.complete is None or not head.complete.quiet_s:
            return []
        before = present - round(head.complete.quiet_s * 1000)
        found = self._database.rows(_QUIET, {"set_": head.n, "before": before, "limit": limit})
        told = [self._completed(head, row[0], "quiet", present) for row in found]
        return [each for each in told if each is not None]

    def forget(self, n: int) -> None:
        """A data set has gone."""
        self._database.run(_FORGET, {"set_": n})

    def _completed(self, head: SetHead, grp: str, reason: str, at: int) -> DatasetCompleted | None:
        values = {"set_": head.n, "grp_": grp}
        if not self._database.run(_COMPLETE, {**values, "at": at}):
            return None
        count, cursor = self._database.row(_READ, values)["count"], self._database.row(_CURSOR, values)[0]
        return DatasetCompleted(dataset=head.id, group=grp, reason=reason, count=count, cursor=cursor or 0)

    def _names(self, n: int, grp: str, complete: Completeness) -> set[str | None]:
        """Which of the wanted names the members of a group have."""
        found: set[str | None] = set()
        path = complete.member_by
        for kind in ("data-object", "data-record"):
            table = schema.KINDS[kind]
            ours = select(_m.resource).where(_m.data_set == n, _m.grp == grp)
            named = bind(_named(complete, kind), fields_of(kind))
            asked = select(*rows.columns(kind)).where(table.c.id.in_(ours), named.expression(table, self._database.dialect))
            for row in self._database.rows(asked):
                found.add(value_at(kind, path, msgspec.to_builtins(rows.resource(kind, row, Acl()))))
        return found


def value_at(kind: str, path: str, document: dict[str, Any]) -> str | None:
    """The value at a path of a resource's JSON as text; ``None`` if there is none, an empty one, or more than one value.

    Numbers that are equal to a filter are one text: 3 and 3.0 are ``3``.
    """
    value = getter(fields_of(kind).find(path), "any")(document)
    if value is None or isinstance(value, list | dict) or value in ("", UNGROUPED):
        return None
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value if isinstance(value, bool) else plain(value)).decode()


def check(wanted: DataSet) -> None:
    """Raises ``Reject`` for a completeness that can never come, or names what no member can have."""
    complete = wanted.complete
    if complete is None:
        return
    if complete.count < 0 or complete.quiet_s < 0 or not (complete.count or complete.members or complete.quiet_s):
        raise Reject("complete: say when a group is: count (of members), members (their names) or quiet-s (seconds)")
    filters = {"data-object": wanted.object_filter, "data-record": wanted.record_filter}
    for kind in (kind for kind, filter in filters.items() if filter is not None):
        for path in filter_paths(complete):
            if (type_ := fields_of(kind).find(path).type) in ("array", "geometry", "json"):
                raise Reject(f"complete: {path!r} is {type_}, and no single value that could name a group or a member")
        if complete.members:
            bind(_named(complete, kind), fields_of(kind))


def _named(complete: Completeness, kind: str) -> dict[str, Any]:
    """A filter for the members with one of the names, which may be the texts of numbers, or of true and false."""
    name, type_ = {"property": complete.member_by}, fields_of(kind).find(complete.member_by).type
    texts: dict[str, Any] = {"op": "in", "args": [name, complete.members]}
    others: list[Any] = []
    for each in complete.members:
        with suppress(msgspec.DecodeError):
            if isinstance(other := msgspec.json.decode(each), int | float):
                others.append({"op": "=", "args": [name, other]})
    if type_ not in ("any", "integer") or not others:
        return texts
    return {"op": "or", "args": others if type_ == "integer" else [texts, *others]}


def filter_paths(complete: Completeness) -> list[str]:
    """The names that a completeness reads."""
    return [path for path in (complete.group_by, complete.member_by if complete.members else "") if path]
