"""Uploads that nobody ended: what is in its store after all becomes READY, everything else EXPIRED.

An object that was READY before stays it, with what is in its store then.
"""

from __future__ import annotations

from contextlib import suppress

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
            action, more = ended(found, self._objects.head(found.bucket, found.key))
        except NotFound:
            action, more = "expire", {} if found.state == "READY" else {"cause": "nothing was uploaded in time"}
        if found.upload:
            with suppress(NotFound):  # it was completed after all
                presigned.abort(self._objects, found.bucket, found.key, found.upload)

        def work(database: Database) -> tuple[None, list[Event]]:
            return None, changed(Store(database).transition(found.id, action, SYSTEM, **more), "edited")

        self._lake.commit(work).result()
