"""The slice index of an object that was replaced or removed leaves the lake's own bucket."""

from __future__ import annotations

from events.event import Event
from events.ports import Catalog, ObjectStore, Settings
from events.route import on
from events.types import IndexRetired


@on("dev.sluice.index.retired.v1")
def retire(event: Event, data: IndexRetired, catalog: Catalog, objects: ObjectStore, settings: Settings) -> None:
    """Remove the index, unless the catalogue names it again (a dead letter was replayed). Doing it twice is no error."""
    entry = catalog.get(data.bucket, data.key)
    if entry is None or entry.index != data.index:
        objects.delete(settings.bucket, data.index)
