"""Which properties of an ontology lead to individuals, which to literals, and which only annotate."""

from __future__ import annotations

from functions.reasoning.expression import Reader
from functions.reasoning.terms import TYPE, OntologyError, is_vocabulary, owl, rdf, rdfs

_OBJECT = [
    owl(f"{word}Property")
    for word in ("Object", "Transitive", "Symmetric", "Asymmetric", "Reflexive", "Irreflexive", "InverseFunctional")
]
_ALIKE = (rdfs("subPropertyOf"), owl("equivalentProperty"), owl("propertyDisjointWith"))


def kinds(reader: Reader) -> tuple[set[str], set[str], set[str]]:
    """Object properties, data properties and annotation properties: declared, or known by what is said of them.

    A property with none of these may lead to both. Raises ``OntologyError`` for one that is declared as both.
    """
    objects, values, annotations = set[str](), {owl("topDataProperty"), owl("bottomDataProperty")}, set[str]()
    alike: dict[str, set[str]] = {}
    for node, has in reader.nodes.items():
        types = has.get(TYPE, ())
        if owl("DatatypeProperty") in types:
            values.add(node)
        elif any(kind in types for kind in _OBJECT):
            objects.add(node)
        if owl("AnnotationProperty") in types:
            annotations.add(node)
        if owl("DatatypeProperty") in types and owl("ObjectProperty") in types:
            raise OntologyError(f"{node} is declared both an object property and a data property: keep one of the two")
        if owl("inverseOf") in has:
            objects |= {node, *has[owl("inverseOf")]}
        for chain in has.get(owl("propertyChainAxiom"), ()):
            objects |= {node, *reader.members(chain)}
        for other in (each for word in _ALIKE for each in has.get(word, ())):
            if not reader.values(node, rdf("first")):
                alike.setdefault(node, set()).add(other)
                alike.setdefault(other, set()).add(node)
    for found, others in ((objects, values), (values, objects)):
        stack = list(found)
        while stack:
            new = alike.get(stack.pop(), set()) - found - others - annotations
            found |= new
            stack.extend(new)
    everything = {owl("topObjectProperty"), owl("bottomObjectProperty")}
    return {each for each in objects if _ordinary(each)} | everything, {each for each in values if _ordinary(each)}, annotations


def _ordinary(node: str) -> bool:
    return not node.startswith("_:") and (not is_vocabulary(node) or "DataProperty" in node)
