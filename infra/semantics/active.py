"""The active ontology: its terms and its rules, compiled once a version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache

from events.types import Triple
from functions.reasoning.compile import compile_ontology
from functions.reasoning.rule import Rules
from functions.semantics.terms import iri
from infra.catalog.database import Database

_TYPE = iri("rdf:type")
#: What declares a property; OWL knows annotation properties too, of which nothing is inferred.
_PROPERTIES = frozenset(
    iri(f"{prefix}:{name}")
    for prefix, name in (
        ("owl", "ObjectProperty"),
        ("owl", "DatatypeProperty"),
        ("owl", "AnnotationProperty"),
        ("rdf", "Property"),
    )
)
_CLASSES = frozenset({iri("owl:Class"), iri("rdfs:Class")})
_BUILT_IN = frozenset(
    {iri("rdfs:label"), iri("rdfs:comment"), iri("rdfs:seeAlso"), iri("owl:sameAs"), iri("owl:differentFrom")}
)


@cache
def builtin() -> tuple[Triple, ...]:
    """The ontology that is there from the beginning, classified. Reading it takes a moment: only who needs it does."""
    from functions.ontologies import reading

    return reading.builtin()


class ActiveOntology:
    """``triples`` gives those of the ontology that is active within a transaction, or about now: the same object while it is.

    The ``Vocabulary`` port.
    """

    def __init__(self, triples: Callable[[Database | None], Sequence[Triple]] = lambda _: builtin()) -> None:
        self._triples = triples
        self._lock = threading.Lock()
        self._of: Sequence[Triple] | None = None
        self._compiled: Rules | None = None
        self._classes: frozenset[str] = frozenset()
        self._properties: frozenset[str] = frozenset()

    def rules(self, within: Database | None = None) -> Rules:
        """Its rules, the same object while it is active."""
        with self._lock:
            triples = self._current(within)
            if self._compiled is None:
                self._compiled = compile_ontology(triples)
            return self._compiled

    def is_class(self, term: str) -> bool:
        with self._lock:
            self._current()
            return term in self._classes

    def is_property(self, term: str) -> bool:
        with self._lock:
            self._current()
            return term in self._properties or term in _BUILT_IN

    def _current(self, within: Database | None = None) -> Sequence[Triple]:
        triples = self._triples(within)
        if triples is not self._of:
            declared = [(s, o) for s, p, o in triples if p == _TYPE and s.startswith("<")]
            self._classes = frozenset(s for s, o in declared if o in _CLASSES)
            self._properties = frozenset(s for s, o in declared if o in _PROPERTIES)
            self._of, self._compiled = triples, None
        return triples
