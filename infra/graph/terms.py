"""N-Triples terms: which ones a store may be given, and how they are read from SPARQL's JSON results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from events.errors import Reject
from events.ports import GraphChange
from events.types import Triple

XSD = "http://www.w3.org/2001/XMLSchema#"
IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*")
_LITERAL = re.compile(
    r'"((?:[^"\\\n\r]|\\[tbnrf"\'\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*)"(?:@([A-Za-z]+(?:-[A-Za-z0-9]+)*)|\^\^<([^<>]*)>)?'
)
_FORMS = {
    XSD + "integer": re.compile(r"[+-]?[0-9]{1,18}"),
    XSD + "decimal": re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"),
    XSD + "double": re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?INF|NaN"),
    XSD + "boolean": re.compile(r"true|false|1|0"),
    XSD + "dateTime": re.compile(
        r"-?[0-9]{4,}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
        r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
    ),
}
_BOOLEANS = {f'"{digit}"^^<{XSD}boolean>': f'"{word}"^^<{XSD}boolean>' for digit, word in (("1", "true"), ("0", "false"))}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}


def stored(term: str) -> str:
    """A term as every store takes it. Raises ``Reject`` for what is no IRI or literal, and for a value outside its datatype."""
    if term.startswith("<") and term.endswith(">") and IRI.fullmatch(term, 1, len(term) - 1):
        return term
    found = _LITERAL.fullmatch(term)
    if found is None:
        what = "a blank node: give it an IRI" if term.startswith("_:") else 'neither <an IRI> nor a "literal"'
        raise Reject(f"the term {term[:200]!r} is {what}")
    form = _FORMS.get(found[3] or "")
    if form is not None and not form.fullmatch(found[1]):
        raise Reject(f"the value {found[1][:100]!r} is no {found[3].removeprefix(XSD)} that every store can hold")
    return _BOOLEANS.get(term, term)


def lines(triples: Sequence[Triple]) -> Iterator[str]:
    """Each triple as SPARQL and N-Triples write it. Raises ``Reject`` for what no store takes."""
    for subject, predicate, value in triples:
        if not (subject.startswith("<") and predicate.startswith("<")):
            raise Reject(f"the subject {subject[:200]!r} and the property {predicate[:200]!r} must be <IRIs>")
        yield f"{stored(subject)} {stored(predicate)} {stored(value)} .\n"


def updates(changes: Sequence[GraphChange], most: int) -> Iterator[str]:
    """The changes as SPARQL updates, in order, of at most ``most`` triples each. Raises ``Reject``."""
    for change in changes:
        graph = stored(f"<{change.graph}>")
        if change.replace:
            yield f"DROP SILENT GRAPH {graph}"
        for verb, triples in (("DELETE", change.remove), ("INSERT", change.add)):
            made = list(lines(triples))
            for start in range(0, len(made), most):
                yield f"{verb} DATA {{ GRAPH {graph} {{\n{''.join(made[start : start + most])}}} }}"


def term(bound: dict[str, Any]) -> str:
    """A term of SPARQL's JSON results as an N-Triples term."""
    kind, value = bound["type"], bound["value"]
    if kind == "uri":
        return f"<{value}>"
    if kind == "bnode":
        return f"_:{value}"
    text = '"' + "".join(_ESCAPES.get(char, char) for char in value) + '"'
    if language := bound.get("xml:lang"):
        return f"{text}@{language}"
    datatype = bound.get("datatype", XSD + "string")
    return text if datatype == XSD + "string" else f"{text}^^<{datatype}>"
