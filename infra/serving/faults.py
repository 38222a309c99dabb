"""What a server could not load is told to the lake as ``model.rejected``: each cause once, and by many servers once a day."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Protocol

import msgspec

from events.event import Event, now
from events.types import ModelRejected
from functions.repository import layout
from infra.serving.app import Serving

logger = logging.getLogger("sluice.serving")
#: What cannot be loaded is tried once more after so long, before it is told.
AGAIN_SECONDS = 1.0


class Ear(Protocol):
    """Who takes events."""

    def send(self, event: Event) -> None: ...


class Faults:
    """What of ``app`` has been told to the ``lake``."""

    def __init__(self, app: Serving, lake: Ear) -> None:
        self._app, self._lake = app, lake
        self._told: dict[str, str] = {}

    def tell(self) -> None:
        """Tell what is new. A lake that takes none from here is no reason to stop serving."""
        for name, seen in list(self._app.shelf.faults.items()):
            if self._told.get(name) != seen:
                time.sleep(AGAIN_SECONDS)
                self._app.follow(name)  # a file and its sidecar are written one after the other
            cause = self._app.shelf.faults.get(name)
            if cause and self._told.get(name) != cause:
                try:
                    self._lake.send(self._event(name, cause))
                except Exception as error:
                    logger.warning("the lake was not told that %s cannot be loaded: %s", name, error)
        self._told = dict(self._app.shelf.faults)

    def _event(self, name: str, cause: str) -> Event:
        repository, at = self._app.repository, now()
        key = f"{repository.prefix}{name}/{layout.FILE}"
        data = ModelRejected(repository=repository.name, name=name, bucket=repository.bucket, key=key, cause=cause)
        subject = f"{repository.name}/{name}"
        return Event(
            id=hashlib.blake2b(f"{subject} {at[:10]} {cause}".encode(), digest_size=16).hexdigest(),
            source="/serving",
            type="dev.sluice.model.rejected.v1",
            subject=subject,
            time=at,
            datacontenttype="application/json",
            data=msgspec.to_builtins(data),
        )
