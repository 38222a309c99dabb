"""Terms as N-Triples writes them, and the words of OWL, RDF Schema and RDF."""

from __future__ import annotations

import re
from functools import lru_cache

from events.errors import Reject

#: Subject, predicate, object as N-Triples writes them: ``<http://...>``, ``_:b1``, ``"text"@en``, ``"1"^^<...#integer>``.
Triple = tuple[str, str, str]

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
OWL = "http://www.w3.org/2002/07/owl#"
XSD = "http://www.w3.org/2001/XMLSchema#"


def rdf(name: str) -> str:
    """The term of a word of RDF."""
    return f"<{RDF}{name}>"


def rdfs(name: str) -> str:
    """The term of a word of RDF Schema."""
    return f"<{RDFS}{name}>"


def owl(name: str) -> str:
    """The term of a word of OWL."""
    return f"<{OWL}{name}>"


TYPE = rdf("type")
THING, NOTHING = owl("Thing"), owl("Nothing")
SAME, DIFFERENT = owl("sameAs"), owl("differentFrom")
_VOCABULARY = tuple(f"<{space}" for space in (RDF, RDFS, OWL))
_TERM = re.compile(r'<[^<>"{}|^`\\\x00-\x20]*>|_:[^\s<>"]+|"(?:[^"\\\n\r]|\\.)*"(?:@[a-zA-Z0-9-]+|\^\^<[^<>\s]*>)?')


class OntologyError(Reject):
    """The ontology cannot become rules. The text names the axiom and what to change."""


class FactError(Reject):
    """A triple that is no fact about individuals. The text names the triple."""


def is_vocabulary(term: str) -> bool:
    """Whether the term is a word of OWL, RDF Schema or RDF."""
    return term.startswith(_VOCABULARY)


def is_literal(term: str) -> bool:
    """Whether the term is a literal."""
    return term.startswith('"')


@lru_cache(65536)
def kind(term: object) -> str:
    """``iri``, ``blank`` or ``literal``, and nothing for what is no term in the form of N-Triples."""
    if not isinstance(term, str) or _TERM.fullmatch(term) is None:
        return ""
    return {"<": "iri", "_": "blank", '"': "literal"}[term[0]]


def short(term: str) -> str:
    """The term for people: an IRI's last part, a literal without its datatype."""
    if term.startswith("<"):
        return re.split(r"[#/:]", term[1:-1].rstrip("#/"))[-1] or term
    return term.partition("^^")[0]


def sentence(triple: Triple) -> str:
    """The triple for people, such as ``anna locatedIn castello``."""
    subject, predicate, value = triple
    return f"{short(subject)} {'is a' if predicate == TYPE else short(predicate)} {short(value)}"
