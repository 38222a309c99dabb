"""What subscribers hear of a model: the event, with a URL that fetches the version without credentials for a while.

The URL is made when the event is delivered: one made when it happened would have expired for whom it reaches late. Whoever
fetches the model checks it against the event's ``digest``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec

from events.event import Event
from events.models import Repository
from events.ports import ObjectStore
from events.types import ModelPromoted, ModelPublished
from infra.catalog import times
from infra.catalog.database import Database
from infra.models.table import StoredModels
from infra.objects import presigned
from infra.objects.providers import Providers
from infra.objects.s3 import S3Store

PUBLISHED, PROMOTED, REJECTED = (f"dev.sluice.model.{what}.v1" for what in ("published", "promoted", "rejected"))
ANNOUNCED = (PUBLISHED, PROMOTED, REJECTED)


class Announced:
    """Completes events about the versions in ``repositories``; ``reading`` opens the catalogue's database."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Database]],
        objects: ObjectStore,
        repositories: Sequence[Repository],
    ) -> None:
        self._reading, self._objects = reading, objects
        self._seconds = {each.name: each.url_seconds for each in repositories}

    def completed(self, event: Event) -> Event:
        """The event with ``url`` and ``expires`` in its data, if it tells of a version that can be fetched."""
        if event.type not in (PUBLISHED, PROMOTED) or not isinstance(event.data, dict):
            return event
        data: ModelPublished | ModelPromoted = (
            event.read(ModelPublished) if event.type == PUBLISHED else event.read(ModelPromoted)
        )
        seconds = self._seconds.get(data.repository, 0)
        bucket, key = (data.bucket, data.key) if data.bucket else self._place(data)
        if not seconds or not bucket or not isinstance(self._objects, Providers | S3Store):
            return event
        expires = times.text(int((time.time() + seconds) * 1000))
        url = presigned.get(self._objects, bucket, key, seconds)
        return msgspec.structs.replace(event, data={**event.data, "url": url, "expires": expires})

    def _place(self, data: ModelPromoted | ModelPublished) -> tuple[str, str]:
        """Where the version lies, for events of a time when promotions did not say it."""
        with self._reading() as database:
            found = StoredModels(database, ()).get(data.repository, data.name, data.version)
        return (found.bucket, found.key) if found else ("", "")
