"""The state and what follows from it: one transaction, whatever is undone, and whoever else changes it. On both databases."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from events.errors import Reject
from events.types import OntologyChecked, Triple
from functions.ontologies.graphs import INFERRED, STATE
from functions.semantics.terms import iri
from infra.catalog.database import Database
from infra.semantics import table
from infra.semantics.active import ActiveOntology, builtin
from infra.semantics.facts import StoredFacts
from infra.semantics.knowledge import Knowledge
from infra.semantics.ontologies import ActiveTriples, StoredOntologies

TYPE, RISK = iri("rdf:type"), iri("per:PersonAtRisk")
ANNA, CALLE, CAMPO, WATER = (f"<https://example.org/{name}>" for name in ("anna", "calle", "campo", "water"))
ONTOLOGY = ActiveOntology()
AT_RISK = (ANNA, TYPE, RISK)


def at(place: str) -> list[Triple]:
    return [(ANNA, TYPE, iri("per:Person")), (ANNA, iri("per:isAt"), place)]


def flood(*places: str) -> list[Triple]:
    said = [(WATER, TYPE, iri("per:Flood")), (WATER, iri("per:status"), iri("per:Active"))]
    return said + [(WATER, iri("per:affects"), place) for place in places]


@pytest.fixture
def knowledge() -> Knowledge:
    return Knowledge(ONTOLOGY.rules)


@pytest.fixture
def facts(database: Database, knowledge: Knowledge) -> StoredFacts:
    made = StoredFacts(database, knowledge)
    for place in (CALLE, CAMPO):
        made.put(place, "0", [(place, TYPE, iri("per:Street"))])
    made.put("water", "1", flood(CALLE))
    return made


def holds(knowledge: Knowledge) -> bool:
    return knowledge.reasoner.holds(AT_RISK)


def test_a_move_is_told_net(facts: StoredFacts) -> None:
    came = facts.put("anna", "2", at(CALLE))
    assert came is not None
    assert AT_RISK in came.gained
    facts.put("water", "3", flood(CALLE, CAMPO))
    moved = facts.put("anna", "4", at(CAMPO))
    assert moved is not None
    assert AT_RISK not in (*moved.gained, *moved.lost)
    dry = facts.put("water", "5", [])
    assert dry is not None
    assert AT_RISK in dry.lost


def test_an_older_state_changes_nothing(facts: StoredFacts, database: Database) -> None:
    facts.put("anna", "2026-05", at(CAMPO))
    before = table.last(database)
    assert facts.put("anna", "2026-04", at(CALLE)) is None
    assert table.last(database) == before
    facts.put("water", "9", [])
    assert facts.put("water", "8", flood(CAMPO)) is None  # what is cleared stays so


def test_what_is_undone_did_not_happen(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    facts.put("anna", "2", at(CAMPO))
    for _ in range(2):
        database.connection.execute("BEGIN")
        facts.put("anna", "3", at(CALLE))
        facts.put("water", "3", flood(CAMPO))
        assert holds(knowledge) is False
        database.connection.execute("ROLLBACK")
    came = facts.put("other", "1", [])
    assert came is not None
    assert knowledge.topics["anna"].order == "2"
    moved = facts.put("anna", "4", at(CALLE))
    assert moved is not None
    assert AT_RISK in moved.gained


def test_an_undone_change_is_not_taken_for_another_of_its_number(
    facts: StoredFacts, database: Database, knowledge: Knowledge
) -> None:
    other = Knowledge(ONTOLOGY.rules)
    database.connection.execute("BEGIN")
    facts.put("anna", "2", at(CALLE))
    database.connection.execute("ROLLBACK")
    StoredFacts(database, other).put("anna", "2", at(CAMPO))  # the same number, by another process
    facts.put("unrelated", "1", [])
    assert not holds(knowledge)
    assert knowledge.topics["anna"].triples == tuple(at(CAMPO))


def test_two_processes_take_turns(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    other = Knowledge(ONTOLOGY.rules)
    told: list[tuple[bool, bool]] = []
    for turn in range(10):
        who = (knowledge, other)[turn % 2]
        change = StoredFacts(database, who).put("anna", f"{turn + 2:03}", at((CALLE, CAMPO)[turn % 2]))
        assert change is not None
        told.append((AT_RISK in change.gained, AT_RISK in change.lost))
    assert told == [(True, False), (False, True)] * 5
    knowledge.sync(database)
    other.sync(database)
    assert set(knowledge.reasoner.derived()) == set(other.reasoner.derived())
    assert knowledge.topics == other.topics


def test_a_restart_finds_what_was_known(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    facts.put("anna", "2", at(CALLE))
    again = Knowledge(ONTOLOGY.rules)
    again.sync(database)
    assert holds(again)
    assert set(again.reasoner.derived()) == set(knowledge.reasoner.derived())
    left = StoredFacts(database, again).put("anna", "3", at(CAMPO))
    assert left is not None
    assert AT_RISK in left.lost


def test_who_was_away_too_long_reads_it_all(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    facts.put("anna", "2", at(CALLE))
    StoredFacts(database, Knowledge(ONTOLOGY.rules)).put("anna", "3", at(CAMPO))
    database.connection.execute("DELETE FROM fact_change WHERE change < (SELECT max(change) FROM fact_change)")
    assert StoredFacts(database, knowledge).put("anna", "1", []) is None
    assert not holds(knowledge)


def test_a_contradiction_is_refused_and_leaves_nothing(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    facts.put("anna", "2", at(CALLE))
    database.connection.execute("BEGIN")
    with pytest.raises(Reject, match="does not allow"):
        facts.put("mistake", "1", [(ANNA, TYPE, iri("per:Street"))])
    database.connection.execute("ROLLBACK")
    facts.put("anna", "3", at(CALLE))
    assert knowledge.reasoner.clashes() == []
    assert "mistake" not in knowledge.topics


def test_what_is_no_fact_is_refused_and_leaves_nothing(facts: StoredFacts, knowledge: Knowledge) -> None:
    topics = dict(knowledge.topics)
    with pytest.raises(Reject):
        facts.put("mistake", "1", [("no term", TYPE, RISK)])
    assert knowledge.topics == topics
    assert facts.put("anna", "2", at(CALLE)) is not None


def test_two_topics_may_say_the_same(facts: StoredFacts, knowledge: Knowledge) -> None:
    facts.put("anna", "2", at(CALLE))
    facts.put("a second phone", "2", at(CALLE))
    one = facts.put("anna", "3", [])
    assert one is not None
    assert AT_RISK not in one.lost
    both = facts.put("a second phone", "3", [])
    assert both is not None
    assert AT_RISK in both.lost


def test_the_graph_store_is_told_all_of_it_in_order(facts: StoredFacts, database: Database, knowledge: Knowledge) -> None:
    for number, place in enumerate((CALLE, CAMPO, CALLE)):
        facts.put("anna", f"{number + 2}", at(place))
    found = table.waiting(database, 1000)
    assert found is not None
    graphs: dict[str, set[Triple]] = {STATE: set(), INFERRED: set()}
    for write in found[1]:
        graphs[write.graph] -= set(write.remove)
        graphs[write.graph] |= set(write.add)
    assert graphs[STATE] == set(knowledge.sources)
    assert graphs[INFERRED] == {
        triple for triple in knowledge.reasoner.derived() if triple[0].startswith("<https://example.org")
    }
    table.moved(database, found[0])
    assert table.waiting(database, 1000) is None
    assert table.position(database) == found[0]


class Stored:
    """The state by the ontologies of the database, as each process of a machine has it."""

    def __init__(self, database: Database) -> None:
        self.knowledge = Knowledge(ActiveOntology(ActiveTriples(lambda: nullcontext(database))).rules)
        self.facts = StoredFacts(database, self.knowledge)
        self._ontologies = StoredOntologies(database)

    def activate(self, etag: str, triples: list[Triple]) -> tuple[bool, bool]:
        """Whether that Anna is at risk is gained and lost by it."""
        change = self.facts.renew(triples)
        self._ontologies.activate(OntologyChecked(bucket="b", key="k", etag=etag, triples=triples, inferred=[]))
        return AT_RISK in change.gained, AT_RISK in change.lost


#: The same one, but that nobody is at risk for being somewhere.
CAREFREE = [triple for triple in builtin() if triple[0] != RISK]


def test_another_ontology_is_told_of_once_by_whoever_activates_it(facts: StoredFacts, database: Database) -> None:
    facts.put("anna", "2", at(CALLE))
    one, other = Stored(database), Stored(database)
    other.knowledge.sync(database)
    assert holds(other.knowledge)
    assert one.activate("careless", CAREFREE) == (False, True)
    other.knowledge.sync(database)  # as `sluice why` does, before the next event
    assert not holds(other.knowledge)
    for who in (one, other, Stored(database)):
        change = who.facts.put("unrelated", "1", [])
        assert change is None or not {AT_RISK} & {*change.gained, *change.lost}
    assert Stored(database).activate("careful", list(builtin())) == (True, False)


def test_another_ontology_that_is_undone_changes_nothing(facts: StoredFacts, database: Database) -> None:
    facts.put("anna", "2", at(CALLE))
    stored = Stored(database)
    for etag in ("first", "second"):  # under the same number
        database.connection.execute("BEGIN")
        assert stored.activate(etag, CAREFREE) == (False, True)
        stored.knowledge.sync(database)
        assert not holds(stored.knowledge)
        database.connection.execute("ROLLBACK")
        stored.knowledge.sync(database)
        assert holds(stored.knowledge)


def test_the_graph_store_is_told_of_another_ontology(facts: StoredFacts, database: Database) -> None:
    facts.put("anna", "2", at(CALLE))
    Stored(database).activate("careless", CAREFREE)
    found = table.waiting(database, 1000)
    assert found is not None
    last = [write for write in found[1] if write.graph == INFERRED][-1]
    assert AT_RISK in last.remove
