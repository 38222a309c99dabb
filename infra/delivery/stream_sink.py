"""A subscription whose sink is a Redis stream: each event is one entry, added once however often it is delivered.

Entry: the attributes ``id``, ``source``, ``type``, ``subject``, and ``event``, the whole of it as a structured CloudEvent.
The mark of an event that was added is set by the same script as the entry and lives ``REMEMBERED`` seconds, which is longer
than an event is tried. A consumer's cursor is the entry's id; a consumer group works as with any stream.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from events.codec import to_json
from events.errors import Reject
from events.event import Event
from infra.delivery.credential import Credential
from infra.delivery.webhook import SinkError

SCHEMES = ("redis", "rediss")
REMEMBERED = 7 * 24 * 3600
TIMEOUT = 5.0
#: KEYS: the stream, the event's mark. ARGV: seconds the mark lives, most entries (about), the entry's names and values.
_ADD = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], 1, 'EX', ARGV[1])
return 1
"""


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscription's ``protocolsettings`` for a stream: its name, and about how many entries it keeps."""

    stream: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    most: Annotated[int, msgspec.Meta(ge=1)] = 100_000


def settings_of(document: dict[str, Any]) -> StreamSettings:
    """``protocolsettings``, checked. Raises ``Reject``."""
    try:
        return msgspec.convert(document, StreamSettings)
    except msgspec.ValidationError as error:
        raise Reject(f"protocolsettings: {error}") from error


def address_of(sink: str) -> str:
    """A stream server's URL as it may be shown. Raises ``Reject`` for what is none."""
    try:
        parts = urlsplit(sink)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        usable = usable and not parts.query and (parts.path in ("", "/") or parts.path[1:].isdigit())
    except ValueError:
        usable = False
    if not usable:
        raise Reject(f"the sink {sink[:200]!r} is no redis://HOST:PORT/DATABASE")
    if parts.username is not None or parts.password is not None:
        raise Reject(f"the sink redis://...@{parts.hostname} holds a password: put it into sinkcredential (PLAIN)")
    return sink


class StreamSink:
    """One stream. ``post`` has the form of a webhook's."""

    def __init__(self, sink: str, settings: StreamSettings, credential: Credential | None = None) -> None:
        self._name, self._settings = f"the stream {settings.stream} of {address_of(sink)}", settings
        known = {"username": credential.identifier or None, "password": credential.secret} if credential else {}
        import redis  # a lake without such a sink does not wait for it

        self._client = redis.Redis.from_url(sink, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, **known)

    def post(self, _: httpx.Client, event: Event) -> None:
        """Add one event, unless it was added before. Raises ``SinkError``, or ``Reject`` where there is something else."""
        from redis import RedisError, ResponseError

        stream = self._settings.stream
        about = hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()[:32]
        named = {"id": event.id, "source": event.source, "type": event.type, "subject": event.subject or ""}
        entry = [part for pair in named.items() for part in pair]
        try:
            self._client.eval(
                _ADD, 2, stream, f"{{{stream}}}:added:{about}", REMEMBERED, self._settings.most, *entry, "event", to_json(event)
            )
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise Reject(f"{self._name} is no stream: something else has that name there") from error
            raise SinkError(f"{self._name} takes no events: {error}") from error
        except RedisError as error:
            raise SinkError(f"{self._name} cannot be reached: {error or type(error).__name__}") from error
