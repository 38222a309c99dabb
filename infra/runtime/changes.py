"""What people and programs change in the catalogue, as events: the same types that the lake's own functions send."""

from __future__ import annotations

import uuid

import msgspec

from events.event import Event, now
from events.types import CatalogUpdated, DatasetDefined, RecordUpdated
from infra.catalog.resources import DataObject, DataRecord, DataSet, Resource

SOURCE = "/catalog"


def changed(resource: Resource, change: str) -> list[Event]:
    """The events of a change (``created``, ``edited`` or ``removed``); of kinds that nothing follows, none."""
    if isinstance(resource, DataObject):
        place = f"{resource.bucket}/{resource.key}"
        data: msgspec.Struct = CatalogUpdated(
            bucket=resource.bucket,
            key=resource.key,
            etag=resource.etag,
            size=resource.bytes,
            version=resource.version,
            modified=resource.modified,
            change=change,
            digest=resource.digest,
            format=resource.format,
            metadata=resource.metadata,
        )
        return [_event("dev.sluice.catalog.updated.v1", place, data)]
    if isinstance(resource, DataRecord):
        record = RecordUpdated(id=resource.id, change=change, object=resource.object)
        return [_event("dev.sluice.record.updated.v1", resource.id, record)]
    if isinstance(resource, DataSet):
        return [_event("dev.sluice.dataset.defined.v1", resource.id, DatasetDefined(id=resource.id, change=change))]
    return []


def _event(type: str, about: str, data: msgspec.Struct) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        source=SOURCE,
        type=type,
        subject=about,
        time=now(),
        datacontenttype="application/json",
        extensions={"partitionkey": about},
        data=msgspec.to_builtins(data),
    )
