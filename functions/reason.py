"""The state of the world changes, and with it what follows from it: whatever became true, or is no more, is an event."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Facts, Settings
from events.route import on
from events.types import FactAnnotated, FactChanged, FactInferred, FactRetracted, Triple
from functions.semantics.observed import TYPE


@on("dev.sluice.fact.annotated.v1")
def reason(event: Event, data: FactAnnotated, facts: Facts, settings: Settings) -> Iterator[Event]:
    """Change the state, and tell what was inferred and retracted of the classes and properties to be announced."""
    change = facts.put(data.topic, data.order, data.triples, data.evidence)
    if change is None:
        return  # something later is known
    wanted = frozenset(settings.announce)
    for kind, triples in ((FactRetracted, change.lost), (FactInferred, change.gained)):
        for triple in sorted(triples):
            if (triple[2] if triple[1] == TYPE else triple[1]) in wanted:
                yield event.reply(_told(kind, triple, data.order), subject=triple[0].strip("<>"))


def _told(kind: type[FactChanged], triple: Triple, order: str) -> FactChanged:
    subject, predicate, object = triple
    return kind(subject=subject, predicate=predicate, object=object, order=order)
