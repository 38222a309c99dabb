"""CloudEvents over Kafka, both ways: binary and structured mode, as a record's headers, key and value.

Source: CloudEvents Kafka Protocol Binding 1.0.2. There is no client here: whoever has one hands over what it read, and writes
what it is given. Attributes are ``ce_NAME`` headers, in UTF-8 as they are; the record's key is ``partitionkey``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from events.attributes import check_all, require
from events.codec import CLOUDEVENTS, STRUCTURED, body_of, data_of, decode
from events.errors import BadEvent
from events.event import Event, assemble
from events.json_format import to_document, to_json

PREFIX = "ce_"
CONTENT_TYPE = "content-type"


class Message(NamedTuple):
    """A record: ``value`` of ``None`` is a tombstone."""

    headers: list[tuple[str, bytes]]
    value: bytes | None
    key: bytes | None = None


def from_message(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Event:
    """The event of one record. Raises as ``events.codec.decode`` does."""
    found: dict[str, str] = {}
    for name, raw in headers:
        if (lower := name.lower()).startswith(PREFIX) or lower == CONTENT_TYPE:
            if lower in found:
                raise BadEvent(f"the header {name!r} is there more than once")
            try:
                found[lower] = raw.decode()
            except UnicodeDecodeError as error:
                raise BadEvent(f"the header {name!r} is not UTF-8: {error}") from error
    content_type = found.pop(CONTENT_TYPE, None)
    if content_type is not None and content_type.lower().startswith(CLOUDEVENTS):
        events = decode([(b"content-type", content_type.encode())], value or b"")
        if len(events) != 1:
            raise BadEvent("a record of Kafka is one event: the batched mode is not for it")
        return events[0]
    attributes = {name.removeprefix(PREFIX): text for name, text in found.items()}
    if "datacontenttype" in attributes:
        raise BadEvent("the attribute 'datacontenttype' travels as 'content-type'; 'ce_datacontenttype' is not allowed")
    check_all(attributes)
    require(attributes, ": the header 'ce_{name}' is missing")
    return assemble(attributes, content_type, data_of(content_type, value or b""))


def binary(event: Event) -> Message:
    """The event as a record in binary mode. ``BadEvent`` if it breaks the specification."""
    content_type, body = body_of(event)
    document = to_document(event)
    for name in ("data", "data_base64", "datacontenttype"):
        document.pop(name, None)
    headers = [(PREFIX + name, _text(value)) for name, value in document.items()]
    if content_type is not None:
        headers.append((CONTENT_TYPE, content_type.encode()))
    return Message(headers, body if event.data is not None else None, _key(event))


def structured(event: Event) -> Message:
    """The event as a record in structured mode."""
    return Message([(CONTENT_TYPE, STRUCTURED.encode())], to_json(event), _key(event))


def _text(value: str | int | bool) -> bytes:
    return value.encode() if isinstance(value, str) else str(value).lower().encode()


def _key(event: Event) -> bytes | None:
    key = event.extensions.get("partitionkey")
    return None if key is None else _text(key)
