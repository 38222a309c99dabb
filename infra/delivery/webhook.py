"""The webhook: events are posted to one HTTP sink, if it wants, after it agreed, and never faster than it agreed to.

Source: HTTP 1.1 Web Hooks for Event Delivery 1.0.2 (sender), CloudEvents Subscriptions API 0.1-wip, section 3.2.2.1 (settings).
What an answer means:

    2xx                       taken
    410                       ``Gone``: nobody is there any more; the subscription ends
    429, 503 + Retry-After    ``Retry``: nothing at all is sent to this sink until then
    404, 408, 409, 425, 429, 5xx, none   ``SinkError``: tried again, a bounded number of times
    3xx, 415, any other       ``Reject``: a dead letter; a redirection is never followed

Nothing is ever fetched but the sink itself.
"""

from __future__ import annotations

import platform
import re
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from events.codec import encode_binary, encode_structured
from events.errors import Reject, Retry
from events.event import Event
from infra.delivery import handshake
from infra.delivery.credential import Credential
from infra.delivery.rate import Rate
from infra.delivery.tracing import trace_headers

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: Answers that may be different later; anything else but 2xx and 5xx will not be.
LATER = {404, 408, 409, 425, 429}
#: Nobody is believed who asks for a longer pause, seconds.
LONGEST_PAUSE = 86_400.0
#: How long nothing is sent to a sink that will agree later, seconds.
CONSENT_PAUSE = 60.0
#: Most of an answer that is read, so that its connection can be used again: bytes and seconds.
ANSWER_BYTES, ANSWER_SECONDS = 64 << 10, 10.0
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_VALUE = re.compile(r"[!-~]?(?:[ -~]*[!-~])?").fullmatch
#: Headers that are not the subscriber's to set.
_OURS = re.compile(
    r"(?:ce-.*|webhook-.*|authorization|connection|content-length|content-type|expect|host|te|trailer|transfer-encoding|upgrade)",
    re.IGNORECASE,
).fullmatch


class SinkError(Exception):
    """The sink did not take an event this time."""


class Gone(Reject):
    """The sink has been retired (410): nothing more is sent to it."""


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscription's ``protocolsettings``. ``headers`` go along with each event, in ``mode``.

    With ``handshake``, the sink must agree first, to events from ``origin`` (a DNS name; this machine's unless given), ``rate``
    a minute. A ``rate`` without a handshake is kept to all the same; 0 is as many as there are.
    """

    headers: dict[str, str] = {}
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    mode: Literal["binary", "structured"] = "binary"
    handshake: bool = False
    origin: str = ""
    rate: int = 0


def settings_of(document: dict[str, Any]) -> HttpSettings:
    """``protocolsettings``, checked. Raises ``Reject``."""
    try:
        found = msgspec.convert(document, HttpSettings)
    except msgspec.ValidationError as error:
        raise Reject(f"protocolsettings: {error}") from error
    for name, value in found.headers.items():
        if not _FIELD(name) or not _VALUE(value):
            raise Reject(f"protocolsettings.headers: {name!r} is no HTTP header with a value of printable ASCII")
        if _OURS(name):
            raise Reject(f"protocolsettings.headers: {name!r} cannot be set here (tokens belong into sinkcredential)")
    if found.rate < 0:
        raise Reject("protocolsettings.rate: a number of events per minute is expected, 0 for no limit")
    if found.origin and not _FIELD(found.origin):
        raise Reject("protocolsettings.origin: a DNS name is expected")
    return found


def address_of(sink: str) -> str:
    """A sink's URL as it may be shown: without its query, where tokens may be. Raises ``Reject`` for what is no sink."""
    try:
        parts = urlsplit(sink)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(sink)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise Reject(f"the sink {sink[:200]!r} is no http or https URL")
    if parts.username is not None:
        raise Reject(f"the sink http(s)://...@{parts.hostname} holds a password: put it into sinkcredential (PLAIN)")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


class Webhook:
    """One sink, with what is known of it: its consent, its rate and its pauses.

    Args:
        sink: its URL.
        settings: how to send.
        credential: what to show.
        callback: a URL by which it may agree later.
        granted: the rate it agreed to that way (0: any); ``None`` if it has not.

    """

    def __init__(
        self,
        sink: str,
        settings: HttpSettings,
        credential: Credential | None = None,
        callback: str = "",
        granted: int | None = None,
    ) -> None:
        self._url, self._settings, self._credential, self._callback = sink, settings, credential, callback
        self._name = f"the sink {address_of(sink)}"
        self._origin = settings.origin or platform.node() or "sluice"
        self._rate = Rate(_least(settings.rate, granted or 0))
        self._agreed = not settings.handshake or granted is not None
        self._asking = threading.Lock()
        self._headers = dict(settings.headers)
        if "access_token" in parse_qs(urlsplit(sink).query):
            self._headers["cache-control"] = "no-store"
        if settings.handshake:
            self._headers[handshake.ORIGIN] = self._origin

    def post(self, client: httpx.Client, event: Event) -> None:
        """Send one event. Raises ``Retry``, ``SinkError``, ``Gone`` or ``Reject``; see above."""
        headers = self._authorized()
        if not (self._agreed or self._rate.paused):
            self._ask(client, headers)
        if wait := self._rate.wait(event.key):
            raise Retry(f"{self._name} takes no more events for {wait:.1f} s", wait)
        self._judge(self._send(client, self._settings.method, *self._message(event, headers)))

    def _message(self, event: Event, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
        """Headers and body. A webhook must have both a body and its type, so an event without goes in structured mode."""
        pairs, body = encode_binary(event)
        if self._settings.mode == "structured" or not body or event.datacontenttype is None:
            pairs, body = encode_structured(event)
        return {**headers, **trace_headers(event), **{name.decode(): value.decode("latin-1") for name, value in pairs}}, body

    def _authorized(self) -> dict[str, str]:
        credential = self._credential
        if credential is None:
            return self._headers
        if credential.expired:
            raise SinkError(
                f"the token for {self._name} expired at {credential.accesstokenexpiresutc}: give the subscription a new one"
            )
        return {**self._headers, "authorization": credential.header}

    def _ask(self, client: httpx.Client, headers: dict[str, str]) -> None:
        """The handshake, once for all deliveries that wait for it."""
        with self._asking:
            if self._agreed:
                return
            asked = handshake.request(self._origin, self._settings.rate, self._callback)
            answer = self._send(client, "OPTIONS", {**headers, **asked}, b"")
            allowed = handshake.granted(answer.headers, self._origin)
            if allowed is None:
                if answer.status_code in (410, 429, 503):
                    self._judge(answer)
                if self._callback and answer.is_success:
                    self._rate.pause(CONSENT_PAUSE)
                    raise Retry(f"{self._name} has not agreed yet to events from {self._origin}", CONSENT_PAUSE)
                raise SinkError(f"{self._name} did not agree to events from {self._origin} (no WebHook-Allowed-Origin)")
            self._rate, self._agreed = Rate(_least(allowed, self._settings.rate)), True

    def _send(self, client: httpx.Client, method: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        try:
            with client.stream(
                method, self._url, content=body, headers=headers, follow_redirects=False, timeout=TIMEOUT
            ) as answer:
                read, until = 0, time.monotonic() + ANSWER_SECONDS
                for part in answer.iter_raw():
                    read += len(part)
                    if read > ANSWER_BYTES or time.monotonic() > until:
                        break
                return answer
        except httpx.HTTPError as error:
            raise SinkError(f"{self._name} cannot be reached: {error or type(error).__name__}") from error

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        text = f"{self._name} answered {status} {answer.reason_phrase}".rstrip()
        if status == 410:
            raise Gone(f"{text}: it has been retired")
        if status in (429, 503) and (after := seconds_of(answer.headers.get("retry-after", ""))) is not None:
            self._rate.pause(after)
            raise Retry(text, after)
        if status in LATER or status >= 500:
            raise SinkError(text)
        raise Reject(text)


def _least(*rates: int) -> int:
    """The lowest of these rates, of which 0 is any number."""
    return min((rate for rate in rates if rate), default=0)


def seconds_of(retry_after: str) -> float | None:
    """The pause that a ``Retry-After`` asks for, in seconds or as an HTTP date; ``None`` if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), LONGEST_PAUSE)
