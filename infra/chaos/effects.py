"""Functions of the crash test's lakes: each leaves an effect that shows how often, and in what order, it happened."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Catalog, Entry, Profiles
from events.route import on

#: Every event that the crash test sends.
SENT = "chaos.event.*"
BUCKET = "effects"


@on(SENT)
def tally(event: Event, profiles: Profiles) -> Iterator[Event]:
    """The ids that a subject has had in this round, in their order: an effect in the log's own store."""
    told = event.read(dict)
    known = profiles.get(str(event.subject))
    if known is None or known["round"] != told["round"]:
        known = {"round": told["round"], "ids": []}
    profiles.put(str(event.subject), {**known, "ids": [*known["ids"], event.id]})
    yield event.reply({"id": event.id}, type="chaos.counted")


@on(SENT)
def enter(event: Event, catalog: Catalog) -> Iterator[Event]:
    """How many times this event was entered: an effect in the catalogue's database."""
    before = catalog.get(BUCKET, event.id)
    catalog.upsert(Entry(bucket=BUCKET, key=event.id, size=before.size + 1 if before else 1))
    yield event.reply({"id": event.id}, type="chaos.entered")
