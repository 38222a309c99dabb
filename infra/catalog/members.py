"""The ``DataSets`` port: who is a member of which data set, computed on each write.

One transaction at a time computes membership, and from what is there when it does; so the last word on a resource is that on
its last state, and cursors become visible in their order. Objects are members while they are READY.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import Integer, and_, bindparam, case, false, func, insert, literal_column, or_, select, update

from events.ports import SetChange
from events.types import DatasetMemberAdded, DatasetMemberRemoved, DatasetScanned
from infra.catalog import rows
from infra.catalog.acl import Acl
from infra.catalog.database import Database, Upsert
from infra.catalog.groups import Groups, SetHead
from infra.catalog.resources import Completeness, kind_of, object_id
from infra.catalog.schema import KINDS, data_set, member, membership
from infra.catalog.set_index import FILTERS, SetIndex, bound, number_of

#: Resources that one page of a scan looks at.
PAGE = 1000
_m, _l, _s = member.c, membership.c, data_set.c
_READ = {
    kind: select(*rows.columns(kind)).where(KINDS[kind].c.id == bindparam("id_")) for kind in FILTERS
}  # fmt: skip
_JOIN_LOG = membership.c.cursor == _m.cursor
_OF = (
    select(_m.data_set, _m.grp, _m.cursor, _l.acl)
    .join(membership, _JOIN_LOG)
    .where(_m.resource == bindparam("resource"))
)  # fmt: skip
_HEAD = select(_s.n, _s.id, _s.complete).where(_s.n == bindparam("n"))
_SET = select(_s.n, _s.id, _s.acl, _s.revision, _s.complete, _s.objects, _s.records).where(_s.id == bindparam("id_"))
_LOG = (
    insert(membership)
    .values({name: bindparam(name) for name in ("data_set", "resource", "acl", "change", "grp", "at", "cause")})
    .returning(_l.cursor)
)


def _put(insert: Any) -> Any:
    made = insert(member).values({name: bindparam(name) for name in ("data_set", "resource", "grp", "cursor")})
    new = {"grp": made.excluded.grp, "cursor": made.excluded.cursor}
    return made.on_conflict_do_update(index_elements=[_m.data_set, _m.resource], set_=new)


_PUT = Upsert(_put)
_REGROUP = (
    update(member).where(_m.data_set == bindparam("n_"), _m.resource == bindparam("resource_")).values(grp=bindparam("grp_"))
)
_DROP = member.delete().where(_m.data_set == bindparam("n_"), _m.resource == bindparam("resource_"))
_DEFINED = (
    select(_l.grp).where(_l.resource == bindparam("id_"), _l.data_set == 0).order_by(_l.cursor.desc()).limit(1)
)  # fmt: skip
_SOME = select(_m.resource).where(_m.data_set == bindparam("n_")).limit(PAGE)
_DROP_SOME = member.delete().where(_m.data_set == bindparam("n_"), _m.resource.in_(_SOME.scalar_subquery()))
_SCANNED = update(data_set).where(_s.id == bindparam("id_")).values(scanned=bindparam("scanned_"))
_UPTO: dict[str, Any] = {
    kind: select(func.max(literal_column("n"))).select_from(
        select(KINDS[kind].c.n).where(KINDS[kind].c.n > bindparam("after")).order_by(KINDS[kind].c.n).limit(PAGE).subquery()
    )
    for kind in FILTERS
}


class _Resource(msgspec.Struct, frozen=True):
    """A resource at the moment of the transaction; ``document`` is ``None`` when it can be no member."""

    id: str
    acl: int
    bucket: str = ""
    key: str = ""
    document: dict[str, Any] | None = None


class Members:
    """Over a transaction; ``index`` is the process's."""

    def __init__(self, database: Database, index: SetIndex) -> None:
        self._database, self._index, self._groups = database, index, Groups(database)
        self._present = time.time_ns() // 1_000_000

    def place_object(self, bucket: str, key: str, cause: str) -> list[SetChange]:
        return self.place(object_id(bucket, key), cause, (bucket, key))

    def place(self, resource: str, cause: str, place: tuple[str, str] = ("", "")) -> list[SetChange]:
        kind = kind_of(resource)
        if kind not in FILTERS:
            return []
        self._database.one_by_one("membership")
        row = self._database.row(_READ[kind], {"id_": resource})
        found = _Resource(resource, 0, *place) if row is None else _resource(kind, row)
        matching = self._index.match(self._database, kind, found.document) if found.document is not None else set()
        present = {row["data_set"]: row for row in self._database.rows(_OF, {"resource": resource})}
        changes: list[SetChange] = []
        for n in sorted(present.keys() | matching, key=int):
            head = self._head(n)
            wanted = n in matching and head is not None
            changes += self._settle(head or SetHead(n, "", None), found, wanted, present.get(n), cause)
        return changes

    def define(self, id: str, cause: str) -> DatasetScanned | None:
        self._database.one_by_one("membership")
        row = self._database.row(_SET, {"id_": id})
        if row is None:
            known = self._database.row(_DEFINED, {"id_": id})
            if known is None:
                return None
            self._log(0, id, 0, "dropped", known[0], cause)
            self._groups.forget(number_of(known[0]))
            return DatasetScanned(id=id, revision=0, kind="")
        known = self._database.row(_DEFINED, {"id_": id})
        definition = f"{row['n']} {msgspec.json.encode(row['complete']).decode()}"
        if known is not None and known[0] != definition:
            self._groups.begin_anew(row["n"])
        self._log(0, id, row["acl"], "defined", definition, cause)
        self._database.run(_SCANNED, {"id_": id, "scanned_": 0})
        return DatasetScanned(id=id, revision=row["revision"], kind="data-object")

    def scan(self, page: DatasetScanned, cause: str) -> tuple[list[SetChange], DatasetScanned | None]:
        self._database.one_by_one("membership")
        row = self._database.row(_SET, {"id_": page.id})
        if row is None:
            return [], page if page.kind == "" and self._forget_some(page.id) else None
        if row["revision"] != page.revision or page.kind not in FILTERS:
            return [], None  # changed since: that has a scan of its own
        upto = self._database.row(_UPTO[page.kind], {"after": page.after})[0]
        if upto is None:
            follows = "data-record" if page.kind == "data-object" else None
            if follows is None:
                self._database.run(_SCANNED, {"id_": page.id, "scanned_": None})
                return [], None
            return [], msgspec.structs.replace(page, kind=follows, after=0)
        head = _head(row)
        changes: list[SetChange] = []
        for each in self._database.rows(self._asked(page.kind, row), {"set_n": row["n"], "after": page.after, "upto": upto}):
            present = each if each["cursor"] is not None else None
            changes += self._settle(head, _resource(page.kind, each), bool(each["holds"]), present, cause)
        return changes, msgspec.structs.replace(page, after=upto)

    def _asked(self, kind: str, row: Any) -> Any:
        """What changes for a data set among some resources: those its filter is true for, and those that are in it."""
        table, ast = KINDS[kind], row[FILTERS[kind]]
        filter = None if ast is None else bound(self._database, kind, ast)
        condition: Any = false()
        if filter is not None:
            condition = filter.expression(table, self._database.dialect)
            condition = and_(table.c.state == "READY", condition) if kind == "data-object" else condition
        is_in = and_(_m.data_set == bindparam("set_n"), _m.resource == table.c.id)
        return (
            select(
                *rows.columns(kind),
                case((condition, 1), else_=0).cast(Integer).label("holds"),
                _m.cursor, _m.grp, _l.acl.label("acl_then"),
            )
            .select_from(table.outerjoin(member, is_in).outerjoin(membership, _JOIN_LOG))
            .where(table.c.n > bindparam("after"), table.c.n <= bindparam("upto"), or_(condition, _m.cursor.is_not(None)))
            .order_by(table.c.n)
        )  # fmt: skip

    def _settle(self, head: SetHead, found: _Resource, wanted: bool, present: Any, cause: str) -> list[SetChange]:
        """Let one resource be in a data set, or not."""
        kind = kind_of(found.id)
        group = self._groups.of(head, kind, found.document) if wanted and found.document is not None else None
        told: list[SetChange] = []
        if present is not None:
            then = present["acl_then"] if "acl_then" in present.keys() else present["acl"]  # noqa: SIM118 - a row, not a dict
            if wanted and then == found.acl:
                return self._regroup(head, found, present["grp"], group)
            told.append(self._leave(head, found, present["grp"], then, cause))
        if wanted:
            told += self._join(head, found, group, cause)
        return told if head.id else []

    def _join(self, head: SetHead, found: _Resource, group: str | None, cause: str) -> list[SetChange]:
        cursor = self._log(head.n, found.id, found.acl, "added", group or "", cause)
        values = {"data_set": head.n, "resource": found.id, "grp": group or "", "cursor": cursor}
        self._database.run(_PUT, values)
        told: list[SetChange] = [
            DatasetMemberAdded(
                dataset=head.id, resource=found.id, cursor=cursor, bucket=found.bucket, key=found.key, group=group or ""
            )
        ]
        if group is not None and found.document is not None:
            completed = self._groups.joined(head, group, kind_of(found.id), found.document, self._present)
            told += [completed] if completed else []
        return told

    def _regroup(self, head: SetHead, found: _Resource, before: str, group: str | None) -> list[SetChange]:
        """A member stays, and may go over to another group."""
        if before == (group or ""):
            return []
        self._database.run(_REGROUP, {"n_": head.n, "resource_": found.id, "grp_": group or ""})
        self._groups.left(head, before)
        if group is None or found.document is None:
            return []
        completed = self._groups.joined(head, group, kind_of(found.id), found.document, self._present)
        return [completed] if completed else []

    def _leave(self, head: SetHead, found: _Resource, group: str, acl: int, cause: str) -> SetChange:
        cursor = self._log(head.n, found.id, acl, "removed", group, cause)
        self._database.run(_DROP, {"n_": head.n, "resource_": found.id})
        self._groups.left(head, group)
        return DatasetMemberRemoved(
            dataset=head.id, resource=found.id, cursor=cursor, bucket=found.bucket, key=found.key, group=group
        )

    def _log(self, n: int, resource: str, acl: int, change: str, group: str, cause: str) -> int:
        values = {"data_set": n, "resource": resource, "acl": acl, "change": change, "grp": group}
        row = self._database.row(_LOG, {**values, "at": self._present, "cause": cause})
        self._database.changes += 1
        return int(row[0])

    def _head(self, n: Any) -> SetHead | None:
        row = self._database.row(_HEAD, {"n": n})
        return None if row is None else _head(row)

    def _forget_some(self, id: str) -> bool:
        """Drop some members of a data set that has gone; whether there may be more."""
        known = self._database.row(_DEFINED, {"id_": id})
        return known is not None and self._database.run(_DROP_SOME, {"n_": number_of(known[0])}) > 0


def _head(row: Any) -> SetHead:
    complete = row["complete"]
    return SetHead(row["n"], row["id"], None if complete is None else msgspec.convert(complete, Completeness))


def _resource(kind: str, row: Any) -> _Resource:
    if kind == "data-record":
        return _Resource(row["id"], row["acl"], document=msgspec.to_builtins(rows.resource(kind, row, Acl())))
    place = row["bucket"], row["key"]
    if row["state"] != "READY":
        return _Resource(row["id"], row["acl"], *place)
    return _Resource(row["id"], row["acl"], *place, msgspec.to_builtins(rows.resource(kind, row, Acl())))
