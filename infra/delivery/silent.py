"""Invocations that told of nothing: no event of the log speaks of them, so they are kept here until lineage takes them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from events.event import Event
from infra.log.log import Delivery

#: Where nobody takes them, the oldest go first.
MOST = 20_000


class Done(NamedTuple):
    """A function was done with an event, and had nothing to tell. Times in ms."""

    function: str
    event: Event
    started: int
    ended: int


class Silent:
    """``ran`` is called in any thread while an invocation is not committed, ``settled`` once it is."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str], int] = {}
        self._done: deque[Done] = deque(maxlen=MOST)

    def ran(self, delivery: Delivery, seconds: float) -> None:
        """It has come to its end, without a reply."""
        self._open[delivery.seq, delivery.target] = round((time.time() - seconds) * 1000)

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """These went well, as far as they ran."""
        present = round(time.time() * 1000)
        for each in deliveries if self._open else ():
            started = self._open.pop((each.seq, each.target), None)
            if started is not None:
                self._done.append(Done(each.target, each.event, started, present))

    def failed(self, delivery: Delivery) -> None:
        """It is undone: its effects could not be written."""
        self._open.pop((delivery.seq, delivery.target), None)

    def take(self, limit: int) -> list[Done]:
        """The oldest, which are whoever's that asked from then on."""
        return [self._done.popleft() for _ in range(min(limit, len(self._done)))]

    def give_back(self, taken: Iterable[Done]) -> None:
        """They could not be recorded."""
        self._done.extendleft(reversed(list(taken)))
