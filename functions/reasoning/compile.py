"""An ontology becomes rules: one pass over its axioms, as triples (OWL 2 mapping to RDF), in the semantics of OWL 2 RL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from functions.reasoning import chains
from functions.reasoning.clauses import NEVER, Beyond, Clauses, Never
from functions.reasoning.expression import Expression, Named, Not, Or, Reader, Role, normal
from functions.reasoning.kinds import kinds
from functions.reasoning.rule import Atom, Rules
from functions.reasoning.terms import (
    DIFFERENT,
    NOTHING,
    SAME,
    THING,
    TYPE,
    Triple,
    is_vocabulary,
    owl,
    rdf,
    rdfs,
    short,
)


def compile_ontology(triples: Iterable[Triple]) -> Rules:
    """The rules of an ontology, given with its imports and whatever subsumptions a classifier inferred.

    Individuals that the ontology speaks of are rules without a body. Where OWL 2 RL stops, for example at a value that somebody
    must have but that is not named, ``Rules.beyond`` says so, and the rest of the axiom still counts.

    Raises ``OntologyError`` naming the axiom for what is malformed and for property chains that OWL 2 forbids.
    """
    return _Compiler(triples).rules()


class _Compiler:
    def __init__(self, triples: Iterable[Triple]) -> None:
        self.reader = Reader(triples)
        objects, values, self.annotations = kinds(self.reader)
        functional = [Role(node) for node in self._of(owl("FunctionalProperty"))]
        functional += [Role(node, True) for node in self._of(owl("InverseFunctionalProperty"))]
        self.out = Clauses(objects, values, functional)
        self.chains: list[tuple[tuple[Role, ...], Role]] = []
        self.below: list[tuple[Role, Role]] = []
        self.expressions: dict[str, Expression] = {}

    def _of(self, kind: str) -> list[str]:
        return [node for node, has in self.reader.nodes.items() if kind in has.get(TYPE, ())]

    def rules(self) -> Rules:
        """Read every axiom, check the chains, and drop names that no rule asks for."""
        self._equality()
        statements: dict[str, Callable[[str, str], None]] = {
            rdfs("subClassOf"): self._subclass,
            owl("equivalentClass"): self._equivalent,
            owl("disjointWith"): self._disjoint,
            owl("disjointUnionOf"): self._disjoint_union,
            owl("hasKey"): self._key,
            rdfs("subPropertyOf"): self._subproperty,
            owl("equivalentProperty"): self._equivalent_property,
            owl("inverseOf"): self._inverse,
            owl("propertyDisjointWith"): self._disjoint_property,
            owl("propertyChainAxiom"): self._chain,
            rdfs("domain"): self._domain,
            rdfs("range"): self._range,
            TYPE: self._typed,
            SAME: self._fact(SAME),
            DIFFERENT: self._fact(DIFFERENT),
        }
        statements |= {name: self._fact(name) for name in self.out.objects | self.out.values}
        for node, has in self.reader.nodes.items():
            for predicate, found in has.items():
                if predicate in statements:
                    for value in found:
                        statements[predicate](node, value)
            if not node.startswith("_:") and any(owl(word) in has for word in _DESCRIBED):
                part = self.reader.described(node)
                self._both(Named(node), part, f"{short(node)} EquivalentTo {part}")
        chains.check(self.chains, self.below)
        return self._finished()

    def _finished(self) -> Rules:
        rules = list(self.out.rules.values())
        while True:
            asked = {atom.slot for rule in rules for atom in rule.body}
            kept = [rule for rule in rules if not rule.head.object.startswith("~") or rule.head.slot in asked]
            if len(kept) == len(rules):
                break
            rules = kept
        everything = any(atom.slot == (TYPE, THING) for rule in rules for atom in rule.body)
        classes = {atom.object for rule in rules for atom in (rule.head, *rule.body) if atom.predicate == TYPE}
        classes |= {node for kind in (owl("Class"), rdfs("Class")) for node in self._of(kind) if not node.startswith("_:")}
        classes = {each for each in classes if not each.startswith("~")}
        return Rules(tuple(rules), frozenset(classes), self.out.objects, self.out.values, tuple(self.out.beyond), everything)

    def _equality(self) -> None:
        same = "individuals told to be the same"
        self.out.add(Atom("?x", SAME, "?y"), [Atom("?y", SAME, "?x")], "same individual", same, (("?x", "?y"),))
        both = [Atom("?x", SAME, "?y"), Atom("?y", SAME, "?z")]
        self.out.add(Atom("?x", SAME, "?z"), both, "same individual", same, (("?x", "?z"),))
        apart = [Atom("?x", SAME, "?y"), Atom("?x", DIFFERENT, "?y")]
        self.out.clash(apart, ("?x", "?y"), "the same individual cannot be different")
        self.out.clash([Atom("?x", DIFFERENT, "?x")], ("?x", "?x"), "nobody is different from himself")
        self.out.clash([Atom("?x", TYPE, NOTHING)], ("?x", "?x"), "nobody is in owl:Nothing")
        for name in NEVER:
            self.out.clash([Atom("?x", name, "?y")], ("?x", "?y"), f"{short(name)} never holds")

    def _expression(self, node: str) -> Expression:
        if node not in self.expressions:
            self.expressions[node] = self.reader.expression(node)
        return self.expressions[node]

    def _try(self, axiom: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Never:
            pass
        except Beyond as reason:
            self.out.beyond[f"{axiom}: {reason}"] = None

    # Classes

    def _subclass(self, node: str, value: str) -> None:
        left, right = self._expression(node), self._expression(value)
        self.out.include(left, right, "subclass", f"{left} SubClassOf {right}")

    def _equivalent(self, node: str, value: str) -> None:
        left, right = self._expression(node), self._expression(value)
        self._both(left, right, f"{left} EquivalentTo {right}")

    def _both(self, left: Expression, right: Expression, axiom: str) -> None:
        self.out.include(left, right, "equivalent class", axiom)
        self.out.include(right, left, "equivalent class", axiom)

    def _disjoint(self, node: str, value: str) -> None:
        left, right = self._expression(node), self._expression(value)
        self.out.include(left, Not(right), "disjoint classes", f"{left} DisjointWith {right}")

    def _disjoint_union(self, node: str, value: str) -> None:
        parts = tuple(map(self._expression, self.reader.members(value)))
        self._both(Named(node), Or(parts), f"{short(node)} DisjointUnionOf {', '.join(map(str, parts))}")
        for left, right in combinations(parts, 2):
            self.out.include(left, Not(right), "disjoint classes", f"{left} DisjointWith {right}")

    def _key(self, node: str, value: str) -> None:
        part = self._expression(node)
        roles = tuple(map(self.reader.role, self.reader.members(value)))
        axiom = f"{part} HasKey {', '.join(map(str, roles))}"

        def step() -> None:
            atoms = [*self.out.body(normal(part), "?x"), *self.out.body(normal(part), "?y")]
            for role in roles:
                shared = self.out.variable()
                atoms += [*self.out.atom(role, "?x", shared), *self.out.atom(role, "?y", shared)]
            self.out.add(Atom("?x", SAME, "?y"), atoms, "key", axiom, (("?x", "?y"),))

        self._try(axiom, step)

    # Properties

    def _implied(self, left: Role, right: Role, name: str, axiom: str) -> None:
        self.below.append((left, right))
        self._try(axiom, lambda: self.out.add_role(right, "?x", "?y", self.out.atom(left, "?x", "?y"), name, axiom))

    def _ordinary(self, *nodes: str) -> bool:
        """Whether these are properties that rules are about, and not ones for annotations."""
        named = [node for node in nodes if not node.startswith("_:")]
        top = (owl("topObjectProperty"), owl("topDataProperty"), *NEVER)
        return not any(node in self.annotations or (is_vocabulary(node) and node not in top) for node in named)

    def _subproperty(self, node: str, value: str) -> None:
        if self.reader.values(node, rdf("rest")):  # a chain, in the form of OWL 2's first drafts
            self._chain(value, node)
        elif self._ordinary(node, value):
            left, right = self.reader.role(node), self.reader.role(value)
            self._implied(left, right, "sub-property", f"{left} SubPropertyOf {right}")

    def _equivalent_property(self, node: str, value: str) -> None:
        if self._ordinary(node, value):
            left, right = self.reader.role(node), self.reader.role(value)
            axiom = f"{left} EquivalentTo {right}"
            self._implied(left, right, "equivalent property", axiom)
            self._implied(right, left, "equivalent property", axiom)

    def _inverse(self, node: str, value: str) -> None:
        if node.startswith("_:"):
            return  # part of an expression
        left, right = self.reader.role(node), self.reader.role(value)
        axiom, turned = f"{left} InverseOf {right}", Role(right.iri, not right.inverse)
        self._implied(left, turned, "inverse property", axiom)
        self._implied(turned, left, "inverse property", axiom)

    def _disjoint_property(self, node: str, value: str) -> None:
        self._apart(self.reader.role(node), self.reader.role(value))

    def _apart(self, left: Role, right: Role) -> None:
        axiom = f"{left} DisjointWith {right}"
        atoms = [*self.out.atom(left, "?x", "?y"), *self.out.atom(right, "?x", "?y")]
        self.out.clash(atoms, ("?x", "?y"), axiom)

    def _chain(self, node: str, value: str) -> None:
        whole, chain = self.reader.role(node), tuple(map(self.reader.role, self.reader.members(value)))
        axiom = chains.text(chain, whole)
        if len(chain) < 2:
            for part in chain:
                self._implied(part, whole, "property chain", axiom)
            return
        self.chains.append((chain, whole))

        def rule(parts: Sequence[Role], made: Role) -> None:
            ends = ["?x", *(self.out.variable() for _ in parts[1:]), "?y"]
            atoms = [self.out.atom(role, ends[place], ends[place + 1])[0] for place, role in enumerate(parts)]
            self.out.add_role(made, "?x", "?y", atoms, "property chain", axiom)

        def step() -> None:
            rest = list(chain)
            while len(rest) > _JOINED:  # the beginning gets a name of its own
                made = Role("~" + " o ".join(f"{role.iri} {role.inverse}" for role in rest[:_JOINED]))
                rule(rest[:_JOINED], made)
                rest[:_JOINED] = [made]
            rule(rest, whole)

        self._try(axiom, step)

    def _domain(self, node: str, value: str) -> None:
        if self._ordinary(node):
            role, part = self.reader.role(node), normal(self._expression(value))
            axiom = f"{role} Domain {part}"
            self._try(axiom, lambda: self.out.head(self.out.atom(role, "?x", "?y"), "?x", part, "domain", axiom))

    def _range(self, node: str, value: str) -> None:
        if self._ordinary(node) and node not in self.out.values:
            role, part = self.reader.role(node), normal(self._expression(value))
            axiom = f"{role} Range {part}"
            self._try(axiom, lambda: self.out.head(self.out.atom(role, "?x", "?y"), "?y", part, "range", axiom))

    # What rdf:type says: characteristics, axioms of many members, and individuals

    def _typed(self, node: str, value: str) -> None:
        if not is_vocabulary(value) or value in (THING, NOTHING):
            if not is_vocabulary(node):
                self._individual(node, value)
            return
        kind = value.rpartition("#")[2][:-1]
        if kind in _CHARACTERISTICS:
            role = self.reader.role(node)
            self._try(f"{kind}: {role}", lambda: self._characteristic(role, kind))
        elif kind in ("AllDisjointClasses", "AllDisjointProperties", "AllDifferent"):
            members = owl("distinctMembers") if self.reader.values(node, owl("distinctMembers")) else owl("members")
            for one, two in combinations(self.reader.members(self.reader.one(node, members)), 2):
                if kind == "AllDisjointClasses":
                    self._disjoint(one, two)
                elif kind == "AllDisjointProperties":
                    self._disjoint_property(one, two)
                else:
                    self.out.add(Atom(one, DIFFERENT, two), [], _STATED, f"{short(one)} DifferentFrom {short(two)}")
        elif kind == "NegativePropertyAssertion":
            self._negative(node)

    def _characteristic(self, role: Role, kind: str) -> None:
        out, axiom = self.out, f"{role} is {_CHARACTERISTICS[kind]}"
        one, back = out.atom(role, "?x", "?y"), out.atom(role, "?y", "?x")
        if kind == "TransitiveProperty":
            out.add_role(role, "?x", "?z", [*one, *out.atom(role, "?y", "?z")], "transitive property", axiom)
        elif kind == "SymmetricProperty":
            out.add_role(role, "?y", "?x", one, "symmetric property", axiom)
        elif kind == "ReflexiveProperty":
            out.add_role(role, "?x", "?x", [], "reflexive property", axiom)
        elif kind == "FunctionalProperty":
            out.single([*one, *out.atom(role, "?x", "?z")], "?x", "?y", "?z", role, "functional property", axiom)
        elif kind == "InverseFunctionalProperty":
            turned = Role(role.iri, not role.inverse)
            out.single([*one, *out.atom(role, "?z", "?y")], "?y", "?x", "?z", turned, "inverse functional property", axiom)
        elif kind == "IrreflexiveProperty":
            out.clash(out.atom(role, "?x", "?x"), ("?x", "?x"), axiom)
        elif kind == "AsymmetricProperty":
            out.clash([*one, *back], ("?x", "?y"), axiom)

    def _negative(self, node: str) -> None:
        subject = self.reader.one(node, owl("sourceIndividual"))
        role = self.reader.role(self.reader.one(node, owl("assertionProperty")))
        target = owl("targetValue") if self.reader.values(node, owl("targetValue")) else owl("targetIndividual")
        value = self.reader.one(node, target)
        axiom = f"not: {short(subject)} {role} {short(value)}"
        self._try(axiom, lambda: self.out.clash(self.out.atom(role, subject, value), (subject, value), axiom))

    def _individual(self, node: str, value: str) -> None:
        part = normal(self._expression(value))
        axiom = f"{short(node)} Type {part}"
        self._try(axiom, lambda: self.out.head([], node, part, _STATED, axiom))

    def _fact(self, name: str) -> Callable[[str, str], None]:
        def step(node: str, value: str) -> None:
            axiom = f"{short(node)} {short(name)} {short(value)}"
            self.out.add(Atom(node, name, value), [], _STATED, axiom)

        return step


#: Properties of a chain that one rule joins.
_JOINED = 4
_STATED = "stated in the ontology"
_DESCRIBED = ("intersectionOf", "unionOf", "complementOf", "oneOf", "onProperty")
_CHARACTERISTICS = {
    "TransitiveProperty": "transitive",
    "SymmetricProperty": "symmetric",
    "ReflexiveProperty": "reflexive",
    "FunctionalProperty": "functional",
    "InverseFunctionalProperty": "inverse functional",
    "IrreflexiveProperty": "irreflexive",
    "AsymmetricProperty": "asymmetric",
}
