"""Google Cloud Storage and Azure Blob Storage: their events as the records that the same changes have in S3.

Sources: google/events ``storage/v1/events.proto`` (the data are an object as its JSON API shows it), and "Azure Blob Storage as
Event Grid source", CloudEvents schema. Their ETags mean nothing to S3, so none is kept but Google's MD5, which is one.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.s3.changes import change

_GOOGLE = {
    "finalized": "ObjectCreated:Put",
    "deleted": "ObjectRemoved:Delete",
    "archived": "ObjectRemoved:DeleteMarkerCreated",
}
_AZURE = {"BlobCreated": "ObjectCreated:Put", "BlobDeleted": "ObjectRemoved:Delete"}


class _GoogleObject(msgspec.Struct, rename="camel"):
    bucket: str
    name: str
    generation: str | int
    size: str | int = 0
    md5_hash: str = ""


class _AzureBlob(msgspec.Struct, rename="camel"):
    content_length: int = 0
    sequencer: str = ""


def google(event: Event, data: dict[str, Any]) -> Event:
    """``google.cloud.storage.object.v1.finalized``, ``deleted`` or ``archived``. ``BadEvent`` for what is none of these.

    A generation is what came into being, and then what is removed: the removal stands right behind it in the key's order.
    """
    name = _named(_GOOGLE, event.type.rpartition(".")[2])
    try:
        found = msgspec.convert(data, _GoogleObject, strict=False)
        order = f"{int(found.generation):X}{'0' if name.startswith('ObjectCreated') else '1'}"
        entity: dict[str, Any] = {"key": found.name, "size": int(found.size), "sequencer": order}
        if found.md5_hash:
            entity["eTag"] = b64decode(found.md5_hash, validate=True).hex()
    except (msgspec.ValidationError, ValueError) as error:
        raise BadEvent(f"the event of Google Cloud Storage cannot be read: {error}") from error
    return change(name, event.time or "", found.bucket, entity, source="google:storage", id=event.id)


def azure(event: Event, data: dict[str, Any]) -> Event:
    """``Microsoft.Storage.BlobCreated`` or ``BlobDeleted``; a container is a bucket. ``BadEvent`` for anything else."""
    name = _named(_AZURE, event.type.rpartition(".")[2])
    start, _, path = (event.subject or "").partition("/containers/")
    container, _, key = path.partition("/blobs/")
    if not start.removeprefix("/").startswith("blobServices/"):
        raise BadEvent(f"the subject {event.subject!r} names no blob")
    try:
        found = msgspec.convert(data, _AzureBlob)
    except msgspec.ValidationError as error:
        raise BadEvent(f"the event of Azure Blob Storage cannot be read: {error}") from error
    entity = {"key": key, "size": found.content_length, "sequencer": found.sequencer}
    place = event.source.rpartition("/")[2]
    return change(name, event.time or "", container, entity, source="azure:blob", place=place, id=event.id)


def _named(names: dict[str, str], kind: str) -> str:
    if kind not in names:
        raise BadEvent(f"{kind[:60]!r} is no change of an object's content")
    return names[kind]
