"""Oracle Cloud Object Storage: what OCI Events posts, in an envelope of CloudEvents 0.1.

Source: OCI documentation, "Contents of an Event Message" and "Services that Produce Events". The name of an object is plain.
Its ETag is an id, not a digest, but it is the one that the store answers with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, PUT, change, converted, each
from events.s3.source import Unwrap

_PREFIX = "com.oraclecloud.objectstorage."
_NAMES = {f"{_PREFIX}createobject": PUT, f"{_PREFIX}updateobject": PUT, f"{_PREFIX}deleteobject": DELETE}


class _Details(msgspec.Struct, rename="camel"):
    bucket_name: str
    namespace: str = ""
    e_tag: str = ""


class _Data(msgspec.Struct, rename="camel"):
    resource_name: str
    additional_details: _Details


class _Envelope(msgspec.Struct, rename="camel"):
    event_type: str
    event_time: str
    data: _Data
    id: str = msgspec.field(name="eventID", default="")


class Oracle:
    """An event of an object. Those of buckets are somebody else's."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and str(body.get("eventType")) in _NAMES and "cloudEventsVersion" in body

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each([body], path, lambda value, _: _event(value, path))


def _event(value: Any, path: str) -> Event:
    told = converted(value, _Envelope, path)
    details, name = told.data.additional_details, _NAMES[told.event_type]
    entity = {"key": told.data.resource_name, "eTag": "" if name == DELETE else details.e_tag}
    return change(
        name, told.event_time, details.bucket_name, entity,
        source="oracle:objectstorage", path=path, place=details.namespace, id=told.id,
    )  # fmt: skip
