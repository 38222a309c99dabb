"""The thread that tells the graph store what has become of the state, what follows from it, and what was observed.

No graph store can join a transaction of the lake's database, so what there is to tell waits in that. A crash in between tells
it twice, in the same order, which comes to the same. The store keeps the number of the last change it was told of: one that
lost its last, or is another one, is told all of the state.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from events.errors import Retry
from events.ports import GraphChange, GraphStore
from events.types import Triple
from functions.ontologies.graphs import BASE, INFERRED, STATE
from functions.semantics.terms import iri, literal
from infra.catalog.database import Database
from infra.complaint import Complaint
from infra.semantics import table
from infra.semantics.table import Write

if TYPE_CHECKING:
    from infra.lake import Lake

logger = logging.getLogger("sluice.semantics")
#: How often the thread looks whether something waits, in seconds.
LOOK_S = 0.1
#: Most rows told at once.
PORTION = 2000
PROGRESS = BASE + "progress"
_ABOUT = f"<{STATE}>"
_NUMBER = iri("owl:versionInfo")


class SemanticService:
    """Keeps the graph store told. ``start`` begins; the store is somebody else's to close, after this."""

    def __init__(self, lake: Lake, store: GraphStore) -> None:
        self._lake, self._store = lake, store
        self._trouble = Complaint(logger, "the graph store is not told what has changed")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="semantics", daemon=True)

    def start(self) -> None:
        """Read the state, so that the first event need not wait for it, and begin to tell."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what was not told waits."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> dict[str, Any]:
        """What is known, in numbers."""
        knowledge = self._lake.knowledge
        with self._lake.database() as database:
            return {"topics": len(knowledge.topics), "asserted": len(knowledge.sources), "to_tell": table.backlog(database)}

    def _run(self) -> None:
        begun = False
        while not self._stopping.is_set():
            try:
                if not begun:
                    self._begin()
                    begun = True
                more = self._tell()
                self._trouble.over()
                if not more:
                    self._stopping.wait(LOOK_S)
            except Retry as error:
                self._trouble.tell(error)
                self._stopping.wait(error.after or 1.0)
            except Exception:
                logger.exception("the graph store could not be told; trying again in a second")
                self._stopping.wait(1.0)

    def _begin(self) -> None:
        """Read the state, in a transaction: only there is the reasoner at the present."""
        told = self._told()
        whole = self._lake.catalog.writer.submit(lambda connection: self._whole(Database(connection), told)).result()
        if whole:
            logger.warning("the graph store lacks what it was told: it has been told all of the state")
            self._store.change(whole)

    def _whole(self, database: Database, told: int) -> list[GraphChange]:
        database.one_by_one("facts")
        knowledge, position = self._lake.knowledge, table.position(database)
        with knowledge.lock:
            knowledge.sync(database)
            if told >= position:
                return []
            return [
                GraphChange(graph=STATE, add=list(table.everything(database)), replace=True),
                GraphChange(graph=INFERRED, add=list(knowledge.reasoner.derived()), replace=True),
                _progress(position),
            ]

    def _told(self) -> int:
        found: Any = self._store.query(f"SELECT ?n WHERE {{ {_ABOUT} {_NUMBER} ?n }}", (PROGRESS,))
        return max((int(row[0].split('"')[1]) for row in found.rows), default=0)

    def _tell(self) -> bool:
        with self._lake.database() as database:
            found = table.waiting(database, PORTION)
        if found is None:
            return False
        until, writes = found
        self._store.change([*_folded(writes), _progress(until)])
        self._lake.catalog.writer.submit(partial(_moved, until)).result()
        return True


def _folded(writes: Iterable[Write]) -> list[GraphChange]:
    """Changes that follow each other as one change a graph: what counts for a triple is the last that was said of it."""
    graphs: dict[str, dict[Triple, bool]] = {}
    for write in writes:
        triples = graphs.setdefault(write.graph, {})
        triples.update(dict.fromkeys(write.remove, False))
        triples.update(dict.fromkeys(write.add, True))
    return [
        GraphChange(
            graph=graph,
            remove=[triple for triple, there in triples.items() if not there],
            add=[triple for triple, there in triples.items() if there],
        )
        for graph, triples in graphs.items()
    ]


def _progress(number: int) -> GraphChange:
    return GraphChange(graph=PROGRESS, add=[(_ABOUT, _NUMBER, literal(number, "xsd:integer"))], replace=True)


def _moved(until: int, connection: Any) -> None:
    table.moved(Database(connection), until)
