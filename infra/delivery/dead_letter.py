"""Dead letters: what a function refused for good is kept with its cause, and ``delivery.failed`` tells of it."""

from __future__ import annotations

import hashlib

import msgspec

from events.event import Event, restamp
from events.types import DeliveryFailed, ObjectVersion, S3Record
from infra.log.log import Delivery

FAILED, REQUESTED = "dev.sluice.delivery.failed.v1", "dev.sluice.function.requested.v1"


def failed(delivery: Delivery, cause: str, burial: int) -> list[Event]:
    """The event that tells of a dead letter (none about a failure to tell). ``burial`` differs each time it is buried."""
    event = delivery.event
    if event.type == FAILED:
        return []
    told = DeliveryFailed(
        event=event.id,
        type=event.type,
        function=delivery.target,
        cause=cause,
        attempts=delivery.attempts + 1,
        object=object_of(event),
        binding=_binding(event),
    )
    return [restamp(event.reply(told), event, f"{delivery.target}.failed", burial)]


def digest(body: bytes) -> str:
    """What tells unreadable bytes from others: those that come again are the same dead letter."""
    return hashlib.sha256(body).hexdigest()


def _binding(event: Event) -> str:
    asked = event.type == REQUESTED and isinstance(event.data, dict)
    return str(event.data.get("binding", "")) if asked else ""


def object_of(event: Event) -> ObjectVersion | None:
    """The object version that an event is about, if its data name one."""
    try:
        if event.type.startswith("com.amazonaws.s3."):
            record = msgspec.convert(event.data, S3Record)
            found = record.s3.object
            return ObjectVersion(
                bucket=record.s3.bucket.name,
                key=found.key,
                etag=found.eTag,
                size=found.size,
                version=found.versionId,
                sequence=str(event.extensions.get("sequence", "")),
                modified=record.eventTime,
            )
        return msgspec.convert(event.data, ObjectVersion)
    except msgspec.ValidationError:
        return None
