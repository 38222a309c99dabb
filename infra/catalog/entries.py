"""The ``Catalog`` port over the table of objects: what notifications, descriptions and failures tell of each."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
from sqlalchemy import Select, and_, bindparam, case, func, literal_column, not_, or_, select

from events.errors import Reject
from events.ports import Entry, Query
from infra.catalog import lists, times
from infra.catalog.acl import OPEN, SYSTEM, Caller
from infra.catalog.database import Database, Upsert
from infra.catalog.query import bind, fields_of
from infra.catalog.query.numbers import storable
from infra.catalog.query.sql import Writer
from infra.catalog.resources import object_id
from infra.catalog.schema import acl_view, data_object
from infra.catalog.words import indexed

MOST = 10_000
_COMPARE = re.compile(r"^(?P<path>.+?)(?P<how>>=|<=|!=|>|<|=)?$", re.DOTALL)
_HOW = {None: "=", "!=": "<>"}
_FIELDS = fields_of("data-object")
_c = data_object.c
#: Entry's fields that are columns of the same name.
_SAME = (
    "bucket",
    "key",
    "etag",
    "version",
    "sequence",
    "digest",
    "digests",
    "format",
    "content_type",
    "metadata",
    "user",
    "index",
    "cause",
)
_FOUND = [*(_c[name] for name in _SAME), _c.state, _c.bytes, _c.modified, _c.updated]
_GET = select(*_FOUND).where(_c.id == bindparam("id"))
_STATES = select(_c.state, func.count(), func.sum(_c.bytes)).group_by(_c.state)
_WALK = (
    select(_c.key, _c.state, _c.etag, _c.bytes, _c.sequence, _c.modified, _c.kept, _c.digest)
    .where(_c.bucket == bindparam("bucket"), _c.key > bindparam("after"), _c.key >= bindparam("prefix"))
    .order_by(_c.key)
    .limit(bindparam("limit"))
)
_WALKS = {False: _WALK, True: _WALK.where(_c.key < bindparam("beyond"))}
_COUNT = select(func.count()).where(_c.bucket == bindparam("bucket"), _c.key >= bindparam("prefix"), _c.state != "REMOVED")
_COUNTS = {False: _COUNT, True: _COUNT.where(_c.key < bindparam("beyond"))}


def _put(insert: Any) -> Any:
    """Insert, or replace what the store told before; who made it, its list and its labels stay.

    Of content that was kept in its store when the catalogue was made to forget it, and of older, no word brings it back,
    however late: only of other content. Another upload that has begun goes on while what is there already is told of again.
    """
    told = [*_SAME, "state", "bytes", "modified", "updated"]
    made = insert(data_object).values(
        {name: bindparam(name) for name in ("id", "acl", "created", "provider", "t", "words", *told)}
    )
    new = {name: made.excluded[name] for name in told if name not in ("bucket", "key")}
    new["revision"] = _c.revision + 1
    new["t"] = func.coalesce(_c.told, made.excluded.t)
    new["words"] = case((_c.label == "", made.excluded.words), else_=_c.label + " " + made.excluded.words)
    told_again = and_(_c.state == "READY", _c.digest != "", _c.etag == made.excluded.etag, made.excluded.state == "READY")
    new["expires"], new["upload"] = case((told_again, _c.expires)), case((told_again, _c.upload), else_="")
    new["claims"] = case((or_(told_again, made.excluded.state == "FAILED"), _c.claims), else_=literal_column("'{}'"))
    new["kept"] = ""
    known = or_(
        made.excluded.etag.in_((_c.kept, _c.etag)), and_(made.excluded.modified != "", made.excluded.modified < _c.modified)
    )
    forgotten = and_(_c.kept != "", known, made.excluded.state != "REMOVED")
    newer = made.excluded.sequence >= _c.sequence
    return made.on_conflict_do_update(index_elements=[_c.id], set_=new, where=and_(newer, not_(forgotten)))


_PUT = Upsert(_put)


class Known(msgspec.Struct, frozen=True):
    """What a comparison with a bucket needs of an entry."""

    key: str
    state: str
    etag: str
    size: int
    sequence: str
    modified: str
    kept: str = ""
    digest: str = ""


def walk(database: Database, bucket: str, prefix: str, after: str, limit: int) -> list[Known]:
    """The next entries of a bucket behind the key ``after``, tombstones included, in the order of their keys' UTF-8."""
    beyond = _beyond(prefix)
    values = {"bucket": bucket, "after": after, "prefix": prefix, "beyond": beyond, "limit": limit}
    return [Known(key, state.lower(), *rest) for key, state, *rest in database.rows(_WALKS[bool(beyond)], values)]


def count(database: Database, bucket: str, prefix: str) -> int:
    """How many entries of a bucket have this prefix, those that were removed left out."""
    beyond = _beyond(prefix)
    ((found,),) = database.rows(_COUNTS[bool(beyond)], {"bucket": bucket, "prefix": prefix, "beyond": beyond})
    return int(found)


def _beyond(prefix: str) -> str:
    """The least text after all that begin with ``prefix``, or none: its last character one higher (no surrogate)."""
    stem = prefix.rstrip("\U0010ffff")
    return stem[:-1] + chr(0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1) if stem else ""


class Entries:
    """The ``Catalog`` port; writes join the transaction that is open on the connection.

    ``owned`` is the access list of what nobody has created here before. ``viewer`` finds only what it may view; tombstones are
    for the lake itself and its administrators.
    """

    def __init__(self, database: Database, owned: Any = OPEN, viewer: Caller = SYSTEM) -> None:
        self._database, self._owned, self._viewer = database, owned, viewer

    def upsert(self, entry: Entry) -> bool:
        return self._database.run(_PUT, self._row(entry)) == 1

    def _row(self, entry: Entry) -> dict[str, Any]:
        row: dict[str, Any] = {name: getattr(entry, name) for name in _SAME}
        row["metadata"] = storable(entry.metadata)
        present = time.time_ns() // 1_000_000
        moment = times.ms(entry.modified)
        provider, colon, _ = entry.bucket.partition(":")
        row.update(
            id=object_id(entry.bucket, entry.key),
            acl=lists.number(self._database, self._owned),
            provider=provider if colon else "",
            state=entry.state.upper(),
            bytes=entry.size,
            created=present,
            updated=times.ms(entry.updated) or 0,
            modified=times.utc(entry.modified)
            or entry.modified,  # stores write times in many forms; in one they compare as text
            t=present if moment is None else moment,
            words=indexed(entry.key, entry.metadata, entry.user),
        )
        return row

    def get(self, bucket: str, key: str) -> Entry | None:
        id = object_id(bucket, key)
        seen = None if self._viewer.admin else select(*_FOUND).where(_c.id == id, self._may_view())
        row = self._database.row(_GET, {"id": id}) if seen is None else self._database.row(seen)
        return _entry(row) if row else None

    def _may_view(self) -> Any:
        mine = acl_view.c.principal.in_(sorted(self._viewer.principals))
        return and_(_c.state != "REMOVED", _c.acl.in_(select(acl_view.c.acl).where(mine)))

    def states(self) -> dict[str, dict[str, int]]:
        """Objects and their bytes by state."""
        rows = self._database.rows(_STATES)
        return {state.lower(): {"objects": count, "bytes": int(size)} for state, count, size in rows}

    def search(self, query: Query) -> list[Entry]:
        """Raises ``Reject`` for a limit, a time, a path or a value that makes no sense."""
        return [_entry(row) for row in self._database.rows(self._select(query))]

    def _select(self, query: Query) -> Select[Any]:
        if not 1 <= query.limit <= MOST:
            raise Reject(f"limit must lie between 1 and {MOST}, not {query.limit}; continue with after=BUCKET/KEY")
        tests: list[Any] = [_c.state == query.state.upper() if query.state else _c.state.in_(("READY", "FAILED"))]
        if not self._viewer.admin:
            tests.append(self._may_view())
        if query.bucket:
            tests.append(_c.bucket == query.bucket)
        if query.prefix:
            tests += [_c.key >= query.prefix, func.substr(_c.key, 1, len(query.prefix)) == query.prefix]
        if query.name:
            glob = _c.key.op("GLOB")(query.name) if self._database.dialect == "sqlite" else _c.key.op("~")(_regex(query.name))
            tests.append(glob)
        if query.format:
            tests.append(_c.format == query.format)
        for name, compare, text in (("since", _c.modified.__ge__, query.since), ("until", _c.modified.__lt__, query.until)):
            if text:
                times.needed_ms(name, text)
                tests.append(compare(times.utc(text)))
        if query.where:
            asked = {"op": "and", "args": [_compared(condition, value) for condition, value in query.where.items()]}
            tests.append(Writer(data_object, self._database.dialect).condition(bind(asked, _FIELDS).tree, only_true=True))
        if query.after:
            bucket, _, key = query.after.partition("/")
            tests.append(or_(_c.bucket > bucket, and_(_c.bucket == bucket, _c.key > key)))
        return select(*_FOUND).where(*tests).order_by(_c.bucket, _c.key).limit(query.limit)


def _compared(condition: str, value: Any) -> dict[str, Any]:
    """``rows>=`` and a value as CQL2-JSON."""
    found = _COMPARE.match(condition)
    if found is None or not isinstance(value, str | int | float | bool):
        raise Reject(f"cannot compare metadata {condition!r} with {value!r}: give PATH or PATH>= etc. and a plain value")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Reject(f"cannot compare metadata {condition!r} with an integer of more than 64 bits")
    return {"op": _HOW.get(found["how"], found["how"]), "args": [{"property": f"metadata.{found['path']}"}, value]}


def _regex(glob: str) -> str:
    """A glob as a regular expression of PostgreSQL: ``*``, ``?``, and ``[...]``, as SQLite takes them."""
    parts = re.findall(r"\[\^?\]?[^\]]*\]|.", glob, re.DOTALL)
    return (
        "^" + "".join({"*": ".*", "?": "."}.get(part) or (part if len(part) > 1 else re.escape(part)) for part in parts) + "$"
    )


def _entry(row: Any) -> Entry:
    fields = {name: row[name] for name in _SAME}
    return Entry(
        **fields,
        state=row["state"].lower(),
        size=row["bytes"],
        modified=row["modified"],
        updated=times.text(row["updated"] or None),
    )
