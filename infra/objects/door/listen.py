"""Listening: ``GET /bucket?events=...&prefix=&suffix=``, the endless stream of changes that MinIO's clients read.

Source: MinIO's ListenNotification as its SDKs use it: lines of ``{"Records": [...]}``, a blank one now and then to say that
the connection lives. It is a hint, no queue: who is not connected misses what happens, and who reads too slowly is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from infra.objects.door import notify, store
from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request
from infra.objects.door.service import Service

#: Seconds between two blank lines, and how many changes may wait for a reader.
ALIVE, DEPTH = 0.5, 10_000


async def follow(service: Service, request: Request) -> Response:
    """The changes of a bucket from now on, until the client leaves."""
    store.bucket(service.store.reader, request.bucket)
    events = [value for name, value in request.pairs if name == "events"]
    if unknown := [event for event in events if event not in notify.EVENTS and not event.startswith("s3:ObjectAccessed:")]:
        raise S3Error(
            "InvalidArgument", "The event is not supported here", ArgumentName="events", ArgumentValue=unknown[0][:200]
        )
    prefix, suffix = request.query.get("prefix", ""), request.query.get("suffix", "")
    rule = notify.Rule(id="Config", kind="", arn="", events=events, prefix=prefix, suffix=suffix)
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(DEPTH)
    slow = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(record: dict[str, Any]) -> None:
        try:
            waiting.put_nowait(record)
        except asyncio.QueueFull:
            slow.set()
            service.store.listeners.discard(hear)

    def hear(event: str, key: str, record: dict[str, Any]) -> None:  # in the writer's thread
        if record["s3"]["bucket"]["name"] == request.bucket and rule.wants(event, key):
            with suppress(RuntimeError):  # the server has stopped
                loop.call_soon_threadsafe(take, record)

    service.store.listeners.add(hear)  # before the answer begins: from then on nothing is missed
    return StreamingResponse(_lines(service, hear, waiting, slow), media_type="application/json")


async def _lines(
    service: Service, hear: store.Listener, waiting: asyncio.Queue[dict[str, Any]], slow: asyncio.Event
) -> AsyncIterator[bytes]:
    try:
        yield b"\n"
        while not slow.is_set() and hear in service.store.listeners:
            try:
                async with asyncio.timeout(ALIVE):
                    record = await waiting.get()
            except TimeoutError:
                yield b"\n"
            else:
                yield msgspec.json.encode({"Records": [record]}) + b"\n"
    finally:
        service.store.listeners.discard(hear)
