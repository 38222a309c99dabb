"""Changes of objects that arrive as CloudEvents of others, in the one form that ``to_event`` gives them.

Who makes them: the CloudEvents adapter for S3 wherever it runs (the data are a record, its key encoded as its store does),
sources of Knative, TriggerMesh and Camel (the data are records, or a message of SQS or EventBridge around them), newer Ceph,
rules of EventBridge (type and source are those of its own event), IBM's Code Engine, Google Cloud Storage and Azure Blob
Storage (``clouds.py``; by Eventarc also around a message of Pub/Sub).

A change gets the id that its notification has, so that it counts once, whichever way it comes. What cannot be read stays as it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from events.attributes import legal
from events.errors import BadEvent
from events.event import Event
from events.json_format import parse_json
from events.received import Received, joined
from events.s3 import events_from
from events.s3.clouds import azure, google
from events.s3.record import TYPE_PREFIX

#: Types that such events may have. Anything else is somebody's own event, whatever its data look like.
_TYPES = (
    "com.amazonaws.", "com.amazon.", "aws.", "dev.knative.eventing.aws-", "org.apache.camel.event.aws-", "Object ",
    "google.cloud.storage.object.", "google.cloud.pubsub.topic.", "Microsoft.Storage.", "com.ibm.cloud.cos.",
)  # fmt: skip
_CLOUDS: tuple[tuple[str, Callable[[Event, dict[str, Any]], Event]], ...] = (
    ("google.cloud.storage.object.", google),
    ("Microsoft.Storage.", azure),
)


def normalised(events: list[Event]) -> Received:
    """``events``, with every change of an object in our form."""
    for event in events:
        if event.type.startswith(_TYPES) and not _is_ours(event, event.data):
            return joined([_normalised(each) for each in events])
    return Received(events=events)


def _normalised(event: Event) -> Received:
    as_it_is = Received(events=[event])
    if not event.type.startswith(_TYPES):
        return as_it_is
    try:
        found = _read(event)
    except BadEvent:
        return as_it_is
    if found is None or not found.events:
        return as_it_is
    kept = event.extensions
    own = [msgspec.structs.replace(each, extensions={**kept, **each.extensions}) for each in found.events]
    return Received(events=own, rejects=found.rejects)


def _read(event: Event) -> Received | None:
    data = event.data
    if isinstance(data, bytes | str):
        data = parse_json(data, "the data")
    if not isinstance(data, dict) or _is_ours(event, data):
        return events_from(data) if isinstance(data, list) else None
    for start, convert in _CLOUDS:
        if event.type.startswith(start):
            return Received(events=[convert(event, data)])
    if event.type.startswith("Object "):
        if event.source != "aws.s3":
            return None
        if "detail-type" not in data:
            data = {"id": event.id, "source": event.source, "detail-type": event.type, "time": event.time, "detail": data}
    elif "s3" in data:
        data = {"eventSource": "aws:s3", "eventName": event.type.removeprefix(TYPE_PREFIX), "eventTime": event.time, **data}
    return events_from(data)


def _is_ours(event: Event, data: Any) -> bool:
    """Whether the event went through here before: its key is plain text already, and must not be decoded again."""
    kept = event.extensions
    if "sequence" not in kept or "partitionkey" not in kept:
        return False
    try:
        told = data["s3"]
        place = f"{told['bucket']['name']}/{told['object']['key']}"
    except (LookupError, TypeError):
        return False
    return kept["partitionkey"] == legal(place)
