"""Whether a registered prefix or key is used: then it cannot be deleted. To know, all metadata may have to be read."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, bindparam, cast, literal_column, select

from infra.catalog import schema
from infra.catalog.database import Database
from infra.catalog.query import bind, fields_of
from infra.catalog.registry import Registry, prefixed
from infra.catalog.resources import Key, Prefix

_KINDS = ("data-object", "data-record")
PORTION = 500


def used(database: Database, registry: Registry, wanted: Prefix | Key) -> str:
    """What still needs it, for people; ``""`` if nothing does."""
    if isinstance(wanted, Key):
        return f"the key {wanted.key} is used in metadata of a {wanted.kind}" if _has(database, registry, wanted) else ""
    start = f"{wanted.prefix}:"
    if keys := [name for kind in _KINDS for name in registry.keys(kind) if name.startswith(start)]:
        return f"the prefix {wanted.prefix} is used by the key {min(keys)}"
    found = next((kind for kind in _KINDS if _named(database, kind, start)), "")
    return f"the prefix {wanted.prefix} is used in metadata of a {found}" if found else ""


def _alive(table: Any) -> list[Any]:
    return [table.c.state != literal_column("'REMOVED'", Text)] if table.name == "data_object" else []


def _has(database: Database, registry: Registry, key: Key) -> bool:
    fields = fields_of(key.kind, registry.declared(key.kind))
    there = bind({"op": "not", "args": [{"op": "isNull", "args": [{"property": f"metadata.{key.key}"}]}]}, fields)
    asked = select(fields.table.c.id).where(*_alive(fields.table), there.expression(fields.table, database.dialect)).limit(1)
    return database.row(asked, there.values(database.dialect)) is not None


def _named(database: Database, kind: str, start: str) -> bool:
    """Whether any metadata has a name that begins so: of those that have it in some text, all are looked at."""
    table = schema.KINDS[kind]
    near = cast(table.c.metadata, Text).contains(bindparam("near", type_=Text), autoescape=False)
    asked = (
        select(table.c.n, table.c.metadata)
        .where(*_alive(table), near, table.c.n > bindparam("after"))
        .order_by(table.c.n)
        .limit(PORTION)
    )
    after = 0
    while page := database.rows(asked, {"near": f'"{start}', "after": after}):
        if any(name.startswith(start) for row in page for name in prefixed(row["metadata"])):
            return True
        after = page[-1]["n"]
    return False
