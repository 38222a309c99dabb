"""The data of every event type: one Struct each, from which JSON Schemas and the AsyncAPI document are generated.

Incoming S3 changes keep the CloudEvents adapter's form (one element of ``Records``, see ``events/s3.py``). Ours are called
``dev.sluice.<noun>.<past tense>.v1``. Sizes are bytes, times RFC 3339, durations seconds, memory MB (10^6 bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

S3_CREATED = "com.amazonaws.s3.ObjectCreated:*"
S3_REMOVED = "com.amazonaws.s3.ObjectRemoved:*"

#: Event type name -> Struct of its data. Filled by ``@event_type``.
TYPES: dict[str, type[msgspec.Struct]] = {}
S = TypeVar("S", bound=type[msgspec.Struct])


def event_type(name: str) -> Callable[[S], S]:
    """Give the Struct below it the event type ``name`` and enter it in ``TYPES``."""

    def enter(kind: S) -> S:
        kind.__event_type__ = name  # type: ignore[attr-defined]
        TYPES[name] = kind
        return kind

    return enter


class Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all event data: immutable, by keyword, defaults left out on the wire."""


class S3Bucket(Data):
    """The bucket of an S3 record."""

    name: str


class S3Object(Data):
    """The object of an S3 record; ``key`` is decoded, whatever encoding its store uses on the wire."""

    key: str
    size: int = 0
    eTag: str = ""
    versionId: str = ""
    sequencer: str = ""


class S3Entity(Data):
    """The ``s3`` part of an S3 record."""

    bucket: S3Bucket
    object: S3Object


class S3Record(Data):
    """One S3 change as its notification told it. Read it with ``event.read(S3Record)``."""

    eventName: str
    eventTime: str
    s3: S3Entity


class ObjectVersion(Data):
    """One version of one object: what identifies it, and where it stands in its key's order of changes.

    ``sequence`` compares as text within one key: the later change has the greater one (see ``events/s3.py``).
    """

    bucket: str
    key: str
    etag: str = ""
    size: int = 0
    version: str = ""
    sequence: str = ""
    modified: str = ""


@event_type("dev.sluice.object.ingested.v1")
class ObjectIngested(ObjectVersion):
    """An object was read once, hashed, and its format recognised from its content.

    ``digest`` reads ``algorithm:hex``. ``scan`` is what the format noted on the way (see ``functions/formats``).
    """

    digest: str
    format: str
    content_type: str = "application/octet-stream"
    user: dict[str, str] = {}
    scan: dict[str, Any] = {}


@event_type("dev.sluice.metadata.extracted.v1")
class MetadataExtracted(ObjectVersion):
    """An object was described. ``index`` is the key of its slice index in the lake's own bucket, empty if it has none."""

    digest: str
    format: str
    content_type: str
    metadata: dict[str, Any] = {}
    user: dict[str, str] = {}
    index: str = ""


@event_type("dev.sluice.catalog.updated.v1")
class CatalogUpdated(ObjectVersion):
    """The catalogue's entry of an object changed. ``change`` is ``upserted``, ``removed`` or ``failed``."""

    change: str
    digest: str = ""
    format: str = ""
    metadata: dict[str, Any] = {}


@event_type("dev.sluice.model.published.v1")
class ModelPublished(Data):
    """A model repository has a new numbered version."""

    repository: str
    name: str
    version: int
    bucket: str
    key: str
    etag: str
    digest: str
    size: int
    metadata: dict[str, Any] = {}


@event_type("dev.sluice.delivery.failed.v1")
class DeliveryFailed(Data):
    """An event became a dead letter: function ``function`` will not see it again unless somebody replays it."""

    event: str
    type: str
    function: str
    cause: str
    attempts: int
    object: ObjectVersion | None = None
