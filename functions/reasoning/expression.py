"""OWL class expressions: read from triples, in negation normal form (section 3.2.4 of the OWL 2 mapping to RDF)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from functions.reasoning.terms import NOTHING, RDF, THING, XSD, OntologyError, Triple, is_literal, owl, rdf, rdfs, short


@dataclass(frozen=True)
class Role:
    """A property, or the inverse of one."""

    iri: str
    inverse: bool = False

    def __str__(self) -> str:
        return f"inverse {short(self.iri)}" if self.inverse else short(self.iri)


@dataclass(frozen=True)
class Named:
    """A class by its name."""

    iri: str

    def __str__(self) -> str:
        return short(self.iri)


@dataclass(frozen=True)
class Data:
    """A set of literals, by name or description. Literals are opaque here, so only ``rdfs:Literal`` says something."""

    iri: str

    def __str__(self) -> str:
        return short(self.iri)


@dataclass(frozen=True)
class _Joined:
    """Of several classes."""

    WORD: ClassVar[str]
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "(" + f" {self.WORD} ".join(map(str, self.parts)) + ")"


class And(_Joined):
    """In all of them."""

    WORD = "and"


class Or(_Joined):
    """In at least one of them."""

    WORD = "or"


@dataclass(frozen=True)
class Not:
    """Not in it."""

    part: Expression

    def __str__(self) -> str:
        return f"not {self.part}"


@dataclass(frozen=True)
class OneOf:
    """One of these individuals or literals."""

    members: tuple[str, ...]

    def __str__(self) -> str:
        return "{" + ", ".join(map(short, self.members)) + "}"


@dataclass(frozen=True)
class _Quantified:
    """Of the values of a property."""

    WORD: ClassVar[str]
    role: Role
    filler: Expression

    def __str__(self) -> str:
        return f"({self.role} {self.WORD} {self.filler})"


class Some(_Quantified):
    """Has a value in the filler."""

    WORD = "some"


class All(_Quantified):
    """All values are in the filler."""

    WORD = "only"


@dataclass(frozen=True)
class Value:
    """Has this value."""

    role: Role
    value: str

    def __str__(self) -> str:
        return f"({self.role} value {short(self.value)})"


@dataclass(frozen=True)
class Itself:
    """Has itself as a value."""

    role: Role

    def __str__(self) -> str:
        return f"({self.role} Self)"


@dataclass(frozen=True)
class _Counted:
    """Of how many values of a property are in the filler."""

    WORD: ClassVar[str]
    count: int
    role: Role
    filler: Expression

    def __str__(self) -> str:
        return f"({self.role} {self.WORD} {self.count} {self.filler})"


class Min(_Counted):
    """Has at least so many values in the filler."""

    WORD = "min"


class Max(_Counted):
    """Has at most so many values in the filler."""

    WORD = "max"


Expression = Named | Data | And | Or | Not | OneOf | Some | All | Value | Itself | Min | Max
TOP, BOTTOM = Named(THING), Named(NOTHING)
LITERAL = Data(rdfs("Literal"))
_CARDINALITIES = {
    "minCardinality": ("min", False),
    "maxCardinality": ("max", False),
    "cardinality": ("exactly", False),
    "minQualifiedCardinality": ("min", True),
    "maxQualifiedCardinality": ("max", True),
    "qualifiedCardinality": ("exactly", True),
}


class Reader:
    """Reads expressions from the triples of an ontology."""

    def __init__(self, triples: Iterable[Triple]) -> None:
        self.nodes: dict[str, dict[str, list[str]]] = {}
        for subject, predicate, value in triples:
            values = self.nodes.setdefault(subject, {}).setdefault(predicate, [])
            if value not in values:
                values.append(value)

    def values(self, node: str, predicate: str) -> list[str]:
        """The objects of a node's statements with this predicate."""
        return self.nodes.get(node, {}).get(predicate, [])

    def one(self, node: str, predicate: str) -> str:
        """The only one. Raises ``OntologyError``."""
        values = self.values(node, predicate)
        if len(values) != 1:
            raise OntologyError(f"{self.describe(node)} has {len(values)} values of {short(predicate)}: it needs exactly one")
        return values[0]

    def members(self, node: str) -> tuple[str, ...]:
        """The members of an RDF list. Raises ``OntologyError`` for one that is broken or runs in a circle."""
        members: list[str] = []
        seen: set[str] = set()
        while node != rdf("nil"):
            if node in seen or not (self.values(node, rdf("first")) and self.values(node, rdf("rest"))):
                raise OntologyError(
                    f"the list at {node} is broken: each part needs one rdf:first and one rdf:rest, up to rdf:nil"
                )
            seen.add(node)
            members.append(self.one(node, rdf("first")))
            node = self.one(node, rdf("rest"))
        return tuple(members)

    def role(self, node: str) -> Role:
        """The property expression at a node. Raises ``OntologyError``."""
        if node.startswith("_:"):
            inner = self.role(self.one(node, owl("inverseOf")))
            return Role(inner.iri, not inner.inverse)
        if is_literal(node):
            raise OntologyError(f"{node} stands where a property must: write the property's IRI")
        return Role(node)

    def expression(self, node: str, above: frozenset[str] = frozenset()) -> Expression:
        """The class expression or data range at a node. Raises ``OntologyError`` naming what is malformed."""
        if is_literal(node):
            raise OntologyError(f"{node} stands where a class must: write the class's IRI or an expression")
        if not node.startswith("_:"):
            data = node.startswith((f"<{XSD}", rdf("langString"), rdf("PlainLiteral"), rdf("XMLLiteral"), rdfs("Literal")))
            data = data or node in (owl("real"), owl("rational")) or rdfs("Datatype") in self.values(node, rdf("type"))
            return Data(node) if data else Named(node)
        if node in above:
            raise OntologyError(f"the class expression {node} contains itself: only named classes may be circular")
        return self.described(node, above | {node})

    def described(self, node: str, above: frozenset[str] = frozenset()) -> Expression:
        """The expression that the statements about a node make."""
        has = self.nodes.get(node, {})

        def parts(predicate: str) -> tuple[Expression, ...]:
            return tuple(self.expression(part, above) for part in self.members(self.one(node, owl(predicate))))

        if rdfs("Datatype") in has.get(rdf("type"), ()) or owl("onDatatype") in has:
            return Data(node)
        if owl("onProperties") in has:
            raise OntologyError(f"{self.describe(node)} speaks of several properties at once: OWL 2 gives that no meaning")
        if owl("onProperty") in has:
            return self._restriction(node, above)
        if owl("intersectionOf") in has:
            return And(parts("intersectionOf"))
        if owl("unionOf") in has:
            return Or(parts("unionOf"))
        if owl("complementOf") in has:
            return Not(self.expression(self.one(node, owl("complementOf")), above))
        if owl("oneOf") in has:
            members = self.members(self.one(node, owl("oneOf")))
            return Data(node) if any(map(is_literal, members)) else OneOf(members)
        raise OntologyError(f"{self.describe(node)} is no class expression of OWL 2")

    def _restriction(self, node: str, above: frozenset[str]) -> Expression:
        role = self.role(self.one(node, owl("onProperty")))
        has = self.nodes[node]
        if owl("someValuesFrom") in has:
            return Some(role, self.expression(self.one(node, owl("someValuesFrom")), above))
        if owl("allValuesFrom") in has:
            return All(role, self.expression(self.one(node, owl("allValuesFrom")), above))
        if owl("hasValue") in has:
            return Value(role, self.one(node, owl("hasValue")))
        if owl("hasSelf") in has:
            return Itself(role)
        for word, (kind, qualified) in _CARDINALITIES.items():
            if owl(word) in has:
                count = self._count(node, self.one(node, owl(word)))
                filler: Expression = TOP
                if qualified:
                    on = owl("onDataRange") if owl("onDataRange") in has else owl("onClass")
                    filler = self.expression(self.one(node, on), above)
                least, most = Min(count, role, filler), Max(count, role, filler)
                return least if kind == "min" else most if kind == "max" else And((least, most))
        raise OntologyError(f"{self.describe(node)} restricts {role} in no way that OWL 2 knows")

    def _count(self, node: str, literal: str) -> int:
        text = literal[1:].partition('"')[0]
        if not (is_literal(literal) and text.isascii() and text.isdigit()):
            raise OntologyError(f"{self.describe(node)} counts to {literal}: write a non-negative integer")
        return int(text)

    def describe(self, node: str) -> str:
        """A node for people: its name, or what is said about it and by whom."""
        if not node.startswith("_:"):
            return node
        has = self.nodes.get(node, {})
        said = ", ".join(f"{short(word)} {short(values[0])}" for word, values in sorted(has.items()) if RDF not in word)
        users = sorted(user for user, about in self.nodes.items() if any(node in values for values in about.values()))
        used = f" of {self.describe(users[0])}" if users and not users[0].startswith("_:") else ""
        return f"the expression [{said or node}]{used}"


def negation(part: Expression) -> Expression:
    """What is not in it, with negation pushed inwards to names."""
    match part:
        case Not():
            return part.part
        case And():
            return Or(tuple(map(negation, part.parts)))
        case Or():
            return And(tuple(map(negation, part.parts)))
        case Some():
            return All(part.role, negation(part.filler))
        case All():
            return Some(part.role, negation(part.filler))
        case Min():
            return Max(part.count - 1, part.role, part.filler) if part.count else BOTTOM
        case Max():
            return Min(part.count + 1, part.role, part.filler)
    return BOTTOM if part == TOP else TOP if part == BOTTOM else Not(part)


def normal(part: Expression) -> Expression:
    """The same set in a simpler form: negation only before names, nothing that says nothing, one form for one meaning."""
    match part:
        case Not():
            inner = normal(part.part)
            opposite = negation(inner)
            return opposite if isinstance(opposite, Not) and opposite.part == inner else normal(opposite)
        case And():
            flat = _flat(And, part.parts, neutral=(TOP,))
            if BOTTOM in flat:
                return BOTTOM
            return flat[0] if len(flat) == 1 else And(flat) if flat else TOP
        case Or():
            flat = _flat(Or, part.parts, neutral=(BOTTOM,))
            if TOP in flat:
                return TOP
            return flat[0] if len(flat) == 1 else Or(flat) if flat else BOTTOM
        case OneOf():
            return OneOf(tuple(dict.fromkeys(part.members))) if part.members else BOTTOM
        case Some():
            filler = normal(part.filler)
            if isinstance(filler, OneOf) and len(filler.members) == 1:
                return Value(part.role, filler.members[0])
            return BOTTOM if filler == BOTTOM else Some(part.role, filler)
        case All():
            filler = normal(part.filler)
            return TOP if filler in (TOP, LITERAL) else All(part.role, filler)
        case Min():
            filler = normal(part.filler)
            if part.count == 0:
                return TOP
            if part.count == 1:
                return normal(Some(part.role, filler))
            return BOTTOM if filler == BOTTOM else Min(part.count, part.role, filler)
        case Max():
            filler = normal(part.filler)
            if part.count == 0:
                return normal(All(part.role, normal(Not(filler))))
            return TOP if filler == BOTTOM else Max(part.count, part.role, filler)
    return part


def _flat(kind: type[And | Or], parts: Iterable[Expression], neutral: tuple[Expression, ...]) -> tuple[Expression, ...]:
    found: dict[Expression, None] = {}
    for part in map(normal, parts):
        inner = part.parts if isinstance(part, kind) else (part,)
        found.update(dict.fromkeys(each for each in inner if each not in neutral))
    return tuple(found)
