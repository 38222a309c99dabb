"""The models that are served: versions by name, which of them answers by default, and a canary's share.

A new version is loaded, checked and warmed before it is put in place; the one before answers until then, and finishes what it
was asked. A version that cannot be verified never gets here: the last good one keeps serving. Where an alias was followed once,
nothing else is: that it is gone is a fault, not a reason to serve the latest version.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable

import msgspec

from events.errors import Reject, Retry
from functions.repository import layout
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader
from infra.serving.batcher import Batcher
from infra.serving.loading import Loading
from infra.serving.model import OnnxModel
from infra.serving.published import Published, meant

logger = logging.getLogger("sluice.serving")
#: Most faults that are kept of one model: whoever fills its folder with rubbish fills no memory.
MOST_FAULTS = 10
_NUMBER = re.compile("[1-9][0-9]{0,8}")


class Unknown(Reject):
    """No such model or version is served here. HTTP status 404."""


class Fault(msgspec.Struct, frozen=True):
    """Why a version (0: an alias, or all of the model) is not served, and which object tells so."""

    version: int
    key: str
    cause: str


class _Served:
    """One model: its loaded versions, the default one, and the canary with its share of the requests (0 to 1).

    ``pinned`` versions stay loaded: they were asked for.
    """

    def __init__(self) -> None:
        self.versions: dict[int, Batcher] = {}
        self.default = 0
        self.canary, self.share = 0, 0.0
        self.pinned: set[int] = set()


class Shelf:
    """Loads from one repository. With an ``alias`` the version that it means is served, else the newest that is whole; to what
    the alias ``canary`` means, if there is one, goes a ``share`` of the requests.

    Reading is free of locks; ``update``, ``load`` and ``unload`` take turns, and may take as long as a version is waited for.
    """

    def __init__(
        self,
        loader: Loader,
        make: Callable[..., OnnxModel] = OnnxModel,
        alias: str = "champion",
        keep: int = 2,
        canary: str = "",
        share: float = 0.0,
    ) -> None:
        self._loader, self._make, self._alias, self._keep = loader, make, alias, keep
        self._canary, self._share = canary, share
        self._served: dict[str, _Served] = {}
        self._followed: set[tuple[str, str]] = set()
        self._away: set[str] = set()
        self._turn = threading.Lock()
        self.loading = Loading(self._made)
        #: What the lake beside this server has published; ``None`` where there is no lake.
        self.published: Published | None = None
        #: Model -> what of it is not served, and why.
        self.faults: dict[str, list[Fault]] = {}

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
            number = int(version) if _NUMBER.fullmatch(version) else 0
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

    def update(self, name: str) -> int:
        """Serve what the alias means now (or the newest version that can be verified), and the canary in its share.

        Raises ``Unverified`` or ``Unknown``; then what was served is served on.
        """
        with self._turn:
            if name in self._away:
                raise Unknown(f"the model {name[:100]} was unloaded")
            served, faults = self._served.get(name), list[Fault]()
            try:
                made = self._champion(name, faults)
            except Unknown as error:
                if served or name in self.faults:
                    self.faults[name] = [Fault(0, self._key(name), str(error))]
                raise
            except Exception:
                if faults:
                    self._told(name, faults)
                raise
            served = served or _Served()
            beside = self._canary_of(name, served, faults)
            for batcher in (made, beside):
                if batcher is not None:
                    served.versions = {**served.versions, batcher.model.version: batcher}
            served.default = made.model.version
            served.canary, served.share = (beside.model.version, self._share) if beside else (0, 0.0)
            self._retire(served)
            self._served[name] = served
            self._told(name, faults)
            return served.default

    def load(self, name: str, version: int = 0) -> None:
        """Serve a version beside the default one until it is unloaded, or with 0 what ``update`` finds.

        Raises ``Unverified`` or ``Unknown``.
        """
        if version:
            with self._turn:
                if version not in self._loader.versions(name):
                    raise Unknown(f"the repository {self._loader.repository.name} has no version {version} of {name[:100]!r}")
                made = self._loaded(name, version)
                served = self._served.setdefault(name, _Served())
                served.versions = {**served.versions, version: made}
                served.default = served.default or version
                served.pinned.add(version)
                self._away.discard(name)
            return
        with self._turn:
            self._away.discard(name)
        self.update(name)

    def unload(self, name: str) -> None:
        """Serve it no more, until it is loaded; what was asked is answered. Raises ``Unknown``."""
        with self._turn:
            if name not in self._served and name not in self.faults:
                self._one(name)
            self._away.add(name)
            self.faults.pop(name, None)
            served = self._served.pop(name, None)
            for batcher in served.versions.values() if served else ():
                batcher.close()

    def unloaded(self, name: str) -> bool:
        """Whether somebody unloaded it."""
        return name in self._away

    def close(self) -> None:
        """Unload everything."""
        for name in self.names:
            self.unload(name)

    def _one(self, name: str) -> _Served:
        try:
            return self._served[name]
        except KeyError:
            found = self.faults.get(name)
            why = ": it was unloaded" if name in self._away else f": {found[0].cause}" if found else ""
            raise Unknown(f"the model {name[:100]!r} is not served here{why}") from None

    def _champion(self, name: str, faults: list[Fault]) -> Batcher:
        """What is to answer by default; why it does not, and which newer versions could not, goes to ``faults``."""
        known = self._loader.versions(name)
        if not known:
            raise Unknown(f"the repository {self._loader.repository.name} has no version of the model {name[:100]!r}")
        version = self._meant(name, self._alias, faults) if self._alias else 0
        if version:
            return self._tried(name, version, faults)
        for version in reversed(known):
            try:
                return self._tried(name, version, faults)
            except Retry:
                raise
            except Exception as error:
                logger.warning("version %d of %s is passed over: %s", version, name, error)
        raise Unverified(f"no version of the model {name} can be served: {faults[0].cause}")

    def _canary_of(self, name: str, served: _Served, faults: list[Fault]) -> Batcher | None:
        """The version beside the default one, if there is an alias for it. While that is broken, the canary before stays."""
        if not self._canary:
            return None
        try:
            version = self._meant(name, self._canary, faults)
            return self._tried(name, version, faults) if version else None
        except Exception as error:
            logger.warning("the canary of %s stays as it is: %s", name, error)
            return served.versions.get(served.canary)

    def _meant(self, name: str, alias: str, faults: list[Fault]) -> int:
        try:
            version = meant(self._loader, self.published, name, alias, (name, alias) in self._followed)
        except Retry:
            raise
        except Exception as error:
            faults.append(Fault(0, layout.alias_key(self._loader.repository.prefix, name, alias), str(error)))
            raise
        if version:
            self._followed.add((name, alias))
        return version

    def _tried(self, name: str, version: int, faults: list[Fault]) -> Batcher:
        try:
            return self._loaded(name, version)
        except Retry:
            raise  # the store is at fault, not the version
        except Exception as error:
            faults.append(Fault(version, layout.file_key(self._loader.repository.prefix, name, version), str(error)))
            raise

    def _loaded(self, name: str, version: int) -> Batcher:
        if self.published is not None:
            self.published.check(name, version)
        served = self._served.get(name)
        batcher = served.versions.get(version) if served else None
        if batcher is None:
            model = self.loading.get(name, version)
            if self.published is not None:  # it may have been made a while ago
                self.published.check(name, version, model.record.digest)
            batcher = Batcher(model)
            logger.info("serving version %d of %s", version, name)
        return batcher

    def _made(self, name: str, version: int) -> OnnxModel:
        """In a thread of its own."""
        verified = self._loader.load(name, version)
        if self.published is not None:
            self.published.check(name, version, verified.record.digest)
        return self._make(verified)

    def _told(self, name: str, faults: list[Fault]) -> None:
        if faults:
            self.faults[name] = faults[:MOST_FAULTS]
        else:
            self.faults.pop(name, None)

    def _key(self, name: str) -> str:
        """Where people upload it."""
        return f"{layout.file_key(self._loader.repository.prefix, name, 0).removesuffix(f'0/{layout.FILE}')}{layout.FILE}"

    def _retire(self, served: _Served) -> None:
        """Keep the newest few beside the default, the canary, and what was asked for."""
        kept = {served.default, served.canary, *served.pinned, *sorted(served.versions)[-self._keep :]}
        gone = [batcher for version, batcher in served.versions.items() if version not in kept]
        served.versions = {version: batcher for version, batcher in served.versions.items() if version in kept}
        for batcher in gone:
            batcher.close()
