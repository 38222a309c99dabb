"""The event endpoint: CloudEvents and bucket notifications in by HTTP, accepted once they are on disk.

``POST /`` (also ``/events``) answers 202 after the commit, 400 or 415 with the reason for what is no event, 413 or 431 for
what is too large, 401 or 403 without a credential for it, and another method 405. Records that a store sent but nobody can read
are kept as dead letters and answered 202, because a store would send them again for ever. ``OPTIONS`` answers the handshake of
the Web Hooks specification. Every other path is the API's (``infra/runtime/api.py``).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from events.errors import BadEvent, Reject, Retry, UnsupportedMediaType
from events.ingress import read
from infra.access.access import Access
from infra.access.errors import Denied, MissingScope, NotToTell
from infra.access.scopes import may_send
from infra.catalog.acl import Caller
from infra.complaint import Complaint
from infra.delivery import intake
from infra.delivery.handshake import Consent
from infra.lake import Lake
from infra.runtime.messages import ASGI, MAX_HEADERS, Receive, Scope, Send, TooLarge, answer, body_of

logger = logging.getLogger("sluice.http")
EVENT_PATHS = ("/", "/events")
#: What else there is at ``/events``: the log.
READ = ("GET", "HEAD")
OPEN_PATHS = ("/healthz", "/readyz")
#: How long a refusal is held back: a store that is refused at once asks again at once.
REFUSAL_SECONDS = 1.0
#: Below it, the key of the address is enough.
CALLBACKS = "/callbacks/"
#: Where the endpoint leaves who calls, in the ASGI scope.
CALLER = "sluice.caller"


class Endpoint:
    """The ASGI application of one lake: events here, everything else by ``api``. ``check`` is that of SNS' messages."""

    def __init__(
        self, lake: Lake, api: ASGI, access: Access | None = None, check: Callable[[list[dict[str, Any]]], None] | None = None
    ) -> None:
        self._lake, self._api, self._access, self._check = lake, api, access or Access(), check
        self._trouble = Complaint(logger, "events cannot be stored, their senders are answered 503")
        self._keyless = Complaint(logger, "callers cannot be told apart, all of them are answered 503")
        http = lake.config.http
        self._query_token = http.query_token
        self._consent = Consent(http.webhook_origins, http.webhook_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        headers, event_path = scope["headers"], scope["path"] in EVENT_PATHS
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            await answer(send, 431, {"error": f"the headers are larger than {MAX_HEADERS} bytes"})
        elif scope["method"] == "OPTIONS" and event_path:
            await answer(send, 200, {}, *self._consent.answer(headers))
        elif event_path and scope["method"] not in (methods := _methods(scope["path"])):
            refusal = {"error": f"{scope['method']} is not possible here; events are sent with POST"}
            await answer(send, 405, refusal, (b"allow", ", ".join(methods).encode()))
        elif scope["path"] in OPEN_PATHS or scope["path"].startswith(CALLBACKS):
            await self._api(scope, receive, send)
        else:
            sending = scope["method"] == "POST" and event_path
            try:
                scope[CALLER] = caller = await self._caller(scope, headers, sending)
                if sending and "events" not in caller.scopes:
                    raise MissingScope("events")
            except Denied as error:
                await _deny(send, error)
            except Retry as error:
                self._keyless.tell(error)
                await self._refuse(send, 503, "nobody can be told apart now; ask again later", 1)
            else:
                self._keyless.over()
                await (self._take(caller, headers, receive, send) if sending else self._api(scope, receive, send))

    async def _caller(self, scope: Scope, headers: list[tuple[bytes, bytes]], sending: bool) -> Caller:
        """Who calls. Raises ``Unauthorized`` or ``Retry``."""
        given = next((value for name, value in headers if name == b"authorization"), b"")
        if not given and sending and self._query_token:
            token = next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [])), "")
            given = b"Bearer " + token.encode() if token else b""
        return await self._access.caller(given)

    async def _take(self, caller: Caller, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        if wait := self._consent.wait(headers):
            error = {"error": "more events than sluice.http.webhook_rate allows a minute"}
            await answer(send, 429, error, (b"retry-after", str(math.ceil(wait)).encode()))
        else:
            await self._relieved(caller, headers, receive, send)

    async def _relieved(self, caller: Caller, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        """Accept, unless the worker is too far behind."""
        pressure = self._lake.pressure
        try:
            after = await asyncio.to_thread(pressure.retry_after) if pressure.stale else pressure.retry_after()
        except Retry:
            after = None  # the log cannot be asked: whether it takes the event will show
        if after is not None:
            await self._refuse(send, 429, "the lake is behind with its work; send the event again later", after)
        else:
            await self._accept(caller, headers, receive, send)

    async def _refuse(self, send: Send, status: int, why: str, after: int | None = None) -> None:
        self._lake.metrics.refused(status)
        await answer(send, status, {"error": why}, *([(b"retry-after", str(after).encode())] if after else []))

    async def _accept(self, caller: Caller, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        try:
            data = await body_of(headers, receive)
            received = read(headers, data)
            if refused := next((event.type for event in received.events if not may_send(caller, event.type)), ""):
                raise NotToTell(refused)
            if received.sns and self._check is not None:
                await asyncio.to_thread(self._check, received.sns)
            if received.rejects and not received.events and not received.store:
                raise received.rejects[0].error  # no store sent this: nobody would repeat it for ever
            new = await intake.stored(self._lake, received, headers, len(data))
        except Denied as error:
            self._lake.metrics.refused(error.status)
            await _deny(send, error)
        except UnsupportedMediaType as error:
            await self._refuse(send, 415, str(error))
        except TooLarge as error:
            await self._refuse(send, 413, str(error))
        except BadEvent as error:
            await self._refuse(send, 400, str(error))
        except Reject as error:
            await self._refuse(send, 403, str(error))
        except ConnectionResetError:
            return  # the sender left before its event was complete: nothing was accepted
        except Retry as error:
            self._trouble.tell(error)
            await asyncio.sleep(REFUSAL_SECONDS)
            await self._refuse(send, 503, f"the event could not be stored; send it again: {error}", 1)
        except Exception:
            logger.exception("an event could not be stored")
            await asyncio.sleep(REFUSAL_SECONDS)
            await self._refuse(send, 503, "the event could not be stored; send it again", 1)
        else:
            self._trouble.over()
            done = {"accepted": len(received.events), "new": new, "rejected": len(received.rejects)}
            await answer(send, 202, done)


def _methods(path: str) -> tuple[str, ...]:
    """What can be done at a path that takes events."""
    return (*(READ if path == "/events" else ()), "POST", "OPTIONS")


async def _deny(send: Send, error: Denied) -> None:
    await answer(send, error.status, {"error": str(error)}, (b"www-authenticate", error.challenge.encode()))
