"""Property chains that OWL 2 forbids: those that define a property by itself in a circle (OWL 2 Syntax, section 11.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from functions.reasoning.expression import Role
from functions.reasoning.terms import OntologyError, owl, short

Graph = dict[str, set[str]]


def text(chain: Sequence[Role], whole: Role) -> str:
    """A chain for people."""
    return f"{' o '.join(map(str, chain))} SubPropertyOf {whole}"


def check(chains: Iterable[tuple[Sequence[Role], Role]], below: Iterable[tuple[Role, Role]]) -> None:
    """Raise ``OntologyError`` naming a chain without which the properties had an order.

    Each property of a chain must come before the whole in one strict order of all properties, the whole itself excepted where
    the chain starts or ends with it, or is just it twice. What is below a property (``below``: sub-properties, equivalences and
    inverses, as pairs of lower and higher) cannot come after it. A property and its inverse have one place in that order.
    """
    before: Graph = {}
    higher: Graph = {}
    told: dict[tuple[str, str], str] = {}
    for lower, upper in below:
        higher.setdefault(lower.iri, set()).add(upper.iri)
    for chain, whole in chains:
        if whole.iri == owl("topObjectProperty"):
            continue
        rest = list(chain)
        if len(rest) == 2 and rest[0] == rest[1] == whole:
            continue
        if rest[0] == whole:
            rest = rest[1:]
        elif rest[-1] == whole:
            rest = rest[:-1]
        for part in rest:
            before.setdefault(part.iri, set()).add(whole.iri)
            told.setdefault((part.iri, whole.iri), text(chain, whole))
    for first in sorted(before):
        for last in sorted(_reached(before, before[first])):
            if first in {last, *_reached(higher, {last})}:
                name = next(told[first, each] for each in sorted(before[first]) if last in _reached(before, {each}))
                raise OntologyError(
                    f"the property chain {name} is circular: {short(first)} is part of {short(last)}, and that in turn of "
                    f"{short(first)}. OWL 2 forbids it: break the circle, or use a transitive property"
                )


def _reached(graph: Graph, start: set[str]) -> set[str]:
    found = set(start)
    stack = list(start)
    while stack:
        new = graph.get(stack.pop(), set()) - found
        found |= new
        stack.extend(new)
    return found
