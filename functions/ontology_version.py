"""A checked ontology becomes the active one."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Ontologies
from events.route import on
from events.types import OntologyActivated, OntologyChecked


@on("dev.sluice.ontology.checked.v1")
def ontology_version(event: Event, data: OntologyChecked, ontologies: Ontologies) -> Iterator[Event]:
    """Record it, and say so."""
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
