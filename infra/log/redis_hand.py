"""What a worker of the Redis log has in hand: deliveries read or taken over and not settled yet, lane by lane, in order.

A shard is *recovering* from when this worker gets it until every delivery that others left pending is settled: those come
first, in portions. A delivery that two workers have died of is a suspect: it is handed out alone, so that its neighbours are
not counted with it when it kills this one too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

import msgspec

from infra.delivery.order import SHARDS, Lane
from infra.log.log import SUSPECT, Delivery
from infra.log.redis_server import RedisServer
from infra.log.stored import unpack

#: Reading pauses with so many in hand; so many are read of a shard, recovered of it, and taken of blocked lanes at once.
MOST, READ, PORTION, LANES = 1024, 32, 256, 64
GROUP = "workers"


class Kept(msgspec.Struct, gc=False):
    """A delivery in hand as Redis gave it; its event is decoded when it is worked on, so that many in hand cost little.

    ``parked``: it waits in its blocked lane's list instead of its shard's stream. ``at`` is when its event was recorded, ms.
    """

    id: str
    shard: int
    lane: Lane
    at: int
    body: bytes
    given: int = 1
    attempts: int = 0
    parked: bool = False


class InHand(Delivery, frozen=True, kw_only=True, gc=False):
    """A delivery of the Redis log."""

    kept: Kept


def opened(kept: Kept) -> InHand:
    """The delivery with its event."""
    seq = int(kept.id.partition("-")[0])
    return InHand(seq, kept.lane[0], kept.attempts, unpack(kept.body), kept.lane, kept.given, kept=kept)


def lane_name(lane: Lane) -> str:
    """A lane as the script knows it."""
    return f"{lane[0]}\n{lane[1]}"


def parked_form(kept: Kept, attempts: int) -> str:
    """A delivery as its blocked lane's list keeps it; the target is in the lane's name."""
    return f"{kept.id} {attempts} {kept.at}\n{kept.body.decode()}"


class Hand:
    """The deliveries in hand of one worker."""

    def __init__(self, server: RedisServer, owner: str) -> None:
        self._server, self._owner = server, owner
        self._lanes: dict[Lane, deque[Kept]] = {}
        self._size: dict[int, int] = {}
        self.shards: set[int] = set()
        self._recovering: set[int] = set()
        self._draining: set[int] = set()
        self.blocked: dict[Lane, int] = {}
        self._suspect: Kept | None = None
        self._doubtful: set[int] = set()

    def lease(self, seconds: float, busy: Collection[Lane] = ()) -> None:
        """Renew the shards, drop what was lost, prepare what was won, let go of more than a fair share once it is done.

        Who asks for counts learns by this since when something in hand waits, behind the first of ``busy`` lanes or elsewhere.
        """
        giving = sorted(shard for shard in self._draining if not self._size.get(shard))
        waits = self._waits(busy)
        held, share, taken = self._server.call("lease", self._owner, round(seconds * 1000), SHARDS, giving, waits)
        for shard in self.shards.difference(held):
            self.drop(shard)
        for shard, pending, blocked in taken:
            self._own(shard, bool(pending), blocked)
        for shard in sorted(set(held) - self.shards):  # what an answer that never came had won
            self._adopt(shard)
        self._draining = set(sorted(self.shards)[share:])

    def _waits(self, busy: Collection[Lane]) -> int:
        """When the oldest that is in hand for the first time and not started was recorded, ms; 0: there is none."""
        nexts = (next(islice(waiting, lane in busy, None), None) for lane, waiting in self._lanes.items())
        return min((kept.at for kept in nexts if kept and not kept.parked), default=0)

    def _adopt(self, shard: int) -> None:
        """It is ours, and all that is known of it is on the server: what is pending, and which lanes are blocked."""
        self._own(shard, True, self._server.run("ZRANGE", self._server.key("retry", shard), 0, -1))

    def _own(self, shard: int, pending: bool, blocked: Iterable[bytes]) -> None:
        self.drop(shard)
        self.shards.add(shard)
        if pending:
            self._recovering.add(shard)
        for name in blocked:
            target, _, partition = name.decode().partition("\n")
            self.blocked[target, partition] = shard

    def drop(self, shard: int) -> None:
        """The shard is not ours (any more): nothing of it is in hand."""
        for lane in [lane for lane, waiting in self._lanes.items() if waiting[0].shard == shard]:
            del self._lanes[lane]
        self.blocked = {lane: of for lane, of in self.blocked.items() if of != shard}
        self._size.pop(shard, None)
        self.shards.discard(shard)
        self._recovering.discard(shard)
        if self._suspect and self._suspect.shard == shard:
            self._suspect = None

    def doubt(self, shards: Iterable[int]) -> None:
        """A call about these has failed: with its answer may be lost what it gave us, or that it blocked a lane."""
        self._doubtful.update(shards)

    def fill(self, visible_ms: int) -> list[Kept]:
        """Take in what is due; returns what was read behind a blocked lane's first one and must be parked there."""
        behind: list[Kept] = []
        try:
            self._fill(visible_ms, behind)
        except BaseException:
            self.doubt(each.shard for each in behind)
            raise
        return behind

    def _fill(self, visible_ms: int, behind: list[Kept]) -> None:
        for shard in sorted(self._doubtful):
            if shard in self.shards:
                self._adopt(shard)
            self._doubtful.discard(shard)
        if self._suspect is not None:
            return
        for shard in sorted(self._recovering):
            if not self._size.get(shard):
                behind += self._recover(shard)
                if self._suspect is not None:
                    return
        if sum(self._size.values()) >= MOST:
            return
        calm = sorted(self.shards - self._recovering - self._draining)
        blocked = sorted(set(self.blocked.values()))
        if blocked:
            for shard, name, given, forms in self._server.call("due", self._owner, blocked, LANES, visible_ms):
                self._take_parked(shard, name.decode(), given, forms)
        try:
            found = self._read(calm)
        except BaseException:
            self.doubt(calm)
            raise
        for stream, entries in found:
            behind += self._take(int(stream.rpartition(b":")[2]), entries, 1)

    def _read(self, shards: list[int]) -> Any:
        """New deliveries of these shards, by stream. Nothing is read unless all are ours: a new worker must find everything."""
        if not shards:
            return ()
        streams = [self._server.key("shard", shard) for shard in shards]
        leases = [self._server.key("lease", shard) for shard in shards]
        command = ("XREADGROUP", "GROUP", GROUP, self._owner, "COUNT", READ, "STREAMS", *streams, *[">"] * len(streams))
        lost, found = self._server.run_if(leases, self._owner.encode(), *command)
        for index in lost:
            self.drop(shards[index])
        return found or ()

    def _recover(self, shard: int) -> list[Kept]:
        """Take over the next portion that others left pending."""
        stream = self._server.key("shard", shard)
        pending = self._server.run("XPENDING", stream, GROUP, "-", "+", PORTION)
        if not pending:
            self._recovering.discard(shard)
            self._forget_others(stream)
            return []
        ours = self._owner.encode()
        times = [
            max(given, 1) if holder == ours else given + 1 for _, holder, _, given in pending
        ]  # that we had it killed nobody
        count = 1 if times[0] > SUSPECT else next((n for n, each in enumerate(times) if each != times[0]), len(times))
        ids = [id for id, *_ in pending[:count]]
        entries = self._server.run("XCLAIM", stream, GROUP, self._owner, 0, *ids, "RETRYCOUNT", times[0])
        return self._take(shard, [entry for entry in entries if entry], times[0])

    def _forget_others(self, stream: str) -> None:
        """Workers that have gone leave their names in the group; nothing is pending, so nothing goes with them."""
        for _, name, *_ in self._server.run("XINFO CONSUMERS", stream, GROUP):
            if name != self._owner.encode():
                self._server.run("XGROUP DELCONSUMER", stream, GROUP, name)

    def _take(self, shard: int, entries: Iterable[Any], given: int) -> list[Kept]:
        behind: list[Kept] = []
        lanes, blocked = self._lanes, self.blocked
        taken = 0
        for entry, (_, target, _, partition, _, at, _, body) in entries:
            lane = (target.decode(), partition.decode())
            kept = Kept(entry.decode(), shard, lane, int(at), body, given)
            if blocked and lane in blocked:
                behind.append(kept)
                continue
            taken += 1
            if given > SUSPECT:
                self._suspect = kept
            waiting = lanes.get(lane)
            if waiting is None:
                lanes[lane] = deque((kept,))
            else:
                waiting.append(kept)
        self._size[shard] = self._size.get(shard, 0) + taken
        return behind

    def _take_parked(self, shard: int, name: str, given: int, forms: Iterable[bytes]) -> None:
        target, _, partition = name.partition("\n")
        lane = (target, partition)
        if lane in self._lanes:
            return  # in hand already
        waiting: deque[Kept] = deque()
        for form in forms:
            head, _, body = form.partition(b"\n")
            id, attempts, at = head.decode().split(" ")
            waiting.append(Kept(id, shard, lane, int(at), body, given, int(attempts), True))
        if waiting:
            self._lanes[lane] = waiting
            self._size[shard] = self._size.get(shard, 0) + len(waiting)
            if given > SUSPECT:
                self._suspect = waiting[0]

    def ready(self, limit: int, free: Callable[[Lane], bool]) -> list[Delivery]:
        """Deliveries to work on now, lane by lane; they stay in hand until ``done``."""
        if self._suspect is not None:
            return [opened(self._suspect)] if free(self._suspect.lane) else []
        found: list[Delivery] = []
        for lane, waiting in self._lanes.items():
            if free(lane):
                found += map(opened, islice(waiting, limit - len(found)))
                if len(found) >= limit:
                    break
        return found

    def done(self, kept: Kept) -> None:
        """It is settled."""
        if self._suspect is not None and self._suspect.id == kept.id:
            self._suspect = None
        self.all_done((kept,))

    def all_done(self, settled: Iterable[Kept]) -> None:
        """These are settled, and none of them was a suspect."""
        lanes, size = self._lanes, self._size
        for kept in settled:
            waiting = lanes.get(kept.lane)
            if waiting and waiting[0].id == kept.id:
                waiting.popleft()
                size[kept.shard] -= 1
                if not waiting:
                    del lanes[kept.lane]

    def block(self, kept: Kept) -> list[Kept]:
        """Its lane waits for it to be tried again; returns those in hand behind it that must be parked there too."""
        self.done(kept)
        self.blocked[kept.lane] = kept.shard
        waiting = self._lanes.pop(kept.lane, deque())
        self._size[kept.shard] = self._size.get(kept.shard, 0) - len(waiting)
        return [each for each in waiting if not each.parked]

    def free(self, kept: Kept) -> None:
        """Its lane is blocked no longer."""
        self.blocked.pop(kept.lane, None)

    def release(self) -> None:
        """Give all shards back; what is in hand was not worked on, so it is not counted."""
        parked = []
        for waiting in self._lanes.values():
            for each in waiting:
                if each.parked:
                    parked.append(each.id)
                else:
                    stream = self._server.key("shard", each.shard)
                    self._server.run("XCLAIM", stream, GROUP, self._owner, 0, each.id, "RETRYCOUNT", each.given - 1, "JUSTID")
        self._lanes, self._size, self._suspect = {}, {}, None
        self._server.call("release", self._owner, SHARDS, parked)
        self.shards, self._recovering, self._draining, self.blocked = set(), set(), set(), {}
