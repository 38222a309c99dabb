"""A function that a binding asked for has failed for good: the binding says so, and the place of its result."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from events.bindings import Bindings
from events.event import Event
from events.route import on
from events.types import CatalogUpdated, DeliveryFailed


@on("dev.sluice.delivery.failed.v1")
def bind_failure(event: Event, data: DeliveryFailed, bindings: Bindings) -> Iterator[Event]:
    """Write it down where people look; what waited for the result is told that it failed."""
    if not data.binding:
        return
    place = bindings.failed(data)
    if place is not None:
        told = CatalogUpdated(**msgspec.structs.asdict(place), change="failed")
        yield event.reply(told, subject=f"{place.bucket}/{place.key}")
