"""What is sent in a round: uploads and events, each again until it is acknowledged, and what must come of it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import msgspec

from events.errors import SluiceError
from events.ports import NotFound
from infra.chaos.processes import PATIENCE, Stuck, until
from infra.chaos.world import SHUFFLED, World

EVENTS, UPLOADS, SUBJECTS, UPLOADERS = 8, 5, 4, 2
#: How many events of every other subject are of the other kind.
OTHERS = 3
#: Between two of one sender once it has sent what it must, but the fault has not happened yet; longer after each ``MANY``: a
#: server may take minutes to come back, and all that was sent must be worked on.
PAUSE, MANY = 0.03, 20
#: How long a round's fault may take to happen.
ROUND_SECONDS = PATIENCE
JSON = {"content-type": "application/cloudevents+json"}
RECORDS = {"content-type": "application/json"}


class Sending(msgspec.Struct, frozen=True):
    """How a round's load differs: each event posted ``copies`` times at once; some events of another ``kind`` than ``plain``
    (``flaky`` and ``doomed`` are those that a subscriber refuses); notifications ``shuffled`` on their way.
    """

    copies: int = 1
    kind: str = "plain"
    shuffled: bool = False


class Load:
    """A round's senders. Those of one subject send one event after the other, those of one key one content after the other.

    ``sent`` is what was acknowledged, by subject, in order; ``final`` what each object is at the end (its ETag, ``None`` if it
    was removed); ``others`` the events that are not plain.
    """

    def __init__(self, world: World, number: int, random: random.Random, how: Sending) -> None:
        self.world, self.number, self.how = world, number, how
        self.seed = random.getrandbits(64)
        self.sent: dict[str, list[str]] = {f"s{n}": [] for n in range(SUBJECTS)}
        self.others: set[str] = set()
        self.final: dict[tuple[str, str], str | None] = {}
        self.changes = 0
        self._pool = ThreadPoolExecutor(SUBJECTS + UPLOADERS + 1)
        self._copies = ThreadPoolExecutor(SUBJECTS * how.copies)
        self._lock = threading.Lock()
        self._work: list[Future[None]] = []
        self._stop = 0.0

    def start(self, enough: Callable[[], bool]) -> None:
        """Send in the background: the least there is to send, then until ``enough``."""
        self._stop = time.monotonic() + ROUND_SECONDS
        self._work = [self._pool.submit(self._events, subject, enough) for subject in self.sent]
        self._work += [self._pool.submit(self._uploads, n, enough) for n in range(UPLOADERS)]

    @property
    def done(self) -> bool:
        """Whether everything was acknowledged. Raises what stopped a sender."""
        if not all(each.done() for each in self._work):
            return False
        for each in self._work:
            each.result()
        if self.how.shuffled and len(self._work) == SUBJECTS + UPLOADERS:
            self._work.append(self._pool.submit(self._shuffle))
            return False
        return True

    def close(self) -> None:
        """End the senders' threads."""
        self._stop = 0.0
        self._pool.shutdown(cancel_futures=True)
        self._copies.shutdown(cancel_futures=True)

    @property
    def acknowledged(self) -> int:
        """How many events and changes of objects."""
        return self.changes + sum(len(ids) for ids in self.sent.values())

    # --- events

    def _events(self, subject: str, enough: Callable[[], bool]) -> None:
        sent = self.sent[subject]
        while len(sent) < EVENTS or self._more(enough, len(sent)):
            id = f"r{self.number}-{subject}-{len(sent)}"
            other = self.how.kind != "plain" and subject in ("s1", "s3") and len(sent) < OTHERS
            kind = self.how.kind if other else "plain"
            event = {
                "specversion": "1.0", "id": id, "source": "/chaos", "type": f"chaos.event.{kind}",
                "subject": subject, "datacontenttype": "application/json", "data": {"round": self.number, "n": len(sent)},
            }  # fmt: skip
            self._until_taken(partial(self._post_copies, event), f"event {id}")
            sent.append(id)
            if other:
                self.others.add(id)

    def _post_copies(self, event: dict[str, Any], tried: int) -> bool:
        """All copies at once, each to another front; whether one was acknowledged."""
        body, copies = msgspec.json.encode(event), self.how.copies
        if copies == 1:
            return self._post(body, JSON, tried)
        return any(list(self._copies.map(lambda copy: self._post(body, JSON, tried + copy), range(copies))))

    def _post(self, body: bytes, headers: dict[str, str], tried: int) -> bool:
        fronts = self.world.fronts
        try:
            answer = self.world.client.post(f"{fronts[tried % len(fronts)]}/events", content=body, headers=headers)
        except httpx.HTTPError:
            return False
        if answer.status_code in (429, 503):
            return False
        if answer.status_code != 202:
            raise Stuck(f"an event was answered {answer.status_code}: {answer.text[:300]}")
        return True

    # --- uploads

    def _uploads(self, sender: int, enough: Callable[[], bool]) -> None:
        choose = random.Random(f"{self.seed}/{sender}")
        count = 0
        while count < UPLOADS or self._more(enough, count):
            bucket = SHUFFLED if self.how.shuffled else self.world.buckets[count % len(self.world.buckets)]
            place = bucket, f"r{self.number}/{sender}/ü {count}.csv"
            first = count == 0  # is always overwritten and removed in between
            for version in range(3 if first else choose.choice((1, 1, 1, 2, 3))):
                if version and (first or choose.random() < 0.5):
                    self._change(place, None)
                self._change(place, f"a,b\n{version},{choose.random()}\n".encode())
            if version and choose.random() < 0.3:
                self._change(place, None)
            count += 1

    def _change(self, place: tuple[str, str], body: bytes | None) -> None:
        """Write an object, or remove it (``None``)."""
        self._until_taken(lambda _: self._stored(place, body), f"s3://{place[0]}/{place[1]}")
        with self._lock:
            self.changes += 1
        self.final[place] = None if body is None else hashlib.md5(body, usedforsecurity=False).hexdigest()

    def _stored(self, place: tuple[str, str], body: bytes | None) -> bool:
        try:
            if body is None:
                self.world.store.delete(*place)
            else:
                self.world.store.write(*place, body)
        except (SluiceError, NotFound):
            return False
        return True

    # --- both

    def _shuffle(self) -> None:
        """Post the notifications that the network kept back, in any order; some, and the removals, when all others are done."""
        choose = random.Random(self.seed)
        until(lambda: len(self.world.sink.records) >= self.changes, "the door's notifications")
        early = [each for each in self.world.sink.records if each["eventName"].startswith("ObjectCreated")]
        late = [each for each in self.world.sink.records if each not in early] + choose.sample(early, len(early) // 3)
        for records in (early, late):
            choose.shuffle(records)
            while records:
                size = choose.randint(1, 3)
                part, records = msgspec.json.encode({"Records": records[:size]}), records[size:]
                self._until_taken(partial(self._post, part, RECORDS), "a notification")
            until(self.world.idle, "the lake to be done with the first notifications")

    def _more(self, enough: Callable[[], bool], sent: int) -> bool:
        """Whether the fault still has to happen."""
        time.sleep(PAUSE * (1 + sent // MANY))
        return not enough() and time.monotonic() < self._stop

    def _until_taken(self, attempt: Callable[[int], bool], what: str) -> None:
        end, tried = time.monotonic() + PATIENCE, 0
        while not attempt(tried):
            if time.monotonic() > end or not self._stop:
                raise Stuck(f"{what} was never acknowledged")
            tried += 1
            time.sleep(0.05)
