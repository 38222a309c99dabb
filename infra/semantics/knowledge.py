"""The reasoner of one process, kept in step with the state in the database.

The state is asserted in the transaction that the reasoner is changed in. A transaction may be undone, and other processes
change the state too. So each change has a number and a token: who finds others than his own in the database takes back what
was undone and catches up with what was missed, before he does anything else.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from events.types import Triple
from functions.reasoning.engine import Delta, Reasoner
from functions.reasoning.rule import Rules
from functions.reasoning.terms import FactError
from infra.catalog.database import Database
from infra.semantics import table
from infra.semantics.table import Said

#: Changes that can be taken back one by one: more than a transaction has.
UNDONE = 4096
_NOTHING = Said()


class _Step(NamedTuple):
    """A change that was made, and how it was before."""

    change: int
    token: str
    topic: str
    before: Said


class Applied(NamedTuple):
    """What a change did: to what is asserted, and to what follows."""

    added: list[Triple]
    removed: list[Triple]
    delta: Delta


class Knowledge:
    """What is asserted and what follows. Whoever uses it holds ``lock``.

    ``rules`` gives those of the ontology that is active within a transaction, the same object while it is.
    """

    def __init__(self, rules: Callable[[Database], Rules]) -> None:
        self.lock = threading.RLock()
        self._rules = rules
        self._forget()

    def _forget(self) -> None:
        self._active: Rules | None = None
        self.topics: dict[str, Said] = {}
        #: Triple -> the topics that assert it.
        self.sources: dict[Triple, tuple[str, ...]] = {}
        self._change, self._token = 0, ""
        self._steps: deque[_Step] = deque(maxlen=UNDONE)

    def sync(self, database: Database) -> None:
        """Be as the database is, by the ontology that is active there."""
        active = self._rules(database)
        if active is not self._active:
            self._load(database, active)
            return
        now = table.last(database)
        if now == (self._change, self._token):
            return
        while self._steps and table.token(database, self._change) != self._token:
            self._back()
        if self._change and table.token(database, self._change) != self._token:
            self._load(database, active)
            return
        for topic, said in table.since(database, self._change):
            self._apply(topic, said)
        self._change, self._token = now
        self._steps.clear()

    def under(self, rules: Rules) -> Delta:
        """What would follow from the same state by other rules and does not now, and the other way round."""
        other = Reasoner(rules)
        other.restore(self.sources)
        before, after = frozenset(self.reasoner.derived()), frozenset(other.derived())
        return Delta(gained=tuple(sorted(after - before)), lost=tuple(sorted(before - after)))

    def put(self, database: Database, topic: str, said: Said) -> Applied:
        """Assert this of the topic, here and in the database. Raises ``Reject`` for what is no fact, with nothing changed."""
        change, token = self._change + 1, secrets.token_hex(8)
        before = self.topics.get(topic, _NOTHING)
        applied = self._apply(topic, said)
        self._steps.append(_Step(self._change, self._token, topic, before))
        self._change, self._token = change, token
        table.say(database, topic, said, change)
        table.changed(database, change, token)
        return applied

    def _back(self) -> None:
        step = self._steps.pop()
        self._apply(step.topic, step.before)
        self._change, self._token = step.change, step.token

    def _load(self, database: Database, active: Rules) -> None:
        self._forget()
        self.reasoner = Reasoner(active)
        now = table.last(database)
        for topic, said in table.since(database, 0):
            self._say(topic, said)
        self.reasoner.restore(self.sources)
        self._change, self._token = now
        self._active = active

    def _apply(self, topic: str, said: Said) -> Applied:
        before = self.topics.get(topic, _NOTHING)
        added, removed = self._say(topic, said)
        try:
            return Applied(added, removed, self.reasoner.change(added, removed))
        except FactError:  # nothing has changed
            self._say(topic, before)
            raise
        except BaseException:
            self._forget()  # what came of it is not known: read it all again
            raise

    def _say(self, topic: str, said: Said) -> tuple[list[Triple], list[Triple]]:
        before = self.topics.get(topic, _NOTHING)
        new, old = dict.fromkeys(said.triples), dict.fromkeys(before.triples)
        added = [triple for triple in new if triple not in old and self._source(triple, topic)]
        removed = [triple for triple in old if triple not in new and self._unsource(triple, topic)]
        if said is _NOTHING:
            self.topics.pop(topic, None)
        else:
            self.topics[topic] = said
        return added, removed

    def _source(self, triple: Triple, topic: str) -> bool:
        """Note one more topic; whether it is the first."""
        known = self.sources.get(triple, ())
        self.sources[triple] = (*known, topic)
        return not known

    def _unsource(self, triple: Triple, topic: str) -> bool:
        left = tuple(each for each in self.sources[triple] if each != topic)
        if left:
            self.sources[triple] = left
            return False
        del self.sources[triple]
        return True

    @property
    def classes(self) -> frozenset[str]:
        """The classes of the ontology."""
        return self._active.classes if self._active else frozenset()
