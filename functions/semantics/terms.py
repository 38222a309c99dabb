"""Terms: IRIs and literals as people write them, and as N-Triples do.

Source: RDF 1.1 N-Triples (W3C Recommendation 2014-02-25), sections 2 and 7; RFC 3987 for what an IRI may hold.
"""

from __future__ import annotations

import re
from functools import lru_cache

from events.errors import Reject

PREFIXES = {
    "per": "https://sluice.dev/per#",
    "sosa": "http://www.w3.org/ns/sosa/",
    "ssn": "http://www.w3.org/ns/ssn/",
    "time": "http://www.w3.org/2006/time#",
    "geo": "http://www.opengis.net/ont/geosparql#",
    "prov": "http://www.w3.org/ns/prov#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
#: Known schemes and prefixes must differ; an IRI has a scheme and none of these characters.
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]+")
_LITERAL = re.compile(r'"((?:[^"\\\n\r]|\\[tbnrf"\'\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*)"(?:@([A-Za-z0-9-]+)|\^\^(\S+))?')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NAMESPACES = sorted(PREFIXES.items(), key=lambda item: -len(item[1]))


@lru_cache(65536)
def iri(text: str) -> str:
    """``<https://...>`` of an IRI, one in angle brackets, or one with a known prefix. Raises ``Reject`` for anything else."""
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    prefix, colon, name = bare.partition(":")
    if colon and prefix in PREFIXES and bare is text:
        bare = PREFIXES[prefix] + name
    if not _IRI.fullmatch(bare):
        raise Reject(
            f"{text!r} is no IRI: write it in full (https://example.org/p17) or with one of the prefixes {', '.join(PREFIXES)}"
        )
    return f"<{bare}>"


def is_iri(text: str) -> bool:
    """Whether the text is an absolute IRI as it stands."""
    return _IRI.fullmatch(text) is not None


def value(text: str) -> str:
    """A literal (``"12.5"^^xsd:double``) or an IRI. Raises ``Reject``."""
    if not text.startswith('"'):
        return iri(text)
    found = _LITERAL.fullmatch(text)
    if found is None:
        raise Reject(f'{text!r} is no literal: write "text", "text"@en or "12.5"^^xsd:double')
    _, _, kind = found.groups()
    return text[: found.start(3)] + iri(kind) if kind else text


def literal(content: object, kind: str = "") -> str:
    """A literal of this content; ``kind`` is its datatype with a prefix, plain text unless given."""
    text = "".join(_ESCAPES.get(each, each) for each in str(content))
    return f'"{text}"^^{iri(kind)}' if kind else f'"{text}"'


def short(term: str) -> str:
    """A term for people: with a known prefix, a literal without its datatype, an IRI without brackets."""
    if term.startswith('"'):
        return term[: term.rindex('"') + 1]
    bare = term[1:-1] if term.startswith("<") else term
    for prefix, namespace in _NAMESPACES:
        if bare.startswith(namespace):
            return f"{prefix}:{bare[len(namespace) :]}"
    return bare
