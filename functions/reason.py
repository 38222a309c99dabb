"""The state of the world changes, and with it what follows from it: whatever became true, or is no more, is an event."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Facts, Settings
from events.route import on
from events.types import FactAnnotated
from functions.semantics.announced import announced


@on("dev.sluice.fact.annotated.v1")
def reason(event: Event, data: FactAnnotated, facts: Facts, settings: Settings) -> Iterator[Event]:
    """Change the state, and tell what was inferred and retracted of the classes and properties to be announced."""
    change = facts.put(data.topic, data.order, data.triples, data.evidence)
    if change is not None:  # nothing later is known
        yield from announced(event, change, data.order, settings.announce)
