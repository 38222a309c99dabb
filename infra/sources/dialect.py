"""Which store answers, and how it orders the changes of one key: what its listing tells, in the terms of its notifications."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from events.ports import NotFound, ObjectInfo
from events.s3.stores import nanoseconds
from infra.objects.s3 import S3Store, errors

#: How radosgw numbers its transactions; it tells its name in no header.
_CEPH = re.compile(r"tx[0-9a-f]{16,}-[0-9a-f]+-[0-9a-f]+-.+").fullmatch
SEQUENCER = "x-sluice-sequencer"


@dataclass(frozen=True)
class Dialect:
    """One kind of store.

    Args:
        name: ``ceph``, ``minio``, ``aws`` or ``sluice`` (our own door).
        sequence: the ``sequence`` of an object as it is listed. Never greater than that of the notification of the same
            change, so that it never hides a later one. Raises ``NotFound`` where it has to ask and the object is gone.

    """

    name: str
    sequence: Callable[[S3Store, ObjectInfo], str]

    @property
    def source(self) -> str:
        """``eventSource`` in this store's records."""
        return f"{self.name}:s3"


def _door(store: S3Store, listed: ObjectInfo) -> str:
    """The number of the change, which the door tells with the object. ``NotFound`` if there is another one by now."""
    with errors(listed.bucket, listed.key):
        answer = store.client.head_object(Bucket=listed.bucket, Key=listed.key)
    if answer["ETag"].strip('"') != listed.etag:
        raise NotFound(f"s3://{listed.bucket}/{listed.key} was overwritten since it was listed")
    return str(_headers(answer).get(SEQUENCER, "")).rjust(16, "0")


CEPH = Dialect("ceph", lambda _, listed: nanoseconds(listed.modified) + "0" * 16)
MINIO = Dialect("minio", lambda _, listed: nanoseconds(listed.modified))
#: Its sequencer means nothing to anyone else: what a listing tells stands before every notification.
AWS = Dialect("aws", lambda _, listed: "0" * 32)
DOOR = Dialect("sluice", _door)


def dialect_of(store: S3Store, bucket: str) -> Dialect:
    """The kind of store that holds ``bucket``, told by how it answers. Whoever is unknown counts as AWS.

    Raises ``NotFound`` if the bucket does not exist, ``Retry`` if the store cannot be reached.
    """
    with errors(bucket, ""):
        headers = _headers(store.client.list_objects_v2(Bucket=bucket, MaxKeys=1))
    server = headers.get("server", "")
    if "Sluice" in server:  # a server in front of it may have put its own name first
        return DOOR
    if server.startswith("MinIO"):
        return MINIO
    return CEPH if _CEPH(headers.get("x-amz-request-id", "")) else AWS


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return found
