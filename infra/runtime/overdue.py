"""Uploads that nobody ended: what is in its store after all becomes READY, everything else EXPIRED."""

from __future__ import annotations

import logging
import threading
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
from infra.runtime.uploads_api import facts

logger = logging.getLogger("sluice.uploads")
EVERY_SECONDS = 5.0


class Overdue:
    """A thread that looks for them now and then."""

    def __init__(self, lake: Lake, objects: Providers, every_s: float = EVERY_SECONDS) -> None:
        self._lake, self._objects, self._every = lake, objects, every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overdue uploads", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the upload at hand."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.sweep()
            except Exception as error:  # the database cannot be reached: the next time will do
                logger.warning("overdue uploads wait: %s", error)

    def sweep(self) -> None:
        """End every upload that has run out of time."""
        with self._lake.database() as database:
            store = Store(database)
            found = [store.get(id, SYSTEM) for id in store.overdue()]
        for each in found:
            if self._stopping.is_set():
                return
            try:
                with suppress(Conflict, NotFound, Forbidden):  # somebody else ended it meanwhile
                    self._end(each)
            except SluiceError as error:
                logger.warning("the upload of %s waits: %s", each.id, error)

    def _end(self, found: object) -> None:
        if not isinstance(found, DataObject):
            return
        try:
            action, more = "ready", facts(self._objects.head(found.bucket, found.key))
        except NotFound:
            action, more = "expire", {"upload": "", "cause": "nothing was uploaded in time"}
            if found.upload:
                with suppress(NotFound):
                    presigned.abort(self._objects, found.bucket, found.key, found.upload)

        def work(database: Database) -> tuple[None, list[Event]]:
            return None, changed(Store(database).transition(found.id, action, SYSTEM, **more), "edited")

        self._lake.commit(work).result()
