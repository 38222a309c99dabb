"""Resources as rows, and rows as resources."""

from __future__ import annotations

from typing import Any

import msgspec

from events.errors import Reject
from infra.catalog import schema, times
from infra.catalog.acl import Acl
from infra.catalog.query import parse
from infra.catalog.query.geometry import shape
from infra.catalog.query.numbers import storable
from infra.catalog.resources import KINDS, Completeness, DataObject, DataSet, Described, Resource
from infra.catalog.words import indexed

#: Set by the store itself, or in a form of their own.
_OWN = {"id", "created", "updated", "revision", "acl", "timestamp", "timestamp_end", "modified", "expires"}
#: kind -> the attributes that are columns of the same name
SAME = {name: [field for field in kind.__struct_fields__ if field not in _OWN] for name, kind in KINDS.items()}


def values(kind: str, resource: Resource, created: int) -> dict[str, Any]:
    """The columns of a resource. Raises ``Reject`` for a time or geometry that is none."""
    row: dict[str, Any] = {name: getattr(resource, name) for name in SAME[kind]}
    if isinstance(resource, Described):
        row["metadata"] = storable(resource.metadata)
        row["told"] = times.needed_ms("timestamp", resource.timestamp)
        row["t_end"] = times.needed_ms("timestamp-end", resource.timestamp_end)
        if row["t_end"] is not None and (row["told"] is None or row["t_end"] < row["told"]):
            raise Reject("timestamp-end: an interval ends after its timestamp, which must be given")
        row["t"] = created if row["told"] is None else row["told"]
        row.update(zip(("west", "south", "east", "north"), _bounds(resource.geometry), strict=True))
        labels = resource.name or resource.description or resource.tags
        row["label"] = indexed(resource.name, resource.description, resource.tags) if labels else ""
        told = (resource.key, resource.metadata, resource.user) if isinstance(resource, DataObject) else (resource.metadata,)
        row["words"] = indexed(row["label"], *told)
    if isinstance(resource, DataSet):
        row["complete"] = msgspec.to_builtins(resource.complete)
        for name, parsed in (("object_filter", "objects"), ("record_filter", "records")):
            written = row[name]
            row[parsed] = None if written is None else parse(written, resource.filter_lang)
            if isinstance(written, str):  # JSON too, in its column
                row[name] = msgspec.json.encode(written).decode()
    if isinstance(resource, DataObject):
        modified = times.ms(resource.modified)
        if row["told"] is None and modified is not None:
            row["t"] = modified
        row["modified"] = times.utc(resource.modified) or resource.modified
        row["expires"] = times.needed_ms("expires", resource.expires)
        provider, colon, _ = resource.bucket.partition(":")
        row["provider"] = provider if colon else ""
    return row


def _bounds(geometry: dict[str, Any] | None) -> tuple[float | None, ...]:
    if geometry is None:
        return (None,) * 4
    try:
        return tuple(shape(geometry).bounds)
    except (ValueError, OverflowError, TypeError, KeyError) as error:
        raise Reject(f"geometry: {error}") from error


def resource(kind: str, row: Any, acl: Acl) -> Resource:
    """The resource of a row that has all columns."""
    fields: dict[str, Any] = {name: row[name] for name in SAME[kind]}
    fields.update(
        id=row["id"], acl=acl, revision=row["revision"], created=times.text(row["created"]), updated=times.text(row["updated"])
    )
    if issubclass(KINDS[kind], Described):
        fields.update(timestamp=times.text(row["told"]), timestamp_end=times.text(row["t_end"]))
    if kind == "data-object":
        fields.update(modified=row["modified"], expires=times.text(row["expires"]))
    if kind == "data-set" and fields["complete"] is not None:
        fields["complete"] = msgspec.convert(fields["complete"], Completeness)
    for name in ("enabled", "queryable", "configured"):
        if name in fields:
            fields[name] = bool(fields[name])
    return KINDS[kind](**fields)


def columns(kind: str) -> list[Any]:
    """Everything that ``resource`` reads."""
    table = schema.KINDS[kind]
    wanted = {*SAME[kind], "id", "acl", "revision", "created", "updated", "told", "t_end", "modified", "expires"}
    return [column for column in table.c if column.name in wanted]
