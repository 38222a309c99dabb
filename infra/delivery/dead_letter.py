"""Dead letters: what a function refused for good is kept with its cause, and ``delivery.failed`` tells of it."""

from __future__ import annotations

import sqlite3

import msgspec

from events.codec import to_json
from events.event import Event, restamp
from events.types import DeliveryFailed, ObjectVersion, S3Record
from infra.log import sqlite as log

FAILED = "dev.sluice.delivery.failed.v1"


def bury(connection: sqlite3.Connection, delivery: log.Delivery, cause: str) -> list[Event]:
    """Move a delivery to the dead letters; returns the event that tells of it (none about a failure to tell)."""
    event, attempts = delivery.event, delivery.attempts + 1
    number = log.bury(connection, delivery.target, cause, attempts, to_json(event), delivery.seq)
    if event.type == FAILED:
        return []
    failed = DeliveryFailed(
        event=event.id,
        type=event.type,
        function=delivery.target,
        cause=cause,
        attempts=attempts,
        object=object_of(event),
    )
    return [restamp(event.reply(failed), event, f"{delivery.target}.failed", number)]


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
