"""The Event: one immutable CloudEvents 1.0.2 occurrence, whatever wire it came over.

Source: CloudEvents specification 1.0.2, sections "Context Attributes" and "Event Data".
"""

from __future__ import annotations

import builtins
import hashlib
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property, lru_cache
from time import time_ns
from typing import Any, Final, TypeVar

import msgspec

from events.attributes import SPECVERSION, legal
from events.errors import BadEvent, Reject
from events.media import media_type

#: What a reply has from its cause. A ``sequence`` places a change, and all it leads to, among those of its partition.
_INHERITED = ("partitionkey", "sequence", "traceparent", "tracestate")
#: A context attribute's value in memory. Binary, URI and Timestamp values travel as their canonical strings.
Attribute = str | int | bool
T = TypeVar("T")


def now() -> str:
    """The present as RFC 3339 in UTC with microseconds, the form every event here carries."""
    second, micro = divmod(time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micro:06d}Z"


@lru_cache(2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instant(time: str) -> datetime:
    """An RFC 3339 time as an aware datetime, cut to microseconds.

    A leap second, which ``datetime`` does not know, is the first one of the next minute.
    """
    time = time.upper()
    if time[17:19] == "60":
        return datetime.fromisoformat(f"{time[:17]}59{time[19:]}") + timedelta(seconds=1)
    return datetime.fromisoformat(time)


class _Null(Enum):
    NULL = "null"


#: Data that are the JSON value ``null``, which is not the same as no data (CloudEvents JSON format, 3.1.1).
NULL: Final = _Null.NULL


class Event(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A CloudEvent. ``data`` is a JSON value, text for ``text/*``, ``bytes`` for anything else, or ``None`` without data.

    A JSON ``null`` is ``NULL``. Text of another type (XML) is ``str`` where the JSON format brought it as a string.
    ``time`` stays the RFC 3339 string it arrived as: nothing of its precision or offset is lost.
    """

    id: str
    source: str
    type: str
    specversion: str = SPECVERSION
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: dict[str, Attribute] = {}
    data: Any = None

    def __post_init__(self) -> None:
        if not (self.id and self.source and self.type):
            missing = next(name for name in ("id", "source", "type") if not getattr(self, name))
            raise BadEvent(f"the attribute {missing!r} is required and must not be empty")

    @cached_property
    def key(self) -> str:
        """Identity for de-duplication: 32 hex digits over source, id, subject and type.

        The subject and type are in it because the S3 adapter's id repeats for every key of one batch delete.
        """
        text = "\x1f".join((self.source, self.id, self.subject or "", self.type))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def partition(self) -> str:
        """What must stay in order: the ``partitionkey`` extension, else source and subject, else the event alone."""
        value = self.extensions.get("partitionkey")
        if value is not None:
            return str(value)
        return f"{self.source}\x1f{self.subject}" if self.subject else self.key

    @property
    def moment(self) -> datetime | None:
        """``time`` as an aware datetime, or ``None`` when the event has none (see ``instant``)."""
        return instant(self.time) if self.time else None

    def read(self, kind: builtins.type[T]) -> T:
        """The data as ``kind`` (a msgspec Struct or any typed value).

        Raises:
            Reject: the data do not fit, with the path of the first misfit.

        """
        try:
            if isinstance(self.data, bytes) and self.datacontenttype and media_type(self.datacontenttype).is_json:
                return msgspec.json.decode(self.data, type=kind, strict=True)
            return msgspec.convert(None if self.data is NULL else self.data, kind, strict=True)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Reject(f"the data of event {self.id!r} ({self.type}) do not fit {kind.__name__}: {error}") from error

    def reply(self, data: Any, *, type: str | None = None, subject: str | None = None) -> Event:
        """An event caused by this one. The runtime gives what a function yields its id and source (see ``restamp``).

        Args:
            data: a Struct of ``events.types`` (its event type is known) or any JSON value (give ``type``).
            type: the event type, where ``data`` does not tell it.
            subject: what it is about; this event's subject unless given. Characters no attribute may hold get percent-encoded.

        """
        kind = type or getattr(data, "__event_type__", None)
        if not kind:
            raise TypeError("reply() needs type= unless the data are a struct of events.types")
        inherited = {"causationid": self.id, "correlationid": self.extensions.get("correlationid", self.id)}
        for name in _INHERITED:
            if name in self.extensions:
                inherited[name] = self.extensions[name]
        if "sequencetype" in self.extensions:
            inherited.pop("sequence", None)  # it counts the events of one source without a gap
        time = now()
        return Event(
            id=f"reply-{self.key}",
            source="/sluice/reply",
            type=kind,
            subject=legal(subject) if subject is not None else self.subject,
            time=time,
            datacontenttype="application/json",
            extensions={**inherited, "recordedtime": time},
            data=msgspec.to_builtins(data),
        )


def assemble(attributes: dict[str, Any], content_type: str | None, data: Any) -> Event:
    """The event of these checked attributes; those that are not the specification's own are extensions. Uses up the dict."""
    take = attributes.pop
    return Event(
        id=take("id"),
        source=take("source"),
        type=take("type"),
        specversion=take("specversion"),
        subject=take("subject", None),
        time=take("time", None),
        datacontenttype=content_type,
        dataschema=take("dataschema", None),
        extensions=attributes,
        data=data,
    )


def reply_id(cause: Event, by: str, ordinal: int) -> str:
    """The id of the ``ordinal``-th event that function ``by`` yields for ``cause``: equal for equal inputs, for ever."""
    digest = hashlib.blake2b(f"{cause.key}/{by}/{ordinal}".encode(), digest_size=12).hexdigest()
    return f"{by}-{digest}"


def restamp(reply: Event, cause: Event, by: str, ordinal: int) -> Event:
    """``reply`` with the id and source that the runtime gives to what function ``by`` yields for ``cause``.

    An inherited ``sequence`` places the second and further ones behind the first (CloudEvents extension "sequence").
    """
    extensions, sequence = reply.extensions, cause.extensions.get("sequence")
    if ordinal and sequence is not None and extensions.get("sequence") == sequence:
        extensions = {**extensions, "sequence": f"{sequence}.{ordinal:04d}"}
    return msgspec.structs.replace(reply, id=reply_id(cause, by, ordinal), source=f"/sluice/{by}", extensions=extensions)
