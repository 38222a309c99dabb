"""A new or changed object is read once: hashed, its format recognised from its content, its records counted on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from queue import Queue
from threading import Thread
from typing import Any

from blake3 import blake3

from events.claims import Claims, claim_broken
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
def ingest(event: Event, record: S3Record, objects: ObjectStore, settings: Settings, claims: Claims) -> Iterator[Event]:
    """Read the object once and say what it is. Raises ``Reject`` for an empty one, and for one that is not as was claimed."""
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
        claimed = claims.claimed(bucket, found.key, info.etag)
        digest, further = hasher(settings.digest), {name: hasher(name) for name in claimed if name != settings.digest}
        with closing(objects.stream(bucket, found.key, etag=info.etag)) as chunks:
            start = b"".join(_until(chunks, HEAD))
            known = sniff(start[:HEAD], found.key, info.user)
            scanner = known.scanner()
            hashing = [each.update for each in (digest, *further.values())]
            with Lane(*hashing, *([scanner.feed] if scanner else [])) as lane:
                for chunk in chain((start,), chunks):
                    lane.take(chunk)
    except (NotFound, Changed):
        return  # removed or overwritten since: that change has an event of its own
    digests = {**info.digests, **{name: each.hexdigest() for name, each in further.items()}}
    if broken := claim_broken(what, claimed, {**digests, settings.digest: digest.hexdigest()}):
        raise Reject(broken)
    yield event.reply(
        ObjectIngested(
            bucket=bucket,
            key=found.key,
            etag=info.etag,
            size=info.size,
            version=found.versionId or info.version,
            sequence=str(event.extensions.get("sequence", "")),
            modified=record.eventTime or info.modified,
            digest=f"{settings.digest}:{digest.hexdigest()}",
            format=known.name,
            content_type=_content_type(info.content_type, known.media_type),
            user=info.user,
            scan=scanner.result() if scanner else {},
            digests=digests,
        )
    )


def hasher(algorithm: str) -> Any:
    """A new hash object: ``blake3`` or any algorithm of ``hashlib``."""
    make: Callable[[], Any] = blake3 if algorithm == "blake3" else lambda: hashlib.new(algorithm)
    return make()


class Lane:
    """Applies functions to each chunk in a thread of its own, so that the next is read while this one is hashed and scanned.

    Leaving the ``with`` block waits until all is done; an error in a function is raised there, or at the next ``take``.
    """

    DEPTH = 8  # chunks that may wait: bounds the memory
    BLOCK = 1 << 18  # bytes handed to each function in turn: still in the processor's cache for the second

    def __init__(self, *work: Callable[[bytes], object]) -> None:
        self._work = work
        self._queue: Queue[bytes | None] = Queue(self.DEPTH)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def take(self, chunk: bytes) -> None:
        """Hand over the next chunk; waits while ``DEPTH`` are unfinished."""
        if self._error:
            raise self._error
        self._queue.put(chunk)

    def __enter__(self) -> Lane:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error and kind is None:
            raise self._error

    def _run(self) -> None:
        while (chunk := self._queue.get()) is not None:
            if self._error is None:
                try:
                    for start in range(0, len(chunk), self.BLOCK):
                        block = chunk[start : start + self.BLOCK]
                        for work in self._work:
                            work(block)
                except Exception as error:  # goes on taking, or the reader would wait for ever
                    self._error = error


def _until(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Chunks until they hold at least ``size`` bytes."""
    while size > 0 and (chunk := next(chunks, b"")):
        size -= len(chunk)
        yield chunk


def _content_type(told: str, recognised: str) -> str:
    """What the uploader said, unless they said nothing in particular."""
    return recognised if told in ("", "binary/octet-stream", "application/octet-stream") else told
