"""Google Cloud Storage by Pub/Sub: what a push subscription posts, and what Eventarc puts into the data of a CloudEvent.

Source: "Pub/Sub notifications for Cloud Storage", attributes and payload. ``data`` is the object as its JSON API shows it, in
base64, if the notification was configured to have one; the attributes are always there.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.json_format import parse_json
from events.received import Received, rejected
from events.s3.changes import converted
from events.s3.clouds import google
from events.s3.source import Unwrap

_KINDS = {"OBJECT_FINALIZE": "finalized", "OBJECT_DELETE": "deleted", "OBJECT_ARCHIVE": "archived"}


class _Attributes(msgspec.Struct, rename="camel"):
    event_type: str
    bucket_id: str
    object_id: str
    object_generation: str
    event_time: str = ""


class _Message(msgspec.Struct, rename="camel"):
    attributes: _Attributes
    message_id: str
    data: str = ""
    publish_time: str = ""


class PubSub:
    """``{"message": {...}}`` whose attributes name an object's bucket. Changed metadata are no change of the content."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        message = body.get("message") if isinstance(body, dict) else None
        attributes = message.get("attributes") if isinstance(message, dict) else None
        return isinstance(attributes, dict) and {"eventType", "bucketId", "objectId"} <= attributes.keys()

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        try:
            event = _event(body["message"], f"{path}.message")
        except BadEvent as error:
            return Received(rejects=[rejected(body, error)])
        return Received(events=[event] if event else [])


def _event(value: Any, path: str) -> Event | None:
    told = converted(value, _Message, path)
    attributes = told.attributes
    if attributes.event_type == "OBJECT_METADATA_UPDATE":
        return None
    if attributes.event_type not in _KINDS:
        raise BadEvent(f"{attributes.event_type[:60]!r} is no change of an object - at `{path}.attributes.eventType`")
    event = Event(
        id=told.message_id,
        source=f"//storage.googleapis.com/projects/_/buckets/{attributes.bucket_id}",
        type=f"google.cloud.storage.object.v1.{_KINDS[attributes.event_type]}",
        time=attributes.event_time or told.publish_time,
    )
    named = {"bucket": attributes.bucket_id, "name": attributes.object_id, "generation": attributes.object_generation}
    return google(event, {**_payload(told.data, path), **named})


def _payload(data: str, path: str) -> dict[str, Any]:
    try:
        found = parse_json(b64decode(data, validate=True)) if data else {}
    except ValueError as error:
        raise BadEvent(f"a JSON object in base64 is expected at `{path}.data`: {error}") from error
    return found if isinstance(found, dict) else {}
