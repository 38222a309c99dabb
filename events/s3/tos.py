"""Volcengine TOS: what a bucket's notification tells a function, or a queue.

Source: TOS documentation, "Event notifications", and the type ``TosEvents`` that Volcengine publishes for its functions. Event
names and members are S3's behind ``tos:``, but for two ways to come into being and one to be put together. Keys are plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received
from events.s3.changes import PUT, change, converted, each
from events.s3.source import Unwrap
from events.s3.wire import Entity, Named

_NAMES = {
    "ObjectCreated:Origin": PUT,
    "ObjectCreated:Fetch": PUT,
    "ObjectCreated:CompleteUpload": "ObjectCreated:CompleteMultipartUpload",
    "ObjectReplication:ObjectCreated": PUT,
    "ObjectReplication:ObjectModified": PUT,
}
_CREATED, _REMOVED = "ObjectCreated:", ("ObjectRemoved:", "LifecycleExpiration:")


class _Answer(msgspec.Struct, rename="camel"):
    request_id: str = ""


class _Tos(msgspec.Struct, rename="camel"):
    bucket: Named
    object: Entity
    region: str = ""
    response_elements: _Answer = msgspec.field(default_factory=_Answer)


class _Event(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: str
    tos: _Tos


class Tos:
    """``{"events": [{"tos": ...}]}``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        events = body.get("events") if isinstance(body, dict) else None
        return isinstance(events, list) and any(isinstance(one, dict) and "tos" in one for one in events)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["events"], f"{path}.events", _event)


def _event(value: Any, path: str) -> Event | None:
    told = converted(value, _Event, path)
    name = told.event_name.removeprefix("tos:")
    name = _NAMES.get(name, name)
    removed = name.startswith(_REMOVED)
    if not removed and not name.startswith(_CREATED):
        if name.startswith("Object"):
            return None  # a restored, tagged or downloaded object has the content that it had
        raise BadEvent(f"TOS's {told.event_name[:60]!r} is no change of an object - at `{path}`")
    tos = told.tos
    return change(
        name, told.event_time, tos.bucket.name, tos.object.told(removed), source="volcengine:tos", path=path, place=tos.region,
        id=tos.response_elements.request_id,
    )  # fmt: skip
