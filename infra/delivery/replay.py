"""Replay, tried first: run a dead letter's function in a transaction that is rolled back, and tell what it would have done.

What no transaction can undo, such as writing objects, is noted and not done. A function that may take minutes is not run.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from events.errors import Reject
from events.event import Event
from events.json_format import to_document
from events.ports import Alias, Catalog, Entry, Models, NotFound, ObjectInfo, ObjectStore, Profiles, Series
from events.types import ModelPublished
from infra.delivery.expiry import is_expired
from infra.delivery.retry import cause
from infra.lake import Lake
from infra.log.log import DeadLetter


class Change(msgspec.Struct, frozen=True):
    """A row or object that would change: of which ``store``, its key, and what it was (``None``: it is new) and would be
    (``None``: it is gone).
    """

    store: str
    key: str
    before: Any
    after: Any


class Trial(msgspec.Struct, frozen=True):
    """What replaying one dead letter would do now: ``error`` if it would fail again, else events and changes."""

    id: int
    function: str
    events: list[dict[str, Any]] = []
    changes: list[Change] = []
    error: str = ""
    note: str = ""


def dry_run(lake: Lake, numbers: list[int]) -> list[Trial]:
    """Try each dead letter by itself; nothing is kept. Raises ``Reject`` for one that does not exist or is no event."""
    letters = []
    for number in numbers:
        found = lake.log.dead_letters(number=number)
        if not found or found[0].event is None:
            raise Reject(f"there is no dead letter {number} that holds an event; see: sluice dead-letters")
        letters.append(found[0])
    return [_try(lake, letter, letter.event) for letter in letters if letter.event is not None]


def _try(lake: Lake, letter: DeadLetter, event: Event) -> Trial:
    if letter.target not in lake.functions:
        return Trial(letter.id, letter.target, note="it would be posted to the subscriber's sink, which is not tried")
    if is_expired(event):
        return Trial(letter.id, letter.target, note="it has expired, and would be skipped")
    if lake.functions[letter.target].long:
        return Trial(letter.id, letter.target, note="it would begin its work of minutes again, which is not tried")
    changes: list[Change] = []
    try:
        replies = lake.trial(letter.target, lake.claims.redeem(event), lambda kind, port: _watched(kind, port, changes))
    except Exception as error:
        return Trial(letter.id, letter.target, error=cause(error))
    return Trial(letter.id, letter.target, [to_document(reply) for reply in replies], changes)


def _watched(kind: type, port: Any, changes: list[Change]) -> Any:
    watchers = {
        Catalog: _WatchedCatalog, Models: _WatchedModels, ObjectStore: _WatchedObjects, Profiles: _WatchedProfiles,
        Series: _WatchedSeries,
    }  # fmt: skip
    return watchers[kind](port, changes) if kind in watchers else port


class _Watched:
    """A port that passes everything on and notes what was written."""

    def __init__(self, port: Any, changes: list[Change]) -> None:
        self._port, self._changes = port, changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def _note(self, store: str, key: str, before: Any, after: Any) -> None:
        self._changes.append(Change(store, key, msgspec.to_builtins(before), msgspec.to_builtins(after)))


class _WatchedCatalog(_Watched):
    def upsert(self, entry: Entry) -> bool:
        before = self._port.get(entry.bucket, entry.key)
        done: bool = self._port.upsert(entry)
        if done:
            self._note("catalog", f"s3://{entry.bucket}/{entry.key}", before, self._port.get(entry.bucket, entry.key))
        return done


class _WatchedModels(_Watched):
    def submit(self, repository: str, name: str, digest: str) -> int | None:
        version: int | None = self._port.submit(repository, name, digest)
        if version:
            self._note("models", f"{repository}/{name}/{version}", None, {"state": "pending"})
        return version

    def publish(self, version: ModelPublished) -> bool:
        done: bool = self._port.publish(version)
        if done:
            self._note("models", f"{version.repository}/{version.name}/{version.version}", {"state": "pending"}, version)
        return done

    def promote(self, alias: Alias) -> None:
        before = self._port.alias(alias.repository, alias.name, alias.alias)
        self._port.promote(alias)
        self._note("aliases", f"{alias.repository}/{alias.name}/{alias.alias}", before, alias)


class _WatchedObjects(_Watched):
    """Objects are read as they are; what would be written or deleted is noted, and stays as it is."""

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return self._written(ObjectInfo(bucket=bucket, key=key, size=len(data), etag=etag, content_type=content_type))

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        with file.open("rb") as content:
            etag = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        size = file.stat().st_size
        return self._written(ObjectInfo(bucket=bucket, key=key, size=size, etag=etag, content_type=content_type, user=user))

    def delete(self, bucket: str, key: str) -> None:
        if before := self._there(bucket, key):
            self._note("objects", f"s3://{bucket}/{key}", before, None)

    def _written(self, info: ObjectInfo) -> ObjectInfo:
        self._note("objects", f"s3://{info.bucket}/{info.key}", self._there(info.bucket, info.key), info)
        return info

    def _there(self, bucket: str, key: str) -> ObjectInfo | None:
        try:
            found: ObjectInfo = self._port.head(bucket, key)
        except NotFound:
            return None
        return found


class _WatchedProfiles(_Watched):
    """Profiles may be in another store than the catalogue, where no transaction is open: writes are noted, not made."""

    def put(self, key: str, profile: dict[str, Any]) -> None:
        self._note("profiles", key, self._port.get(key), profile)


class _WatchedSeries(_Watched):
    def record(self, metric: str, tags: dict[str, str], time: datetime, value: float) -> None:
        self._port.record(metric, tags, time, value)
        self._note("series", metric, None, {"tags": tags, "time": time.isoformat(), "value": value})
