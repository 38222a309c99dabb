"""The event endpoint: CloudEvents and bucket notifications in by HTTP, accepted once they are on disk.

``POST /`` (also ``/events``) answers 202 after the commit, 400 or 415 with the reason for what is no event, 413 or 431 for
what is too large, 401 without the configured token. Records that a store sent but nobody can read are kept as dead letters
and answered 202, because a store would send them again for ever. Every other path is the API's (``infra/runtime/api.py``).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from events.errors import BadEvent, UnsupportedMediaType
from events.ingress import read
from infra.lake import Lake

logger = logging.getLogger("sluice.http")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 4 << 20
MAX_HEADERS = 64 << 10
OPEN_PATHS = ("/healthz", "/readyz")
JSON = (b"content-type", b"application/json")


class TooLarge(BadEvent):
    """A body beyond ``MAX_BODY``. HTTP status 413."""


class Endpoint:
    """The ASGI application of one lake: events here, everything else by ``api``."""

    def __init__(self, lake: Lake, api: ASGI, token: str = "") -> None:
        self._lake, self._api, self._token = lake, api, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            await answer(send, 431, {"error": f"the headers are larger than {MAX_HEADERS} bytes"})
        elif not self._allowed(scope["path"], headers):
            await answer(send, 401, {"error": "send the token of sluice.http.token: Authorization: Bearer TOKEN"})
        elif scope["method"] == "POST" and scope["path"] in ("/", "/events"):
            await self._accept(headers, receive, send)
        else:
            await self._api(scope, receive, send)

    def _allowed(self, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        if not self._token or path in OPEN_PATHS:
            return True
        given = next((value for name, value in headers if name == b"authorization"), b"")
        return hmac.compare_digest(given, b"Bearer " + self._token)

    async def _accept(self, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        try:
            received = read(headers, await body_of(headers, receive))
            if received.rejects and not received.events and not any(b'"eventSource"' in part.body for part in received.rejects):
                raise received.rejects[0].error  # no store sent this: nobody would repeat it for ever
            if received.rejects:
                rejected = [(reject.body, str(reject.error)) for reject in received.rejects]
                await asyncio.wrap_future(self._lake.reject(rejected))
            new = await asyncio.wrap_future(self._lake.append(received.events)) if received.events else 0
        except UnsupportedMediaType as error:
            await answer(send, 415, {"error": str(error)})
        except TooLarge as error:
            await answer(send, 413, {"error": str(error)})
        except BadEvent as error:
            await answer(send, 400, {"error": str(error)})
        except ConnectionResetError:
            return  # the sender left before its event was complete: nothing was accepted
        except Exception:
            logger.exception("an event could not be stored")
            await asyncio.sleep(1)  # a store that is refused at once asks again at once
            await answer(send, 503, {"error": "the event could not be stored; send it again"}, (b"retry-after", b"1"))
        else:
            done = {"accepted": len(received.events), "new": new, "rejected": len(received.rejects)}
            await answer(send, 202, done)


async def body_of(headers: list[tuple[bytes, bytes]], receive: Receive, most: int = MAX_BODY) -> bytes:
    """The request's body. Raises ``TooLarge``, or ``ConnectionResetError`` when the sender has gone."""
    told = next((value for name, value in headers if name == b"content-length"), b"0")
    parts: list[bytes] = []
    size = int(told) if told.isdigit() else 0
    while size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size = sum(map(len, parts))
    raise TooLarge(f"the body is larger than {most} bytes; put the payload into a bucket and send an event that names it")


async def answer(send: Send, status: int, document: Any, *more: tuple[bytes, bytes]) -> None:
    """Send a JSON answer."""
    body = msgspec.json.encode(document)
    headers = [JSON, (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
