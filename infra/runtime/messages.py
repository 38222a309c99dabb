"""ASGI messages: a request's body in, a JSON answer out. It imports little, for servers that are to start at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import msgspec

from events.errors import BadEvent

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY, MAX_HEADERS = 4 << 20, 64 << 10
JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """What to answer: the body's length is no part of ``headers``."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class TooLarge(BadEvent):
    """A body beyond ``MAX_BODY``. HTTP status 413."""


async def body_of(headers: list[tuple[bytes, bytes]], receive: Receive, most: int = MAX_BODY) -> bytes:
    """The request's body. Raises ``TooLarge``, or ``ConnectionResetError`` when the sender has gone."""
    told = dict(headers).get(b"content-length", b"")
    parts: list[bytes] = []
    size = int(told) if told.isdigit() else 0
    while size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part: bytes = message.get("body", b"")
        parts.append(part)
        size = sum(map(len, parts))
        if not message.get("more_body") and size <= most:
            if told.isdigit() and int(told) != size:
                raise BadEvent(f"the body has {size} bytes, not {told.decode()}; what follows a request to upgrade is not read")
            return b"".join(parts)
    raise TooLarge(f"the body is larger than {most} bytes; put the payload into a bucket and send an event that names it")


async def answer(send: Send, status: int, document: Any, *more: tuple[bytes, bytes]) -> None:
    """Send a JSON answer."""
    body = msgspec.json.encode(document)
    headers = [JSON, (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
