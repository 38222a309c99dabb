"""Observations as triples of SOSA and PROV, with the three times: when it was so, when that was told, when it came here."""

from __future__ import annotations

from datetime import UTC, datetime

from events.errors import Reject
from events.event import Event, instant
from events.types import Triple
from functions.semantics.terms import iri, is_iri, literal

TYPE = iri("rdf:type")


class Told:
    """What an event tells, and when: ``order`` compares as text, the later observation has the greater one.

    ``time`` is that of the event's data. Raises ``Reject`` where neither these nor the event have one.
    """

    def __init__(self, event: Event, time: str) -> None:
        try:
            self.observed = _utc(instant(time) if time else event.moment)
            self.result = _utc(event.moment) if event.time else self.observed
            arrived = event.extensions.get("recordedtime")
            self.arrival = _utc(instant(str(arrived))) if arrived else self.result
        except ValueError as error:
            raise Reject(f"event {event.id!r} has no RFC 3339 time: {error}") from error
        self.order = self.observed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.observation = f"<urn:sluice:observation:{event.key}>"
        self._event = event

    @property
    def evidence(self) -> str:
        """The IRI of the event itself."""
        return f"<urn:sluice:event:{self._event.key}>"

    def observes(self, of: str, what: str, *more: tuple[str, str]) -> list[Triple]:
        """The observation of the property ``what`` of the thing ``of``; ``more`` says what came out of it."""
        it = self.observation
        triples = [
            (it, TYPE, iri("sosa:Observation")),
            (it, iri("sosa:hasFeatureOfInterest"), of),
            (it, iri("sosa:observedProperty"), what),
            (it, iri("per:observedAt"), literal(self.order, "xsd:dateTime")),
            (it, iri("sosa:resultTime"), literal(_text(self.result), "xsd:dateTime")),
            (it, iri("prov:generatedAtTime"), literal(_text(self.arrival), "xsd:dateTime")),
            (it, iri("prov:wasDerivedFrom"), self.evidence),
        ]
        if is_iri(self._event.source):
            triples.append((it, iri("prov:wasAttributedTo"), f"<{self._event.source}>"))
        return [*triples, *((it, name, value) for name, value in more)]


def _utc(moment: datetime | None) -> datetime:
    if moment is None:
        raise Reject("neither the observation nor its event has a time")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
