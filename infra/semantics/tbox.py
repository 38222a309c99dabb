"""The graphs of the ontology follow the active one."""

from __future__ import annotations

from collections.abc import Sequence

from events.ports import GraphChange, GraphStore
from events.types import Triple
from functions.ontologies.graphs import TBOX, TBOX_INFERRED
from functions.ontologies.reading import named
from infra.runtime.periodic import Periodic
from infra.semantics.ontologies import ActiveTriples


class Tbox(Periodic):
    """Writes the ontology and what classification added to it, once a version and at every start."""

    def __init__(self, active: ActiveTriples, store: GraphStore) -> None:
        super().__init__("tbox", 0.5)
        self._active, self._store = active, store
        self._told: Sequence[Triple] | None = None

    def step(self) -> bool:
        """Tell the store of a version that it does not have."""
        now = self._active()
        if now is not self._told:
            asserted, inferred = self._active.parts
            self._store.change(
                [
                    GraphChange(graph=TBOX, replace=True, add=named(asserted, TBOX)),
                    GraphChange(graph=TBOX_INFERRED, replace=True, add=named(inferred, TBOX)),
                ]
            )
            self._told = now
        return False
