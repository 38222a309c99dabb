"""Watched ports: each passes everything on to the port it stands for, and notes what was written.

What no transaction can undo, such as writing objects, is noted and not done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from events.bindings import Bindings
from events.models import Alias, Models
from events.ports import (
    Catalog,
    DataSets,
    Entry,
    Facts,
    GraphChange,
    GraphStore,
    NotFound,
    ObjectInfo,
    ObjectStore,
    Ontologies,
    Profiles,
    Series,
    SetChange,
)
from events.ports import Change as Inferred
from events.types import DatasetScanned, DeliveryFailed, ModelPublished, ModelSubmitted, ObjectVersion, OntologyChecked, Triple


class Change(msgspec.Struct, frozen=True):
    """A row or object that would change: of which ``store``, its key, and what it was (``None``: it is new) and would be
    (``None``: it is gone).
    """

    store: str
    key: str
    before: Any
    after: Any


def watched(kind: type, port: Any, changes: list[Change]) -> Any:
    """What stands in for this port; the port itself where nothing can be written through it."""
    return _WATCHERS[kind](port, changes) if kind in _WATCHERS else port


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
    def submit(self, upload: ModelSubmitted) -> int | None:
        version: int | None = self._port.submit(upload)
        if version:
            self._note("models", f"{upload.repository}/{upload.name}/{version}", None, {"state": "pending"})
        return version

    def next(self, repository: str, name: str) -> ModelSubmitted | None:
        upload: ModelSubmitted | None = self._port.next(repository, name)
        if upload:
            self._note("models", f"{repository}/{name}/{upload.version}", None, {"state": "pending"})
        return upload

    def fail(self, repository: str, name: str, *, stored: bool = False) -> None:
        self._port.fail(repository, name, stored=stored)
        self._note("models", f"{repository}/{name}", {"state": "pending"}, {"state": "lost" if stored else "waiting"})

    def resubmit(self, repository: str, name: str, digest: str) -> int | None:
        version: int | None = self._port.resubmit(repository, name, digest)
        if version:
            self._note("models", f"{repository}/{name}/{version}", None, {"state": "pending"})
        return version

    def withdraw(self, repository: str, name: str, version: int, *, waiting: bool = False) -> bool:
        done: bool = self._port.withdraw(repository, name, version, waiting=waiting)
        after = {"state": "waiting"} if waiting else None
        self._note("models", f"{repository}/{name}/{version}", {"state": "pending"}, after)
        return done

    def publish(self, version: ModelPublished, upload: str) -> bool:
        done: bool = self._port.publish(version, upload)
        if done:
            self._note("models", f"{version.repository}/{version.name}/{version.version}", {"state": "pending"}, version)
        return done

    def adopt(self, version: ModelPublished, upload: str) -> bool:
        done: bool = self._port.adopt(version, upload)
        if done:
            self._note("models", f"{version.repository}/{version.name}/{version.version}", None, version)
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


class _WatchedFacts(_Watched):
    def put(self, topic: str, order: str, triples: Sequence[Triple], evidence: Sequence[Triple] = ()) -> Inferred | None:
        made: Inferred | None = self._port.put(topic, order, triples, evidence)
        if made is not None:
            told = {"order": order, "triples": triples, "evidence": evidence, "gained": made.gained, "lost": made.lost}
            self._note("facts", topic, None, told)
        return made

    def renew(self, ontology: Sequence[Triple]) -> Inferred:
        made: Inferred = self._port.renew(ontology)
        self._note("facts", "ontology", None, {"gained": made.gained, "lost": made.lost})
        return made

    def describe(self, topic: str, order: str, triples: Sequence[Triple]) -> bool:
        done: bool = self._port.describe(topic, order, triples)
        if done:
            self._note("facts", topic, None, {"order": order, "triples": triples})
        return done

    def observe(self, time: datetime, triples: Sequence[Triple]) -> None:
        self._port.observe(time, triples)
        self._note("facts", f"observed {time.isoformat()}", None, {"triples": triples})


class _WatchedGraph(_Watched):
    """The graph is a server of its own: changes are noted, not made."""

    def change(self, changes: Sequence[GraphChange]) -> None:
        for each in changes:
            self._note("graph", each.graph, None, each)


class _WatchedDataSets(_Watched):
    def place(self, resource: str, cause: str) -> list[SetChange]:
        return self._placed(self._port.place(resource, cause))

    def place_object(self, bucket: str, key: str, cause: str) -> list[SetChange]:
        return self._placed(self._port.place_object(bucket, key, cause))

    def define(self, id: str, cause: str) -> DatasetScanned | None:
        begun: DatasetScanned | None = self._port.define(id, cause)
        if begun is not None:
            self._note("sets", id, None, begun)
        return begun

    def scan(self, page: DatasetScanned, cause: str) -> tuple[list[SetChange], DatasetScanned | None]:
        changes, following = self._port.scan(page, cause)
        return self._placed(changes), following

    def _placed(self, changes: list[SetChange]) -> list[SetChange]:
        for each in changes:
            self._note("sets", each.dataset, None, {"change": type(each).__name__, **msgspec.to_builtins(each)})
        return changes


class _WatchedOntologies(_Watched):
    def activate(self, checked: OntologyChecked) -> int:
        number: int = self._port.activate(checked)
        self._note("ontologies", str(number), None, checked)
        return number


class _WatchedBindings(_Watched):
    def failed(self, failure: DeliveryFailed) -> ObjectVersion | None:
        place: ObjectVersion | None = self._port.failed(failure)
        self._note("bindings", failure.binding, None, failure)
        return place


#: Every port that can write. Claims, vocabularies and settings are only read.
_WATCHERS: dict[type, type[_Watched]] = {
    Catalog: _WatchedCatalog, Models: _WatchedModels, ObjectStore: _WatchedObjects, Profiles: _WatchedProfiles,
    Series: _WatchedSeries, Facts: _WatchedFacts, DataSets: _WatchedDataSets, Ontologies: _WatchedOntologies,
    GraphStore: _WatchedGraph, Bindings: _WatchedBindings,
}  # fmt: skip
