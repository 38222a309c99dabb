"""SeaweedFS: what a filer posts to its webhook when a file changes, and a line of ``weed filer.meta.tail``.

Source: ``weed/notification/webhook`` and ``weed/pb/filer.proto``. A filer tells of every file. Those below ``/buckets/BUCKET/``
are objects; folders, other files, and the parts of an upload are none. The webhook's names are ``snake_case``; those of a
metadata event are ``camelCase``, with numbers as texts.

The webhook tells no time and no order. What does is the content itself: the last of its chunks was written at a nanosecond,
otherwise the file at a second. A removal stands right behind the content it removes. ``event_type`` says ``rename`` of an
overwriting too; the two paths tell what it was.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received, rejected
from events.s3.changes import DELETE, PUT, change, converted, rfc3339
from events.s3.source import Unwrap

_OBJECT = re.compile(r"/buckets/([^/]+)/(?!\.uploads/)(.+)", re.DOTALL).fullmatch
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])").sub


class _Chunk(msgspec.Struct):
    modified_ts_ns: int = 0
    size: int = 0
    offset: int = 0


class _Attributes(msgspec.Struct):
    file_size: int = 0
    mtime: int = 0
    md5: str = ""


class _Entry(msgspec.Struct):
    name: str = ""
    is_directory: bool = False
    chunks: list[_Chunk] = []
    attributes: _Attributes = msgspec.field(default_factory=_Attributes)


class _Notification(msgspec.Struct):
    old_entry: _Entry | None = None
    new_entry: _Entry | None = None
    new_parent_path: str = ""


class _Body(msgspec.Struct):
    """Around it. ``ts_ns`` is when it happened, which the webhook does not tell."""

    key: str = ""
    directory: str = ""
    ts_ns: int = 0


class SeaweedFS:
    """One change of a file: created, overwritten, moved or removed."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        if not isinstance(body, dict):
            return False
        told = body.get("message") if "event_type" in body and "key" in body else body.get("eventNotification")
        return isinstance(told, dict) and not told.keys().isdisjoint(("old_entry", "new_entry", "oldEntry", "newEntry"))

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        try:
            return Received(events=_events(body, path))
        except BadEvent as error:
            return Received(rejects=[rejected(body, error)])


def _events(body: dict[str, Any], path: str) -> list[Event]:
    member = "message" if "message" in body else "eventNotification"
    around = converted(_snake({name: value for name, value in body.items() if name != member}), _Body, path)
    told = converted(_snake(body[member]), _Notification, f"{path}.{member}")
    old, new, at = told.old_entry, told.new_entry, around.ts_ns
    before = around.key or f"{around.directory}/{(old or new or _Entry()).name}"
    after = f"{told.new_parent_path}/{new.name}" if new and told.new_parent_path else before
    found: list[Event | None] = []
    if old and (new is None or before != after):
        found.append(_event(DELETE, before, old, at, path))
    if new:
        found.append(_event(PUT, after, new, at, path))
    return [event for event in found if event]


def _event(name: str, file: str, entry: _Entry, at: int, path: str) -> Event | None:
    """The event of one file, if that is an object. ``at``: when it happened, if that was told."""
    place = _OBJECT(file)
    if place is None or entry.is_directory:
        return None
    told = entry.attributes
    written = at or max((chunk.modified_ts_ns for chunk in entry.chunks), default=0) or told.mtime * 10**9
    entity: dict[str, Any] = {"key": place[2], "sequencer": f"{written << 1 | (name == DELETE):X}"}
    if name == PUT:
        entity["size"] = max([told.file_size, *(chunk.offset + chunk.size for chunk in entry.chunks)])
        entity["eTag"] = _hex(told.md5)
    return change(name, rfc3339(written), place[1], entity, source="seaweedfs:filer", path=path)


def _hex(md5: str) -> str:
    try:
        return b64decode(md5, validate=True).hex()
    except ValueError as error:
        raise BadEvent(f"the MD5 {md5[:60]!r} is not in base64") from error


def _snake(value: Any) -> Any:
    """``newEntry`` as ``new_entry``, all the way down."""
    if isinstance(value, dict):
        return {_WORDS("_", name).lower(): _snake(member) for name, member in value.items()}
    return [_snake(member) for member in value] if isinstance(value, list) else value
