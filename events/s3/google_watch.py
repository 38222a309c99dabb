"""Google Cloud Storage by object change notification: what a channel that watches a bucket posts.

Source: "Object change notification", notification types. ``X-Goog-Resource-State`` says what became of the object; the body is
the object as its JSON API shows it. A new channel begins with ``sync``, which has no body. Google advises Pub/Sub instead
(``pubsub.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.event import Event
from events.received import Received
from events.s3.changes import converted, each
from events.s3.clouds import google
from events.s3.source import Unwrap

_KINDS = {"exists": "finalized", "not_exists": "deleted"}


class _Object(msgspec.Struct, rename="camel"):
    generation: str | int
    metageneration: int = 1
    updated: str = ""
    time_deleted: str = ""


class GoogleWatch:
    """The messages of one ``state``: ``sync``, ``exists`` or ``not_exists``."""

    def __init__(self, state: str) -> None:
        self._state = state

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        if headers.get("x-goog-resource-state") != self._state:
            return False
        return body is None if self._state == "sync" else isinstance(body, dict) and body.get("kind") == "storage#object"

    def read(self, body: Any, path: str, unwrap: Unwrap) -> Received:
        return each([] if body is None else [body], path, lambda value, _: _event(_KINDS[self._state], value, path))


def _event(kind: str, body: dict[str, Any], path: str) -> Event | None:
    told = converted(body, _Object, path)
    if kind == "finalized" and told.metageneration > 1:
        return None  # the metadata changed, the content did not
    time = told.time_deleted if kind == "deleted" and told.time_deleted else told.updated
    event = Event(id=str(told.generation), source="google:storage", type=f"google.cloud.storage.object.v1.{kind}", time=time)
    return google(event, body)


WATCHES = tuple(GoogleWatch(state) for state in ("sync", *_KINDS))
