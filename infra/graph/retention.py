"""Old observations are forgotten: their graphs are dropped."""

from __future__ import annotations

from infra.graph.cached import CachedStore
from infra.runtime.periodic import Periodic


class Retention(Periodic):
    """Looks every minute for graphs of observations from before so many ``days``."""

    def __init__(self, store: CachedStore, days: float) -> None:
        super().__init__("graph", 60.0)
        self._store, self._days = store, days

    def step(self) -> bool:
        """Drop them; what is left is not old yet."""
        self._store.retain(self._days)
        return False
