"""A checked ontology becomes the active one."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Facts, Ontologies, Settings
from events.route import on
from events.types import OntologyActivated, OntologyChecked
from functions.semantics.announced import announced


@on("dev.sluice.ontology.checked.v1")
def ontology_version(
    event: Event, data: OntologyChecked, ontologies: Ontologies, facts: Facts, settings: Settings
) -> Iterator[Event]:
    """Record it, and say so; and what now follows from the state, or does no more."""
    change = facts.renew([*data.triples, *data.inferred])
    version = ontologies.activate(data)
    activated = OntologyActivated(
        bucket=data.bucket,
        key=data.key,
        etag=data.etag,
        version=version,
        triples=len(data.triples),
        inferred=len(data.inferred),
    )
    yield event.reply(activated, subject=f"{data.bucket}/{data.key}")
    yield from announced(event, change, event.time or "", settings.announce)
