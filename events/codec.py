"""CloudEvents over HTTP, both ways: binary, structured and batched mode.

Source: CloudEvents HTTP Protocol Binding 1.0.2. Headers are pairs of bytes, as ASGI gives and takes them. ``to_json`` and
``from_json`` are the JSON format without HTTP around it (``events/json_format.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from events.attributes import CORE, check, check_all, check_printable, require
from events.errors import BadEvent, UnsupportedMediaType
from events.event import NULL, Attribute, Event, assemble
from events.json_format import from_batch, from_body, from_json, parse_json, render_json, to_batch, to_json
from events.media import UTF8, Media, decode_text, media_type, text_of

__all__ = [
    "Headers",
    "body_of",
    "data_of",
    "decode",
    "encode_batch",
    "encode_binary",
    "encode_structured",
    "from_json",
    "to_json",
]

#: As ASGI and httpx give them; the names in any case.
Headers = Sequence[tuple[bytes, bytes]]

CLOUDEVENTS = "application/cloudevents"
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
#: Beside the names of attributes, which have no capitals.
CONTENT_TYPE = "Content-Type"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).fullmatch
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
#: What a header value may hold as it is: printable ASCII without space, double quote and percent.
_SAFE = bytes(code for code in range(0x21, 0x7F) if chr(code) not in '"%')
_IS_STRUCTURED = (b"content-type", STRUCTURED.encode())
_BYTES = (bytes, bytearray, memoryview)


def decode(headers: Headers, body: bytes) -> list[Event]:
    """The events of one HTTP message: one in binary and structured mode, any number in batched mode.

    ``ce-`` headers beside a structured body are copies for others to route by; they are not read, as the binding allows.

    Raises:
        BadEvent: the message breaks the specification (answer 400); the text names the attribute.
        UnsupportedMediaType: an event format or character set that nobody here reads (answer 415).

    """
    return decode_split(*split(headers), body)


def split(headers: Headers) -> tuple[list[str], list[bytes], str | None]:
    """What concerns an event in the headers: the names of attributes, their values as on the wire, and the content type."""
    content_type: str | None = None
    names: list[str] = []
    values: list[bytes] = []
    held = _HELD
    for header, raw in headers:
        name = held[header]
        if name is None:
            continue
        if name != CONTENT_TYPE:
            names.append(name)
            values.append(raw)
        elif content_type is not None:
            raise BadEvent("the header 'content-type' is there more than once")
        else:
            content_type = raw.decode("latin-1").strip(" \t")
    return names, values, content_type


def decode_split(names: list[str], values: list[bytes], content_type: str | None, body: bytes) -> list[Event]:
    """As ``decode``, of headers that were ``split``."""
    if content_type is not None and content_type[: len(CLOUDEVENTS)].lower() == CLOUDEVENTS:
        return _decode_format(content_type, body)
    return [_decode_binary(names, values, content_type, body)]


def encode_binary(event: Event) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of ``event`` in binary mode. ``BadEvent`` if the event breaks the specification."""
    headers = [
        (b"ce-specversion", _header("specversion", event.specversion)),
        (b"ce-id", _header("id", event.id)),
        (b"ce-source", _header("source", event.source)),
        (b"ce-type", _header("type", event.type)),
    ]
    if event.subject is not None:
        headers.append((b"ce-subject", _header("subject", event.subject)))
    if event.time is not None:
        headers.append((b"ce-time", _header("time", event.time)))
    if event.dataschema is not None:
        headers.append((b"ce-dataschema", _header("dataschema", event.dataschema)))
    for name, value in event.extensions.items():
        if name in CORE:
            raise BadEvent(f"{name!r} is an attribute of its own and cannot be an extension of event {event.id!r}")
        headers.append((b"ce-" + name.encode(), _header(name, value)))
    content_type, body = body_of(event)
    if content_type is not None:
        headers.append((b"content-type", content_type.encode()))
    return headers, body


def encode_structured(event: Event) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of ``event`` in structured mode (``application/cloudevents+json``)."""
    return [_IS_STRUCTURED], to_json(event)


def encode_batch(events: Iterable[Event]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of any number of events in batched mode. Send it only to who asked for batches."""
    return [(b"content-type", BATCHED.encode())], to_batch(events)


def _decode_format(content_type: str, body: bytes) -> list[Event]:
    media = media_type(content_type)
    if media.essence not in (STRUCTURED, BATCHED):
        raise UnsupportedMediaType(f"the event format {media.essence!r} is not read here; {STRUCTURED!r} is")
    text = body if media.charset in UTF8 else decode_text(media, body)
    return [from_body(text)] if media.essence == STRUCTURED else from_batch(text)


class _Held(dict[bytes, str | None]):
    """Header -> the attribute it holds, ``CONTENT_TYPE``, or ``None`` for any other. Remembers so many of the short ones."""

    def __missing__(self, header: bytes) -> str | None:
        name = header.lower()
        held = name[3:].decode("latin-1") if name.startswith(b"ce-") else None
        if name == b"content-type":
            held = CONTENT_TYPE
        if len(header) <= 64 and len(self) < 1024:
            self[header] = held
        return held


_HELD = _Held()


def _decode_binary(names: list[str], values: list[bytes], content_type: str | None, body: bytes) -> Event:
    joined = b"\n".join(values)
    if len(joined.translate(None, _SAFE)) == len(values) - 1:  # nothing but safe characters and the newlines between
        attributes = dict(zip(names, joined.decode().split("\n"), strict=True))
        check_printable(attributes)
    else:
        attributes = {name: _unescape(name, raw) for name, raw in zip(names, values, strict=True)}
        check_all(attributes)
    if len(attributes) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadEvent(f"the attribute {twice!r} is there more than once")
    require(attributes, ": the header 'ce-{name}' is missing")
    if "datacontenttype" in attributes:
        raise BadEvent(
            "the attribute 'datacontenttype' travels as 'content-type'; the header 'ce-datacontenttype' is not allowed"
        )
    if content_type is not None:
        _content_type(content_type)
    return assemble(attributes, content_type, data_of(content_type, body))


@lru_cache(512)
def _content_type(text: str) -> Media:
    """The media type that a ``datacontenttype`` is. ``BadEvent`` for anything else."""
    check("datacontenttype", text)
    return media_type(text)


def data_of(content_type: str | None, body: bytes) -> Any:
    """The body of a message of binary mode in memory. HTTP cannot tell an empty body from none: both are no data."""
    if not body:
        return None
    if content_type is None:
        return bytes(body)
    media = media_type(content_type)
    if not (media.is_json or media.is_text):
        return bytes(body)
    text = body if media.is_json and media.charset in UTF8 else text_of(media, body)
    if not media.is_json or (media.charset not in UTF8 and isinstance(text, bytes)):
        return text
    value = parse_json(text, "the data")
    return NULL if value is None else value


def body_of(event: Event) -> tuple[str | None, bytes]:
    """Content type and body of ``event`` in binary mode.

    JSON data without a content type get the one they imply, as the JSON format asks for.
    """
    data, content_type = event.data, event.datacontenttype
    media = _content_type(content_type or "application/json")
    if data is None:
        return content_type, b""
    if isinstance(data, _BYTES):
        return content_type, bytes(data)
    if media.is_json:
        rendered = render_json(None if data is NULL else data)
        return content_type or "application/json", rendered if media.charset in UTF8 else _recoded(event, media, rendered)
    if not isinstance(data, str):
        raise BadEvent(f"the data of event {event.id!r} must be text or bytes, because its type is {content_type!r}")
    return content_type, _recoded(event, media, data.encode())


def _recoded(event: Event, media: Media, text: bytes) -> bytes:
    """Text in UTF-8 in the character set that its type tells."""
    if media.charset in UTF8:
        return text
    try:
        return text.decode().encode(media.charset)
    except (UnicodeError, LookupError) as error:
        raise BadEvent(f"the data of event {event.id!r} cannot be written as {event.datacontenttype!r}: {error}") from error


def _unescape(name: str, raw: bytes) -> str:
    """A header's value as the attribute's: without quotes, percent-decoded once (binding, 3.1.3.2)."""
    try:
        value = raw.decode().strip(" \t")
        if value[:1] == '"':
            quoted = _QUOTED(value)
            if quoted is None:
                raise BadEvent(f"the header of the attribute {name!r} begins with a quote that is not closed")
            value = _ESCAPE.sub(r"\1", quoted[1])
        return unquote_to_bytes(value).decode() if "%" in value else value
    except UnicodeDecodeError as error:
        raise BadEvent(f"the attribute {name!r} is not UTF-8: {error}") from error


def _header(name: str, value: Attribute) -> bytes:
    """An attribute's value as a header's: every character that HTTP or the binding does not let through percent-encoded."""
    check(name, value)
    if not isinstance(value, str):
        return str(value).lower().encode()
    raw = value.encode()
    if not raw.translate(None, _SAFE):
        return raw
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw).encode()
