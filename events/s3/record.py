"""One S3 record as an event, by the CloudEvents adapter for S3, for every store alike.

Source: CloudEvents ``adapters/aws-s3.md``. The data are the record in one normal form, which ``event.read(S3Record)`` takes:
``s3.object.key`` is plain text, ``eventName`` is written as AWS does, without ``s3:``, ``eventTime`` is RFC 3339, ``eTag`` is
called so and has no quotes, ``size`` is a number, and a member of ``s3.object`` that was ``null`` is left out. Everything else
stays as the store sent it.

Two things go beyond the adapter. Its id, ``request-id.id-2``, is the same for every key of one batch delete, so a digest of
what tells the records apart follows it. A control character in a key stands percent-encoded in ``subject`` and
``partitionkey``, because no attribute may hold it; ``s3.object.key`` has it as it is.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

import msgspec

from events.attributes import check, check_time, legal
from events.errors import BadEvent
from events.event import Event
from events.s3.stores import Store, store_of
from events.s3.wire import Named
from events.types import S3Record

TYPE_PREFIX = "com.amazonaws.s3."
_OFFSET = re.compile(r"(?<=[0-9])([+-][0-9]{2})([0-9]{2})\Z")
#: The names of what this lake acts upon, by their form in small letters.
_NAMES = {
    name.lower(): name
    for group, kinds in {
        "ObjectCreated": ("Put", "Post", "Copy", "CompleteMultipartUpload"),
        "ObjectRemoved": ("Delete", "DeleteMarkerCreated"),
        "LifecycleExpiration": ("Delete", "DeleteMarkerCreated"),
    }.items()
    for name in (f"{group}:{kind}" for kind in kinds)
}
_URI_CHARACTERS = "!$&'()*+,;=:@/-._~"


def to_event(record: Any, path: str, store: Store | None = None, base_id: str = "") -> Event:
    """The event of one record.

    Args:
        record: one element of ``Records``.
        path: where it stands in the message, for the error text: ``Records[3]``.
        store: how it is written; told by ``eventSource`` unless given.
        base_id: an id of the message itself, where the record has none.

    Raises:
        BadEvent: the record is malformed; the text has the path of the problem.

    """
    try:
        return _to_event(record, store, base_id)
    except msgspec.ValidationError as error:
        raise BadEvent(str(error).replace("`$", f"`{path}") if "`$" in str(error) else f"{error} - at `{path}`") from error
    except BadEvent as error:
        raise BadEvent(f"{error} - at `{path}`") from error


def _to_event(record: Any, store: Store | None, base_id: str) -> Event:
    msgspec.convert(record, _Wire)
    source = record["eventSource"]
    store = store or store_of(source)
    thing = {name: value for name, value in record["s3"]["object"].items() if value is not None}
    thing["key"] = store.key(thing["key"])
    if "eTag" not in thing and "etag" in thing:
        thing["eTag"] = thing.pop("etag")
    if isinstance(thing.get("eTag"), str):
        thing["eTag"] = thing["eTag"].strip('"')
    if isinstance(thing.get("size"), str) and thing["size"].isdecimal():
        thing["size"] = int(thing["size"])
    store.tidy(thing)
    normal = {
        **record,
        "eventName": _named(record["eventName"]),
        "eventTime": _rfc3339(record["eventTime"]),
        "s3": {**record["s3"], "object": thing},
    }
    read = msgspec.convert(normal, S3Record)
    bucket, key = read.s3.bucket.name, read.s3.object.key
    if not (bucket and key and read.eventName):
        raise BadEvent("the bucket, the key and the event name must not be empty")
    check_time("eventTime", read.eventTime)
    name = legal(f"{bucket}/{key}")
    sequence = store.sequence(read.eventTime, read.s3.object.sequencer)
    event = Event(
        id=f"{base_id or _request(record) or _digest(msgspec.json.encode(record, order='deterministic'))}.{_distinction(read)}",
        source=quote(f"{source}.{record.get('awsRegion') or ''}.{bucket}", safe=_URI_CHARACTERS),
        type=TYPE_PREFIX + read.eventName,
        subject=legal(key),
        time=read.eventTime,
        datacontenttype="application/json",
        extensions={"partitionkey": name, "sequence": sequence},
        data=normal,
    )
    for attribute in ("id", "source", "type"):
        check(attribute, getattr(event, attribute))
    return event


def _named(name: str) -> str:
    """An event name as AWS writes it: stores that imitate it are not always strict with capitals."""
    return _NAMES.get(name.lower().removeprefix("s3:"), name.removeprefix("s3:"))


def _rfc3339(time: str) -> str:
    """A time as Ceph wrote it before Octopus (a space for the T), or as ``strftime`` does (no colon in the offset)."""
    return _OFFSET.sub(r"\1:\2", time.replace(" ", "T", 1)) if len(time) > 19 else time


class _Keyed(msgspec.Struct):
    key: str


class _Entity(msgspec.Struct):
    bucket: Named
    object: _Keyed


class _Wire(msgspec.Struct):
    """What must be there, and a string, before a record can be normalised."""

    eventSource: str
    eventName: str
    eventTime: str
    s3: _Entity
    awsRegion: str | None = None


def _request(record: dict[str, Any]) -> str:
    """The adapter's id, or what there is of it."""
    answer = record.get("responseElements")
    if not isinstance(answer, dict):
        return ""
    parts = (answer.get("x-amz-request-id"), answer.get("x-amz-id-2"))
    return legal(".".join(part for part in parts if isinstance(part, str) and part))


def _distinction(record: S3Record) -> str:
    thing = record.s3.object
    parts = (record.s3.bucket.name, thing.key, thing.versionId, record.eventName, thing.sequencer, thing.eTag)
    return _digest("\x1f".join(parts).encode())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
