"""The JSON event format: an Event as one JSON object, and a batch as an array of them. The event log keeps this form too.

Source: CloudEvents JSON Event Format 1.0.2. Of a member that a JSON object repeats, the last one counts.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import msgspec

from events.attributes import CORE, check_all, require
from events.errors import BadEvent
from events.event import NULL, Event, assemble
from events.media import media_type

MAX_DEPTH = 500
_JSON_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)
_DATA = frozenset({"data", "data_base64"})
_BYTES = (bytes, bytearray, memoryview)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def parse_json(body: bytes | str, what: str = "the body") -> Any:
    """A JSON value from outside. ``BadEvent`` for anything else: bad UTF-8, surrogates, NaN, endless numbers.

    Nesting ends at ``MAX_DEPTH``, so that what was read here can be written and read again wherever less stack is left.
    """
    value = _parse(body, what)
    if len(body) > 2 * MAX_DEPTH and _brackets(body) > MAX_DEPTH and not _is_shallow(value):
        raise BadEvent(f"{what} is JSON of more than {MAX_DEPTH} levels, which is not read here")
    return value


def render_json(value: Any, what: str = "the data") -> bytes:
    """``value`` as JSON in UTF-8. ``BadEvent`` for what JSON cannot hold."""
    try:
        return _encode(value)
    except (*_JSON_ERRORS, TypeError, ValueError, OverflowError) as error:
        raise BadEvent(f"{what} cannot be written as JSON: {error}") from error


def from_json(body: bytes | str) -> Event:
    """The event that a JSON object describes. ``BadEvent`` tells what is wrong with it."""
    return from_document(_parse(body, "the event"))


def from_body(body: bytes | str) -> Event:
    """As ``from_json``, for what comes from outside."""
    return from_document(parse_json(body))


def from_batch(body: bytes | str) -> list[Event]:
    """The events of a JSON array. One bad event spoils the batch, as the format demands."""
    documents = parse_json(body)
    if not isinstance(documents, list):
        raise BadEvent("a batch of CloudEvents must be a JSON array")
    events = []
    for number, document in enumerate(documents):
        try:
            events.append(from_document(document))
        except BadEvent as error:
            raise type(error)(f"event {number} of the batch (counted from 0): {error}") from error
    return events


def to_json(event: Event) -> bytes:
    """The event as one JSON object; ``from_json`` gives an equal one back. ``BadEvent`` if it breaks the specification."""
    return render_json(to_document(event), f"event {event.id!r}")


def to_batch(events: Iterable[Event]) -> bytes:
    """The events as a JSON array."""
    return render_json([to_document(event) for event in events], "a batch of events")


def from_document(document: Any) -> Event:
    """The event in an already parsed JSON object."""
    if not isinstance(document, dict):
        raise BadEvent("a CloudEvent in JSON must be an object")
    attributes = {name: value for name, value in document.items() if value is not None and name not in _DATA}
    check_all(attributes)
    require(attributes)
    content_type = attributes.pop("datacontenttype", None)
    return assemble(attributes, content_type, _data_in(document, content_type))


def to_document(event: Event) -> dict[str, Any]:
    """The event as an object for any JSON encoder."""
    document: dict[str, Any] = {
        "specversion": event.specversion,
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    if event.subject is not None:
        document["subject"] = event.subject
    if event.time is not None:
        document["time"] = event.time
    if event.datacontenttype is not None:
        document["datacontenttype"] = event.datacontenttype
    if event.dataschema is not None:
        document["dataschema"] = event.dataschema
    if event.extensions:
        if not CORE.isdisjoint(event.extensions):
            name = next(name for name in event.extensions if name in CORE)
            raise BadEvent(f"{name!r} is an attribute of its own and cannot be an extension of event {event.id!r}")
        document.update(event.extensions)
    check_all(document)
    _data_out(event, document)
    return document


def _parse(body: bytes | str, what: str) -> Any:
    try:
        return _decode(body)
    except _JSON_ERRORS as error:
        raise BadEvent(f"{what} is not JSON that can be read here: {error}") from error


def _brackets(body: bytes | str) -> int:
    if isinstance(body, str):
        return body.count("[") + body.count("{")
    return body.count(b"[") + body.count(b"{")


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for each in level
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False


def _data_in(document: dict[str, Any], content_type: str | None) -> Any:
    encoded = document.get("data_base64")
    if "data" not in document:
        return None if encoded is None else _binary(encoded)
    if encoded is not None:
        raise BadEvent("'data' and 'data_base64' exclude each other")
    data = document["data"]
    if content_type is None or media_type(content_type).is_json:
        return NULL if data is None else data
    if data is not None and not isinstance(data, str):
        raise BadEvent(f"'data' of the type {content_type!r} must be a JSON string (or use 'data_base64')")
    return data


def _data_out(event: Event, document: dict[str, Any]) -> None:
    data, content_type = event.data, event.datacontenttype
    if data is None:
        return
    if isinstance(data, _BYTES):
        document["data_base64"] = b64encode(data).decode()
    elif content_type is None or media_type(content_type).is_json:
        document["data"] = None if data is NULL else data
    elif isinstance(data, str):
        document["data"] = data
    else:
        raise BadEvent(f"the data of event {event.id!r} must be text or bytes, because its type is {content_type!r}")


def _binary(text: Any) -> bytes:
    if not isinstance(text, str):
        raise BadEvent("'data_base64' must be a JSON string")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise BadEvent(f"'data_base64' is not Base64 (RFC 4648): {error}") from error
