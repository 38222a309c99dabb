"""The models that are served: versions by name, which of them answers by default, and a canary's share.

A new version is loaded, checked and warmed before it is put in place; the one before answers until then, and finishes what it
was asked. A version that cannot be verified never gets here: the last good one keeps serving.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from events.errors import Reject
from infra.models.loader import Loader
from infra.serving.batcher import Batcher
from infra.serving.model import OnnxModel

logger = logging.getLogger("sluice.serving")


class Unknown(Reject):
    """No such model or version is served here. HTTP status 404."""


class _Served:
    """One model: its loaded versions, the default one, and the canary with its share of the requests (0 to 1)."""

    def __init__(self) -> None:
        self.versions: dict[int, Batcher] = {}
        self.default = 0
        self.canary, self.share = 0, 0.0


class Shelf:
    """Loads from one repository. With an ``alias`` the version that it means is served, else the latest.

    Reading is free of locks; ``update``, ``load`` and ``unload`` take turns, and may take long.
    """

    def __init__(
        self, loader: Loader, make: Callable[..., OnnxModel] = OnnxModel, alias: str = "champion", keep: int = 2
    ) -> None:
        self._loader, self._make, self._alias, self._keep = loader, make, alias, keep
        self._served: dict[str, _Served] = {}
        self._turn = threading.Lock()
        #: Model -> why its newest version is not served.
        self.faults: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        return sorted(name for name, served in self._served.items() if served.versions)

    def versions(self, name: str) -> list[int]:
        """Raises ``Unknown``."""
        return sorted(self._one(name).versions)

    def pick(self, name: str, version: str = "") -> Batcher:
        """Who answers a request: the version asked for, else the default, or the canary in its share. Raises ``Unknown``."""
        served = self._one(name)
        if version:
            number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
        elif served.canary and random.random() < served.share:
            number = served.canary
        else:
            number = served.default
        try:
            return served.versions[number]
        except KeyError:
            loaded = ", ".join(map(str, sorted(served.versions)))
            raise Unknown(f"version {version[:20]} of the model {name} is not loaded; loaded are: {loaded}") from None

    def default(self, name: str) -> OnnxModel:
        """The version that answers by default, never the canary. Raises ``Unknown``."""
        served = self._one(name)
        return served.versions[served.default].model

    def update(self, name: str, canary: str = "", share: float = 0.0) -> int:
        """Serve what the alias means now (or the latest version), and a ``canary`` alias's version in its share.

        Raises ``Unverified`` or ``Unknown``; then what was served is served on.
        """
        with self._turn:
            try:
                version = self._wanted(name, self._alias)
                made = self._loaded(name, version)
                beside = self._loaded(name, self._wanted(name, canary)) if canary else None
            except Exception as error:
                self.faults[name] = str(error)
                raise
            self.faults.pop(name, None)
            served = self._served.setdefault(name, _Served())
            for batcher in (made, beside):
                if batcher is not None:
                    served.versions = {**served.versions, batcher.model.version: batcher}
            served.default = version
            served.canary, served.share = (beside.model.version, share) if beside else (0, 0.0)
            self._retire(served)
            return version

    def load(self, name: str, version: int = 0) -> None:
        """Serve a version beside the default one, or with 0 the default one again. Raises ``Unverified`` or ``Unknown``."""
        if not version:
            self.update(name)
            return
        with self._turn:
            made = self._loaded(name, version)
            served = self._served.setdefault(name, _Served())
            served.versions = {**served.versions, version: made}
            served.default = served.default or version

    def unload(self, name: str) -> None:
        """Serve it no more; what was asked is answered. Raises ``Unknown``."""
        with self._turn:
            self._one(name)
            for batcher in self._served.pop(name).versions.values():
                batcher.close()

    def close(self) -> None:
        """Unload everything."""
        for name in self.names:
            self.unload(name)

    def _one(self, name: str) -> _Served:
        try:
            return self._served[name]
        except KeyError:
            why = f": {self.faults[name]}" if name in self.faults else ""
            raise Unknown(f"the model {name[:100]!r} is not served here{why}") from None

    def _wanted(self, name: str, alias: str) -> int:
        known = self._loader.versions(name)
        if not known:
            raise Unknown(f"the repository {self._loader.repository.name} has no version of the model {name[:100]!r}")
        if alias and self._loader.has_alias(name, alias):
            return self._loader.resolve(name, alias)
        return known[-1]

    def _loaded(self, name: str, version: int) -> Batcher:
        served = self._served.get(name)
        if served and version in served.versions:
            return served.versions[version]
        model = self._make(self._loader.load(name, version))
        logger.info("serving version %d of %s", version, name)
        return Batcher(model)

    def _retire(self, served: _Served) -> None:
        """Keep the newest few beside the default and the canary."""
        kept = {served.default, served.canary, *sorted(served.versions)[-self._keep :]}
        gone = [batcher for version, batcher in served.versions.items() if version not in kept]
        served.versions = {version: batcher for version, batcher in served.versions.items() if version in kept}
        for batcher in gone:
            batcher.close()
