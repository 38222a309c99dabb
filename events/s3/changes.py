"""A change of an object in the words of a store that does not speak S3's: the record, and event, that it would have there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received, rejected
from events.s3.record import to_event
from events.s3.stores import RAW_KEYS

T = TypeVar("T")
PUT, DELETE, MARKER = "ObjectCreated:Put", "ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"


def change(
    name: str, time: str, bucket: str, entity: dict[str, Any], *, source: str, path: str = "$", place: str = "", id: str = ""
) -> Event:
    """The event of one change.

    Args:
        name: what happened, as S3 calls it.
        time: when, RFC 3339.
        bucket: where.
        entity: ``s3.object``: the ``key`` in plain text, and what is known of ``size``, ``eTag``, ``versionId``, ``sequencer``.
        source: who tells: ``STORE:PRODUCT``.
        path: where the change stands in the message, for error texts.
        place: the region, or what stands for it.
        id: the store's own id of the message.

    Raises:
        BadEvent: a required text is empty, or the time is none.

    """
    record = {
        "eventSource": source,
        "awsRegion": place,
        "eventTime": time,
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {key: value for key, value in entity.items() if value not in (None, "")}},
    }
    return to_event(record, path, RAW_KEYS, base_id=id)


def converted(value: Any, kind: type[T], path: str) -> T:
    """``value`` as a structure. ``BadEvent`` names what is wrong with it, and where."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        raise BadEvent(text.replace("`$", f"`{path}") if "`$" in text else f"{text} - at `{path}`") from error


def each(values: list[Any], path: str, read: Callable[[Any, str], Event | None]) -> Received:
    """The events of several changes: ``read`` gives one, or ``None`` for what is no change of a content.

    One that cannot be read is a reject; its neighbours are read.
    """
    received = Received(events=[], rejects=[])
    for number, value in enumerate(values):
        try:
            event = read(value, f"{path}[{number}]")
        except BadEvent as error:
            received.rejects.append(rejected(value, error))
        else:
            received.events.extend([event] if event else [])
    return received


def rfc3339(nanoseconds: int) -> str:
    """A time since 1970 as text. ``BadEvent`` if no calendar has it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
    except (OverflowError, ValueError, OSError) as error:
        raise BadEvent(f"{nanoseconds} ns since 1970 is no time") from error
