"""Events as the Redis log keeps them: checked once, when they are accepted, so that every reading of them is cheap.

The form is the ``Event`` struct in JSON: text, because Redis' scripts read no bytes in MessagePack. Data that this cannot tell
apart (bytes, the JSON value ``null``) are kept in the CloudEvents JSON format behind an equals sign.
"""

from __future__ import annotations

import msgspec

from events.codec import from_json, to_json
from events.event import NULL, Event
from events.json_format import to_document

_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


def pack(event: Event) -> str:
    """The event as text. ``BadEvent`` if it breaks the specification."""
    if event.data is NULL or isinstance(event.data, bytes | bytearray | memoryview):
        return "=" + to_json(event).decode()
    to_document(event)
    try:
        return _encode(event).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return "=" + to_json(event).decode()  # it says what is wrong


def unpack(body: bytes) -> Event:
    """The event in this text, in UTF-8."""
    return from_json(body[1:]) if body[:1] == b"=" else _decode(body)
