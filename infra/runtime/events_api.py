"""The event log by HTTP: what was accepted, and what is accepted from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from events.codec import to_json
from infra.access.visible import Visible
from infra.catalog.acl import Caller
from infra.lake import Lake
from infra.runtime.answers import number
from infra.runtime.operation import Operation, caller_of

#: How often a following reader looks for new events, in seconds, and how many it takes at once.
FOLLOW_SECONDS, PAGE = 0.2, 500


class EventsApi:
    """Reads the log for those who may; ``closing`` ends the followers."""

    def __init__(self, lake: Lake, closing: asyncio.Event) -> None:
        self._lake, self._closing = lake, closing

    def operations(self) -> list[Operation]:
        return [Operation("GET", "/events", "read", self.events, query=("after", "limit", "type", "follow"))]

    async def events(self, request: Request) -> Response:
        """Accepted events behind ``after``, as JSON, or with ``follow=1`` as lines of JSON that never end."""
        after, limit = number(request, "after", 0), number(request, "limit", 100, 10_000)
        pattern, caller = request.query_params.get("type", "*"), caller_of(request)
        if request.query_params.get("follow") in ("1", "true"):
            return StreamingResponse(self._follow(request, after, pattern, caller), media_type="application/x-ndjson")
        lines: list[bytes] = []
        page = limit if caller.admin else max(limit, PAGE)
        while True:  # a page of what others may see is no end
            last, more = await run_in_threadpool(self._tail, after, page, pattern, caller)
            lines += more[: limit - len(lines)]
            if last == after or len(lines) >= limit:
                return Response(b'{"events":[' + b",".join(lines) + b"]}", media_type="application/json")
            after = last

    def _tail(self, after: int, limit: int, pattern: str, caller: Caller) -> tuple[int, list[bytes]]:
        """The number of the last event looked at, and those of them that the caller may see."""
        found = self._lake.log.tail(after, limit, pattern)
        eyes = Visible(self._lake.database, self._lake.config.bucket)
        seen = {id(event) for event in eyes.events([event for _, _, event in found], caller)}
        shown = [each for each in found if id(each[2]) in seen]
        lines = [b'{"seq":%d,"recorded":%.6f,"event":%s}' % (seq, at, to_json(event)) for seq, at, event in shown]
        return found[-1][0] if found else after, lines

    async def _follow(self, request: Request, after: int, pattern: str, caller: Caller) -> AsyncIterator[bytes]:
        while not self._closing.is_set() and not await request.is_disconnected():
            last, lines = await run_in_threadpool(self._tail, after, PAGE, pattern, caller)
            if lines:
                yield b"\n".join(lines) + b"\n"
            if last == after:
                await asyncio.sleep(FOLLOW_SECONDS)
            after = last
