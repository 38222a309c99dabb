"""Cloudflare R2: what it puts into a queue of Cloudflare when an object changes.

Source: R2 documentation, "Event notifications", message format. Keys are plain; there is no id and no sequencer, so a change
stands where its time does, which has milliseconds. A consumer posts the message's body, or those of a batch as an array.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, PUT, change, converted, each
from events.s3.source import Unwrap
from events.s3.wire import Entity

_NAMES = {
    "PutObject": PUT,
    "CopyObject": "ObjectCreated:Copy",
    "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
    "DeleteObject": DELETE,
    "LifecycleDeletion": "LifecycleExpiration:Delete",
}


class _Message(msgspec.Struct, rename="camel"):
    action: str
    bucket: str
    object: Entity
    event_time: str


class R2:
    """One message, of the five actions that R2 has."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and "account" in body and str(body.get("action")) in _NAMES and "object" in body

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each([body], path, lambda value, _: _event(value, path))


def _event(body: dict[str, Any], path: str) -> Event:
    told = converted(body, _Message, path)
    return change(_NAMES[told.action], told.event_time, told.bucket, told.object.told(), source="cloudflare:r2", path=path)
