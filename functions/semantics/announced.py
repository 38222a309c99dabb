"""What became true by inference, or is so no more, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from events.event import Event
from events.ports import Change
from events.types import FactChanged, FactInferred, FactRetracted, Triple
from functions.semantics.observed import TYPE


def announced(event: Event, change: Change, order: str, wanted: Sequence[str]) -> Iterator[Event]:
    """Replies that tell of the classes and properties ``wanted``; ``order`` is of when the change was."""
    chosen = frozenset(wanted)
    for kind, triples in ((FactRetracted, change.lost), (FactInferred, change.gained)):
        for triple in sorted(triples):
            if (triple[2] if triple[1] == TYPE else triple[1]) in chosen:
                yield event.reply(_told(kind, triple, order), subject=triple[0].strip("<>"))


def _told(kind: type[FactChanged], triple: Triple, order: str) -> FactChanged:
    subject, predicate, object = triple
    return kind(subject=subject, predicate=predicate, object=object, order=order)
