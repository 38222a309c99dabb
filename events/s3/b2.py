"""Backblaze B2: what an event notification rule posts to its webhook.

Source: Backblaze, "Event Notifications Reference Guide". Keys are plain; times are milliseconds. Hiding a file is what a delete
marker is in S3. New types of events may come up at any time, so those that are no change of a content are taken and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, MARKER, PUT, change, converted, each, rfc3339
from events.s3.source import Unwrap

_NAMES = {"MultipartUpload": "ObjectCreated:CompleteMultipartUpload", "Copy": "ObjectCreated:Copy"}


class _Event(msgspec.Struct, rename="camel"):
    event_type: str
    bucket_name: str
    object_name: str
    event_timestamp: int
    event_id: str = ""
    object_size: int | None = None
    object_version_id: str | None = None


class B2:
    """``{"events": [...]}`` whose types begin with ``b2:``; also ``b2:TestEvent``, which a new rule is tried with."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        events = body.get("events") if isinstance(body, dict) else None
        return isinstance(events, list) and any(
            isinstance(one, dict) and str(one.get("eventType")).startswith("b2:") for one in events
        )

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["events"], f"{path}.events", _event)


def _event(value: Any, path: str) -> Event | None:
    kind, _, how = str(value.get("eventType") if isinstance(value, dict) else "").removeprefix("b2:").partition(":")
    names = {"ObjectCreated": _NAMES.get(how, PUT), "ObjectDeleted": DELETE, "HideMarkerCreated": MARKER}
    if isinstance(value, dict) and kind not in names:
        return None
    told = converted(value, _Event, path)
    size = told.object_size if kind == "ObjectCreated" else None
    entity = {"key": told.object_name, "size": size, "versionId": told.object_version_id}
    time = rfc3339(told.event_timestamp * 10**6)
    return change(names[kind], time, told.bucket_name, entity, source="backblaze:b2", path=path, id=told.event_id)
