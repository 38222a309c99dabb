"""Uploads that nobody ended: what is in its store after all becomes READY, everything else EXPIRED.

An object that was READY before stays it, with what is in its store then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from events.errors import SluiceError
from events.event import Event
from events.ports import NotFound
from infra.catalog.acl import SYSTEM, Forbidden
from infra.catalog.database import Database
from infra.catalog.resources import DataObject
from infra.catalog.store import Conflict, Store
from infra.lake import Lake
from infra.objects import presigned
from infra.objects.providers import Providers
from infra.runtime.changes import changed
from infra.runtime.periodic import Periodic
from infra.runtime.uploads_api import ended

EVERY_SECONDS = 5.0


class Overdue(Periodic):
    """A thread that looks for them now and then."""

    def __init__(self, lake: Lake, objects: Providers, every_s: float = EVERY_SECONDS) -> None:
        super().__init__("uploads", every_s)
        self._lake, self._objects = lake, objects

    def step(self) -> bool:
        """End every upload that has run out of time."""
        with self._lake.database() as database:
            store = Store(database)
            found = [store.get(id, SYSTEM) for id in store.overdue()]
        for each in found:
            if self._stopping.is_set():
                break
            try:
                with suppress(Conflict, NotFound, Forbidden):  # somebody else ended it meanwhile
                    self._end(each)
            except SluiceError as error:
                self._logger.warning("the upload of %s waits: %s", each.id, error)
        return False

    def _end(self, found: object) -> None:
        if not isinstance(found, DataObject):
            return
        try:
            info = self._objects.head(found.bucket, found.key)
        except NotFound:
            info = None
        if found.upload:
            with suppress(NotFound):  # it was completed after all
                presigned.abort(self._objects, found.bucket, found.key, found.upload)

        def work(database: Database) -> tuple[None, list[Event]]:
            store, action, more = Store(database), "expire", dict[str, Any]()
            now = cast(DataObject, store.get(found.id, SYSTEM))  # what was sent may have been refused since it was found
            if now.expires != found.expires:
                raise Conflict(f"another upload of {found.id} has begun")
            if info is not None:
                action, more = ended(now, info)
            elif now.state != "READY":
                more = {"cause": "nothing was uploaded in time"}
            return None, changed(store.transition(found.id, action, SYSTEM, **more), "edited")

        self._lake.commit(work).result()
