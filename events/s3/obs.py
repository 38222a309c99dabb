"""Huawei Cloud OBS: what a bucket's notification tells a topic of SMN.

Source: OBS user guide, "Event Notification Message Structure". The records are S3's under other names; keys are form-encoded,
and a sequencer is hexadecimal text of which the greater is the later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received
from events.s3.changes import change, converted, each
from events.s3.source import Unwrap
from events.s3.wire import Entity, Named


class _Obs(msgspec.Struct):
    bucket: Named
    object: Entity


class _Record(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: str
    obs: _Obs
    event_region: str = ""
    response_elements: dict[str, Any] = {}


class Obs:
    """``{"Records": [{"eventSource": "OBS", "obs": ...}]}``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        records = body.get("Records") if isinstance(body, dict) else None
        return isinstance(records, list) and any(isinstance(one, dict) and "obs" in one for one in records)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["Records"], f"{path}.Records", _event)


def _event(value: Any, path: str) -> Event:
    told = converted(value, _Record, path)
    found = told.obs.object
    try:
        key = unquote_plus(found.key, errors="strict")
    except UnicodeDecodeError as error:
        raise BadEvent(f"the key {found.key[:200]!r} is not form-encoded UTF-8: {error} - at `{path}`") from error
    version = None if found.version_id == "null" else found.version_id
    entity = {**found.told(removed="Removed" in told.event_name), "key": key, "versionId": version}
    return change(
        told.event_name, told.event_time, told.obs.bucket.name, entity, source="huawei:obs", path=path, place=told.event_region,
        id=str(told.response_elements.get("x-obs-request-id", "")),
    )  # fmt: skip
