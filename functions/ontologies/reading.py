"""Reading an ontology or data from its bytes, as triples of N-Triples terms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import rdflib
from rdflib.term import Node

from events.errors import Reject
from events.types import Triple

HERE = Path(__file__).parent
#: What the name of an object ends with -> its syntax.
SYNTAXES = {".ttl": "turtle", ".nt": "nt", ".owl": "xml", ".rdf": "xml"}
#: Blank nodes get names below this: stores need one for everything.
GENID = "https://sluice.dev/.well-known/genid/"


def parse(data: bytes, name: str) -> list[Triple]:
    """The triples of a document in the syntax that ``name`` ends with; blank nodes are ``_:...``. Raises ``Reject``."""
    syntax = SYNTAXES.get(Path(name).suffix.lower())
    if syntax is None:
        raise Reject(f"{name} is no ontology: its name should end with one of {', '.join(sorted(SYNTAXES))}")
    graph = rdflib.Graph()
    try:
        graph.parse(data=data, format=syntax)
    except Exception as error:  # each of rdflib's parsers raises what it likes
        cause = " ".join(str(error).split())[:500]
        raise Reject(f"{name} cannot be read as {syntax}: {cause or type(error).__name__}") from error
    return sorted((_term(s), _term(p), _term(o)) for s, p, o in graph)


@cache
def builtin() -> tuple[Triple, ...]:
    """The triples of the PER ontology."""
    return tuple(parse((HERE / "per.ttl").read_bytes(), "per.ttl"))


@cache
def builtin_inferred() -> tuple[Triple, ...]:
    """The subclass axioms that HermiT infers from the PER ontology."""
    return tuple(parse((HERE / "per-inferred.ttl").read_bytes(), "per-inferred.ttl"))


def named(triples: Iterable[Triple], scope: str) -> list[Triple]:
    """The triples with blank nodes replaced by IRIs, which are the document's (``scope``) own."""
    prefix = f"<{GENID}{hashlib.blake2b(scope.encode(), digest_size=8).hexdigest()}/"

    def name(term: str) -> str:
        return f"{prefix}{term[2:]}>" if term.startswith("_:") else term

    return [(name(s), p, name(o)) for s, p, o in triples]


def _term(node: Node) -> str:
    if not isinstance(node, rdflib.Literal):
        return node.n3()
    text = str(node)
    for char, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ('"', '\\"')):
        text = text.replace(char, escaped)
    return f'"{text}"' + (f"@{node.language}" if node.language else f"^^<{node.datatype}>" if node.datatype else "")
