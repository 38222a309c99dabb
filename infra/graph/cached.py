"""A store of triples that remembers answers until a graph they are of changes, and forgets old observations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from events.ports import GraphChange
from functions.ontologies.graphs import PRESENT, begun
from infra.graph.sparql import describe
from infra.graph.store import Answer, Ask, SparqlStore

#: How many bytes of answers are remembered, and the largest one that is.
ROOM, LARGEST = 32 << 20, 1 << 20
_VOLATILE = {"NOW", "RAND", "UUID", "STRUUID"}


class CachedStore(SparqlStore):
    """In front of ``store``, which nobody else changes. It counts each graph's changes: an answer is good for its counts."""

    def __init__(self, store: SparqlStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._changes: dict[str, int] = {}
        self._all = 0
        self._answers: OrderedDict[Ask, tuple[object, Answer]] = OrderedDict()
        self._bytes = 0
        self.hits = self.misses = 0

    def change(self, changes: Sequence[GraphChange]) -> None:
        """See the port ``GraphStore``."""
        self._count(changes)  # before, so that what is asked meanwhile is not remembered as new,
        try:
            self._store.change(changes)
        finally:
            self._count(changes)  # and after, so that it is not remembered as old

    def answer(self, ask: Ask) -> Answer:
        """See ``SparqlStore``."""
        graphs = self._about(ask)
        with self._lock:
            now = self._version(graphs)
            known = self._answers.get(ask)
            if known is not None and known[0] == now:
                self._answers.move_to_end(ask)
                self.hits += 1
                return known[1]
            self.misses += 1
        answer = self._store.answer(ask)
        if graphs is None or graphs:
            self._remember(ask, now, answer)
        return answer

    def graphs(self) -> list[str]:
        """The graphs that have triples, sorted."""
        return self._store.graphs()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def retain(self, days: float) -> list[str]:
        """Drop the graphs of observations from before so many days; which those were."""
        oldest = datetime.now(UTC) - timedelta(days=days)
        old = [graph for graph in self.graphs() if (time := begun(graph)) is not None and time < oldest]
        for graph in old:
            self.change([GraphChange(graph=graph, replace=True)])
        return old

    def _count(self, changes: Sequence[GraphChange]) -> None:
        with self._lock:
            self._all += 1
            for each in changes:
                self._changes[each.graph] = self._changes.get(each.graph, 0) + 1

    def _about(self, ask: Ask) -> frozenset[str] | None:
        """The graphs that the answer depends on: ``None`` for all of them, none at all if on something else, too."""
        query = describe(ask.query)
        words = {token.value for token in query.tokens if token.kind == "word"}
        if words & _VOLATILE:
            return frozenset()
        if ask.default or ask.named:
            return frozenset({*ask.default, *ask.named})
        if query.own:
            return frozenset({*query.default, *query.named}) if query.plain else None
        return None if "GRAPH" in words else frozenset(PRESENT)

    def _version(self, graphs: frozenset[str] | None) -> object:
        return self._all if graphs is None else tuple((graph, self._changes.get(graph, 0)) for graph in sorted(graphs))

    def _remember(self, ask: Ask, version: object, answer: Answer) -> None:
        if len(answer.body) > LARGEST:
            return
        with self._lock:
            if before := self._answers.pop(ask, None):
                self._bytes -= len(before[1].body) + len(ask.query)
            self._answers[ask] = (version, answer)
            self._bytes += len(answer.body) + len(ask.query)
            while self._bytes > ROOM:
                oldest, (_, forgotten) = self._answers.popitem(last=False)
                self._bytes -= len(forgotten.body) + len(oldest.query)
