"""A container for Knative, or any host that posts CloudEvents: ``python -m infra.runtime.knative``.

Environment: ``PORT`` (8080), ``K_SINK`` (where replies go), ``K_CE_OVERRIDES`` (extensions they get), and ``SLUICE_FUNCTIONS``,
the modules to run. Any path takes events by POST, and answers the handshake of webhooks by OPTIONS; ``GET /healthz`` and
``/readyz`` are for probes. See ``exchange.py`` for the answers. Quick functions run in the event loop, those that read objects
in a thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence

import uvicorn

from events.codec import Headers
from events.errors import BadEvent
from events.event import Event
from events.ingress import read
from infra import config as configuration
from infra.config import Config, ConfigError
from infra.delivery.handshake import Consent
from infra.delivery.tracing import traced_by
from infra.runtime.dispatch import dispatcher
from infra.runtime.exchange import DONE, Exchange, crowded
from infra.runtime.inline import Inline
from infra.runtime.logs import configure as configure_logs
from infra.runtime.messages import MAX_HEADERS, Answer, Receive, Scope, Send, TooLarge, body_of
from infra.runtime.wiring import WiringError


class Container:
    """The ASGI application of an ``Exchange``. Served by ``Inline``, quick functions need no task of their own."""

    def __init__(self, exchange: Exchange, consent: Consent | None = None) -> None:
        self._exchange, self._consent = exchange, consent or Consent(["*"], 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']!r}; start the server with lifespan off")
        if scope["method"] == "POST":
            answer = await self._deliver(scope["headers"], receive)
        elif scope["method"] == "OPTIONS":
            answer = Answer(200, self._consent.answer(scope["headers"]), b"")
        elif scope["method"] in ("GET", "HEAD") and scope["path"] in ("/healthz", "/readyz", "/health", "/"):
            answer = DONE
        else:
            answer = Answer(405, [(b"allow", b"POST, OPTIONS")], b"")
        if answer is None:
            return
        status, headers, body = answer
        if status != 204:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def at_once(self, headers: Headers, body: bytes) -> Answer | None:
        """The answer to a POST; ``None`` if finding it may take long, and an event loop should not wait for that."""
        events = self._read(headers, body)
        if not isinstance(events, Answer) and self._exchange.blocks(events):
            return None  # nor is it counted: it comes again, by ``__call__``
        return self._refusal(headers) or (events if isinstance(events, Answer) else self._exchange.answer(events, headers))

    async def _deliver(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> Answer | None:
        exchange = self._exchange
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            return Answer(431, [], b"")
        if refusal := self._refusal(headers):
            return refusal
        try:
            events = self._read(headers, await body_of(headers, receive))
        except ConnectionResetError:
            return None  # the sender has gone
        except TooLarge as error:
            return Answer(413, *exchange.failed(error)[1:])
        if isinstance(events, Answer):
            return events
        if exchange.blocks(events):
            return await asyncio.to_thread(exchange.answer, events, headers)
        return exchange.answer(events, headers)

    def _refusal(self, headers: Headers) -> Answer | None:
        wait = self._consent.wait(headers)
        return crowded(wait) if wait else None

    def _read(self, headers: Headers, body: bytes) -> Sequence[Event] | Answer:
        try:
            received = read(headers, body)
            if received.rejects:
                raise received.rejects[0].error  # the platform keeps what it sent: a part of it cannot be answered for
            return traced_by(received.events, headers)
        except BadEvent as error:
            return self._exchange.failed(error)


def application(config: Config, environment: Mapping[str, str]) -> Container:
    """The application that configuration and environment describe. Raises ``ConfigError`` or ``WiringError``."""
    url, sink = environment.get("K_SINK", "") or config.runtime.sink, None
    if url:
        from infra.runtime.sink import Sink, overrides  # a start does not wait for a client that it has no use for

        sink = Sink(url, overrides(environment.get("K_CE_OVERRIDES", "")))
    consent = Consent(config.http.webhook_origins, config.http.webhook_rate)
    return Container(Exchange(dispatcher(config), sink, config.delivery.backoff_s), consent)


def main() -> None:
    """Serve until SIGTERM; requests at hand are finished."""
    try:
        config = configuration.load()
        configure_logs(config.runtime.log_format)
        app = application(config, os.environ)
        port = int(os.environ.get("PORT", "8080"))
    except (ConfigError, WiringError, ImportError, ValueError) as error:
        sys.exit(f"sluice: {error}")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    gc.freeze()  # what is loaded stays: no collection needs to look at it
    uvicorn.run(
        app,
        http=Inline,
        proxy_headers=False,
        host=config.runtime.host,
        port=port,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    main()
