"""What every event log does: accept events once, hand out deliveries in order, and settle them exactly once.

An event is stored once, with one *delivery* for each function or subscription that wants it. Deliveries of one *lane* (a target
and a partition key) are worked on one after the other; a lane whose delivery waits to be tried again blocks only itself. What a
delivery's function wrote, the events it yielded and the end of the delivery are settled together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from events.event import Event
from infra.delivery.order import Lane

#: A delivery that so many workers died with in hand is a suspect: from then on it is worked on alone.
SUSPECT = 2
#: Who wants an event: names of functions and subscriptions.
Targets = Callable[[Event], Iterable[str]]


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One event on its way to one target.

    ``attempts`` counts the failed ones so far, ``given`` how many workers have had it in hand, this one too, without saying
    what came of it: one that is given again and again kills its workers.
    """

    seq: int
    target: str
    attempts: int
    event: Event
    lane: Lane
    given: int = 1


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up. ``event`` is ``None`` for bytes that never were an event (``body`` holds them)."""

    id: int
    target: str
    cause: str
    attempts: int
    at: float
    body: bytes
    event: Event | None


class Job(msgspec.Struct, frozen=True, gc=False):
    """A delivery and its work: ``run`` writes effects through the unit of work it is given, and returns the replies.

    ``joins`` says that it may write to the catalogue's database, so that it must run inside a transaction of that.
    """

    delivery: Delivery
    run: Callable[[Any], list[Event]]
    joins: bool = False


@dataclass(frozen=True)
class Failure:
    """What becomes of a delivery that failed: tried again after ``seconds``, or with ``None`` a dead letter."""

    cause: str
    seconds: float | None = None


Judge = Callable[[Delivery, Exception], Failure]


class Log(Protocol):
    """An event log, with this process as one of its senders and, once it leases shards, one of its workers."""

    #: How long an idle worker waits before it looks again; an append of its own process wakes it at once.
    poll_s: float

    def append(self, events: Sequence[Event]) -> Future[int]:
        """Accept events durably; resolves to how many were new. Raises ``Retry`` (in the future) when it cannot be reached."""
        ...

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        """Keep what could not become an event, with the reason, as dead letters.

        The same bytes are one letter, whose ``attempts`` tell how often they came.
        """
        ...

    def lease(self, seconds: float, busy: Collection[Lane] = ()) -> None:
        """Renew this worker's shards and take those whose worker has been silent for so long.

        ``busy`` holds, now and whenever it is looked at, the lanes whose first delivery this worker has started.
        """
        ...

    def release(self) -> None:
        """Give this worker's shards back, at a clean stop."""
        ...

    def ready(self, limit: int, free: Callable[[Lane], bool]) -> list[Delivery]:
        """At most ``limit`` due deliveries of this worker's shards, oldest first, of lanes that are ``free``.

        Those of one lane come in their order. What is not settled comes again. A suspect (``given`` more than ``SUSPECT``)
        comes alone, and nothing else until it is settled.
        """
        ...

    def settle(self, jobs: Sequence[Job], judge: Judge) -> None:
        """Run and commit. Each delivery's effects, replies and end are one; one delivery's failure does not touch another.

        A delivery that was settled before (by who took this worker's shard over) has no effect again. Raises ``Retry`` or
        the database's error when nothing could be committed: the same jobs may then be settled again.
        """
        ...

    def unit(self, database: Any) -> Any:
        """A unit of work that only reads, for functions that run outside a transaction."""
        ...

    def dead_letters(self, limit: int = 100, number: int | None = None) -> list[DeadLetter]:
        """The newest dead letters, or the one with this number."""
        ...

    def replay(self, numbers: Iterable[int]) -> list[DeadLetter]:
        """Deliver dead letters again. Raises ``Reject`` if one does not exist or never was an event; then none is."""
        ...

    def tail(self, after: int, limit: int, pattern: str = "*") -> list[tuple[int, float, Event]]:
        """Accepted events behind ``after``: (number, when recorded, event), oldest first.

        ``pattern`` chooses by the type, as everywhere (``events/pattern.py``): ``*`` is any text, all else is itself.
        """
        ...

    def end(self) -> int:
        """The number of the newest event, or 0: each that comes has a higher one."""
        ...

    def whole(self, after: int) -> bool:
        """Whether all events that ever came behind ``after`` are still here."""
        ...

    def counts(self) -> dict[str, float]:
        """Events, deliveries waiting and retrying, dead letters, and the age in seconds of the oldest delivery.

        ``oldest_s`` is of all, ``behind_s`` of those that wait for a worker: not started, put off, or behind one that is. It
        may be a third of a lease old.
        """
        ...

    def forget(self, before: float, after: int, limit: int) -> int | None:
        """Delete what nothing needs any more of the next ``limit`` events behind ``after`` recorded before that time.

        Returns the last number looked at, or ``None`` at the end. A log that trims itself has nothing to do.
        """
        ...

    def retarget(self) -> None:
        """Who wants what has changed in the catalogue's database: every process must know before the next append."""
        ...

    def close(self) -> None:
        """Finish what was asked for, then let go of the server."""
        ...
