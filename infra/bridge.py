"""The cloudevents SDK's ``CloudEvent`` <-> our ``Event``: for handlers that are annotated with the SDK's class."""

from __future__ import annotations

from typing import Any

import msgspec
from cloudevents.abstract import CloudEvent as AnyCloudEvent
from cloudevents.http import CloudEvent

from events.attributes import CORE
from events.errors import BadEvent
from events.event import NULL, Event
from events.json_format import from_document


def to_sdk(event: Event) -> CloudEvent:
    """The event as the SDK has it. It knows no ``NULL``: data that are the JSON value ``null`` become ``None``."""
    attributes: dict[str, Any] = {name: value for name in CORE if (value := getattr(event, name)) is not None}
    made = CloudEvent({**attributes, **event.extensions}, None if event.data is NULL else event.data)
    if event.time is None:
        del made["time"]  # the SDK fills in the present, which the event never said
    return made


def to_class(kind: type[AnyCloudEvent], event: Event) -> Any:
    """The event as another class of the SDK, such as pydantic's."""
    made = to_sdk(event)
    other: Any = kind.create(dict(made.get_attributes()), made.get_data())
    if event.time is None:
        other.time = None
    return other


def from_sdk(event: AnyCloudEvent) -> Event:
    """The SDK's event as ours, checked as one that came over the wire. ``BadEvent`` tells what is wrong with it."""
    data = event.get_data()
    checked = from_document(dict(event.get_attributes()))
    if data is None:
        return checked
    if not isinstance(data, bytes | str | dict | list | int | float | bool):
        raise BadEvent(f"the data of event {checked.id!r} are a {type(data).__name__}; JSON values, text and bytes can travel")
    return msgspec.structs.replace(checked, data=data)
