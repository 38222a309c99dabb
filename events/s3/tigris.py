"""Tigris: what its object notifications post to a webhook.

Source: Tigris documentation, "Object Notifications", notification format. Keys are plain; there is no id and no sequencer.
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
from events.s3.wire import Entity

_NAMES = {"OBJECT_CREATED_PUT": PUT, "OBJECT_DELETED": DELETE}


class _Event(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: str
    bucket: str
    object: Entity


class Tigris:
    """``{"events": [...]}`` whose source is ``tigris``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        events = body.get("events") if isinstance(body, dict) else None
        return isinstance(events, list) and any(isinstance(one, dict) and one.get("eventSource") == "tigris" for one in events)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["events"], f"{path}.events", _event)


def _event(value: Any, path: str) -> Event:
    told = converted(value, _Event, path)
    if told.event_name not in _NAMES:
        raise BadEvent(f"Tigris has {' and '.join(_NAMES)}, not {told.event_name[:60]!r} - at `{path}`")
    name = _NAMES[told.event_name]
    return change(name, told.event_time, told.bucket, told.object.told(removed=name == DELETE), source="tigris:s3", path=path)
