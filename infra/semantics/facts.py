"""The ``Facts`` port: the state in the database, what follows from it, and what the graph store has to be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.errors import Reject
from events.ports import Change
from events.types import Triple
from functions.ontologies.graphs import INFERRED, STATE, minute
from functions.reasoning.compile import compile_ontology
from infra.catalog.database import Database
from infra.semantics import table
from infra.semantics.knowledge import Knowledge
from infra.semantics.table import Said, Write


class StoredFacts:
    """The port over one connection; writes join the transaction that is open on it. All who write do so one after the other."""

    def __init__(self, database: Database, knowledge: Knowledge) -> None:
        self._database, self._knowledge = database, knowledge

    def put(self, topic: str, order: str, triples: Sequence[Triple], evidence: Sequence[Triple] = ()) -> Change | None:
        self._database.one_by_one("facts")
        knowledge = self._knowledge
        with knowledge.lock:
            knowledge.sync(self._database)
            before = knowledge.topics.get(topic, Said())
            if order < before.order:
                return None
            said = Said(order, tuple(triples), tuple(evidence))
            added, removed, delta = knowledge.put(self._database, topic, said)
        if delta.clashes:
            raise Reject(
                "the ontology does not allow that: " + "; ".join(line for each in delta.clashes for line in each.lines())
            )
        old, new = set(before.evidence), set(said.evidence)
        self._tell(
            Write(STATE, [*removed, *(old - new)], [*added, *(new - old)]),
            Write(INFERRED, [*delta.lost, *delta.covered], [*delta.gained, *delta.kept]),
        )
        return Change(list(delta.gained), list(delta.lost))

    def renew(self, ontology: Sequence[Triple]) -> Change:
        self._database.one_by_one("facts")
        with self._knowledge.lock:
            self._knowledge.sync(self._database)
            delta = self._knowledge.under(compile_ontology(ontology))
        self._tell(Write(INFERRED, list(delta.lost), list(delta.gained)))
        return Change(list(delta.gained), list(delta.lost))

    def describe(self, topic: str, order: str, triples: Sequence[Triple]) -> bool:
        self._database.one_by_one("facts")
        before = table.find(self._database, topic) or Said()
        if order < before.order:
            return False
        table.say(self._database, topic, Said(order, tuple(triples)), 0)
        new, old = set(triples), set(before.triples)
        self._tell(Write(STATE, list(old - new), list(new - old)))
        return True

    def observe(self, time: datetime, triples: Sequence[Triple]) -> None:
        self._database.one_by_one("facts")  # numbers must be seen in their order
        self._tell(Write(minute(time), [], list(triples)))

    def _tell(self, *writes: Write) -> None:
        if told := [write for write in writes if write.add or write.remove]:
            table.write(self._database, told)
