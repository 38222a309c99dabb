"""One system call an answer: uvicorn writes head and body apart; corked, they leave together at the end of the loop's turn.

So do the answers to all whose requests came in that turn, one right after the other: sent between two requests each wakes a
peer that has just gone to sleep, which costs as much as half the work on an event.
"""

from __future__ import annotations

import asyncio
from typing import Any

from infra.runtime.http11 import Http11


class Cork:
    """A transport that gathers what is written within one turn of the event loop. Everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send later in this turn."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Send what was gathered, unless the connection is gone."""
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Send what was gathered, then close."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the transport is closing."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Corked(Http11):
    """uvicorn's HTTP protocol over a ``Cork``: ``uvicorn.Config(..., http=Corked)``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Cork(transport, self.loop))  # type: ignore[arg-type]
