"""Yandex Object Storage: what a trigger tells a function or a container.

Source: Cloud Functions documentation, "Trigger for Object Storage", message format, and the types that Yandex publishes for it.
Keys are plain; size, ETag and sequencer are not told.
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

_TYPES = "yandex.cloud.events.storage."
_NAMES = {f"{_TYPES}ObjectCreate": PUT, f"{_TYPES}ObjectUpdate": PUT, f"{_TYPES}ObjectDelete": DELETE}


class _Metadata(msgspec.Struct):
    event_type: str
    created_at: str
    event_id: str = ""
    folder_id: str = ""


class _Details(msgspec.Struct):
    bucket_id: str
    object_id: str


class _Message(msgspec.Struct):
    event_metadata: _Metadata
    details: _Details


class Yandex:
    """``{"messages": [{"event_metadata": ..., "details": ...}]}`` about objects."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        messages = body.get("messages") if isinstance(body, dict) else None
        return isinstance(messages, list) and any(_of_storage(one) for one in messages)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["messages"], f"{path}.messages", _event)


def _of_storage(message: Any) -> bool:
    about = message.get("event_metadata") if isinstance(message, dict) else None
    return isinstance(about, dict) and str(about.get("event_type", "")).startswith(_TYPES)


def _event(value: Any, path: str) -> Event:
    told = converted(value, _Message, path)
    about, where = told.event_metadata, told.details
    if about.event_type not in _NAMES:
        raise BadEvent(f"{about.event_type[:80]!r} is no change of an object - at `{path}`")
    name = _NAMES[about.event_type]
    entity = {"key": where.object_id}
    return change(name, about.created_at, where.bucket_id, entity, source="yandex:storage", path=path, id=about.event_id)
