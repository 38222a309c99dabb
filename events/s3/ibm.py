"""IBM Cloud Object Storage: what Code Engine and IBM's functions tell of a bucket, and what an own system puts into Kafka.

Source: Code Engine documentation, "Working with the IBM Cloud Object Storage event producer", HTTP body, around what "Cloud
Object Storage System", "Notification format", has by itself. Numbers are texts, keys are plain, and there is no sequencer. Of a
CloudEvent (``com.ibm.cloud.cos.document.*``) this is the data. The id is the request's: all keys of a batch delete share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, MARKER, PUT, change, converted, each
from events.s3.source import Unwrap

_NAMES = {
    "Object:Write": PUT,
    "Object:Delete": DELETE,
    "Object:CreateDeleteMarker": MARKER,
    "Object:CreateDeleteMarker:NullVersionDeleted": MARKER,
}


class _Notification(msgspec.Struct):
    event_type: str
    bucket_name: str
    object_name: str
    request_time: str
    request_id: str = ""
    object_etag: str | None = None
    object_length: int | None = None
    object_version: str | None = None


class Ibm:
    """``{"notification": {"event_type": "Object:Write", ...}}``, or what stands in there alone."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        told = body.get("notification", body) if isinstance(body, dict) else None
        return isinstance(told, dict) and "bucket_name" in told and str(told.get("event_type")).startswith("Object:")

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        where = f"{path}.notification" if "notification" in body else path
        return each([body], path, lambda value, _: _event(value.get("notification", value), where))


def _event(notification: Any, path: str) -> Event:
    told = converted(notification, _Notification, path)
    if told.event_type not in _NAMES:
        raise BadEvent(f"IBM's {told.event_type[:60]!r} is no change of an object - at `{path}.event_type`")
    name = _NAMES[told.event_type]
    content = {"size": told.object_length, "eTag": told.object_etag} if name == PUT else {}
    entity = {"key": told.object_name, "versionId": told.object_version, **content}
    return change(name, told.request_time, told.bucket_name, entity, source="ibm:cos", path=path, id=told.request_id)
