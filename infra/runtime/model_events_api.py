"""What happens to models, as server-sent events: published, promoted, rejected.

The ``id`` of each is its number in the log, and the reader's cursor: a browser's ``EventSource`` sends the last one with
``Last-Event-ID`` when it connects again. Nothing is kept for a reader: pages are read from the log as fast as it takes them.
Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from events.codec import to_json
from events.event import Event
from infra.access.visible import Visible
from infra.catalog.acl import Caller
from infra.lake import Lake
from infra.models.announced import ANNOUNCED
from infra.runtime.answers import number
from infra.runtime.operation import Operation, caller_of

#: How often a reader's page is looked for, how many events it has at most, and how often a quiet stream shows that it lives.
FOLLOW_SECONDS, PAGE, ALIVE_SECONDS = 0.2, 100, 15.0
PATTERN = "dev.sluice.model.*"


class ModelEventsApi:
    """Reads the log for those who may; ``closing`` ends the streams."""

    def __init__(self, lake: Lake, closing: asyncio.Event) -> None:
        self._lake, self._closing = lake, closing

    def operations(self) -> list[Operation]:
        return [Operation("GET", "/models/events", "read", self.events, query=("repository", "model", "after"))]

    async def events(self, request: Request) -> Response:
        """What happens to models from now on, or behind ``after`` or ``Last-Event-ID``, as server-sent events.

        Only of this ``repository`` and ``model``, if they are named. 0 is before all that is kept. 410 tells of a number that
        is not: events behind it are forgotten, or it is of another log.
        """
        last = request.headers.get("last-event-id", "")
        if last and not (last.isascii() and last.isdigit() and len(last) < 20):
            raise HTTPException(400, f"Last-Event-ID is {last[:40]!r}, which is no id of this stream")
        if last:
            after = int(last)
        elif "after" in request.query_params:
            after = number(request, "after", 0)
        else:
            after = await run_in_threadpool(self._lake.log.end)
        if after and await run_in_threadpool(self._lost, after):
            raise HTTPException(
                410,
                f"events behind {after} are no longer kept, so some may be missing: see GET /models for how things are now, "
                "and begin again without a cursor, or with after=0 for all that is kept",
            )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(request, after), headers=headers, media_type="text/event-stream")

    async def _stream(self, request: Request, after: int) -> AsyncIterator[bytes]:
        wanted, caller = request.query_params, caller_of(request)
        yield b": models\nid: %d\n\n" % after
        said = time.monotonic()
        while not self._closing.is_set() and not await request.is_disconnected():
            after, more, lines = await run_in_threadpool(
                self._page, after, wanted.get("repository", ""), wanted.get("model", ""), caller
            )
            if lines:
                yield b"".join(lines)
                said = time.monotonic()
            elif time.monotonic() - said > ALIVE_SECONDS:
                yield b": alive\nid: %d\n\n" % after
                said = time.monotonic()
            if not more:
                await asyncio.sleep(FOLLOW_SECONDS)

    def _page(self, after: int, repository: str, model: str, caller: Caller) -> tuple[int, bool, list[bytes]]:
        """The number of the last event looked at, whether more may wait, and what the caller may see of those it wants."""
        end = self._lake.log.end()  # before the page: what comes meanwhile is behind it
        found = self._lake.log.tail(after, PAGE, PATTERN)
        of = [(seq, event) for seq, _, event in found if event.type in ANNOUNCED and _is_of(event, repository, model)]
        eyes = Visible(self._lake.database, self._lake.config.bucket)
        seen = {id(event) for event in eyes.events([event for _, event in of], caller)}
        complete = self._lake.subscriptions.completed
        lines = [
            b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, event.type.encode(), to_json(complete(event)))
            for seq, event in of
            if id(event) in seen
        ]
        more = len(found) == PAGE
        return found[-1][0] if more else max(after, end, *(seq for seq, _, _ in found[-1:])), more, lines

    def _lost(self, after: int) -> bool:
        """Whether a reader at this number would miss events."""
        return after > self._lake.log.end() or not self._lake.log.whole(after)


def _is_of(event: Event, repository: str, model: str) -> bool:
    data = event.data if isinstance(event.data, dict) else {}
    return repository in ("", data.get("repository")) and model in ("", data.get("name"))
