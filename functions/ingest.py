"""A new or changed object is read once: hashed, its format recognised from its content, its records counted on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from blake3 import blake3

from events.errors import Reject
from events.event import Event
from events.ports import Changed, NotFound, ObjectStore, Settings
from events.route import on
from events.types import S3_CREATED, ObjectIngested, S3Record
from functions.formats import sniff

#: How much of an object's start its format is told from.
HEAD = 1 << 16
#: Changes of tags, locks and the like: notified as "created", but the content is the same.
NOT_CONTENT = ("Tagging", "Retention", "LegalHold", "Acl")


@on(S3_CREATED)
def ingest(event: Event, record: S3Record, objects: ObjectStore, settings: Settings) -> Iterator[Event]:
    """Read the object once and say what it is. Raises ``Reject`` for an empty one."""
    bucket, found = record.s3.bucket.name, record.s3.object
    if bucket == settings.bucket or record.eventName.endswith(NOT_CONTENT):
        return
    what = f"s3://{bucket}/{found.key}"
    try:
        info = objects.head(bucket, found.key, version=found.versionId)
        if info.etag != (found.eTag or info.etag):
            return  # overwritten since: the newer change has an event of its own
        if info.size == 0:
            if found.key.endswith("/"):
                return  # a folder marker, as S3 browsers write it
            raise Reject(f"{what} is empty: it has 0 bytes. Upload it again, or remove it.")
        digest = hasher(settings.digest)
        chunks = objects.stream(bucket, found.key, etag=info.etag)
        head, scanner = b"", None
        for head, chunk in _from_head(chunks):
            if scanner is None:
                known = sniff(head, found.key)
                scanner = known.scanner()
            digest.update(chunk)
            if scanner:
                scanner.feed(chunk)
    except (NotFound, Changed):
        return  # removed or overwritten since: that change has an event of its own
    yield event.reply(
        ObjectIngested(
            bucket=bucket,
            key=found.key,
            etag=info.etag,
            size=info.size,
            version=found.versionId,
            sequence=str(event.extensions.get("sequence", "")),
            modified=record.eventTime or info.modified,
            digest=f"{settings.digest}:{digest.hexdigest()}",
            format=known.name,
            content_type=_content_type(info.content_type, known.media_type),
            user=info.user,
            scan=scanner.result() if scanner else {},
        )
    )


def hasher(algorithm: str) -> Any:
    """A new hash object: ``blake3`` or any algorithm of ``hashlib``."""
    make: Callable[[], Any] = blake3 if algorithm == "blake3" else lambda: hashlib.new(algorithm)
    return make()


def _from_head(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of the object's first bytes and the next chunk; the first chunk holds at least the head."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    if head:
        yield head[:HEAD], head
    for chunk in chunks:
        yield head[:HEAD], chunk


def _content_type(told: str, recognised: str) -> str:
    """What the uploader said, unless they said nothing in particular."""
    return recognised if told in ("", "binary/octet-stream", "application/octet-stream") else told
