"""Azure Blob Storage in Event Grid's own schema, for subscriptions that do not use the one of CloudEvents.

Source: "Azure Event Grid event schema" and "Azure Blob Storage as Event Grid source". Events come as an array. A subscription
in this schema is confirmed by an answer that only Event Grid knows; one in the CloudEvents schema by OPTIONS, as every webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received, rejected
from events.s3.changes import converted
from events.s3.clouds import azure
from events.s3.source import Unwrap

_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


class _Event(msgspec.Struct, rename="camel"):
    id: str
    topic: str
    subject: str
    event_type: str
    event_time: str
    data: dict[str, Any]


class EventGrid:
    """One event of the array."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and "dataVersion" in body and str(body.get("eventType")).startswith("Microsoft.")

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        if body["eventType"] == _VALIDATION:
            raise BadEvent(
                "this subscription asks to be confirmed in Event Grid's own schema: make it with the schema 'Cloud Event "
                f"Schema v1.0', or open its validationUrl by hand - at `{path}`"
            )
        try:
            told = converted(body, _Event, path)
            event = Event(id=told.id, source=told.topic, type=told.event_type, subject=told.subject, time=told.event_time)
            return Received(events=[azure(event, told.data)])
        except BadEvent as error:
            return Received(rejects=[rejected(body, error)])
