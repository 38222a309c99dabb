"""The members of a data set by HTTP: those of now or of another time, and their changes as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from events.ports import NotFound
from infra.catalog.acl import Caller
from infra.catalog.membership import Change, Membership
from infra.lake import Lake
from infra.runtime.answers import number, reply
from infra.runtime.operation import Operation, caller_of

T = TypeVar("T")
#: How often a following reader looks for changes, in seconds, and how many it takes at once.
FOLLOW_SECONDS, PAGE = 0.2, 500


class FoundMembers(msgspec.Struct):
    """Members in the order they came. ``cursor`` is what they are as of; ``next`` is the ``after`` of the next page."""

    members: list[Change]
    cursor: int
    next: int | None = None


class MembersApi:
    """Reads memberships for those who may view; ``closing`` ends the followers."""

    def __init__(self, lake: Lake, closing: asyncio.Event) -> None:
        self._lake, self._closing = lake, closing

    def operations(self) -> list[Operation]:
        names = ("after", "limit", "as-of", "follow")
        return [Operation("GET", "/data-sets/{id}/members", "read", self.members, gives=FoundMembers, query=names)]

    async def members(self, request: Request) -> Response:
        """The members, now or ``as-of`` a cursor or time; with ``follow=1`` every change behind ``after``, as lines of JSON."""
        id, caller = f"data-set/{request.path_params['id']}", caller_of(request)
        after, limit = number(request, "after", 0), number(request, "limit", 100, 10_000)
        if request.query_params.get("follow") in ("1", "true"):
            await self._ask(id, caller, lambda log: None)
            return StreamingResponse(self._follow(request, id, caller, after), media_type="application/x-ndjson")
        as_of = request.query_params.get("as-of", "")

        def read(log: Membership) -> FoundMembers:
            upto, last, found = log.cursor(as_of), after, list[Change]()
            while len(found) < limit:  # a page of what others may see is no end
                before = last
                last, more = log.members(upto, before, limit - len(found))
                if last == before:
                    return FoundMembers(found, upto)
                found += more
            return FoundMembers(found, upto, last)

        return reply(await self._ask(id, caller, read))

    async def _follow(self, request: Request, id: str, caller: Caller, after: int) -> AsyncIterator[bytes]:
        encode = msgspec.json.encode
        while not self._closing.is_set() and not await request.is_disconnected():
            position = after

            def read(log: Membership, position: int = position) -> tuple[int, list[Change]]:
                return log.changes(position, PAGE)

            try:
                last, changes = await self._ask(id, caller, read)
            except NotFound:
                return  # the data set, or the right to view it, has gone
            if changes:
                yield b"".join(encode(change) + b"\n" for change in changes)
            if last == after:
                await asyncio.sleep(FOLLOW_SECONDS)
            after = last

    async def _ask(self, id: str, caller: Caller, question: Callable[[Membership], T]) -> T:
        def asked() -> T:
            with self._lake.database() as database:
                return question(Membership(database, id, caller))

        return await run_in_threadpool(asked)
