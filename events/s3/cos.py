"""Tencent Cloud COS: what a bucket's trigger tells a function.

Source: Serverless Cloud Function documentation, "COS Trigger", event message structure. A key is ``/APPID/BUCKET/KEY``, a time
is in seconds since 1970, and a bucket is called ``NAME-APPID`` wherever it is asked for. There is no ETag and no sequencer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.received import Received
from events.s3.changes import DELETE, MARKER, PUT, change, converted, each, rfc3339
from events.s3.source import Unwrap

_CREATED = {
    "Post": "ObjectCreated:Post",
    "Copy": "ObjectCreated:Copy",
    "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
}


class _Bucket(msgspec.Struct):
    name: str
    appid: str
    region: str = ""


class _Object(msgspec.Struct):
    key: str
    size: int | None = None
    vid: str = ""
    meta: dict[str, Any] = {}


class _Cos(msgspec.Struct, rename="camel"):
    cos_bucket: _Bucket
    cos_object: _Object


class _What(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: int


class _Record(msgspec.Struct):
    cos: _Cos
    event: _What


class Cos:
    """``{"Records": [{"cos": ..., "event": ...}]}``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        records = body.get("Records") if isinstance(body, dict) else None
        return isinstance(records, list) and any(isinstance(one, dict) and "cos" in one for one in records)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return each(body["Records"], f"{path}.Records", _event)


def _event(value: Any, path: str) -> Event:
    told = converted(value, _Record, path)
    bucket, found = told.cos.cos_bucket, told.cos.cos_object
    name = _name(told.event.event_name, path)
    key = found.key.removeprefix(f"/{bucket.appid}/{bucket.name}/")
    entity: dict[str, Any] = {"key": key, "versionId": found.vid} | ({"size": found.size} if name.startswith("ObjectC") else {})
    return change(
        name, rfc3339(told.event.event_time * 10**9), f"{bucket.name}-{bucket.appid}", entity, source="tencent:cos", path=path,
        place=bucket.region, id=str(found.meta.get("x-cos-request-id", "")),
    )  # fmt: skip


def _name(name: str, path: str) -> str:
    """What S3 calls it."""
    group, _, kind = name.removeprefix("cos:").partition(":")
    if group == "ObjectCreated":
        return _CREATED.get(kind, PUT)
    if group == "ObjectRemove":
        return MARKER if kind == "DeleteMarkerCreated" else DELETE
    raise BadEvent(f"COS's {name[:60]!r} is no change of an object - at `{path}`")
