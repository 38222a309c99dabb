"""The ports: what a function may ask the world for. Each is a small Protocol; ``infra`` wires the backend by its type.

A port's writes belong to the event being handled: they commit with its inbox mark and its outgoing events, or not at all.
The object store is the exception (no store has transactions): what a function writes there, a repetition writes again alike.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Protocol, runtime_checkable

import msgspec

from events.types import ModelPublished, WorkerSize


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of an object. ``modified`` is RFC 3339; ``user`` is the user metadata, without ``x-amz-meta-``."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: str = ""
    version: str = ""
    content_type: str = "application/octet-stream"
    user: dict[str, str] = {}


class NotFound(LookupError):
    """The object, entry or version asked for does not exist (any more)."""


class Changed(LookupError):
    """The object is no longer the version asked for: its ETag differs (HTTP 412)."""


@runtime_checkable
class ObjectStore(Protocol):
    """Buckets of objects. Raises ``NotFound``, ``Changed``, or ``events.errors.Retry`` where the store cannot be reached."""

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo: ...

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        """Bytes ``start`` to ``end`` (exclusive, cut at the object's end); refused unless it still has ``etag``."""
        ...

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        """The whole object in chunks; the connection is closed when the generator is."""
        ...

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo: ...

    def delete(self, bucket: str, key: str) -> None:
        """Remove it; removing what is not there is no error."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]: ...


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue's memory of one object. ``state`` is ``ready``, ``failed`` (see ``cause``) or ``removed`` (a tombstone)."""

    bucket: str
    key: str
    state: str = "ready"
    etag: str = ""
    size: int = 0
    version: str = ""
    sequence: str = ""
    modified: str = ""
    digest: str = ""
    format: str = ""
    content_type: str = ""
    metadata: dict[str, Any] = {}
    user: dict[str, str] = {}
    index: str = ""
    cause: str = ""
    updated: str = ""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A first search: every field given must match. ``name`` is a glob over the key; ``where`` compares metadata by path.

    ``where`` maps ``path`` or ``path>=``, ``path<=``, ``path>``, ``path<``, ``path!=`` to a value, e.g. ``{"rows>=": 100}``.
    ``after`` is the ``bucket/key`` to continue behind; results come sorted by bucket and key.
    """

    bucket: str = ""
    prefix: str = ""
    name: str = ""
    format: str = ""
    state: str = ""
    since: str = ""
    until: str = ""
    where: dict[str, Any] = {}
    limit: int = 100
    after: str = ""


@runtime_checkable
class Catalog(Protocol):
    """The catalogue: one entry an object. An older change (by ``sequence``) never replaces a newer one."""

    def upsert(self, entry: Entry) -> bool:
        """Store the entry; ``False`` and nothing done when what is there is newer."""
        ...

    def get(self, bucket: str, key: str) -> Entry | None:
        """The entry, tombstones included, or ``None``."""
        ...

    def search(self, query: Query) -> list[Entry]:
        """Entries that match, without tombstones unless ``query.state`` asks for them."""
        ...


@runtime_checkable
class Models(Protocol):
    """The numbered versions of the models in each repository."""

    def repositories(self) -> list[tuple[str, str, str]]:
        """(name, bucket, prefix) of every configured repository."""
        ...

    def latest(self, repository: str, name: str) -> ModelPublished | None: ...

    def add(self, version: ModelPublished) -> None:
        """Store it; the number must be one more than the latest's."""
        ...

    def versions(self, repository: str = "", name: str = "") -> list[ModelPublished]: ...


@runtime_checkable
class Profiles(Protocol):
    """What earlier maps taught: a JSON document a key (task x format x backend), kept by ``functions/planner``."""

    def get(self, key: str) -> dict[str, Any] | None: ...

    def put(self, key: str, profile: dict[str, Any]) -> None: ...

    def keys(self, prefix: str = "") -> list[str]: ...


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What functions may know of the configuration (``sluice:`` in ``lithops_config.yaml``).

    ``workers`` are the worker sizes that plans may choose, ``cores`` the vCPUs of the whole cluster (0 = no limit).
    """

    bucket: str = "sluice"
    digest: str = "blake3"
    workers: list[WorkerSize] = []
    cores: float = 0.0
    price_per_gb_s: float = 0.0
    price_per_request: float = 0.0
