"""Objects that match a binding start its function by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from events.bindings import Bindings
from events.event import Event
from events.route import on
from events.types import CatalogUpdated


@on("dev.sluice.catalog.updated.v1")
def bind(event: Event, data: CatalogUpdated, bindings: Bindings) -> Iterator[Event]:
    """Ask for the function of every binding that the object matches."""
    if data.change != "upserted":
        return
    for request in bindings.requested(data.bucket, data.key):
        yield event.reply(request, subject=f"{request.bucket}/{request.key}")
