"""Stores that push: ``POST /events/TOKEN`` (or ``?token=TOKEN``, or ``Authorization: Bearer TOKEN``), before the endpoint.

A store is no person. It repeats what is refused, some without a pause and for ever, others never. So whatever comes with the
token is stored first and answered 2xx - what nobody can read as a dead letter - and what must be refused waits a second.
Back-pressure is not for stores: one that is told to wait loses the event, or stops.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qs

from events.errors import BadEvent, Reject, Retry
from events.ingress import read, salvage
from events.received import Received, Rejected
from infra.complaint import Complaint
from infra.delivery import intake
from infra.lake import Lake
from infra.runtime.messages import ASGI, Receive, Scope, Send, TooLarge, answer, body_of
from infra.sources.sns import Topics
from infra.sources.token import same

logger = logging.getLogger("sluice.http")
#: How long a refusal is held: Ceph's persistent topics ask again at once, a thousand times a second.
HOLD_SECONDS = 1.0
PATHS = ("/", "/events")


class Push:
    """The ASGI application of stores; everything that carries no push token is for ``app``."""

    def __init__(self, app: ASGI, lake: Lake, token: str, topics: Topics) -> None:
        self._app, self._lake, self._token, self._topics = app, lake, token, topics
        self._trouble = Complaint(logger, "notifications cannot be stored, their store is answered 503")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and scope["path"].startswith("/events/"):
            await self._app({**scope, "path": "/events"}, receive, send)  # the handshake needs no token, and tells of none
            return
        allowed = self._allowed(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if allowed is None:
            await self._app(scope, receive, send)
        elif not allowed:
            await _refuse(send, 401, "the token in this address is wrong; make it anew with: sluice notifications enable")
        else:
            await self._take(scope["headers"], receive, send)

    def _allowed(self, scope: Scope) -> bool | None:
        """Whether the token is right; ``None`` if there is none that could be ours."""
        path = scope["path"]
        if path.startswith("/events/"):
            return same(path.removeprefix("/events/"), self._token)
        if path not in PATHS:
            return None
        query = scope.get("query_string", b"")
        if b"token=" in query and (given := parse_qs(query.decode("latin-1")).get("token")):
            return same(given[0], self._token)
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return True if header and same(header, f"Bearer {self._token}") else None

    async def _take(self, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        try:
            body = await body_of(headers, receive)
            received = _read(headers, body)
            if received.sns:
                await asyncio.to_thread(self._topics.check, received.sns)
            if received.confirmation and not await asyncio.to_thread(self._topics.confirm, received.confirmation):
                await _refuse(send, 403, "this topic may not send here: sluice.sources.topics does not name it")
                return
            new = await intake.stored(self._lake, received, headers, len(body))
        except TooLarge as error:
            await _refuse(send, 413, str(error))
        except Reject as error:
            await _refuse(send, 403, str(error))
        except Retry as error:
            self._trouble.tell(error)
            await _refuse(send, 503, f"{error}; send the notification again")
        except ConnectionResetError:
            return  # the store left before its notification was complete: nothing was accepted
        except Exception:
            logger.exception("a notification could not be stored")
            await _refuse(send, 503, "the notification could not be stored; send it again")
        else:
            self._trouble.over()
            await answer(send, 202, {"accepted": len(received.events), "new": new, "rejected": len(received.rejects)})


def _read(headers: list[tuple[bytes, bytes]], body: bytes) -> Received:
    """What is in a body; as a reject what cannot be read of it: all of it, if need be."""
    try:
        return read(headers, body)
    except BadEvent as error:
        return salvage(headers, body) or Received(rejects=[Rejected(body, error)])


async def _refuse(send: Send, status: int, reason: str) -> None:
    await asyncio.sleep(HOLD_SECONDS)
    await answer(send, status, {"error": reason})
