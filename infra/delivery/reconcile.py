"""Reconcile: notifications may be lost, a bucket's listing cannot. What it tells and the catalogue does not becomes events.

Listing and catalogue, both in the order of their keys, are merged page by page, so memory does not grow with the bucket. Of
each difference the event is the one that its notification would have been:

    in the bucket only, or with another ETag, size or a later time      ``ObjectCreated:Put``
    in the catalogue only, and really gone (the store is asked)         ``ObjectRemoved:Delete``

Ids depend only on the difference - bucket, key, version, ETag, time, and the state of the catalogue that it contradicts - so
a repetition is a no-op, while a state that came back to what it was is a new difference. ``sequence`` stands just where the
store's own notification would stand at the latest (``infra/sources/dialect.py``): a real one, late or new, is never hidden.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from events.errors import Reject
from events.event import Event
from events.ports import NotFound, ObjectInfo
from events.s3.record import to_event
from events.s3.stores import RawKeys, nanoseconds
from infra.catalog.entries import Known, count, walk
from infra.delivery.order import successor

if TYPE_CHECKING:
    from infra.lake import Lake

#: Keys compared between two commits; how many objects are asked for at the same time.
PAGE, THREADS = 1000, 8
#: States of entries whose objects are not said to be in their store.
ABSENT = frozenset({"removed", "new", "uploading", "expired"})
SCHEMA = "CREATE TABLE sweep (bucket TEXT, prefix TEXT, tally TEXT NOT NULL, PRIMARY KEY (bucket, prefix)) WITHOUT ROWID"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"


class Tally(msgspec.Struct, kw_only=True):
    """How far a sweep has come: ``position`` is the last key compared, ``new`` how many events were not known before.

    ``expected`` is what the catalogue knew when the sweep began: about as much will be ``listed``.
    """

    bucket: str
    prefix: str = ""
    position: str = ""
    listed: int = 0
    missed: int = 0
    changed: int = 0
    removed: int = 0
    new: int = 0
    expected: int = 0
    done: bool = False


class Listing(Protocol):
    """What a sweep needs of a store."""

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]: ...

    def head(self, bucket: str, key: str) -> ObjectInfo: ...


#: One difference: what is listed, what the catalogue knows, at least one of them.
Difference = tuple[ObjectInfo | None, Known | None]


def pairs(listed: Iterable[ObjectInfo], known: Iterable[Known]) -> Iterator[Difference]:
    """Both sides by key, each key once. Raises ``Reject`` when the store does not list in order."""
    left, right = iter(_ordered(listed)), iter(known)
    here, there = next(left, None), next(right, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here.key < there.key):
            yield here, None
            here = next(left, None)
        elif here is None or there.key < here.key:
            yield None, there
            there = next(right, None)
        else:
            yield here, there
            here, there = next(left, None), next(right, None)


def _ordered(listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    last = None
    for each in listed:
        if last is not None and each.key <= last:
            raise Reject(
                f"the store lists s3://{each.bucket} out of order ({each.key!r} after {last!r}): it cannot be compared"
            )
        last = each.key
        yield each


def differs(listed: ObjectInfo | None, known: Known | None) -> bool:
    """Whether the catalogue does not tell what the listing does."""
    if listed is None:
        return known is not None and known.state not in ABSENT
    if listed.size == 0 and listed.key.endswith("/"):
        return False  # a folder marker, as S3 browsers write it: never catalogued
    if known is None or known.state in ABSENT:
        return known is None or not known.kept or listed.etag not in (known.kept, known.etag)
    if (listed.etag, listed.size) != (known.etag, known.size):
        return True
    if known.state == "ready" and not known.digest:
        return True  # somebody said that it is there, and no notification has come: it was never read
    return bool(known.modified) and nanoseconds(listed.modified) > nanoseconds(known.modified)


class _Told(RawKeys):
    """A store whose sequence has been decided."""

    def __init__(self, sequence: str) -> None:
        self._sequence = sequence

    def sequence(self, time: str, sequencer: str) -> str:
        return self._sequence


def event_of(listed: ObjectInfo | None, known: Known | None, bucket: str, source: str, sequence: str = "") -> Event:
    """The event of one difference.

    Args:
        listed: the object in the bucket, if it is there.
        known: the entry in the catalogue, if there is one.
        bucket: its bucket.
        source: ``eventSource`` of the store: ``ceph:s3``.
        sequence: of the object as it is listed.

    """
    key = listed.key if listed else known.key if known else ""
    entity: dict[str, Any] = {"key": key}
    if listed is not None:
        entity |= {"size": listed.size, "eTag": listed.etag, "versionId": listed.version}
    time = (listed.modified if listed else known.modified if known else "") or UNKNOWN_TIME
    told = max(sequence, successor(known.sequence)) if known else sequence
    parts = [bucket, key, *map(str, (listed.version, listed.etag, listed.modified) if listed else ("", "", ""))]
    if known is not None:
        parts += [known.state, known.etag, known.sequence]
    record = {
        "eventVersion": "2.1",
        "eventSource": source,
        "awsRegion": "",
        "eventTime": time,
        "eventName": "ObjectCreated:Put" if listed else "ObjectRemoved:Delete",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "reconcile",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": entity,
        },
    }
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()
    return to_event(record, f"s3://{bucket}/{key}", _Told(told), f"reconcile-{digest}")


class Reconciler:
    """Sweeps over the buckets of one store, for one lake; of each bucket one at a time.

    Args:
        lake: whose catalogue is compared and whose log gets the events.
        objects: the store.
        source: ``eventSource`` of the store.
        sequence: the sequence of a listed object. Raises ``NotFound`` if it is gone.

    """

    def __init__(self, lake: Lake, objects: Listing, source: str, sequence: Callable[[ObjectInfo], str]) -> None:
        self._lake, self._objects, self._source, self._sequence = lake, objects, source, sequence
        self._sweeping: set[str] = set()
        self._lock = threading.Lock()

    def sweep(
        self, bucket: str, prefix: str = "", *, dry_run: bool = False, restart: bool = False
    ) -> Generator[Tally, None, None]:
        """Compare a bucket, or the keys below ``prefix``; yields how far it is after each page, at last with ``done``.

        An interrupted sweep goes on where it was, unless ``restart``. ``dry_run`` counts and changes nothing. Raises
        ``NotFound`` for a bucket that does not exist, ``Retry`` where the store cannot be reached, ``Reject`` if this bucket
        is being swept.
        """
        if bucket == self._lake.config.bucket:
            raise Reject(f"s3://{bucket} is the lake's own bucket: nothing in it is catalogued")
        with self._lock:
            if bucket in self._sweeping:
                raise Reject(f"s3://{bucket} is being swept already; wait for that sweep to end")
            self._sweeping.add(bucket)
        try:
            yield from self._sweep(bucket, prefix, dry_run, restart or dry_run)
        finally:
            self._sweeping.discard(bucket)

    def _sweep(self, bucket: str, prefix: str, dry_run: bool, restart: bool) -> Iterator[Tally]:
        tally = (None if restart else self._begun(bucket, prefix)) or self._new(bucket, prefix)
        listed = self._objects.list(bucket, prefix, after=tally.position)
        both = pairs(listed, self._known(bucket, prefix, tally.position))
        with ThreadPoolExecutor(THREADS, "reconcile") as pool:
            while not tally.done:
                differences = self._page(both, tally)
                told = list(pool.map(lambda each: self._event(bucket, each), differences))
                _count(tally, differences, told)
                if not dry_run:
                    found = [event for event in told if event]
                    tally.new += self._lake.append(found).result() if found else 0
                    self._lake.write(lambda connection: _save(connection, tally)).result()
                yield msgspec.structs.replace(tally)

    def _page(self, both: Iterator[Difference], tally: Tally) -> list[Difference]:
        """The differences among the next ``PAGE`` keys."""
        found: list[Difference] = []
        for _ in range(PAGE):
            pair = next(both, None)
            if pair is None:
                tally.done = True
                break
            listed, known = pair
            tally.listed += listed is not None
            tally.position = listed.key if listed else known.key if known else ""
            if differs(listed, known):
                found.append(pair)
        return found

    def _event(self, bucket: str, difference: Difference) -> Event | None:
        """The event, unless the object has changed since it was listed: that has a notification or a sweep of its own."""
        listed, known = difference
        try:
            if listed is not None:
                return event_of(listed, known, bucket, self._source, self._sequence(listed))
            self._objects.head(bucket, known.key if known else "")
        except NotFound:
            return None if listed else event_of(None, known, bucket, self._source)
        return None

    def _known(self, bucket: str, prefix: str, after: str) -> Iterator[Known]:
        while True:
            with self._lake.database() as database:
                page = walk(database, bucket, prefix, after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def _new(self, bucket: str, prefix: str) -> Tally:
        with self._lake.database() as database:
            return Tally(bucket=bucket, prefix=prefix, expected=count(database, bucket, prefix))

    def _begun(self, bucket: str, prefix: str) -> Tally | None:
        with self._lake.reading() as connection:
            row = connection.execute("SELECT tally FROM sweep WHERE bucket = ? AND prefix = ?", (bucket, prefix)).fetchone()
        return msgspec.json.decode(row["tally"], type=Tally) if row else None


def _count(tally: Tally, differences: list[Difference], told: list[Event | None]) -> None:
    for (listed, known), event in zip(differences, told, strict=True):
        if event is None:
            continue
        if listed is None:
            tally.removed += 1
        elif known is None or known.state in ABSENT:
            tally.missed += 1
        else:
            tally.changed += 1


def _save(connection: sqlite3.Connection, tally: Tally) -> None:
    """Remember where to go on; a sweep that has ended begins anew."""
    name = (tally.bucket, tally.prefix)
    if tally.done:
        connection.execute("DELETE FROM sweep WHERE bucket = ? AND prefix = ?", name)
    else:
        connection.execute("INSERT OR REPLACE INTO sweep VALUES (?, ?, ?)", (*name, msgspec.json.encode(tally).decode()))
