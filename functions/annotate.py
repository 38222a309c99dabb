"""What is told of the world becomes triples in the terms of the active ontology, with where it comes from and three times.

An observation is kept with those of its minute, whenever it arrives. The state it tells of is an event, for ``reason``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from events.errors import Reject
from events.event import Event
from events.ports import Facts, Settings, Vocabulary
from events.route import on
from events.types import (
    S3_EXPIRED,
    S3_EXPIRED_CEPH,
    S3_REMOVED,
    FactAnnotated,
    FactRecorded,
    HazardCleared,
    HazardRaised,
    MetadataExtracted,
    ObservationRecorded,
    PositionRecorded,
    S3Record,
    Triple,
)
from functions.semantics.observed import TYPE, Told
from functions.semantics.terms import iri, literal, value

DERIVED = iri("prov:wasDerivedFrom")


@on(
    "dev.sluice.position.recorded.v1",
    "dev.sluice.hazard.raised.v1",
    "dev.sluice.hazard.cleared.v1",
    "dev.sluice.fact.recorded.v1",
    "dev.sluice.observation.recorded.v1",
    "dev.sluice.metadata.extracted.v1",
    S3_REMOVED,
    S3_EXPIRED,
    S3_EXPIRED_CEPH,
)
def annotate(event: Event, facts: Facts, vocabulary: Vocabulary, settings: Settings) -> Iterator[Event]:
    """Annotate what is told. Raises ``Reject`` for terms that the ontology does not have, with the term."""
    if event.type.startswith("com.amazonaws.s3."):
        _removed(event, facts, settings)
    elif event.type == "dev.sluice.metadata.extracted.v1":
        _object(event, facts)
    else:
        yield from _TELLS[event.type](event, facts, vocabulary)


def _position(event: Event, facts: Facts, vocabulary: Vocabulary) -> Iterator[Event]:
    data = event.read(PositionRecorded)
    told = Told(event, data.time)
    person, place, kind = iri(data.person), iri(data.place), _known_class(vocabulary, data.kind)
    found = [(iri("per:reportsPlace"), place)]
    state = [(person, TYPE, kind), (person, iri("per:isAt"), place)]
    if data.longitude is not None and data.latitude is not None:
        exact = [(iri("per:longitude"), data.longitude), (iri("per:latitude"), data.latitude)]
        if data.accuracy is not None:
            exact.append((iri("per:accuracy"), data.accuracy))
        numbers = [(name, literal(repr(float(number)), "xsd:double")) for name, number in exact]
        point = f"{person[:-1]}.position>"
        found += numbers
        state += [(person, iri("per:hasPosition"), point), (point, TYPE, iri("per:Position"))]
        state += [(point, name, number) for name, number in numbers]
    facts.observe(told.observed, told.observes(person, iri("per:Location"), *found))
    yield _annotated(event, f"{person} position", told, person, state)


def _raised(event: Event, facts: Facts, vocabulary: Vocabulary) -> Iterator[Event]:
    data = event.read(HazardRaised)
    told = Told(event, data.time)
    hazard = iri(data.hazard)
    said = [(TYPE, _known_class(vocabulary, data.kind)), (iri("per:status"), iri("per:Active"))]
    said += [(iri("per:affects"), iri(place)) for place in data.affects]
    if data.severity is not None:
        said.append((iri("per:severity"), literal(data.severity, "xsd:integer")))
    facts.observe(told.observed, told.observes(hazard, iri("per:status"), (iri("sosa:hasSimpleResult"), literal("raised"))))
    yield _annotated(event, f"{hazard} hazard", told, hazard, [(hazard, name, what) for name, what in said])


def _cleared(event: Event, facts: Facts, vocabulary: Vocabulary) -> Iterator[Event]:
    data = event.read(HazardCleared)
    told = Told(event, data.time)
    hazard = iri(data.hazard)
    facts.observe(told.observed, told.observes(hazard, iri("per:status"), (iri("sosa:hasSimpleResult"), literal("cleared"))))
    yield _annotated(event, f"{hazard} hazard", told, hazard, [])


def _facts(event: Event, facts: Facts, vocabulary: Vocabulary) -> Iterator[Event]:
    data = event.read(FactRecorded)
    told = Told(event, data.time)
    subject, state = iri(data.subject), []
    for name, what in data.facts:
        if name in ("a", "rdf:type"):
            state.append((subject, TYPE, _known_class(vocabulary, what)))
            continue
        if not vocabulary.is_property(iri(name)):
            raise Reject(f"{name} is no property of the active ontology; see: sluice ontology")
        state.append((subject, iri(name), value(what)))
    yield _annotated(event, f"{subject} facts", told, subject, state)


def _observation(event: Event, facts: Facts, vocabulary: Vocabulary) -> Iterator[Event]:
    """A point of a series. A metric with a known prefix is a property that can be observed; any other has an IRI of its own."""
    data = event.read(ObservationRecorded)
    told = Told(event, data.time)
    tags = ",".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in sorted(data.tags.items()))
    series = f"<urn:sluice:series:{quote(data.metric, safe=':')}{';' + tags if tags else ''}>"
    result = literal(repr(data.value), "xsd:double")
    metric = f"<urn:sluice:metric:{quote(data.metric, safe=':')}>"
    facts.observe(told.observed, told.observes(series, metric, (iri("sosa:hasSimpleResult"), result)))
    now = [(series, iri("sosa:hasSimpleResult"), result), (series, DERIVED, told.observation)]
    facts.describe(f"{series} value", told.order, now)
    return iter(())


_Tell = Callable[[Event, Facts, Vocabulary], Iterator[Event]]
_TELLS: dict[str, _Tell] = {
    "dev.sluice.position.recorded.v1": _position,
    "dev.sluice.hazard.raised.v1": _raised,
    "dev.sluice.hazard.cleared.v1": _cleared,
    "dev.sluice.fact.recorded.v1": _facts,
    "dev.sluice.observation.recorded.v1": _observation,
}


def _object(event: Event, facts: Facts) -> None:
    """What the lake's object is, for queries: the catalogue has all of it."""
    data = event.read(MetadataExtracted)
    it = _object_iri(data.bucket, data.key)
    said = [
        (TYPE, iri("dcat:Dataset")),
        (iri("dcterms:title"), literal(data.key)),
        (iri("dcterms:format"), literal(data.format)),
        (iri("dcat:mediaType"), literal(data.content_type)),
        (iri("dcat:byteSize"), literal(data.size, "xsd:integer")),
        (DERIVED, f"<urn:sluice:event:{event.key}>"),
    ]
    if data.modified:
        said.append((iri("dcterms:modified"), literal(data.modified, "xsd:dateTime")))
    arrived = event.extensions.get("recordedtime")
    if arrived:
        said.append((iri("prov:generatedAtTime"), literal(arrived, "xsd:dateTime")))
    facts.describe(it, data.sequence or data.modified, [(it, name, what) for name, what in said])


def _removed(event: Event, facts: Facts, settings: Settings) -> None:
    record = event.read(S3Record)
    if record.s3.bucket.name != settings.bucket:
        it = _object_iri(record.s3.bucket.name, record.s3.object.key)
        facts.describe(it, str(event.extensions.get("sequence", "")) or record.eventTime, [])


def _object_iri(bucket: str, key: str) -> str:
    return f"<s3://{quote(bucket, safe=':')}/{quote(key, safe='/')}>"


def _known_class(vocabulary: Vocabulary, name: str) -> str:
    if not vocabulary.is_class(term := iri(name)):
        raise Reject(f"{name} is no class of the active ontology; see: sluice ontology")
    return term


def _annotated(event: Event, topic: str, told: Told, subject: str, state: Sequence[Triple]) -> Event:
    evidence = [(subject, DERIVED, told.observation)] if state else []
    return event.reply(
        FactAnnotated(topic=topic, order=told.order, triples=list(state), evidence=evidence), subject=subject[1:-1]
    )
