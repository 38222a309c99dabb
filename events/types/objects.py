"""Objects: stored, read, described, catalogued, worked on by functions; and the models among them."""

from __future__ import annotations

from typing import Any

from events.types.base import Data, event_type


class S3Bucket(Data, frozen=True, kw_only=True):
    """The bucket of an S3 record."""

    name: str


class S3Object(Data, frozen=True, kw_only=True):
    """The object of an S3 record; ``key`` is decoded, whatever encoding its store uses on the wire."""

    key: str
    size: int = 0
    eTag: str = ""
    versionId: str = ""
    sequencer: str = ""


class S3Entity(Data, frozen=True, kw_only=True):
    """The ``s3`` part of an S3 record."""

    bucket: S3Bucket
    object: S3Object


class S3Record(Data, frozen=True, kw_only=True):
    """One S3 change as its notification told it. Read it with ``event.read(S3Record)``."""

    eventName: str
    eventTime: str
    s3: S3Entity


class ObjectVersion(Data, frozen=True, kw_only=True):
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
class ObjectIngested(ObjectVersion, frozen=True, kw_only=True):
    """An object was read once, hashed, and its format recognised from its content.

    ``digest`` reads ``algorithm:hex``; ``digests`` are further ones, by algorithm. ``scan`` is what the format noted on the way
    (see ``functions/formats``).
    """

    digest: str
    format: str
    content_type: str = "application/octet-stream"
    user: dict[str, str] = {}
    scan: dict[str, Any] = {}
    digests: dict[str, str] = {}


@event_type("dev.sluice.metadata.extracted.v1")
class MetadataExtracted(ObjectVersion, frozen=True, kw_only=True):
    """An object was described. ``index`` is the key of its slice index in the lake's own bucket, empty if it has none."""

    digest: str
    format: str
    content_type: str
    metadata: dict[str, Any] = {}
    user: dict[str, str] = {}
    index: str = ""
    digests: dict[str, str] = {}


@event_type("dev.sluice.catalog.updated.v1")
class CatalogUpdated(ObjectVersion, frozen=True, kw_only=True):
    """The catalogue's entry of an object changed: ``change`` is ``upserted``, ``removed`` or ``failed``.

    It is ``created`` when a place was made for an object to be uploaded, ``edited`` when people said something new of it.
    """

    change: str
    digest: str = ""
    format: str = ""
    metadata: dict[str, Any] = {}


@event_type("dev.sluice.function.requested.v1")
class FunctionRequested(ObjectVersion, frozen=True, kw_only=True):
    """A binding asks ``function`` to work on an object, with its ``parameters``.

    ``derived`` are the bindings whose results led to the object. With a ``result``, the function has done so: this is what it
    made, now in the catalogue, and what it had to wait for can be done.
    """

    binding: str
    function: str
    parameters: dict[str, Any] = {}
    format: str = ""
    content_type: str = ""
    metadata: dict[str, Any] = {}
    derived: list[str] = []
    result: ObjectVersion | None = None


@event_type("dev.sluice.object.derived.v1")
class ObjectDerived(Data, frozen=True, kw_only=True):
    """A function made an object (``result``) of another one (``of``), as a binding asked it to."""

    of: ObjectVersion
    result: ObjectVersion
    function: str
    binding: str = ""


@event_type("dev.sluice.index.retired.v1")
class IndexRetired(Data, frozen=True, kw_only=True):
    """Nothing in the catalogue names the slice index ``index`` (a key in the lake's own bucket) of an object any more."""

    bucket: str
    key: str
    index: str


@event_type("dev.sluice.delivery.failed.v1")
class DeliveryFailed(Data, frozen=True, kw_only=True):
    """An event became a dead letter: function ``function`` will not see it again unless somebody replays it.

    ``binding`` is the one that asked for the function, if one did.
    """

    event: str
    type: str
    function: str
    cause: str
    attempts: int
    object: ObjectVersion | None = None
    binding: str = ""
