"""``{"Records": [...]}``: what Ceph, MinIO, AWS and our door post, what Lambda is called with, and what MinIO streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.errors import BadEvent
from events.received import Received, joined, rejected
from events.s3.record import to_event
from events.s3.source import Unwrap
from events.s3.stores import MINIO, RAW_KEYS, Store


class Records:
    """Records side by side, each read for itself: S3 changes, or (from Lambda) SQS and SNS messages that hold some.

    MinIO's targets put ``EventName`` and ``Key`` beside the records and escape the keys in them; its listen stream does
    neither. A line of that stream without records is a keep-alive.
    """

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and "Records" in body

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        records = body["Records"]
        if not isinstance(records, list | None):
            raise BadEvent(f"an array is expected at `{path}.Records`")
        minio = MINIO if "Key" in body or "EventName" in body else RAW_KEYS
        parts = []
        for number, record in enumerate(records or ()):
            where = f"{path}.Records[{number}]"
            parts.append(_message(record, where, unwrap) if _holds_message(record) else _read(record, where, minio))
        return joined(parts)


class Bare:
    """One record without ``Records`` around it: an EventBridge pipe, or a CloudEvent's data."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and "s3" in body and "eventName" in body

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return _read(body, path, RAW_KEYS)


class TestEvent:
    """``s3:TestEvent``, which AWS sends when a notification is configured: taken, and nothing to do."""

    __test__ = False  # no test class, whatever its name

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        return isinstance(body, dict) and body.get("Event") == "s3:TestEvent"

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        return Received()


def _holds_message(record: Any) -> bool:
    return isinstance(record, dict) and "s3" not in record and ("body" in record or "Sns" in record)


def _read(record: Any, where: str, minio: Store) -> Received:
    source = record.get("eventSource") if isinstance(record, dict) else None
    if source == "minio:s3" and str(record.get("eventName", "")).startswith(("s3:BucketCreated:", "s3:BucketRemoved:")):
        return Received()  # a bucket is no object: there is nothing to do
    try:
        return Received(events=[to_event(record, where, minio if source == "minio:s3" else None)])
    except BadEvent as error:
        return Received(rejects=[rejected(record, error)])


def _message(record: Any, where: str, unwrap: Unwrap) -> Received:
    try:
        found = unwrap(record, where)
        if found is None:
            raise BadEvent(f"the message at `{where}` holds no S3 notification")
    except BadEvent as error:
        return Received(rejects=[rejected(record, error)])
    return found
