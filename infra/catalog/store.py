"""The catalogue's resources in the database: created, found, changed and removed, by callers who may.

Every operation joins the transaction that is open on the connection. What a caller may not view does not exist for it.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Table, bindparam, insert, or_, select, update
from sqlalchemy.sql import ClauseElement

from events.errors import Reject
from events.ports import NotFound, ObjectInfo
from infra.catalog import groups, in_use, lists, providers, rows, schema, times, tombstones
from infra.catalog.acl import ADMIN, ANYONE, OPEN, Acl, Caller, Forbidden, Right, is_principal
from infra.catalog.database import Database
from infra.catalog.query import FilterError, bind, written
from infra.catalog.registry import Registry, check_names
from infra.catalog.resources import (
    Binding,
    DataObject,
    DataRecord,
    DataSet,
    Described,
    Key,
    Prefix,
    Provider,
    Resource,
    kind_of,
    object_id,
)
from infra.catalog.search import Page, Search, aggregate, search
from infra.etags import strong

#: action -> the states it may begin in, and the one it ends in. An object that is READY stays so while another upload of it is
#: under way (``expires`` is set), or when that expires: it can still be fetched.
ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "upload": (frozenset(("NEW", "UPLOADING", "READY", "EXPIRED", "FAILED")), "UPLOADING"),
    "ready": (frozenset(("NEW", "UPLOADING", "READY")), "READY"),
    "fail": (frozenset(("NEW", "UPLOADING")), "FAILED"),
    "expire": (frozenset(("NEW", "UPLOADING")), "EXPIRED"),
}
_COMMON = frozenset(("acl", "name", "description", "tags"))
_DESCRIBED = frozenset(("geometry", "timestamp", "timestamp-end"))
#: kind -> what an edit may change
EDITABLE: dict[str, frozenset[str]] = {
    "data-object": _COMMON | _DESCRIBED,
    "data-record": _COMMON | _DESCRIBED | {"content-type", "metadata", "object"},
    "data-set": _COMMON | {"object-filter", "record-filter", "filter-lang", "complete"},
    "binding": _COMMON | {"content-types", "formats", "prefix", "function", "parameters", "enabled", "filter", "filter-lang"},
    "prefix": _COMMON | {"uri"},
    "key": _COMMON | {"unit", "queryable"},
    "provider": _COMMON | {"endpoint", "region", "credential", "source"},
}
PORTION = 500
_OBJECT = re.compile(r"data-object/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NO_LIST = Acl()


R = TypeVar("R", bound=Resource)


class Conflict(Exception):
    """The resource is not in the state, or no longer the revision, that the request needs (HTTP 409, 412)."""

    def __init__(self, text: str, status: int = 409) -> None:
        super().__init__(text)
        self.status = status


class _Statements:
    """What is done to one kind's table. Changes name the revision that they are made on: two at once, and one begins again."""

    def __init__(self, kind: str) -> None:
        table: Table = schema.KINDS[kind]
        self.table = table
        self.get = select(*rows.columns(kind)).where(table.c.id == bindparam("id_"))
        self.all = (
            select(*rows.columns(kind), table.c.n).where(table.c.n > bindparam("after")).order_by(table.c.n).limit(PORTION)
        )
        self.remove = table.delete().where(table.c.id == bindparam("id_"), table.c.revision == bindparam("revision_"))
        self._update = update(table).where(table.c.id == bindparam("id_"), table.c.revision == bindparam("revision_"))

    @lru_cache(256)  # noqa: B019 - as many as there are kinds, for ever
    def update(self, names: tuple[str, ...]) -> ClauseElement:
        """Change these columns."""
        return self._update.values({name: bindparam(name) for name in names})

    @lru_cache(16)  # noqa: B019
    def insert(self, names: tuple[str, ...]) -> ClauseElement:
        """A new row of these columns."""
        return insert(self.table).inline().values({name: bindparam(name) for name in names})


_STATEMENTS = {kind: _Statements(kind) for kind in schema.KINDS}
_o = schema.data_object.c
_OVERDUE = (
    select(_o.id)
    .where(_o.expires < bindparam("present"), or_(_o.state == "UPLOADING", _o.state == "READY"))
    .order_by(_o.expires)
    .limit(bindparam("limit"))
)


class Store:
    """Resources over one connection.

    Raises, besides ``events.errors.Reject`` for what makes no sense: ``events.ports.NotFound``, ``Forbidden``, ``Conflict``.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._registry = Registry(database)

    def create(self, resource: R, caller: Caller) -> R:
        """Store a new one; its id, times and revision are set here, its list is the caller's own unless it has one."""
        kind = _kind(resource)
        _may_make(kind, caller)
        id = _identity(kind, resource)
        self._check(kind, resource, caller)
        present = _present()
        row = rows.values(kind, resource, present)
        if kind == "provider":
            row["configured"] = False
        row.update(id=id, created=present, updated=present, revision=1, acl=self._list(kind, resource.acl, caller))
        if kind == "data-object":
            row["state"] = "NEW"
        before = self.database.row(_STATEMENTS[kind].get, {"id_": id})
        if before is None:
            self._insert(kind, row)
        elif kind == "data-object" and before["state"] == "REMOVED":
            tombstones.end(self.database, id, present, before["acl"])
            known = caller.may("view", lists.read(self.database, before["acl"]))
            row["revision"] = before["revision"] + 1 if known else 1
            row["kept"] = ""
            self._update(kind, id, before["revision"], row)
        else:  # the same words whether or not the caller may see it
            raise Conflict(f"{_told(resource)} is taken: choose another name")
        return cast(R, self._read(id)[0])

    def get(self, id: str, caller: Caller) -> Resource:
        """The resource, if the caller may view it."""
        return self._for(id, caller, "view")[0]

    def edit(self, id: str, changes: Mapping[str, Any], caller: Caller, if_match: str = "") -> Resource:
        """Change the given attributes (kebab case); ``if_match`` lists the ETags (``"REVISION"``) it may have.

        ``None`` gives an attribute its default. Who changes ``acl`` must have the right to manage.
        """
        kind = kind_of(id)
        found, row = self._for(id, caller, "manage" if "acl" in changes else "edit")
        _match(found, if_match)
        if unknown := changes.keys() - EDITABLE[kind]:
            raise Reject(f"{sorted(unknown)[0]}: a {kind} can be changed in {', '.join(sorted(EDITABLE[kind]))} only")
        document = {**msgspec.to_builtins(found), **changes}
        try:
            wanted = msgspec.convert({name: value for name, value in document.items() if value is not None}, type(found))
        except msgspec.ValidationError as error:
            raise Reject(str(error)) from error
        self._check(kind, wanted, caller, found)
        if isinstance(found, Provider) and found.configured:
            raise Conflict(providers.CONFIGURED.format(found.provider))
        if isinstance(wanted, Provider) and not caller.admin and providers.moved(found, wanted):
            raise Forbidden(f"only {ADMIN} may change where a provider is and which keys it takes")
        after = rows.values(kind, wanted, row["created"])
        after["acl"] = self._list(kind, wanted.acl, caller) if "acl" in changes else row["acl"]
        after.update(updated=_present(), revision=row["revision"] + 1)
        self._update(kind, id, row["revision"], after)
        return self._read(id)[0]

    def delete(self, id: str, caller: Caller, if_match: str = "", kept: ObjectInfo | None = None) -> Resource:
        """Remove it; what it was. An object stays behind as a tombstone that nobody sees.

        ``kept`` is the content that stays in the object's store: no late word of it, or of older, brings the object back.
        """
        kind = kind_of(id)
        found, row = self._for(id, caller, "delete")
        _match(found, if_match)
        if kind == "data-object":
            gone = {"state": "REMOVED", "expires": None, "upload": "", "updated": _present(), "revision": row["revision"] + 1}
            stays = {"kept": kept.etag, "modified": times.utc(kept.modified) or row["modified"]} if kept else {"kept": ""}
            self._update(kind, id, row["revision"], gone | stays)
            return found
        if isinstance(found, Provider) and (left := providers.kept(self.database, found)):
            raise Conflict(left)
        if isinstance(found, Prefix | Key) and (used := in_use.used(self.database, self._registry, found)):
            raise Conflict(used)
        self._registry.forget(kind)
        if not self.database.run(_STATEMENTS[kind].remove, {"id_": id, "revision_": row["revision"]}):
            raise Conflict(f"{id} was changed at the same time; ask for it again")
        tombstones.end(self.database, id, _present(), row["acl"])
        return found

    def had(self, id: str, caller: Caller) -> bool:
        """Whether the caller could edit an object that was removed: it may take it up again."""
        row = self.database.row(_STATEMENTS["data-object"].get, {"id_": id})
        removed = row is not None and row["state"] == "REMOVED"
        return removed and caller.may("edit", lists.read(self.database, row["acl"]))

    def transition(self, id: str, action: str, caller: Caller, **facts: Any) -> DataObject:
        """An object's next state by ``ACTIONS``; ``ready`` for one that is READY (the store was quicker) changes nothing,
        unless another upload has begun. What the lake found out of other content is forgotten.

        ``facts`` are columns to set with it (``expires`` in ms, ``upload``, ``bytes``, ``etag``, ``cause`` ...).
        """
        if kind_of(id) != "data-object":
            raise NotFound(f"there is no object {id}")
        resource, row = self._for(id, caller, "edit")
        found = cast(DataObject, resource)
        begins, ends = ACTIONS[action]
        again = found.state == "READY" and bool(found.expires)
        if found.state not in begins and not again:
            raise Conflict(f"cannot {action} {id}: it is {found.state}, not {' or '.join(sorted(begins))}")
        if action == "ready" and found.state == "READY" and not again:
            return found
        settled: dict[str, Any] = {} if action == "upload" else {"expires": None, "upload": ""}
        if action == "ready":
            settled["cause"] = ""
            if facts.get("etag", found.etag) != found.etag:
                settled.update(digest="", digests={})
        if found.state == "READY" and action in ("upload", "expire"):
            ends = "READY"
        after = {**settled, **facts, "state": ends, "updated": _present(), "revision": row["revision"] + 1}
        self._update("data-object", id, row["revision"], after)
        return cast(DataObject, self._read(id)[0])

    def overdue(self, limit: int = 100) -> list[str]:
        """Ids of objects whose upload has run out of time."""
        return [row[0] for row in self.database.rows(_OVERDUE, {"present": _present(), "limit": limit})]

    def search(self, kind: str, search_: Search, caller: Caller) -> Page:
        """A page of what matches and may be viewed."""
        return search(self.database, kind, search_, caller, self._registry.fields(kind, caller))

    def aggregate(self, kind: str, search_: Search, caller: Caller) -> dict[str, Any]:
        """``{"count": N, "aggregations": {"avg:bytes": …}}`` over everything that matches and may be viewed."""
        return aggregate(self.database, kind, search_, caller, self._registry.fields(kind, caller))

    def all(self, kind: str) -> Iterator[Resource]:
        """Every resource of a kind, oldest first, whoever may view it."""
        after = 0
        while page := self.database.rows(_STATEMENTS[kind].all, {"after": after}):
            for row in page:
                yield rows.resource(kind, row, lists.read(self.database, row["acl"]))
            after = page[-1]["n"]

    def import_many(self, resources: Iterable[Resource], caller: Caller) -> int:
        """Store many records or objects at once, in their own states; those there already are left alone. How many were new."""
        new, portions = 0, iter(resources)
        while portion := list(islice(portions, PORTION)):
            for kind in {type(resource) for resource in portion}:
                numbers: dict[int, int] = {}  # many share one list, which need not be looked up for each
                found = [self._imported(resource, caller, numbers) for resource in portion if type(resource) is kind]
                names = tuple(found[0])
                new += self.database.add(schema.KINDS[_kind(kind)], names, [[row[name] for name in names] for row in found])
        return new

    def _imported(self, resource: Resource, caller: Caller, numbers: dict[int, int]) -> dict[str, Any]:
        kind = _kind(resource)
        _may_make(kind, caller)
        self._check(kind, resource, caller)
        present = _present()
        row = rows.values(kind, resource, present)
        row["id"] = resource.id if kind == "data-record" and resource.id else _identity(kind, resource)
        if id(resource.acl) not in numbers:
            numbers[id(resource.acl)] = self._list(kind, resource.acl, caller)
        row.update(created=present, updated=present, revision=1, acl=numbers[id(resource.acl)])
        return row

    def _check(self, kind: str, resource: Resource, caller: Caller, before: Resource | None = None) -> None:
        if isinstance(resource, Described):
            self._registry.check(kind, resource.metadata, caller)
            if kind == "data-record" and (not isinstance(before, Described) or before.metadata != resource.metadata):
                check_names(resource.metadata)
        if isinstance(resource, DataRecord) and resource.object and not _OBJECT.fullmatch(resource.object):
            raise Reject(
                f"object: {resource.object[:80]!r} is no id of an object, such as data-object/6f1c…: see GET /data-objects"
            )
        if isinstance(resource, Key):
            self._registry.check_key(resource)
        if isinstance(resource, Prefix):
            self._registry.check_prefix(resource)
        if isinstance(resource, Provider):
            providers.check(resource)
        if isinstance(resource, DataSet):
            for of, wanted in (("data-object", resource.object_filter), ("data-record", resource.record_filter)):
                if wanted is not None:
                    self._check_filter(f"{of.removeprefix('data-')}-filter", of, wanted, resource.filter_lang, caller)
            groups.check(resource)
        if isinstance(resource, Binding) and resource.filter:
            self._check_filter("filter", "data-object", resource.filter, resource.filter_lang, caller)

    def _check_filter(self, name: str, kind: str, filter: str | dict[str, Any], lang: str, caller: Caller) -> None:
        """Raises ``FilterError`` for a filter that makes no sense, in the attribute of this name."""
        try:
            written(filter, lang).bound(self._registry.fields(kind, caller), bind)
        except FilterError as error:
            raise error.within(name) from None

    def _list(self, kind: str, wanted: Acl, caller: Caller) -> int:
        for name in (name for part in wanted.__struct_fields__ for name in getattr(wanted, part)):
            if not is_principal(name):
                raise Reject(f"acl: {name[:100]!r} is neither user/NAME nor group/NAME")
        if wanted == NO_LIST:
            wanted = Acl(owners=[caller.name]) if caller.name.startswith("user/") else OPEN
            if kind in ("prefix", "key"):  # whoever writes is held against them
                wanted = Acl(owners=wanted.owners, view=[ANYONE])
        elif not wanted.who("manage"):
            raise Reject("acl: somebody must own the resource: name owners")
        return lists.number(self.database, wanted)

    def _for(self, id: str, caller: Caller, right: Right) -> tuple[Resource, Any]:
        found, row = self._read(id)
        if (isinstance(found, DataObject) and found.state == "REMOVED") or not caller.may("view", found.acl):
            raise NotFound(f"there is no {id}")
        if not caller.may(right, found.acl):
            raise Forbidden(f"{caller.name} may not {right} {id}")
        return found, row

    def _read(self, id: str) -> tuple[Resource, Any]:
        kind = kind_of(id)
        row = self.database.row(_STATEMENTS[kind].get, {"id_": id}) if kind else None
        if row is None:
            raise NotFound(f"there is no {id}")
        return rows.resource(kind, row, lists.read(self.database, row["acl"])), row

    def _insert(self, kind: str, row: dict[str, Any]) -> None:
        self._registry.forget(kind)
        self.database.run(_STATEMENTS[kind].insert(tuple(row)), row)

    def _update(self, kind: str, id: str, revision: int, row: dict[str, Any]) -> None:
        self._registry.forget(kind)
        statement = _STATEMENTS[kind].update(tuple(row))
        if not self.database.run(statement, {**row, "id_": id, "revision_": revision}):
            raise Conflict(f"{id} was changed at the same time; ask for it again")


def _kind(of: Resource | type[Resource]) -> str:
    return str(of.__struct_config__.tag)


def _may_make(kind: str, caller: Caller) -> None:
    if kind in ("prefix", "key", "provider") and not caller.admin:
        raise Forbidden(f"{caller.name} may not register a {kind}: that is for {ADMIN}")


def _identity(kind: str, resource: Resource) -> str:
    if isinstance(resource, DataObject):
        if not resource.bucket or not resource.key:
            raise Reject("a data-object needs the bucket and the key that it is the proxy of")
        return object_id(resource.bucket, resource.key)
    if kind in ("prefix", "key", "provider"):
        name = getattr(resource, kind)
        of = getattr(resource, "kind", "")
        return f"{kind}/{uuid.uuid5(uuid.NAMESPACE_URL, f'{of}/{name}')}"
    return f"{kind}/{_time_ordered()}"


def _time_ordered() -> uuid.UUID:
    """A UUID of version 7: it begins with the time, so that those made together lie together in an index."""
    number = (_present() << 80) | (uuid.uuid4().int & ((1 << 80) - 1))
    return uuid.UUID(int=(number & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62))


def _told(resource: Resource) -> str:
    """What its maker calls a resource whose name must be its own."""
    if isinstance(resource, DataObject):
        return f"s3://{resource.bucket}/{resource.key}"
    return f"the {_kind(resource)} {getattr(resource, _kind(resource), resource.name)}"


def _match(found: Resource, if_match: str) -> None:
    if if_match and not strong(if_match, f'"{found.revision}"'):
        raise Conflict(f'{found.id} has changed: its ETag is "{found.revision}", not {if_match[:40]}', 412)


def _present() -> int:
    return time.time_ns() // 1_000_000
