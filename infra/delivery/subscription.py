"""Subscriptions: an HTTP sink receives the events that match, as CloudEvents, in order per key, retried.

Source: CloudEvents Subscriptions API 0.1-wip (the object's form), HTTP 1.1 Web Hooks for Event Delivery (what answers mean).
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import msgspec

from events.codec import encode_binary
from events.errors import Reject, Retry
from events.event import Event, now
from events.filter import compile_filters

PREFIX = "subscription/"
SCHEMA = "CREATE TABLE subscription (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID"
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: Answers that may be different later; anything else but 2xx will not be.
LATER = {404, 408, 409, 425, 429}


class SinkError(Exception):
    """The sink did not take an event this time."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants which events. ``types`` are event types (``*`` matches any text), any of which; ``filters`` must all hold."""

    sink: str
    id: str = ""
    types: list[str] = []
    filters: list[dict[str, Any]] = []
    protocol: str = "HTTP"
    config: dict[str, Any] = {}
    created: str = ""


class Subscriptions:
    """All subscriptions, compiled. Changes go through the writer's connection; ``load`` refreshes the compiled form."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Subscription, Callable[[Event], bool]]] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read and compile what the database holds."""
        rows = connection.execute("SELECT body FROM subscription ORDER BY id").fetchall()
        found = (msgspec.json.decode(row["body"], type=Subscription) for row in rows)
        self._found = {each.id: (each, compile_filters(each.types, each.filters)) for each in found}

    def all(self) -> list[Subscription]:
        return [found for found, _ in self._found.values()]

    def get(self, target: str) -> Subscription | None:
        """The subscription of this id or delivery target, if it still exists."""
        found = self._found.get(target.removeprefix(PREFIX))
        return found[0] if found else None

    def match(self, event: Event) -> Iterable[str]:
        """The delivery targets of the subscriptions that want this event."""
        return [PREFIX + found.id for found, wants in self._found.values() if wants(event)]


def add(connection: sqlite3.Connection, wanted: Subscription) -> Subscription:
    """Check and store a subscription; returns it with its id.

    Raises ``Reject`` for a sink, an id or a filter that makes no sense.
    """
    try:
        sink = httpx.URL(wanted.sink)
        usable = sink.scheme in ("http", "https") and sink.host != "" and 0 < (sink.port or 80) < 2**16
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise Reject(f"the sink {wanted.sink!r} is no http or https URL")
    if not re.fullmatch(r"[A-Za-z0-9._~-]{0,128}", wanted.id) or wanted.id in (".", ".."):
        raise Reject(f"the id {wanted.id[:128]!r} cannot stand in a URL: use at most 128 of A-Z a-z 0-9 . _ ~ -")
    if wanted.protocol != "HTTP":
        raise Reject(f"the protocol {wanted.protocol!r} is not offered here; HTTP is")
    compile_filters(wanted.types, wanted.filters)
    made = msgspec.structs.replace(wanted, id=wanted.id or str(uuid.uuid4()), created=now())
    body = msgspec.json.encode(made).decode()
    connection.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?)", (made.id, body))
    return made


def remove(connection: sqlite3.Connection, name: str) -> bool:
    """Forget a subscription and what it still waits for; whether it existed."""
    connection.execute("DELETE FROM delivery WHERE target = ?", (PREFIX + name,))
    return connection.execute("DELETE FROM subscription WHERE id = ?", (name,)).rowcount == 1


def post(client: httpx.Client, found: Subscription, event: Event) -> None:
    """Send one event. Raises ``Retry``, ``SinkError`` (tried again, a bounded number of times) or ``Reject``."""
    headers, body = encode_binary(event)
    try:
        answer = client.post(found.sink, content=body, headers=headers, follow_redirects=False, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        raise SinkError(f"the sink {found.sink} cannot be reached: {error or type(error).__name__}") from error
    if answer.is_success:
        return
    text = f"the sink {found.sink} answered {answer.status_code} {answer.reason_phrase}".rstrip()
    after = answer.headers.get("retry-after", "")
    if answer.status_code in (429, 503) and after.isdigit():
        raise Retry(text, min(float(after), 3600.0))
    if answer.status_code in LATER or answer.status_code >= 500:
        raise SinkError(text)
    raise Reject(text)
