"""S3 events from AWS EventBridge, turned into the records that the same changes have elsewhere.

Source: S3 user guide, "EventBridge event message structure". Keys are not encoded, and names differ: ``etag``, ``version-id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import BadEvent
from events.received import Received, rejected
from events.s3.record import to_event
from events.s3.source import Unwrap
from events.s3.stores import Store
from events.s3.wire import Named

_CREATED = {
    "PutObject": "Put",
    "POST Object": "Post",
    "PostObject": "Post",
    "CopyObject": "Copy",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
}
#: ``detail-type`` -> event name, for all but created and deleted objects.
_NAMES = {
    "Object Restore Initiated": "ObjectRestore:Post",
    "Object Restore Completed": "ObjectRestore:Completed",
    "Object Restore Expired": "ObjectRestore:Delete",
    "Object Storage Class Changed": "LifecycleTransition",
    "Object Access Tier Changed": "IntelligentTiering",
    "Object ACL Updated": "ObjectAcl:Put",
    "Object Tags Added": "ObjectTagging:Put",
    "Object Tags Deleted": "ObjectTagging:Delete",
}
_OBJECT = {"etag": "eTag", "version-id": "versionId"}


class _PlainKeys(Store):
    """AWS, but with keys as they are."""

    def key(self, raw: str) -> str:
        return raw


class _Detail(msgspec.Struct, rename="kebab"):
    bucket: Named
    object: dict[str, Any]
    request_id: str = ""
    requester: str = ""
    source_ip_address: str = ""
    reason: str = ""
    deletion_type: str = ""


class _Envelope(msgspec.Struct, rename="kebab"):
    id: str
    detail_type: str
    time: str
    detail: _Detail
    region: str = ""


class EventBridge:
    """One event of the source ``aws.s3``, as a rule's target gets it."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and body.get("source") == "aws.s3" and "detail-type" in body

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        if body["detail-type"] == "AWS API Call via CloudTrail":
            return Received()  # it tells of a call, not of an object; of what the call did, S3 tells itself
        try:
            envelope = msgspec.convert(body, _Envelope)
            return Received(events=[to_event(_record(envelope), path, _PLAIN_KEYS, base_id=envelope.id)])
        except msgspec.ValidationError as error:
            return Received(rejects=[rejected(body, BadEvent(str(error).replace("`$", f"`{path}")))])
        except BadEvent as error:
            return Received(rejects=[rejected(body, error)])


_PLAIN_KEYS = _PlainKeys()


def _record(envelope: _Envelope) -> dict[str, Any]:
    detail = envelope.detail
    return {
        "eventSource": "aws:s3",
        "awsRegion": envelope.region,
        "eventTime": envelope.time,
        "eventName": _event_name(envelope.detail_type, detail),
        "userIdentity": {"principalId": detail.requester},
        "requestParameters": {"sourceIPAddress": detail.source_ip_address},
        "responseElements": {"x-amz-request-id": detail.request_id},
        "s3": {
            "bucket": {"name": detail.bucket.name, "arn": f"arn:aws:s3:::{detail.bucket.name}"},
            "object": {_OBJECT.get(name, name): value for name, value in detail.object.items()},
        },
    }


def _event_name(kind: str, detail: _Detail) -> str:
    if kind == "Object Created":
        return f"ObjectCreated:{_CREATED.get(detail.reason, 'Put')}"
    if kind == "Object Deleted":
        group = "LifecycleExpiration" if detail.reason == "Lifecycle Expiration" else "ObjectRemoved"
        return f"{group}:{'DeleteMarkerCreated' if detail.deletion_type == 'Delete Marker Created' else 'Delete'}"
    try:
        return _NAMES[kind]
    except KeyError:
        raise BadEvent(f"EventBridge's {kind[:60]!r} is no change of an object") from None
