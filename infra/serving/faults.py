"""What a server could not load is told to the lake as ``model.rejected``: each cause once, and by many servers once a day."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from events.types import ModelRejected
from infra.serving.app import Serving
from infra.serving.shelf import Fault

if TYPE_CHECKING:
    from events.event import Event

logger = logging.getLogger("sluice.serving")
#: What cannot be loaded is tried again for so long, before it is told, and how often.
AGAIN_SECONDS, LOOK_SECONDS = 1.0, 0.1


class Ear(Protocol):
    """Who takes events."""

    def send(self, event: Event) -> None: ...


class Faults:
    """What of ``app`` has been told to the ``lake``."""

    def __init__(self, app: Serving, lake: Ear) -> None:
        self._app, self._lake = app, lake
        self._told: dict[str, list[Fault]] = {}

    def tell(self) -> None:
        """Tell what is new. A lake that takes none from here is no reason to stop serving."""
        for name in list(self._app.shelf.faults):
            if self._new(name):
                self._again(name)
            for fault in self._new(name):
                try:
                    self._lake.send(self._event(name, fault))
                except Exception as error:
                    logger.warning("the lake was not told that %s cannot be loaded: %s", name, error)
        self._told = {name: list(found) for name, found in self._app.shelf.faults.items()}

    def _new(self, name: str) -> list[Fault]:
        told = self._told.get(name, [])
        return [fault for fault in self._app.shelf.faults.get(name, []) if fault not in told]

    def _again(self, name: str) -> None:
        """Try once more, and again for a while: a file and its sidecar are written one after the other."""
        end = time.monotonic() + AGAIN_SECONDS
        while self._new(name):
            time.sleep(LOOK_SECONDS)
            self._app.follow(name)
            if time.monotonic() > end:
                return

    def _event(self, name: str, fault: Fault) -> Event:
        from events.event import Event, now  # a start does not wait for what only a fault needs

        repository, at = self._app.repository, now()
        data = ModelRejected(
            repository=repository.name,
            name=name,
            version=fault.version,
            bucket=repository.bucket,
            key=fault.key,
            cause=fault.cause,
        )
        subject = f"{repository.name}/{name}"
        return Event(
            id=hashlib.blake2b(f"{subject} {at[:10]} {fault.cause}".encode(), digest_size=16).hexdigest(),
            source="/serving",
            type="dev.sluice.model.rejected.v1",
            subject=subject,
            time=at,
            datacontenttype="application/json",
            data=msgspec.to_builtins(data),
        )
