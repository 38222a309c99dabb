"""Quick requests answered where they are parsed: without a task of their own, without ASGI messages.

uvicorn hears of a small POST only if the application cannot answer it at once; of anything else it hears immediately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from contextvars import copy_context
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from infra.runtime.cork import Corked
from infra.runtime.messages import Answer

#: Longest headers, and longest body, of a request that is answered here: reading them must not hold up the event loop.
LIMIT = 64 << 10


class Inline(Corked):
    """uvicorn's HTTP protocol for an application with ``at_once``: ``uvicorn.Config(..., http=Inline)``.

    ``at_once(headers, body)`` gives the ``Answer`` to a POST, or ``None`` where that may take long. Names are in any case.
    """

    methods: Container[bytes] = (b"POST",)
    most = LIMIT

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._at_once: Callable[[list[tuple[bytes, bytes]], bytes], Answer | None] = getattr(
            self.config.app, "at_once", lambda _headers, _body: None
        )
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: bytes | None = None  # what has come of the body of a request that uvicorn has not heard of
        self._used = 0.0  # when a request began or was answered here, in seconds of the loop
        self._timer: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Remember, here and below, until the headers are complete."""
        self._url, self._headers, self._used = b"", [], self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A part of the request's URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Wait for the body, if nothing speaks against it."""
        joined = b"".join(chain.from_iterable(self._headers))
        self._body = b""
        if (
            self.parser.get_method() not in self.methods
            or not self._idle()  # answers leave in the order of the requests
            or self.flow.write_paused
            or self.parser.should_upgrade()
            or len(joined) > LIMIT
            or (b"100-" in joined and b"100-continue" in joined.lower())
        ):
            self._release()

    def on_body(self, body: bytes) -> None:
        """Keep what came, unless that is too much."""
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body
            if len(self._body) > self.most:
                self._release()

    def on_message_complete(self) -> None:
        """Answer."""
        if self._body is not None:
            answer = copy_context().run(self._answer, self._body)
            if answer is not None:
                self._body = None
                self._write(answer, self._keeps())
                return
            self._release()
        super().on_message_complete()

    def shutdown(self) -> None:
        """End the connection when the request that is on its way is answered."""
        if self._body is not None:
            self._release()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody needs an answer any more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _answer(self, body: bytes) -> Answer | None:
        try:
            return self._at_once(self._headers, body)
        except Exception:
            return None  # it will fail again, where uvicorn logs it and answers 500

    def _release(self) -> None:
        """Tell uvicorn of the request."""
        body, self._body = self._body, None
        super().on_message_begin()
        super().on_url(self._url)
        for name, value in self._headers:
            super().on_header(name, value)
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _keeps(self) -> bool:
        """Whether the connection outlives the request that has just come."""
        return bool(self.parser.should_keep_alive()) and self.parser.get_http_version() != "1.0"

    def _write(self, answer: Answer, keep_alive: bool) -> None:
        status, headers, body = answer
        parts = [STATUS_LINE[status]]
        for name, value in chain(self.server_state.default_headers, headers):
            parts += name, b": ", value, b"\r\n"
        if status not in (204, 304):
            parts.append(b"content-length: %d\r\n" % len(body))
        parts += b"\r\n" if keep_alive else b"connection: close\r\n\r\n", body
        self.transport.write(b"".join(parts))
        if not keep_alive:
            self.transport.close()
        self.server_state.total_requests += 1
        self._used = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._close_idle)

    def _close_idle(self) -> None:
        """End the connection if nothing came for long. One timer a connection: one a request costs more than its headers."""
        self._timer = None
        if self._body is not None or self.timeout_keep_alive_task is not None or not self._idle():
            return  # the next answer sets a timer, or uvicorn did
        left = self._used + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._close_idle)
        else:
            self.transport.close()

    def _idle(self) -> bool:
        """Whether uvicorn has no request to answer."""
        return self.cycle is None or self.cycle.response_complete
