"""Data sets follow the lake: whatever changes is held against every filter, and a new filter against everything there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from events.event import Event
from events.ports import DataSets, SetChange
from events.route import on
from events.types import CatalogUpdated, DatasetDefined, DatasetScanned, RecordUpdated


@on(
    "dev.sluice.catalog.updated.v1",
    "dev.sluice.record.updated.v1",
    "dev.sluice.dataset.defined.v1",
    "dev.sluice.dataset.scanned.v1",
)
def dataset(event: Event, sets: DataSets) -> Iterator[Event]:
    """Compute membership on each change, and page by page for a filter that is new."""
    if event.type == "dev.sluice.catalog.updated.v1":
        told = event.read(CatalogUpdated)
        yield from _replies(event, sets.place_object(told.bucket, told.key, event.key))
    elif event.type == "dev.sluice.record.updated.v1":
        yield from _replies(event, sets.place(event.read(RecordUpdated).id, event.key))
    elif event.type == "dev.sluice.dataset.defined.v1":
        first = sets.define(event.read(DatasetDefined).id, event.key)
        yield from _replies(event, [first] if first else [])
    else:
        changes, more = sets.scan(event.read(DatasetScanned), event.key)
        yield from _replies(event, [*changes, more] if more else changes)


def _replies(event: Event, told: Iterable[SetChange | DatasetScanned]) -> Iterator[Event]:
    """One event each; those of one data set stay in order, whichever objects they are about."""
    for each in told:
        about = each.id if isinstance(each, DatasetScanned) else each.dataset
        reply = event.reply(each, subject=about)
        yield msgspec.structs.replace(reply, extensions={**reply.extensions, "partitionkey": about})
