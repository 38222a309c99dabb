"""How the Redis log settles: runs a batch of deliveries, then ends them all in one call of the script.

Most batches go well. Those are ended as one: of each document that they changed its last state is written, and the script
checks once what was read of it. If that cannot be, each delivery is ended by itself.

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
from infra.log.redis_unit import Documents, Place, ReadingUnit, RedisUnit, Unit
from infra.log.stored import pack, unpack
from infra.writer import GroupWriter

#: key, type, stored form, shard, partition, targets
Packed = tuple[str, str, str, int, str, list[str]]
#: table, key, version
Read = tuple[str, str, str]
#: table, key, content
Write = tuple[str, str, str]
DONE, LATER, DEAD, PARK = 0, 1, 2, 3
FREED, SETTLED, GONE, CONFLICT, LOST = 2, 1, 0, -1, -2


class Settlement(msgspec.Struct, gc=False):
    """One delivery's end: the verdict, and what goes with it (see ``redis.lua``). ``reads`` and ``writes`` go with ``DONE``.

    Its events are packed anew when who wants what has changed.
    """

    kept: Kept
    verdict: int
    events: list[Event]
    packed: list[Packed] = []
    reads: Sequence[Read] = ()
    writes: Sequence[Write] = ()
    rest: tuple[Any, ...] = ()
    mark: str = ""

    def item(self) -> list[Any]:
        """As the script takes it."""
        kept, verdict = self.kept, self.verdict
        head = (kept.shard, kept.id, kept.parked, lane_name(kept.lane), verdict)
        if verdict == DONE:
            return [*head, self.reads, self.writes, self.packed]
        return [*head, *self.rest, self.packed] if verdict == DEAD else [*head, *self.rest]


class Settlements:
    """Settles for one worker. ``pack_all`` packs events for the log, ``submit`` calls the script."""

    def __init__(
        self,
        hand: Hand,
        documents: Documents,
        writer: GroupWriter[Any],
        pack_all: Callable[[Iterable[Event]], list[Packed]],
        submit: Callable[[str, Any], Any],
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
                packed = self._pack_all(replies) if replies else []
            except Exception as error:
                stopped.add(delivery.lane)
                done.append(self._failed(delivery, judge, error))
                continue
            unit.end(delivery.kept.id)
            done.append(Settlement(delivery.kept, DONE, replies, packed, unit.reads, unit.writes))
        self._end(stamp, done)

    def park(self, behind: Iterable[Kept]) -> None:
        """Move deliveries behind the first one of their blocked lane."""
        self._end("", [Settlement(each, PARK, [], rest=(parked_form(each, 0),)) for each in behind])

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
                packed = self._pack_all(replies)
            except Exception as error:
                database.connection.execute("ROLLBACK TO delivery")
                stopped.add(delivery.lane)
                done.append(self._failed(delivery, judge, error))
            else:
                done.append(Settlement(delivery.kept, DONE, replies, packed, mark=mark))
            database.connection.execute("RELEASE delivery")
        return done

    def _failed(self, delivery: InHand, judge: Judge, error: Exception) -> Settlement:
        failure = judge(delivery, error)
        attempts = delivery.attempts + 1
        kept = delivery.kept
        if failure.seconds is not None:
            return Settlement(kept, LATER, [], rest=(round(failure.seconds * 1000), parked_form(kept, attempts)))
        told = dead_letter.failed(delivery, failure.cause, delivery.seq)
        letter = (delivery.target, failure.cause, attempts, kept.body.decode())
        return Settlement(kept, DEAD, told, self._pack_all(told), rest=letter)

    def _end(self, stamp: str, done: Sequence[Settlement]) -> None:
        """Tell the script, and the hand what became of each."""
        if not done:
            return
        try:
            batch = _together(stamp, done)
            if batch is not None and self._told(stamp, done, lambda: {**batch, "events": _packed(done)}):
                self._hand.all_done(each.kept for each in done)
                self._published += [each.mark for each in done if each.mark]
            else:
                self._end_each(done, self._told(stamp, done, lambda: [each.item() for each in done]))
        except BaseException:
            self._hand.doubt(each.kept.shard for each in done)
            raise

    def _told(self, stamp: str, done: Sequence[Settlement], items: Callable[[], Any]) -> Any:
        """The script's answer."""
        while (answer := self._submit(stamp, items())) is None:
            for each in done:
                if each.events:
                    each.packed = self._pack_all(each.events)
        return answer

    def _end_each(self, done: Sequence[Settlement], answer: Sequence[int]) -> None:
        behind: list[Kept] = []
        hand = self._hand
        for each, how in zip(done, answer, strict=True):
            kept, verdict = each.kept, each.verdict
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
                self._documents.forget(each.reads)
                self._documents.forget(each.writes)
                if how == LOST:
                    hand.drop(kept.shard)
        if behind:
            self.park(behind)


def _together(stamp: str, done: Sequence[Settlement]) -> dict[str, Any] | None:
    """All of these as one, without their events; ``None`` where they must end one by one."""
    shards: dict[int, list[str]] = {}
    reads: dict[Place, str] = {}
    writes: dict[Place, str] = {}
    versions: dict[Place, str] = {}
    for each in done:
        kept = each.kept
        if each.verdict != DONE or kept.parked or kept.given > 1:
            return None
        if (ids := shards.get(kept.shard)) is None:
            shards[kept.shard] = [kept.id]
        else:
            ids.append(kept.id)
        for table, key, version in each.reads:
            place = table, key
            if versions.setdefault(place, version) != version:
                return None  # not what was there before, nor what one of them has written
            if place not in writes:
                reads[place] = version
        for table, key, content in each.writes:
            place = table, key
            versions[place] = version = stamp + kept.id
            writes[place] = f"{version}\n{content}"
    tables: dict[str, list[str]] = {}
    for (table, key), content in writes.items():
        tables.setdefault(table, []).extend((key, content))
    if not shards:
        return None
    return {"shards": list(shards.items()), "reads": [(*place, version) for place, version in reads.items()], "writes": tables}


def _packed(done: Sequence[Settlement]) -> list[Packed]:
    return [event for each in done for event in each.packed]
