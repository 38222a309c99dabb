"""How the Redis log settles: runs a batch of deliveries, then ends them all in one call of the script.

Effects in Redis travel in that call. Effects in the catalogue's database are committed there before it, with the mark and the
events of their delivery (``infra/delivery/outbox.py``); the call then publishes those events and ends the delivery.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from events.event import Event
from infra.catalog.database import Database
from infra.delivery import dead_letter, outbox
from infra.delivery.order import Lane
from infra.log.log import Job, Judge
from infra.log.redis_hand import Hand, InHand, Kept, lane_name, parked_form
from infra.log.redis_unit import Documents, ReadingUnit, RedisUnit, Unit
from infra.log.stored import pack, unpack
from infra.writer import GroupWriter

#: key, type, stored form, shard, partition, targets
Packed = tuple[str, str, str, int, str, list[str]]
DONE, LATER, DEAD, PARK = 0, 1, 2, 3
FREED, SETTLED, GONE, CONFLICT, LOST = 2, 1, 0, -1, -2


class Settlement(msgspec.Struct, gc=False):
    """One delivery's end as the script takes it. Its events are the last part, packed anew when who wants what has changed."""

    kept: Kept
    item: list[Any]
    events: list[Event]
    mark: str = ""


class Settlements:
    """Settles for one worker. ``pack_all`` packs events for the log, ``submit`` calls the script."""

    def __init__(
        self,
        hand: Hand,
        documents: Documents,
        writer: GroupWriter[Any],
        pack_all: Callable[[Iterable[Event]], list[Packed]],
        submit: Callable[[str, Sequence[Any]], list[int] | None],
    ) -> None:
        self._hand, self._documents, self._writer = hand, documents, writer
        self._pack_all, self._submit = pack_all, submit
        self._name, self._rounds = uuid.uuid4().hex[:12], count(1)
        self._published: list[str] = []

    def settle(self, jobs: Sequence[Job], judge: Judge) -> None:
        """Run the jobs and end their deliveries. After a failure, the others of its lane stay in hand."""
        stamp = f"{self._name}.{next(self._rounds)}@"
        joining = [job for job in jobs if job.joins]
        done: list[Settlement] = []
        if joining:
            done += self._writer.submit(lambda connection: self._joined(Database(connection), joining, judge)).result()
            self._published.clear()
        unit = RedisUnit(self._documents, stamp)
        whole = Unit(unit, None)
        stopped: set[Lane] = set()
        for job in jobs:
            if job.joins or (stopped and job.delivery.lane in stopped):
                continue
            delivery: Any = job.delivery
            unit.begin()
            try:
                replies = job.run(whole)
                events = self._pack_all(replies) if replies else ()
            except Exception as error:
                stopped.add(delivery.lane)
                done.append(self._failed(delivery, judge, error))
                continue
            unit.end(delivery.kept.id)
            done.append(Settlement(delivery.kept, [*_head(delivery.kept), DONE, unit.reads, unit.writes, events], replies))
        self._end(stamp, done)

    def park(self, behind: Iterable[Kept]) -> None:
        """Move deliveries behind the first one of their blocked lane."""
        self._end("", [Settlement(each, [*_head(each), PARK, parked_form(each, 0)], []) for each in behind])

    def _joined(self, database: Database, jobs: Sequence[Job], judge: Judge) -> list[Settlement]:
        """In the catalogue's transaction: effects, mark and events of each, undone by itself if it fails."""
        outbox.tidy(database, self._published)
        done: list[Settlement] = []
        stopped: set[Lane] = set()
        unit = ReadingUnit(self._documents)
        for job in jobs:
            delivery: Any = job.delivery
            if delivery.lane in stopped:
                continue
            mark = outbox.mark_of(delivery.kept.id, delivery.target, delivery.event)
            database.connection.execute("SAVEPOINT delivery")
            try:
                stored = outbox.find(database, mark)
                if stored is None:
                    before = database.changes
                    replies = job.run(Unit(unit, database))
                    if database.changes == before:
                        mark = ""  # nothing was written: it may as well run again
                    elif not outbox.add(database, mark, [pack(event) for event in replies]):
                        database.connection.execute("ROLLBACK TO delivery")  # a worker that took over was quicker
                        stored = outbox.find(database, mark)
                if stored is not None:
                    replies = [unpack(body.encode()) for body in stored]
                events = self._pack_all(replies)
            except Exception as error:
                database.connection.execute("ROLLBACK TO delivery")
                stopped.add(delivery.lane)
                done.append(self._failed(delivery, judge, error))
            else:
                done.append(Settlement(delivery.kept, [*_head(delivery.kept), DONE, (), (), events], replies, mark))
            database.connection.execute("RELEASE delivery")
        return done

    def _failed(self, delivery: InHand, judge: Judge, error: Exception) -> Settlement:
        failure = judge(delivery, error)
        attempts = delivery.attempts + 1
        kept = delivery.kept
        if failure.seconds is not None:
            form = parked_form(kept, attempts)
            return Settlement(kept, [*_head(kept), LATER, round(failure.seconds * 1000), form], [])
        told = dead_letter.failed(delivery, failure.cause, delivery.seq)
        letter = (delivery.target, failure.cause, attempts, kept.body.decode())
        return Settlement(kept, [*_head(kept), DEAD, *letter, self._pack_all(told)], told)

    def _end(self, stamp: str, done: Sequence[Settlement]) -> None:
        """Tell the script, and the hand what became of each."""
        if not done:
            return
        while (answer := self._submit(stamp, [each.item for each in done])) is None:
            for each in done:
                if each.events:
                    each.item[-1] = self._pack_all(each.events)
        behind: list[Kept] = []
        hand = self._hand
        for each, how in zip(done, answer, strict=True):
            kept, verdict = each.kept, each.item[4]
            if how == SETTLED and verdict == LATER:
                behind += hand.block(kept)
            elif how >= GONE:
                if verdict != PARK:
                    hand.done(kept)
                if how == FREED:
                    hand.free(kept)
                if each.mark:
                    self._published.append(each.mark)
            else:
                if verdict == DONE:
                    self._documents.forget(each.item[5])
                    self._documents.forget(each.item[6])
                if how == LOST:
                    hand.drop(kept.shard)
        if behind:
            self.park(behind)


def _head(kept: Kept) -> tuple[int, str, bool, str]:
    return kept.shard, kept.id, kept.parked, lane_name(kept.lane)
