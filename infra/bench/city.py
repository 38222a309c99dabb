"""A city to reason about, of any size: an ontology of 65 classes, and people, streets, zones and hazards that it speaks of."""

from __future__ import annotations

import random
from collections.abc import Iterator

import rdflib

from functions.reasoning.terms import TYPE, Triple

NAMESPACE = "http://example.org/city#"
_HEAD = f"""
@prefix : <{NAMESPACE}> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
"""
_TREE = {
    "Thing": "Agent Place Hazard Instruction Observation Device Vehicle Route",
    "Agent": "Person Organisation Team",
    "Person": "Resident Visitor Responder Child Elderly Vulnerable",
    "Responder": "Firefighter Medic PoliceOfficer Volunteer",
    "Organisation": "Authority Hospital Utility",
    "Place": "Area Way Building Landmark",
    "Area": "City District Zone Square Park",
    "Way": "Street Bridge Canal Stairs",
    "Building": "Shelter School Home Office Museum",
    "Hazard": "Flood Fire Storm Collapse Outage",
    "Flood": "HighTide FlashFlood",
    "Instruction": "Evacuate StayInside Detour",
    "Device": "Sensor Siren Camera",
    "Sensor": "TideGauge SmokeDetector",
    "Vehicle": "Boat Ambulance",
    "Observation": "Reading",
}
_AXIOMS = """
:partOf a owl:ObjectProperty, owl:TransitiveProperty ; rdfs:domain :Place ; rdfs:range :Place .
:locatedIn a owl:ObjectProperty ; owl:inverseOf :contains ; rdfs:range :Place ; owl:propertyChainAxiom ( :locatedIn :partOf ) .
:position a owl:ObjectProperty ; rdfs:subPropertyOf :locatedIn .
:contains a owl:ObjectProperty .
:connectsTo a owl:ObjectProperty, owl:SymmetricProperty ; rdfs:domain :Place .
:threatens a owl:ObjectProperty ; rdfs:domain :Hazard ; rdfs:range :Place ; owl:propertyChainAxiom ( :threatens :hasPart ) .
:hasPart a owl:ObjectProperty ; owl:inverseOf :partOf .
:threatenedBy a owl:ObjectProperty ; owl:inverseOf :threatens .
:responsibleFor a owl:ObjectProperty ; rdfs:domain :Agent ; rdfs:range :Area .
:HazardousPlace owl:equivalentClass [ owl:intersectionOf ( :Place
  [ a owl:Restriction ; owl:onProperty :threatenedBy ; owl:someValuesFrom :Hazard ] ) ] .
:FloodedPlace owl:equivalentClass [ owl:intersectionOf ( :Place
  [ a owl:Restriction ; owl:onProperty :threatenedBy ; owl:someValuesFrom :Flood ] ) ] .
:PersonAtRisk owl:equivalentClass [ owl:intersectionOf ( :Person
  [ a owl:Restriction ; owl:onProperty :locatedIn ; owl:someValuesFrom :HazardousPlace ] ) ] .
:FloodVictim owl:equivalentClass [ owl:intersectionOf ( :Person
  [ a owl:Restriction ; owl:onProperty :locatedIn ; owl:someValuesFrom :FloodedPlace ] ) ] .
:UrgentCase owl:equivalentClass [ owl:intersectionOf ( :PersonAtRisk :Vulnerable ) ] .
:FloodedPlace rdfs:subClassOf :HazardousPlace .
[] a owl:AllDisjointClasses ; owl:members ( :Agent :Place :Hazard :Instruction :Device :Vehicle ) .
"""
_CLASSES = ("HazardousPlace", "FloodedPlace", "PersonAtRisk", "FloodVictim", "UrgentCase")


def ontology() -> list[Triple]:
    """The ontology: hierarchy, disjointness, transitive, inverse, symmetric, two chains, five defined classes."""
    names = [(part, whole) for whole, parts in _TREE.items() for part in parts.split()]
    tree = "".join(f":{part} a owl:Class .\n" for part, _ in names)
    tree += "".join(f":{part} rdfs:subClassOf :{whole} .\n" for part, whole in names if whole != "Thing")
    tree += "".join(f":{name} a owl:Class .\n" for name in _CLASSES)
    graph = rdflib.Graph().parse(data=_HEAD + tree + _AXIOMS, format="turtle")
    return [(one.n3(), two.n3(), three.n3()) for one, two, three in graph]


def term(name: str) -> str:
    """The IRI of a name in the city."""
    return f"<{NAMESPACE}{name}>"


class City:
    """So many individuals: six in ten are people, the others streets in zones of fifty, districts, hazards.

    One zone in twenty is flooded, another burns. ``triples`` are the facts; ``moves`` goes on for ever.
    """

    def __init__(self, individuals: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.people = [term(f"person{n}") for n in range(individuals * 6 // 10)]
        self.streets = [term(f"street{n}") for n in range(individuals * 39 // 100)]
        zones = [term(f"zone{n}") for n in range(len(self.streets) // 50 + 1)]
        districts = [term(f"district{n}") for n in range(len(zones) // 20 + 1)]
        kinds = [term(kind) for kind in ("Resident", "Visitor", "Child", "Elderly", "Vulnerable", "Medic")]
        self.position = {person: self.rng.choice(self.streets) for person in self.people}
        self.triples: list[Triple] = [(term("venice"), TYPE, term("City"))]
        levels = (("Street", self.streets, zones), ("Zone", zones, districts), ("District", districts, [term("venice")]))
        for kind, parts, wholes in levels:
            for place, part in enumerate(parts):
                whole = wholes[place * len(wholes) // len(parts)]
                self.triples += [(part, TYPE, term(kind)), (part, term("partOf"), whole)]
        self.triples += [(one, term("connectsTo"), two) for one, two in zip(self.streets, self.streets[1:], strict=False)]
        self.triples += [(person, TYPE, self.rng.choice(kinds)) for person in self.people]
        self.triples += [(person, term("position"), street) for person, street in self.position.items()]
        for place, zone in enumerate(zones):
            if place % 20 in (3, 7):
                hazard, kind = term(f"hazard{place}"), "HighTide" if place % 20 == 3 else "Fire"
                self.triples += [(hazard, TYPE, term(kind)), (hazard, term("threatens"), zone)]

    def moves(self) -> Iterator[tuple[Triple, Triple]]:
        """Somebody goes somewhere: the new position and the old."""
        while True:
            person, street = self.rng.choice(self.people), self.rng.choice(self.streets)
            old, self.position[person] = self.position[person], street
            if old != street:
                yield (person, term("position"), street), (person, term("position"), old)
