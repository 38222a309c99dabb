"""Tracing: one span for each run of a function, below the trace that the event's ``traceparent`` started.

Sources: CloudEvents extension "Distributed Tracing" (it holds the start of the trace, so it is passed on as it is), W3C Trace
Context, OpenTelemetry's semantic conventions for CloudEvents. Spans are exported over OTLP/HTTP if
``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``..._TRACES_ENDPOINT``) is set and the extra ``otel`` installed; else nothing is loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from events.codec import Headers
from events.event import Event
from infra.config import ConfigError

Span = Callable[[Event, str], AbstractContextManager[Any]]
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch
_NOTHING = nullcontext()
_LENGTHS = {len("traceparent"), len("tracestate")}


class Tracing:
    """``span`` surrounds a run. Without a configured exporter it does nothing."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        self._provider: Any = _provider() if any(env.get(name) for name in _ENDPOINTS) else None
        self._tracer = self._provider.get_tracer("sluice") if self._provider else None

    @property
    def active(self) -> bool:
        """Whether anybody wants the spans."""
        return self._tracer is not None

    def span(self, event: Event, function: str) -> AbstractContextManager[Any]:
        """A span of this run; an exception that leaves it is recorded on it."""
        if self._tracer is None:
            return _NOTHING
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        found: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            f"{function} process",
            context=TraceContextTextMapPropagator().extract(trace_headers(event)),
            kind=SpanKind.CONSUMER,
            attributes={
                "cloudevents.event_id": event.id,
                "cloudevents.event_source": event.source,
                "cloudevents.event_type": event.type,
                "cloudevents.event_spec_version": event.specversion,
                "cloudevents.event_subject": event.subject or "",
                "code.function.name": function,
            },
        )
        return found

    def close(self) -> None:
        """Export what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def traced(event: Event, headers: Mapping[bytes, bytes]) -> Event:
    """``event``, and the trace of the request or message that brought it if it has none of its own."""
    parent = headers.get(b"traceparent", b"").decode("latin-1")
    if "traceparent" in event.extensions or not _TRACEPARENT(parent):
        return event
    added = _context(parent, headers.get(b"tracestate", b"").decode("latin-1"))
    return msgspec.structs.replace(event, extensions={**event.extensions, **added})


def traced_by(events: Sequence[Event], headers: Headers) -> Sequence[Event]:
    """The ``events`` of one message, each with the trace of that message if it has none of its own. Names are in any case."""
    found = {name.lower(): value for name, value in headers if len(name) in _LENGTHS}
    return [traced(event, found) for event in events] if b"traceparent" in found else events


def trace_headers(event: Event) -> dict[str, str]:
    """The headers of W3C Trace Context for who is sent this event, so that its receiver's spans join the trace."""
    parent = str(event.extensions.get("traceparent", ""))
    return _context(parent, str(event.extensions.get("tracestate", ""))) if _TRACEPARENT(parent) else {}


def _context(parent: str, state: str) -> dict[str, str]:
    usable = state and len(state) <= 512 and state.isascii() and state.isprintable()
    return {"traceparent": parent, **({"tracestate": state} if usable else {})}


def _provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is missing: pip install 'sluice[otel]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "sluice")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
