"""Bucket notifications as events, whichever store sent them and whatever envelope they came in.

Each form is a source, a class of ``infer`` and ``read``; the first in ``SOURCES`` that recognises a body reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from events.errors import BadEvent
from events.json_format import parse_json
from events.received import Received, joined, rejected
from events.s3.b2 import B2
from events.s3.cos import Cos
from events.s3.event_grid import EventGrid
from events.s3.eventbridge import EventBridge
from events.s3.google_watch import WATCHES
from events.s3.ibm import Ibm
from events.s3.obs import Obs
from events.s3.oracle import Oracle
from events.s3.oss import Oss
from events.s3.pubsub import PubSub
from events.s3.queues import Sns, Sqs
from events.s3.r2 import R2
from events.s3.records import Bare, Records, TestEvent
from events.s3.seaweedfs import SeaweedFS
from events.s3.source import Source, Unwrap
from events.s3.tigris import Tigris
from events.s3.tos import Tos
from events.s3.yandex import Yandex

__all__ = ["SOURCES", "events_from"]

SOURCES: tuple[Source, ...] = (
    Cos(), Obs(), Records(), Sns(), Sqs(), EventBridge(), TestEvent(), Bare(),
    R2(), SeaweedFS(), B2(), Tigris(), PubSub(), *WATCHES, EventGrid(), Oracle(), Oss(), Tos(), Yandex(), Ibm(),
)  # fmt: skip
#: Envelopes within envelopes. AWS makes three: SNS in SQS in Lambda's records.
_MAX_DEPTH = 6


def events_from(body: bytes | str | dict[str, Any] | list[Any], headers: Iterable[tuple[bytes, bytes]] = ()) -> Received | None:
    """The events of a bucket notification, or ``None`` if the body is none.

    An array is taken as several bodies (a pipe's batch). One bad record does not spoil its neighbours: it is in ``rejects``.

    Raises:
        BadEvent: the body is not JSON, or its envelope is malformed; the text has the path.

    """
    names = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in headers}
    value: Any = body
    if isinstance(body, bytes | str):
        value = parse_json(body) if body or not names else None  # without a body, the headers say what there is to say
    found = _read(value, "$", names, 0)
    return None if found is None else msgspec.structs.replace(found, store=True)


def _read(value: Any, path: str, headers: dict[str, str], depth: int) -> Received | None:
    if depth > _MAX_DEPTH:
        raise BadEvent(f"too many envelopes within one another - at `{path}`")

    def unwrap(inner: Any, where: str) -> Received | None:
        return _read(inner, where, {}, depth + 1)

    if isinstance(value, list):
        return _read_all(value, path, unwrap)
    for source in SOURCES:
        if source.infer(value, headers):
            return source.read(value, path, unwrap)
    return None


def _read_all(values: list[Any], path: str, unwrap: Unwrap) -> Received | None:
    parts: list[Received] = []
    known = False
    for number, value in enumerate(values):
        where = f"{path}[{number}]"
        try:
            part = unwrap(value, where)
        except BadEvent as error:
            part, known = Received(rejects=[rejected(value, error)]), True
        known = known or part is not None
        parts.append(part or Received(rejects=[rejected(value, BadEvent(f"no S3 notification - at `{where}`"))]))
    return joined(parts) if known else None
