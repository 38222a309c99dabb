"""Versions of the ontology: checked, then active or refused."""

from __future__ import annotations

from events.types.base import Data, event_type
from events.types.semantics import Triple


class OntologyObject(Data, frozen=True, kw_only=True):
    """The object that an ontology was uploaded as."""

    bucket: str
    key: str
    etag: str


@event_type("dev.sluice.ontology.checked.v1")
class OntologyChecked(OntologyObject, frozen=True, kw_only=True):
    """The reasoners found nothing wrong with it: its triples, and the subclass axioms that follow from them."""

    triples: list[Triple]
    inferred: list[Triple] = []


@event_type("dev.sluice.ontology.activated.v1")
class OntologyActivated(OntologyObject, frozen=True, kw_only=True):
    """From now on facts are understood in its terms; ``version`` counts the ontologies that were, from 1."""

    version: int
    triples: int
    inferred: int


@event_type("dev.sluice.ontology.rejected.v1")
class OntologyRejected(OntologyObject, frozen=True, kw_only=True):
    """It cannot be used, and why; the one before stays active."""

    cause: str
