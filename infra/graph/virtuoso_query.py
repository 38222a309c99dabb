"""A query as Virtuoso 7 answers it right: paths of any length in its own words, exact coordinates, given graphs only."""

from __future__ import annotations

from itertools import pairwise

from events.errors import Reject
from infra.graph.sparql import Described, Token, where

WKT = "http://www.opengis.net/ont/geosparql#wktLiteral"
#: Virtuoso makes geometries of WKT and rounds their coordinates to 32 bits: under this datatype it leaves them alone.
EXACT_WKT = "urn:sluice:wktLiteral"
#: A graph that is never there: Virtuoso takes no empty set of graphs.
NO_GRAPH = "urn:sluice:none"
_TERMS = {"iri", "name", "variable", "text"}
_PATH = {"|", "/", "^", "!", "?", "*", "+", "(", ")"}


def rewritten(query: Described, *, without_from: bool) -> str:
    """The text for Virtuoso. Raises ``Reject`` for a path that it cannot follow."""
    found = query.tokens
    pieces: list[tuple[int, int, str]] = []
    if query.own and not without_from and about_graphs(query) and not _names_graphs(found):
        start = next(token.start for token in found if token.kind == "word" and token.value == "FROM")
        pieces.append((start, start, f"FROM NAMED <{NO_GRAPH}> "))  # else Virtuoso would look into any
    for place, token in enumerate(found):
        if without_from and token.value == "FROM" and token.kind == "word":
            last = found[place + (2 if place + 1 < len(found) and found[place + 1].value == "NAMED" else 1)]
            pieces.append((token.start, last.end, ""))
        elif token.value == f"<{WKT}>" or (token.kind == "name" and token.value.endswith(":wktLiteral")):
            pieces.append((token.start, token.end, f"<{EXACT_WKT}>"))
        elif token.kind == "other" and token.value in "+*" and _is_path(found, place):
            pieces.append(_closure(query, place))
    text, end = "", 0
    for start, stop, piece in sorted(pieces):
        text += query.text[end:start] + piece
        end = stop
    return text + query.text[end:]


def about_graphs(query: Described) -> bool:
    """Whether it has a GRAPH at all."""
    return any(_is_graph(token) for token in query.tokens)


def written_graphs(query: Described) -> list[str] | None:
    """The graphs behind GRAPH; ``None`` where one is a variable, or an IRI that is not written out."""
    found = query.tokens
    prefixes = {
        found[place + 1].value: found[place + 2].value[1:-1]
        for place, token in enumerate(found[:-2])
        if token.kind == "word" and token.value == "PREFIX"
    }
    graphs = set()
    for word, then in pairwise(found):
        if _is_graph(word):
            prefix, colon, local = then.value.partition(":")
            if then.kind == "iri" and colon:
                graphs.add(then.value[1:-1])
            elif then.kind == "name" and prefix + colon in prefixes:
                graphs.add(prefixes[prefix + colon] + local.replace("\\", ""))
            else:
                return None
    return sorted(graphs)


def _is_graph(token: Token) -> bool:
    return token.kind == "word" and token.value == "GRAPH"


def _names_graphs(found: tuple[Token, ...]) -> bool:
    return ("FROM", "NAMED") in pairwise(token.value for token in found if token.kind in ("word", "iri", "name"))


def _is_path(found: tuple[Token, ...], place: int) -> bool:
    """Whether + or * repeats a path here; else it is arithmetic, or the star of SELECT and COUNT."""
    before = found[place - 1]
    if before.end != found[place].start or place == 0:
        return False
    if before.kind in ("iri", "name") or (before.kind == "word" and before.value == "A"):
        return True
    if before.value != ")":
        return False
    depth = 0
    for back in range(place - 1, -1, -1):
        depth += (found[back].value == ")") - (found[back].value == "(")
        if depth == 0:
            inside = found[back + 1 : place - 1]
            return bool(inside) and all(
                each.kind in ("iri", "name") or each.value in _PATH or each.value == "A" for each in inside
            )
    return False


def _closure(query: Described, place: int) -> tuple[int, int, str]:
    """The statement ``S p+ O`` or ``S p* O`` around the sign at ``place``, in Virtuoso's words."""
    found = query.tokens
    around = found[max(0, place - 3) : place + 3]
    if place < 3 or len(around) < 6:
        raise _refusal(query, place)
    before, subject, predicate, sign, value, after = around
    plain = subject.kind in ("iri", "name", "variable") and predicate.kind in ("iri", "name", "word") and value.kind in _TERMS
    if not plain or before.value not in ("{", ".", "}", ")") or after.value not in (".", "}", ";", "FILTER", "OPTIONAL"):
        raise _refusal(query, place)
    s, p, o = (query.text[each.start : each.end] for each in (subject, predicate, value))
    start, to = f"?start_{place}", f"?end_{place}"
    steps = (
        f"{{ SELECT {start} {to} WHERE {{ {start} {p} {to} }} }} "
        f"OPTION (TRANSITIVE, t_distinct, t_in({start}), t_out({to}), t_min(0)) . FILTER ({to} = {o})"
    )
    if value.kind == "variable" and s != o:
        steps = steps.replace(f" . FILTER ({to} = {o})", "").replace(to, o)
    if sign.value == "*":
        text = f"{steps} . FILTER ({start} = {s})"
    else:  # one step, then any number: from a place on a circle one comes back to it, which t_min(1) leaves out
        text = f"{s} {p} ?next_{place} . {steps} . FILTER ({start} = ?next_{place})"
        if not _distinct(found):
            names = " ".join(sorted({each for each in (s, o) if each[0] in "?$"})) or f"?next_{place}"
            text = f"{{ SELECT DISTINCT {names} WHERE {{ {text} }} }}"
    if after.value == ";":
        return subject.start, after.end, f"{text} . {s} "
    return subject.start, value.end, text


def _distinct(found: tuple[Token, ...]) -> bool:
    words = [token.value for token in found if token.kind == "word"]
    return "ASK" in words[:1] or any(pair == ("SELECT", "DISTINCT") for pair in pairwise(words))


def _refusal(query: Described, place: int) -> Reject:
    spot = where(query.text, query.tokens[place].start)
    return Reject(
        f"{spot}: Virtuoso follows a path of any length only as a statement of its own, SUBJECT <property>+ OBJECT, with one "
        "property"
    )
