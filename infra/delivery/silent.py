"""Invocations that told of nothing: no event of the log speaks of them, so they are kept here until lineage takes them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from infra.catalog.lineage import Entity
from infra.delivery.provenance import about
from infra.log.log import Delivery

#: Where those who take them do not keep up, the oldest go first.
MOST = 20_000


class Done(NamedTuple):
    """A function was done with the event ``cause``, which is about ``used``, and had nothing to tell. Times in ms."""

    function: str
    cause: str
    used: frozenset[Entity]
    started: int
    ended: int


class Silent:
    """``ran`` is called in any thread while an invocation is not committed, ``settled`` once it is.

    Nothing is kept until ``wanted``, by who will ``take`` it, nor where nothing was used.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._open: dict[tuple[int, str], tuple[int, frozenset[Entity]]] = {}
        self._done: deque[Done] = deque(maxlen=MOST)

    def ran(self, delivery: Delivery, seconds: float) -> None:
        """It has come to its end, without a reply."""
        if self.wanted and (used := about(delivery.event)):
            self._open[delivery.seq, delivery.target] = round((time.time() - seconds) * 1000), used

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """These went well, as far as they ran."""
        if not self._open:
            return
        present = round(time.time() * 1000)
        for each in deliveries:
            started, used = self._open.pop((each.seq, each.target), (0, None))
            if used:
                self._done.append(Done(each.target, each.event.id, used, started, present))

    def failed(self, delivery: Delivery) -> None:
        """It is undone: its effects could not be written."""
        self._open.pop((delivery.seq, delivery.target), None)

    def take(self, limit: int) -> list[Done]:
        """The oldest, which are whoever's that asked from then on."""
        return [self._done.popleft() for _ in range(min(limit, len(self._done)))]

    def give_back(self, taken: Iterable[Done]) -> None:
        """They could not be recorded."""
        self._done.extendleft(reversed(list(taken)))
