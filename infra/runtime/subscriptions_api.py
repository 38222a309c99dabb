"""Subscriptions by HTTP (CloudEvents Subscriptions API). Each acts with the rights of who made it, and is only theirs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.catalog.acl import Caller
from infra.delivery import subscription as subscriptions
from infra.delivery.handshake import ALLOWED_RATE, positive
from infra.delivery.subscription import Subscription
from infra.lake import Lake
from infra.runtime.answers import body, reply
from infra.runtime.operation import Operation, caller_of
from infra.sources.token import callback_key, same

ONE = "/subscriptions/{id}"
CALLBACK = "/callbacks/{id}/{key}"


class SubscriptionsApi:
    """Lists, makes, replaces and ends subscriptions."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        takes = dict[str, Any]
        return [
            Operation("GET", "/subscriptions", "read", self.every),
            Operation("POST", "/subscriptions", "read", self.subscribe, takes=takes, status=201),
            Operation("GET", ONE, "read", self.get),
            Operation("PUT", ONE, "read", self.resubscribe, takes=takes),
            Operation("DELETE", ONE, "read", self.unsubscribe, status=204),
            Operation("GET", CALLBACK, "", self.consent),
            Operation("POST", CALLBACK, "", self.consent),
        ]

    async def every(self, request: Request) -> Response:
        """List the caller's subscriptions; an administrator sees all."""
        caller = caller_of(request)
        found = [each.shown() for each in self._lake.subscriptions.all() if _owned(each, caller)]
        return reply({"subscriptions": found})

    async def subscribe(self, request: Request) -> Response:
        """Make a subscription; an ``id`` that the body proposes is ignored."""
        wanted = subscriptions.parse(await body(request, dict[str, Any]))
        return await self._made(request, msgspec.structs.replace(wanted, id=""), 201)

    async def resubscribe(self, request: Request) -> Response:
        """Replace the subscription of this id, or make it."""
        name = request.path_params["id"]
        wanted = subscriptions.parse(await body(request, dict[str, Any]))
        if wanted.id not in ("", name):
            raise HTTPException(400, f"the subscription {name} cannot become {wanted.id}: an id is for ever")
        known = self._lake.subscriptions.get(name)
        if known is not None and not _owned(known, caller_of(request)):
            raise HTTPException(409, f"the id {name} cannot be had: choose another")
        return await self._made(request, msgspec.structs.replace(wanted, id=name), 201 if known is None else 200)

    async def get(self, request: Request) -> Response:
        """Read one subscription."""
        return reply(self._one(request).shown())

    async def unsubscribe(self, request: Request) -> Response:
        """End a subscription; what it still waits for is dropped."""
        if not await run_in_threadpool(self._lake.unsubscribe, self._one(request).id):
            raise _missing(request)
        return Response(status_code=204)

    async def consent(self, request: Request) -> Response:
        """Let the sink of a subscription agree to its events: ``WebHook-Allowed-Rate`` a minute, or any number."""
        name, lake = request.path_params["id"], self._lake
        if not same(request.path_params["key"], callback_key(lake.config, name)):
            raise HTTPException(404, "there is no such callback")
        rate = positive(request.headers.get(ALLOWED_RATE, ""))
        if request.method != "HEAD" and not await run_in_threadpool(lake.consent, name, rate):
            raise HTTPException(404, "the subscription has ended")
        return reply({"agreed": True})

    def _one(self, request: Request) -> Subscription:
        found = self._lake.subscriptions.get(request.path_params["id"])
        if found is None or not _owned(found, caller_of(request)):
            raise _missing(request)
        return found

    async def _made(self, request: Request, wanted: Subscription, status: int) -> Response:
        if wanted.protocol == subscriptions.STREAM and not caller_of(request).admin:
            raise HTTPException(403, "only an administrator may have events written into a Redis: it has no lists of its own")
        owned = msgspec.structs.replace(wanted, maker=sorted(caller_of(request).principals))
        made = await run_in_threadpool(self._lake.subscribe, owned)
        more = {"location": f"/subscriptions/{quote(made.id, safe='')}"} if status == 201 else {}
        return reply(made.shown(), status, **more)


def _owned(of: Subscription, caller: Caller) -> bool:
    return caller.admin or caller.name == Caller(frozenset(of.maker)).name


def _missing(request: Request) -> HTTPException:
    return HTTPException(404, f"there is no subscription {request.path_params['id']}")
