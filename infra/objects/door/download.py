"""An object's content as a streamed answer: large reads in a thread, the next one under way while the last is sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.objects.door.service import Service
from infra.objects.door.store import Object, Segment

CHUNK = 1 << 20


class Download(Response):
    """Bytes ``first`` to ``end`` (exclusive) of an object. Frees ``hold`` (the pins on its files) when all is sent."""

    def __init__(
        self, service: Service, found: Object, first: int, end: int, hold: AbstractContextManager[Any], **more: Any
    ) -> None:
        super().__init__(**more)
        self._size = end - first
        self.headers["content-length"] = str(self._size)
        self._service = service
        self._reads = _reads(found.segments, first, end)
        self._hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        descriptors: dict[str, int] = {}
        gone: asyncio.Task[None] | None = None
        with self._hold:
            ahead = self._next(descriptors)
            try:
                block = await ahead
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                left = self._size - len(block)
                while left:
                    ahead = self._next(descriptors)
                    await send({"type": "http.response.body", "body": block, "more_body": True})
                    gone = gone or asyncio.create_task(_gone(receive))
                    block = await ahead
                    left -= len(block)
                    if gone.done():  # sending to nobody is silent: without this the whole file would be read for nothing
                        return
                await send({"type": "http.response.body", "body": block})
            finally:
                if gone is not None:
                    gone.cancel()
                if not ahead.done():  # the descriptor must not be closed under the thread that reads it
                    await asyncio.wait([ahead])
                for descriptor in descriptors.values():
                    os.close(descriptor)

    def _next(self, descriptors: dict[str, int]) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(self._service.threaded(lambda: self._read(descriptors)))

    def _read(self, descriptors: dict[str, int]) -> bytes:
        piece = next(self._reads, None)
        if piece is None:
            return b""
        name, offset, size = piece
        if name not in descriptors:
            while descriptors:
                os.close(descriptors.popitem()[1])
            descriptors[name] = self._service.files.open(name)
        block = os.pread(descriptors[name], size, offset)
        if len(block) != size:
            raise OSError(f"the content file {name} is {size - len(block)} bytes too short")
        return block


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _reads(segments: list[Segment], first: int, end: int) -> Iterator[tuple[str, int, int]]:
    """What to read, in order: file, offset, size."""
    start = 0
    for segment in segments:
        stop = start + segment.size
        low, high = max(first, start), min(end, stop)
        for at in range(low, high, CHUNK):
            yield segment.name, at - start, min(CHUNK, high - at)
        start = stop
