"""The sink: where a runtime without a log posts what its functions yield: a broker, a lake, any CloudEvents endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import httpx
import msgspec

from events.attributes import CORE, check
from events.codec import encode_binary
from events.errors import BadEvent, Reject, Retry
from events.event import Attribute, Event
from infra.config import ConfigError
from infra.delivery.tracing import trace_headers
from infra.delivery.webhook import LATER, seconds_of

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: Most seconds of a ``Retry-After`` that are handed on.
LONGEST_PAUSE = 3600.0


class Sink:
    """One URL. ``overrides`` are extensions that every outgoing event gets (Knative's ``K_CE_OVERRIDES``)."""

    def __init__(self, url: str, overrides: Mapping[str, Attribute] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the sink {url!r} is no http or https URL")
        self._name = f"{parts.scheme}://{parts.hostname}"  # without a password that the URL may hold
        self._url, self._overrides = url, dict(overrides or {})
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False)

    def send(self, events: Iterable[Event]) -> None:
        """Post each event, in order.

        Raises:
            Retry: one was not taken now; whoever sent the cause shall send it again.
            Reject: one will never be taken (any answer but 2xx, 404, 408, 409, 425, 429, 5xx; no redirection is followed).

        """
        for event in events:
            headers, body = encode_binary(self._overridden(event))
            headers += [(name.encode(), value.encode()) for name, value in trace_headers(event).items()]
            try:
                answer = self._client.post(self._url, content=body, headers=headers)
            except httpx.HTTPError as error:
                raise Retry(f"the sink {self._name} cannot be reached: {type(error).__name__}") from error
            self._judge(answer, event)

    def _judge(self, answer: httpx.Response, event: Event) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        text = f"the sink {self._name} answered {status} to event {event.id!r}"
        if status not in LATER and status < 500:
            raise Reject(text)
        seconds = seconds_of(answer.headers.get("retry-after", ""))
        raise Retry(text, None if seconds is None else min(seconds, LONGEST_PAUSE))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _overridden(self, event: Event) -> Event:
        if not self._overrides:
            return event
        return msgspec.structs.replace(event, extensions={**event.extensions, **self._overrides})


def overrides(text: str) -> dict[str, Attribute]:
    """The extensions in a ``K_CE_OVERRIDES``: ``{"extensions": {"name": "value"}}``. Raises ``ConfigError``."""
    try:
        found = json.loads(text or "{}").get("extensions") or {}
        for name, value in found.items():
            check(name, value)
            if name in CORE:
                raise BadEvent(f"{name!r} is no extension")
    except (ValueError, AttributeError, BadEvent) as error:
        raise ConfigError(f"K_CE_OVERRIDES cannot be used: {error}") from error
    return dict(found)
