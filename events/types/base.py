"""What all event data have in common, and the registry of their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

S3_CREATED = "com.amazonaws.s3.ObjectCreated:*"
S3_REMOVED = "com.amazonaws.s3.ObjectRemoved:*"
#: Removed by a rule of the bucket's life cycle: as AWS and MinIO say it, and as Ceph does.
S3_EXPIRED = "com.amazonaws.s3.LifecycleExpiration:*"
S3_EXPIRED_CEPH = "com.amazonaws.s3.ObjectLifecycle:Expiration:Current"

#: Event type name -> Struct of its data. Filled by ``@event_type``.
TYPES: dict[str, type[msgspec.Struct]] = {}
S = TypeVar("S", bound=type[msgspec.Struct])


def event_type(name: str) -> Callable[[S], S]:
    """Give the Struct below it the event type ``name`` and enter it in ``TYPES``."""

    def enter(kind: S) -> S:
        kind.__event_type__ = name  # type: ignore[attr-defined]
        TYPES[name] = kind
        return kind

    return enter


class Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all event data: immutable, by keyword, defaults left out on the wire."""
