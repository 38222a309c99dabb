"""The event log on Redis Streams: the same promises as the embedded one, for several processes at once.

``redis.lua`` has every atomic step and describes the keys. Appends of all who wait go in one call. Deliveries are read in
batches by who holds the lease of their shard, and settled in batches: effects in Redis, replies, inbox marks and
acknowledgements are one call (``redis_settle.py``).
"""

from __future__ import annotations

import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn

from events.codec import to_json
from events.errors import Reject
from events.event import Event
from events.pattern import matcher
from infra.batches import batches
from infra.catalog.database import Database
from infra.config import EventLog
from infra.delivery import dead_letter, outbox
from infra.delivery.order import SHARDS, Lane, shard_of
from infra.log.log import DeadLetter, Delivery, Job, Judge, Targets
from infra.log.redis_hand import Hand
from infra.log.redis_server import RedisServer
from infra.log.redis_settle import Packed, Settlements
from infra.log.redis_unit import Documents, ReadingUnit, Unit
from infra.log.stored import pack, unpack
from infra.writer import GroupWriter

#: Most requests appended by one call.
GROUP = 512
#: How long a parked delivery that was handed out is not handed out again.
VISIBLE_MS = 10_000
PAGE = 1000


class RedisLog:
    """The ``Log`` on a Redis server. ``reload`` reads anew who wants what, when another process has changed it."""

    poll_s = 0.05

    def __init__(self, settings: EventLog, writer: GroupWriter[Any], targets: Targets, reload: Callable[[], None]) -> None:
        self._targets, self._reload = targets, reload
        self._server = RedisServer(settings.url, settings.prefix)
        self._limits = (settings.keep, round(settings.remember_h * 3_600_000))
        self._version = "0"
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._hand = Hand(self._server, self.owner)
        self._documents = Documents(self._server)
        self._writer, self._swept = writer, False
        self._settlements = Settlements(self._hand, self._documents, writer, self._packed, self._submit)
        self._queue: queue.SimpleQueue[tuple[Sequence[Event], Future[int]] | None] = queue.SimpleQueue()
        self._closed = False
        self._appending = threading.Thread(target=self._append_all, name="appends", daemon=True)
        self._appending.start()

    # --- senders

    def append(self, events: Sequence[Event]) -> Future[int]:
        if self._closed:
            raise RuntimeError("the event log is closed")
        future: Future[int] = Future()
        self._queue.put((events, future))
        return future

    def _append_all(self) -> None:
        for batch in batches(self._queue, GROUP):
            self._append(batch)

    def _append(self, batch: list[tuple[Sequence[Event], Future[int]]]) -> None:
        """Accept what all of them wait for; an event that breaks the specification is its sender's failure only."""
        waiting = [(events, future) for events, future in batch if future.set_running_or_notify_cancel()]
        try:
            answer: Any = None
            while not isinstance(answer, list):
                requests, good = [], []
                for events, future in waiting:
                    try:
                        requests.append(self._packed(events))
                        good.append((events, future))
                    except Exception as error:
                        future.set_exception(error)
                waiting = good
                answer = self._heard(self._server.call("append", self._version, *self._limits, requests))
        except BaseException as error:
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), new in zip(waiting, answer, strict=True):
            future.set_result(new)

    def _packed(self, events: Iterable[Event]) -> list[Packed]:
        return [
            (event.key, event.type, pack(event), shard_of(event.partition), event.partition, list(self._targets(event)))
            for event in events
        ]

    def _submit(self, stamp: str, items: Any) -> Any:
        """Settle items, or a batch; the script's answer, or ``None``: pack their events again."""
        return self._heard(self._server.call("settle", self.owner, self._version, *self._limits, stamp, items))

    def _heard(self, answer: Any) -> Any:
        """The script's answer, or ``None`` when it was that somebody has changed who wants what: ask again."""
        if isinstance(answer, bytes):
            self._reload()
            self._version = answer.decode()
            return None
        return answer

    def forget(self, before: float, after: int, limit: int) -> int | None:
        return None  # streams are trimmed as they grow

    def retarget(self) -> None:
        self._server.run("INCR", self._server.key("targets"))

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        future: Future[None] = Future()
        try:
            self._server.call("reject", [(body.decode("latin-1"), cause, dead_letter.digest(body)) for body, cause in rejected])
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)
        return future

    # --- the worker

    def lease(self, seconds: float, busy: Collection[Lane] = ()) -> None:
        if not self._swept:
            self._sweep()
            self._swept = True
        self._hand.lease(seconds, busy)

    def _sweep(self) -> None:
        """Publish what is left in the outbox, as far back as a repetition is known to be one."""
        since = time.time() - self._limits[1] / 1000
        while left := self._writer.submit(lambda connection: outbox.unpublished(Database(connection), since=since)).result():
            self.append([unpack(body.encode()) for _, bodies in left for body in bodies]).result()
            self._writer.submit(partial(_tidy, [mark for mark, _ in left])).result()

    def release(self) -> None:
        self._hand.release()

    def ready(self, limit: int, free: Callable[[Lane], bool]) -> list[Delivery]:
        if behind := self._hand.fill(VISIBLE_MS):
            self._settlements.park(behind)
        return self._hand.ready(limit, free)

    def settle(self, jobs: Sequence[Job], judge: Judge) -> None:
        self._settlements.settle(jobs, judge)

    def unit(self, database: Any) -> Unit:
        return Unit(ReadingUnit(self._documents), database)

    # --- questions

    def dead_letters(self, limit: int = 100, number: int | None = None) -> list[DeadLetter]:
        last, first = ("+", "-") if number is None else (f"{number}-0", f"{number}-0")
        rows = self._server.run("XREVRANGE", self._server.key("dead"), last, first, "COUNT", limit)
        digests = [fields[b"d"] for _, fields in rows if fields.get(b"d")]
        counts = self._server.run("HMGET", self._server.key("dead:came"), *digests) if digests else []
        came = dict(zip(digests, counts, strict=True))
        return [_letter(entry, fields, came.get(fields.get(b"d", b""))) for entry, fields in rows]

    def replay(self, numbers: Iterable[int]) -> list[DeadLetter]:
        letters = []
        for number in numbers:
            letters += self.dead_letters(1, number) or [_missing(number)]
        events = [letter.event or _missing(letter.id) for letter in letters]
        wanted = [
            (letter.id, shard_of(event.partition), event.partition) for letter, event in zip(letters, events, strict=True)
        ]
        missing = self._server.call("replay", wanted)
        if missing:
            _missing(missing)
        return letters

    def tail(self, after: int, limit: int, pattern: str = "*") -> list[tuple[int, float, Event]]:
        found: list[tuple[int, float, Event]] = []
        wanted = matcher([pattern])
        while len(found) < limit:
            rows = self._server.run("XRANGE", self._server.key("events"), f"({after}-0", "+", "COUNT", PAGE)
            for entry, fields in rows:
                after = _number(entry)
                if wanted(fields[b"t"].decode()) and len(found) < limit:
                    found.append((after, int(fields[b"a"]) / 1000, unpack(fields[b"e"])))
            if len(rows) < PAGE:
                break
        return found

    def end(self) -> int:
        return int(self._server.run("GET", self._server.key("seq")) or 0)

    def whole(self, after: int) -> bool:
        end = self.end()
        first = self._server.run("XRANGE", self._server.key("events"), "-", "+", "COUNT", 1)
        return after >= end if not first else _number(first[0][0]) <= after + 1

    def counts(self) -> dict[str, float]:
        events, waiting, retrying, dead, oldest_ms, behind_ms = self._server.call("counts", SHARDS)
        ages = {"oldest_s": oldest_ms / 1000, "behind_s": behind_ms / 1000}
        return {"events": events, "waiting": waiting, "retrying": retrying, "dead": dead, **ages}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._appending.join()
            self._server.close()


def _number(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def _letter(entry: bytes, fields: dict[bytes, bytes], came: bytes | None) -> DeadLetter:
    """``came``: how often, of what never was an event."""
    event = unpack(fields[b"e"]) if fields[b"s"] else None
    body = fields[b"e"].decode().encode("latin-1") if event is None else to_json(event)
    attempts, at = int(came or fields[b"n"]), int(fields[b"a"]) / 1000
    return DeadLetter(_number(entry), fields[b"t"].decode(), fields[b"c"].decode(), attempts, at, body, event)


def _missing(number: int) -> NoReturn:
    raise Reject(f"there is no dead letter {number} that holds an event; see: sluice dead-letters")


def _tidy(published: list[str], connection: Any) -> None:
    outbox.tidy(Database(connection), published)
