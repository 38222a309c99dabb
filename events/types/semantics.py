"""Facts: what is told of the things of the world, what follows from it, and what does not follow any more."""

from __future__ import annotations

from events.types.base import Data, event_type

#: Subject, predicate and object as N-Triples terms.
Triple = tuple[str, str, str]


@event_type("dev.sluice.fact.recorded.v1")
class FactRecorded(Data, frozen=True, kw_only=True):
    """All that a sender has to say of ``subject`` since ``time``: pairs of a property (``a`` is the class) and a value.

    It replaces what was said of it before in an event of this type. Properties are IRIs, values too unless they are literals
    (``"12.5"^^xsd:double``). Any IRI may be written with a known prefix.
    """

    subject: str
    facts: list[tuple[str, str]]
    time: str = ""


@event_type("dev.sluice.fact.annotated.v1")
class FactAnnotated(Data, frozen=True, kw_only=True):
    """The present state of a ``topic`` (a person's position, a hazard) in the terms of the ontology.

    It replaces the topic's state before it, unless that is of a later ``order``, which compares as text.
    ``evidence`` says where it comes from; nothing is inferred of it.
    """

    topic: str
    order: str
    triples: list[Triple] = []
    evidence: list[Triple] = []


class FactChanged(Data, frozen=True, kw_only=True):
    """A fact that the reasoner has derived, as N-Triples terms; ``order`` is that of the state that it came of."""

    subject: str
    predicate: str
    object: str
    order: str


@event_type("dev.sluice.fact.inferred.v1")
class FactInferred(FactChanged, frozen=True, kw_only=True):
    """Something has become true, such as that a person is at risk. ``sluice why`` tells of what it follows."""


@event_type("dev.sluice.fact.retracted.v1")
class FactRetracted(FactChanged, frozen=True, kw_only=True):
    """Something that was derived does not follow from anything any more."""
