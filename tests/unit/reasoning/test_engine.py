"""Whatever comes and goes, in whatever order: the state is the one that the facts alone would give."""

from __future__ import annotations

import random
from collections.abc import Iterable

import owlrl
import pytest
import rdflib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.reasoning.compile import compile_ontology
from functions.reasoning.engine import Reasoner
from functions.reasoning.proof import Proof
from functions.reasoning.terms import TYPE, FactError, Triple
from infra.bench.city import City, term
from infra.bench.city import ontology as bench_ontology
from tests.unit.reasoning.conftest import facts
from tests.unit.reasoning.worlds import World, hermit

RANDOM = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def state(reasoner: Reasoner) -> tuple[set[Triple], set[Triple], set[object]]:
    """All that can be seen of a reasoner."""
    return (
        set(reasoner.asserted()),
        set(reasoner.derived()),
        {(each.axiom, frozenset(each.about)) for each in reasoner.clashes()},
    )


@RANDOM
@given(st.integers(0, 1 << 30))
def test_any_changes_end_where_a_start_from_scratch_does(seed):
    rng = random.Random(seed)
    world = World(rng, individuals=rng.randint(2, 7))
    reasoner = Reasoner(compile_ontology(world.ontology(rng.randint(2, 16))))
    told: set[Triple] = set()
    derived = set(reasoner.derived())
    for _ in range(6):
        add = {world.fact() for _ in range(rng.randint(0, 4))}
        remove = set(rng.sample(sorted(told), min(len(told), rng.choice([0, 1, 1, 2, 5]))))
        delta = reasoner.change(add, remove)
        was, told = told, told - remove | add
        fresh = Reasoner(reasoner.rules)
        fresh.restore(told)
        assert state(reasoner) == state(fresh)
        now = set(reasoner.derived())
        assert set(delta.gained) == now - derived - was
        assert set(delta.lost) == derived - now - told
        assert set(delta.kept) == now & was
        assert set(delta.covered) == derived & told
        derived = now
        for triple in rng.sample(sorted(now), min(3, len(now))):
            proof = reasoner.why(triple)
            assert proof is not None
            assert proof.lines()
            check(proof, told)


def check(proof: Proof, told: set[Triple]) -> None:
    """The proof ends at facts that were told and axioms, and nothing rests on itself."""
    stack: list[tuple[Proof, frozenset[Triple]]] = [(proof, frozenset())]
    while stack:
        step, above = stack.pop()
        assert step.triple not in above
        assert step.triple in told if step.rule == "asserted" else step.premises or step.axioms
        stack.extend((premise, above | {step.triple}) for premise in step.premises)


@settings(RANDOM, max_examples=4)
@given(st.integers(0, 1 << 30))
def test_owlrl_knows_nothing_more(seed):
    rng = random.Random(seed)
    world = World(rng, classes=4, individuals=4)
    # Of a key, owlrl compares all properties but the last: of one property, none.
    ontology, told = [each for each in world.ontology(6) if not each[1].endswith("#hasKey>")], [world.fact() for _ in range(8)]
    reasoner = Reasoner(compile_ontology(ontology))
    reasoner.change(told)
    text = "".join(f"{one} {two} {three} .\n" for one, two, three in ontology + told)
    graph = rdflib.Graph().parse(data=text, format="nt")
    owlrl.DeductiveClosure(owlrl.OWLRL_Semantics).expand(graph)
    theirs = world.visible((one.n3(), two.n3(), three.n3()) for one, two, three in graph)
    assert theirs <= world.visible([*reasoner.asserted(), *reasoner.derived()])


@pytest.mark.usefixtures("reasoners")
def test_hermit_says_exactly_the_same(tmp_path):
    """Twelve consistent worlds at once, with names apart."""
    worlds, triples, ours = [], [], set()
    for seed in range(200):
        rng = random.Random(seed)
        world = World(rng, f"w{seed}", top=False)
        ontology, told = world.ontology(rng.randint(3, 14)), [world.fact() for _ in range(rng.randint(4, 16))]
        reasoner = Reasoner(compile_ontology(ontology))
        if not reasoner.change(told).clashes and not reasoner.clashes():
            worlds.append(world)
            triples += ontology + told
            ours |= world.visible([*reasoner.asserted(), *reasoner.derived()])
        if len(worlds) == 12:
            break
    answer = hermit(triples, worlds, tmp_path)
    assert answer is not None, "HermiT finds a contradiction that is no clash here"
    theirs = set().union(*(world.visible(answer) for world in worlds))
    assert ours == theirs
    assert len(ours) > 150


@pytest.mark.usefixtures("reasoners")
def test_hermit_says_the_same_of_a_thousand_after_they_have_moved(tmp_path):
    city, ontology = City(1000), bench_ontology()
    reasoner = Reasoner(compile_ontology(ontology))
    reasoner.restore(city.triples)
    for _, (new, old) in zip(range(500), city.moves(), strict=False):
        reasoner.change((new,), (old,))
    answer = hermit([*ontology, *reasoner.asserted()], [], tmp_path)
    assert answer is not None

    def types(triples: Iterable[Triple]) -> set[Triple]:
        return {each for each in triples if each[1] == TYPE and each[2].startswith(term("")[:-1])}

    ours = types([*reasoner.asserted(), *reasoner.derived()])
    assert ours == types(answer)
    assert len(ours) > 3000


def test_a_contradiction_for_hermit_is_a_clash(tmp_path):
    rng = random.Random(1)
    while True:
        world = World(rng, top=False)
        ontology, told = world.ontology(10), [world.fact() for _ in range(10)]
        if Reasoner(compile_ontology(ontology)).change(told).clashes:
            assert hermit(ontology + told, [], tmp_path) is None
            return


def test_all_or_nothing(reasoner):
    world = reasoner(":p a owl:ObjectProperty ; rdfs:domain :A . :d a owl:DatatypeProperty .")
    for wrong, named in (
        ('x p "y"', "leads to individuals"),
        ("x d y", "data property"),
        ("x a <http://www.w3.org/2002/07/owl#Class>", "new version of the ontology"),
        ("A <http://www.w3.org/2000/01/rdf-schema#subClassOf> B", "new version of the ontology"),
        ("x <no iri> y", "no triple"),
        ('"x" p y', "no triple"),
    ):
        triple = facts(wrong)[0] if wrong != "x <no iri> y" else ("<x", "<no iri>", "y")
        with pytest.raises(FactError, match=named):
            world.change([*facts("x p y"), triple])
    assert not list(world.asserted())
    assert world.change(facts("x p y")).gained == (*facts("x a A"),)


def test_what_is_removed_and_added_at_once_stays(reasoner):
    world = reasoner(":p rdfs:subPropertyOf :q .")
    world.change(facts("x p y"))
    delta = world.change(facts("x p y"), facts("x p y; u p v"))
    assert delta == type(delta)()
    assert world.holds(facts("x q y")[0])


def test_a_functional_property_changes_hands_without_merging(reasoner):
    world = reasoner(":p a owl:FunctionalProperty, owl:ObjectProperty ; rdfs:range :A .")
    world.change(facts("x p y"))
    delta = world.change(facts("x p z"), facts("x p y"))
    assert (delta.gained, delta.lost) == ((*facts("z a A"),), (*facts("y a A"),))


def test_a_circle_does_not_hold_itself_up(reasoner):
    world = reasoner(":p a owl:TransitiveProperty, owl:SymmetricProperty .")
    edges = facts("a1 p a2; a2 p a3; a3 p a1; a3 p b")
    world.change(edges)
    world.change(remove=edges[:3])
    assert sorted(world.derived()) == sorted(facts("b p a3; a3 p a3; b p b"))


def test_terms_that_look_like_a_program_stay_terms(reasoner):
    value = """[ a owl:Restriction ; owl:onProperty :p ; owl:hasValue '"]); 1/0 #' ]"""
    world = reasoner(f":p a owl:DatatypeProperty . {value} rdfs:subClassOf :A .")
    text = r'"\"]); 1/0 #"'
    assert world.change([("<http://e/x>", "<http://example.org/w#p>", text)]).gained == (
        ("<http://e/x>", TYPE, "<http://example.org/w#A>"),
    )
