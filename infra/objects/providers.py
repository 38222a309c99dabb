"""Several object stores as one: the bucket's name says which. ``lake`` is in the default store, ``ceph:lake`` in ``ceph``.

A colon cannot stand in the name of a bucket, so the two never meet.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from events.errors import Reject
from events.event import Event
from events.ports import ObjectInfo
from events.s3.record import TYPE_PREFIX
from infra.config import ConfigError, Provider
from infra.objects.s3 import S3Store


def split(bucket: str) -> tuple[str, str]:
    """The provider (empty for the default one) and its own name of a bucket."""
    provider, found, name = bucket.partition(":")
    return (provider, name) if found else ("", bucket)


def joined(provider: str, bucket: str) -> str:
    """A bucket's name in this lake."""
    return f"{provider}:{bucket}" if provider else bucket


class Providers:
    """The ``ObjectStore`` port over the default store and further ones. Raises ``Reject`` for a provider nobody configured."""

    def __init__(self, default: S3Store, others: Iterable[Provider] = ()) -> None:
        self.default = default
        self._stores = {"": default}
        self._sources: list[tuple[str, str]] = []
        for each in others:
            if each.name in self._stores:
                raise ConfigError(f"sluice.providers: there are two of the name {each.name}")
            self._stores[each.name] = S3Store(each.endpoint, each.access_key, each.secret_key, each.region)
            if each.source:
                self._sources.append((each.source, each.name))

    @property
    def names(self) -> list[str]:
        """The configured providers besides the default one."""
        return sorted(self._stores.keys() - {""})

    def of(self, bucket: str) -> tuple[S3Store, str]:
        """The store of a bucket, and the bucket's name there."""
        provider, name = split(bucket)
        if provider not in self._stores:
            raise Reject(f"no provider {provider!r} is configured; sluice.providers has {', '.join(self.names) or 'none'}")
        return self._stores[provider], name

    def placed(self, event: Event) -> Event:
        """A notification with the bucket's name in this lake, where its source is another provider's."""
        if not (self._sources and event.type.startswith(TYPE_PREFIX)):
            return event
        provider = next((name for pattern, name in self._sources if fnmatchcase(event.source, pattern)), "")
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
        for store in self._stores.values():
            store.close()
