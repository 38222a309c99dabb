"""Claim check: a payload too large for the event log goes into the lake's bucket, and the event carries the claim for it.

Source: CloudEvents extension "dataref". Such an event has no data but ``dataref`` (``s3://BUCKET/claims/DAY/HEX``) and
``datadigest`` (``sha256:HEX``), over exactly the bytes that binary mode has as its body. A reference to anywhere else is the
producer's own and stays untouched: nothing that an event names is fetched, except from the lake's own bucket.

Objects are named by their content, so depositing twice in a day (of UTC) writes the same object, and by the day, so that those
of days long gone can be removed without a look at what is deposited meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from events.codec import body_of, data_of
from events.errors import Reject
from events.event import Event
from events.ports import NotFound, ObjectStore

#: Bytes of payload from which on it is deposited. Source: CloudEvents 1.0.2, "Size Limits" (64 kB for a whole event).
LIMIT = 64_000
PREFIX = "claims/"


class ClaimCheck:
    """Deposits payloads in ``bucket`` and redeems the claims for them."""

    def __init__(self, objects: ObjectStore, bucket: str, limit: int = LIMIT) -> None:
        self._objects, self._bucket, self._limit = objects, bucket, limit

    def deposit(self, event: Event) -> Event:
        """``event`` with a claim in place of data larger than the limit. Raises ``Retry`` where the store is away."""
        if event.data is None or "dataref" in event.extensions:
            return event
        content_type, body = body_of(event)
        if len(body) <= self._limit:
            return event
        digest = hashlib.sha256(body).hexdigest()
        key = f"{PREFIX}{datetime.now(UTC):%Y-%m-%d}/{digest}"
        self._objects.write(self._bucket, key, body, content_type=content_type or "application/octet-stream")
        claim = {"dataref": f"s3://{self._bucket}/{key}", "datadigest": f"sha256:{digest}"}
        return msgspec.structs.replace(event, data=None, datacontenttype=content_type, extensions={**event.extensions, **claim})

    def redeem(self, event: Event) -> Event:
        """``event`` with its data back in place of a claim of ours; any other event as it is.

        Raises:
            Reject: the payload is gone, or is not the one that was deposited.
            Retry: the store is away.

        """
        reference, expected = str(event.extensions.get("dataref", "")), str(event.extensions.get("datadigest", ""))
        place = f"s3://{self._bucket}/"
        if event.data is not None or not reference.startswith(place + PREFIX):
            return event
        key = reference.removeprefix(place)
        digest = key.rpartition("/")[2]
        if expected != f"sha256:{digest}":
            raise Reject(f"the claim of event {event.id!r} names {reference} but has the digest {expected[:80]!r}")
        try:
            body = self._objects.read(self._bucket, key, 0, self._objects.head(self._bucket, key).size)
        except NotFound as error:
            raise Reject(f"the payload of event {event.id!r} is gone: {reference}") from error
        if hashlib.sha256(body).hexdigest() != digest:
            raise Reject(f"the payload of event {event.id!r} was changed: {reference} has another digest")
        extensions = {name: value for name, value in event.extensions.items() if name not in ("dataref", "datadigest")}
        data = data_of(event.datacontenttype, body)
        return msgspec.structs.replace(event, data=data, extensions=extensions)

    def forget(self, day: str, needed: Container[str]) -> int:
        """Remove what was deposited before ``day`` (``2026-01-31``), but for the references ``needed``; how many objects."""
        removed = 0
        with suppress(NotFound):  # no bucket, nothing in it
            for found in self._objects.list(self._bucket, PREFIX):
                if found.key >= PREFIX + day:
                    break  # keys come in order
                if f"s3://{self._bucket}/{found.key}" not in needed:
                    self._objects.delete(self._bucket, found.key)
                    removed += 1
        return removed


def is_claim(event: Event) -> bool:
    """Whether the event may have its payload elsewhere: redeem it, outside of any transaction, before a function sees it."""
    return event.data is None and "dataref" in event.extensions
