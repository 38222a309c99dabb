"""Each kind of axiom does what OWL 2 says: when its premises come, and when they go."""

from __future__ import annotations

import pytest

from functions.reasoning.compile import compile_ontology
from functions.reasoning.engine import Reasoner
from functions.reasoning.terms import OntologyError
from tests.unit.reasoning.conftest import facts, turtle

SOME = "[ a owl:Restriction ; owl:onProperty {} ; owl:{} {} ]"


def restriction(prop: str, word: str, value: str) -> str:
    return SOME.format(prop, word, value)


CASES = {
    "subclass": (":A rdfs:subClassOf :B .", "x a A", "x a B"),
    "sub-property": (":p rdfs:subPropertyOf :q .", "x p y", "x q y"),
    "sub-property of an inverse": (":p rdfs:subPropertyOf [ owl:inverseOf :q ] .", "x p y", "y q x"),
    "domain": (":p rdfs:domain :A .", "x p y", "x a A"),
    "range": (":p rdfs:range :A .", "x p y", "y a A"),
    "domain of the inverse": (":p owl:inverseOf :q . :q rdfs:domain :A .", "x p y", "y a A; y q x"),
    "symmetric": (":p a owl:SymmetricProperty .", "x p y", "y p x"),
    "transitive": (":p a owl:TransitiveProperty .", "x p y; y p z; z p u", "x p u"),
    "reflexive": (":p a owl:ReflexiveProperty .", "x a A", "x p x"),
    "functional": (":p a owl:FunctionalProperty, owl:ObjectProperty .", "x p y; x p z; y a A", "y sameAs z; z a A"),
    "inverse functional": (":p a owl:InverseFunctionalProperty .", "x p y; z p y; z q u", "x sameAs z; x q u"),
    "chain": (":r owl:propertyChainAxiom ( :p :q ) .", "x p y; y q z", "x r z"),
    "chain with an inverse": (":r owl:propertyChainAxiom ( :p [ owl:inverseOf :q ] ) .", "x p y; z q y", "x r z"),
    "long chain": (
        f":r owl:propertyChainAxiom ( {':p ' * 30}) .",
        "; ".join(f"n{n} p n{n + 1}" for n in range(30)),
        "n0 r n30",
    ),
    "chain that ends with itself": (":p owl:propertyChainAxiom ( :q :p ) .", "x q y; y q z; z p u", "x p u"),
    "has value, left": (f"{restriction(':p', 'hasValue', ':v')} rdfs:subClassOf :A .", "x p v", "x a A"),
    "has value, right": (f":A rdfs:subClassOf {restriction(':p', 'hasValue', ':v')} .", "x a A", "x p v"),
    "has a literal": (
        f":A owl:equivalentClass {restriction(':d', 'hasValue', '7')} .",
        "x a A",
        'x d "7"^^<http://www.w3.org/2001/XMLSchema#integer>',
    ),
    "some values": (f"{restriction(':p', 'someValuesFrom', ':A')} rdfs:subClassOf :B .", "x p y; y a A", "x a B"),
    "some value at all": (f"{restriction(':p', 'someValuesFrom', 'owl:Thing')} rdfs:subClassOf :B .", "x p y", "x a B"),
    "nested": (
        f"{restriction(':p', 'someValuesFrom', restriction(':q', 'someValuesFrom', ':A'))} rdfs:subClassOf :B .",
        "x p y; y q z; z a A",
        "x a B",
    ),
    "all values": (f":A rdfs:subClassOf {restriction(':p', 'allValuesFrom', ':B')} .", "x a A; x p y", "y a B"),
    "all values of an inverse": (
        f":A rdfs:subClassOf {restriction('[ owl:inverseOf :p ]', 'allValuesFrom', ':B')} .",
        "x a A; y p x",
        "y a B",
    ),
    "intersection": (":A owl:equivalentClass [ owl:intersectionOf ( :B :C ) ] .", "x a B; x a C; y a A", "x a A; y a B; y a C"),
    "union": (":A owl:equivalentClass [ owl:unionOf ( :B :C ) ] .", "x a B; y a C", "x a A; y a A"),
    "the rest of a union": (":A rdfs:subClassOf [ owl:unionOf ( :B [ owl:complementOf :C ] ) ] .", "x a A; x a C", "x a B"),
    "one of": ("[ owl:oneOf ( :v :w ) ] rdfs:subClassOf :A .", "x sameAs v", "x a A; w a A"),
    "only one of": (":A rdfs:subClassOf [ owl:oneOf ( :v ) ] .", "x a A", "x sameAs v"),
    "equivalent classes": (":A owl:equivalentClass :B .", "x a A; y a B", "x a B; y a A"),
    "equivalent properties": (":p owl:equivalentProperty :q .", "x p y; u q v", "x q y; u p v"),
    "same": ("", "x sameAs y; y sameAs z; x p u; v p z; y a A", "z sameAs x; z p u; v p x; x a A"),
    "at most one": (
        f":A rdfs:subClassOf {restriction(':p', 'maxCardinality', '1')} . :p a owl:ObjectProperty .",
        "x a A; x p y; x p z",
        "y sameAs z",
    ),
    "key": (":A owl:hasKey ( :p :q ) .", "x a A; y a A; x p u; y p u; x q v; y q v", "x sameAs y"),
    "everything": ("owl:Thing rdfs:subClassOf :A . :p a owl:ObjectProperty .", "x p y", "x a A; y a A"),
    "told by the ontology": (":v a :A ; :p :w . :p a owl:ObjectProperty ; rdfs:range :B .", "", "v a A; w a B; v p w"),
    "itself": ("[ a owl:Restriction ; owl:onProperty :p ; owl:hasSelf true ] rdfs:subClassOf :A .", "x p x", "x a A"),
    "the only value": (
        f":p a owl:FunctionalProperty . :A rdfs:subClassOf {restriction(':p', 'someValuesFrom', ':B')} .",
        "x a A; x p y",
        "y a B",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_comes_and_goes(case, reasoner):
    ontology, given, expected = CASES[case]
    world = reasoner(ontology)
    before = set(world.derived())
    world.change(facts(given))
    for triple in facts(expected):
        assert world.holds(triple), triple
        assert world.why(triple).triple == triple
    for triple in facts(given):  # one by one
        world.change(remove=[triple])
    assert set(world.derived()) == before
    assert list(world.asserted()) == []


CLASHES = {
    "disjoint": (":A owl:disjointWith :B .", "x a A; x a B"),
    "all disjoint": ("[] a owl:AllDisjointClasses ; owl:members ( :A :B :C ) .", "x a A; x a C"),
    "complement": (":A owl:equivalentClass [ owl:complementOf :B ] .", "x a A; x a B"),
    "nothing": (":A rdfs:subClassOf owl:Nothing .", "x a A"),
    "irreflexive": (":p a owl:IrreflexiveProperty .", "x p x"),
    "asymmetric": (":p a owl:AsymmetricProperty .", "x p y; y p x"),
    "disjoint properties": (":p owl:propertyDisjointWith :q .", "x p y; x q y"),
    "different": ("", "x sameAs y; y differentFrom x"),
    "all different": ("[] a owl:AllDifferent ; owl:distinctMembers ( :x :y ) .", "x sameAs y"),
    "negative": (
        "[] a owl:NegativePropertyAssertion ; owl:sourceIndividual :x ; owl:assertionProperty :p ; owl:targetIndividual :y .",
        "x p y",
    ),
    "no values": (f":A rdfs:subClassOf {restriction(':p', 'maxCardinality', '0')} .", "x a A; x p y"),
    "two literals": (":d a owl:DatatypeProperty, owl:FunctionalProperty .", 'x d "1"; x d "2"'),
    "disjoint union": (":A owl:disjointUnionOf ( :B :C ) .", "x a B; x a C"),
}


@pytest.mark.parametrize("case", CLASHES)
def test_what_must_not_be_is_told_and_nothing_stops(case, reasoner):
    ontology, given = CLASHES[case]
    world = reasoner(ontology + " :D rdfs:subClassOf :E .")
    told = facts(given)
    assert world.change(told[:-1]).clashes == ()
    clash = world.change([told[-1]]).clashes[0]
    assert clash.premises
    assert clash.lines()[0] == clash.axiom
    assert clash.axiom in [each.axiom for each in world.clashes()]
    assert world.change(facts("u a D")).gained == (*facts("u a E"),)
    world.change(remove=[told[-1]])
    assert world.clashes() == []


REFUSED = {
    "circular": (":p owl:propertyChainAxiom ( :q :p :q ) .", "q o p o q"),
    "circular in two steps": (
        ":p owl:propertyChainAxiom ( :q :r ) . :q owl:propertyChainAxiom ( :p :r ) .",
        "o r SubPropertyOf",
    ),
    "circular by an inverse": (":p owl:propertyChainAxiom ( :q :r ) . :q owl:inverseOf :p .", "q o r SubPropertyOf p"),
    "broken list": (":A owl:equivalentClass [ owl:unionOf [ rdf:first :B ] ] .", "rdf:rest"),
    "no property": (":A rdfs:subClassOf [ a owl:Restriction ; owl:someValuesFrom :B ] .", "someValuesFrom B"),
    "no restriction": (":A rdfs:subClassOf [ a owl:Restriction ; owl:onProperty :p ] .", "restricts p"),
    "no number": (f":A rdfs:subClassOf {restriction(':p', 'maxCardinality', ':B')} .", "counts to"),
    "a literal": (':A rdfs:subClassOf "B" .', "where a class must"),
    "both kinds": (":p a owl:ObjectProperty, owl:DatatypeProperty .", "w#p"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case):
    ontology, named = REFUSED[case]
    with pytest.raises(OntologyError) as refused:
        compile_ontology(turtle(ontology))
    assert named in str(refused.value)


def test_chains_that_owl_allows():
    compile_ontology(turtle(":p a owl:TransitiveProperty ; owl:propertyChainAxiom ( :p :p ), ( :p :q ), ( :q :r :p ) ."))


def test_what_owl_rl_cannot_draw_is_told_and_the_rest_counts():
    text = f":A owl:equivalentClass [ owl:intersectionOf ( :B {restriction(':p', 'someValuesFrom', ':C')} ) ] ."
    rules = compile_ontology(turtle(text))
    assert any("not named" in each for each in rules.beyond)
    world = Reasoner(rules)
    assert world.change(facts("x a B; x p y; y a C")).gained == (*facts("x a A"),)
