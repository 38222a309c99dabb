"""Alibaba Cloud OSS: what its event notifications tell, to Function Compute or by a topic of MNS.

Source: Function Compute documentation, "OSS trigger", event format. There is no sequencer; parts of an upload are no objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, PUT, change, converted, each
from events.s3.source import Unwrap
from events.s3.wire import Entity, Named

_NAMES = {
    "ObjectCreated:PutObject": PUT,
    "ObjectCreated:PostObject": "ObjectCreated:Post",
    "ObjectCreated:CopyObject": "ObjectCreated:Copy",
    "ObjectCreated:AppendObject": PUT,
    "ObjectCreated:PutSymlink": PUT,
    "ObjectCreated:CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
    "ObjectRemoved:DeleteObject": DELETE,
    "ObjectRemoved:DeleteObjects": DELETE,
}
_NO_OBJECT = ("InitiateMultipartUpload", "UploadPart", "UploadPartCopy", "AbortMultipartUpload")


class _Oss(msgspec.Struct):
    bucket: Named
    object: Entity


class _Answer(msgspec.Struct, rename="camel"):
    request_id: str = ""


class _Event(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: str
    oss: _Oss
    region: str = ""
    response_elements: _Answer = msgspec.field(default_factory=_Answer)


class Oss:
    """``{"events": [...]}`` whose source is ``acs:oss``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        events = body.get("events") if isinstance(body, dict) else None
        return isinstance(events, list) and any(isinstance(one, dict) and one.get("eventSource") == "acs:oss" for one in events)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["events"], f"{path}.events", _event)


def _event(value: Any, path: str) -> Event | None:
    told = converted(value, _Event, path)
    if told.event_name.endswith(_NO_OBJECT):
        return None
    if told.event_name not in _NAMES:
        raise BadEvent(f"OSS's {told.event_name[:60]!r} is no change of an object - at `{path}`")
    name = _NAMES[told.event_name]
    entity = told.oss.object.told(removed=name == DELETE)
    return change(
        name, told.event_time, told.oss.bucket.name, entity, source="alibaba:oss", path=path, place=told.region,
        id=told.response_elements.request_id,
    )  # fmt: skip
