"""Invocations that told of nothing: no event of the log speaks of them, so they are kept here until lineage takes them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from infra.catalog.lineage import Entity
from infra.delivery.provenance import about
from infra.log.log import Delivery

#: Where those who take them do not keep up, the oldest go first.
MOST = 20_000


#: A delivery: its number and its target.
Mark = tuple[int, str]


class Done(NamedTuple):
    """A function was done with the event ``cause``, which is about ``used``, and had nothing to tell. Times in ms."""

    mark: Mark
    cause: str
    used: frozenset[Entity]
    started: int
    ended: int


class Silent:
    """``ran`` is called in any thread while an invocation is not committed, ``settled`` once it is.

    Nothing is kept until ``wanted``, by who will ``take`` it, nor where nothing was used. An invocation runs again where it met
    a conflict, also after it was thought to be settled: what counts is what came of it last.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._open: dict[Mark, tuple[int, frozenset[Entity]]] = {}
        self._done: OrderedDict[Mark, Done] = OrderedDict()
        self._lock = threading.Lock()

    def ran(self, delivery: Delivery, seconds: float) -> None:
        """It has come to its end, without a reply."""
        if self.wanted and (used := about(delivery.event)):
            self._open[delivery.seq, delivery.target] = round((time.time() - seconds) * 1000), used

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """These went well, as far as they ran."""
        if not self._open:
            return
        present = round(time.time() * 1000)
        with self._lock:
            for each in deliveries:
                mark = each.seq, each.target
                started, used = self._open.pop(mark, (0, None))
                if used:
                    self._keep(Done(mark, each.event.id, used, started, present))

    def drop(self, delivery: Delivery) -> None:
        """It has told of something, or is undone: its effects could not be written."""
        if self.wanted:
            mark = delivery.seq, delivery.target
            with self._lock:
                self._open.pop(mark, None)
                self._done.pop(mark, None)

    def take(self, limit: int) -> list[Done]:
        """The oldest, which are whoever's that asked from then on."""
        with self._lock:
            return [self._done.popitem(last=False)[1] for _ in range(min(limit, len(self._done)))]

    def give_back(self, taken: Iterable[Done]) -> None:
        """They could not be recorded."""
        with self._lock:
            newer, self._done = self._done, OrderedDict()
            for each in (*taken, *newer.values()):
                self._keep(each)

    def _keep(self, done: Done) -> None:
        self._done[done.mark] = done
        if len(self._done) > MOST:
            self._done.popitem(last=False)
