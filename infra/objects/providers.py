"""Several object stores as one: the bucket's name says which. ``lake`` is in the default store, ``ceph:lake`` in ``ceph``.

A colon cannot stand in the name of a bucket, so the two never meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from events.errors import Reject
from events.event import Event
from events.pattern import matcher
from events.ports import ObjectInfo
from events.s3.record import TYPE_PREFIX
from infra.config import ConfigError, Provider
from infra.objects.s3 import S3Store

UNKNOWN = "there is no provider {!r}: see `sluice provider list`"


def split(bucket: str) -> tuple[str, str]:
    """The provider (empty for the default one) and its own name of a bucket."""
    provider, found, name = bucket.partition(":")
    return (provider, name) if found else ("", bucket)


def joined(provider: str, bucket: str) -> str:
    """A bucket's name in this lake."""
    return f"{provider}:{bucket}" if provider else bucket


#: Seconds after which a provider that another process has added is known by its notifications.
FRESH = 1.0


class Directory(Protocol):
    """Providers that come and go while the lake runs (``infra/catalog/providers.py``)."""

    def find(self, name: str) -> Provider | None:
        """One of them, with its keys."""

    def sources(self) -> list[tuple[str, str]]:
        """How the sources of their notifications read, and their names."""


class Providers:
    """The ``ObjectStore`` port over the default store and further ones. Raises ``Reject`` for a provider that nobody knows."""

    def __init__(self, default: S3Store, others: Iterable[Provider] = ()) -> None:
        self.default = default
        self._stores = {"": default}
        self._sources: list[tuple[str, str]] = []
        self._directory: Directory | None = None
        self._found: dict[str, tuple[Provider, S3Store]] = {}
        self._listed: tuple[float, list[tuple[str, str]]] | None = None
        self._lock = threading.Lock()
        for each in others:
            if each.name in self._stores:
                raise ConfigError(f"sluice.providers: there are two of the name {each.name}")
            self._stores[each.name] = S3Store(each.endpoint, each.access_key, each.secret_key, each.region)
            if each.source:
                self._sources.append((each.source, each.name))

    def learn(self, directory: Directory) -> None:
        """Look there too for what is not configured."""
        self._directory = directory

    def refresh(self) -> None:
        """The directory has changed."""
        self._listed = None

    def of(self, bucket: str) -> tuple[S3Store, str]:
        """The store of a bucket, and the bucket's name there."""
        provider, name = split(bucket)
        return self._stores.get(provider) or self._added(provider), name

    def _added(self, provider: str) -> S3Store:
        """The store of a provider that is not configured: as the directory has it now."""
        wanted = self._directory.find(provider) if self._directory else None
        if wanted is None:
            raise Reject(UNKNOWN.format(provider))
        with self._lock:
            known = self._found.get(provider)
            if known is None or known[0] != wanted:
                # who has the old one still works with it; its connections end with it
                store = S3Store(wanted.endpoint, wanted.access_key, wanted.secret_key, wanted.region)
                known = self._found[provider] = wanted, store
        return known[1]

    def _patterns(self) -> list[tuple[str, str]]:
        """Sources of notifications and the providers that they are of."""
        if self._directory is None:
            return self._sources
        listed, present = self._listed, time.monotonic()
        if listed is None or present - listed[0] > FRESH:
            listed = self._listed = present, self._directory.sources()
        return [*self._sources, *listed[1]]

    def placed(self, event: Event) -> Event:
        """A notification with the bucket's name in this lake, where its source is another provider's."""
        if not event.type.startswith(TYPE_PREFIX):
            return event
        provider = next((name for pattern, name in self._patterns() if matcher((pattern,))(event.source)), "")
        if not provider or not isinstance(event.data, dict) or ":" in event.data["s3"]["bucket"]["name"]:
            return event
        s3 = event.data["s3"]
        bucket = joined(provider, s3["bucket"]["name"])
        data = {**event.data, "s3": {**s3, "bucket": {**s3["bucket"], "name": bucket}}}
        partition = f"{provider}:{event.extensions['partitionkey']}"
        return msgspec.structs.replace(event, data=data, extensions={**event.extensions, "partitionkey": partition})

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        store, name = self.of(bucket)
        return msgspec.structs.replace(store.head(name, key, version=version), bucket=bucket)

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        store, name = self.of(bucket)
        return store.read(name, key, start, end, etag=etag)

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        store, name = self.of(bucket)
        return store.stream(name, key, etag=etag)

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        store, name = self.of(bucket)
        return msgspec.structs.replace(store.write(name, key, data, content_type=content_type), bucket=bucket)

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        store, name = self.of(bucket)
        return msgspec.structs.replace(store.upload(name, key, file, content_type=content_type, user=user), bucket=bucket)

    def delete(self, bucket: str, key: str) -> None:
        store, name = self.of(bucket)
        store.delete(name, key)

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        store, name = self.of(bucket)
        return (msgspec.structs.replace(found, bucket=bucket) for found in store.list(name, prefix, after=after))

    def close(self) -> None:
        """Free the connections."""
        for store in (*self._stores.values(), *(store for _, store in self._found.values())):
            store.close()
