"""The port to model repositories: the numbered versions of their models, and what their aliases mean."""

from __future__ import annotations

from typing import Annotated, Protocol, runtime_checkable

import msgspec

from events.types import ModelPublished, ModelSubmitted


class Repository(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model repository: everything below ``prefix`` of ``bucket`` (see ``functions/repository/layout.py``).

    ``digest`` is the algorithm of its sidecars. With ``sidecars`` an upload is only taken if its own sidecar lies beside it.
    ``operators`` are those allowed beside ONNX's own, as ``DOMAIN.NAME``, and with ``!`` those that are not (the last that
    matches decides). ``keys`` are the public keys (PEM) whose signatures
    count; with ``signed`` nothing without one is taken or loaded. A subscriber's URL of a version is good for ``url_seconds``
    (0: there is none).
    """

    name: str
    bucket: str
    prefix: str = ""
    digest: str = "sha256"
    sidecars: bool = False
    operators: list[str] = []
    keys: list[str] = []
    signed: bool = False
    url_seconds: Annotated[int, msgspec.Meta(ge=0, le=7 * 24 * 3600)] = 900


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """What an alias means, and what it meant before (0: nothing)."""

    repository: str
    name: str
    alias: str
    version: int
    previous: int = 0


@runtime_checkable
class Models(Protocol):
    """The numbered versions of the models in each repository, and their aliases."""

    def repositories(self) -> list[Repository]:
        """Every configured repository."""
        ...

    def submit(self, upload: ModelSubmitted) -> int | None:
        """Number an upload, whatever number it has: one more than the latest, or that of one that waits for something.

        ``None`` if the latest has the same content already, or others come before it: then it is kept (see ``next``).
        """
        ...

    def resubmit(self, repository: str, name: str, digest: str) -> int | None:
        """The number of the upload with this digest if it waits for something; ``None`` if there is none, or not yet."""
        ...

    def withdraw(self, repository: str, name: str, version: int, *, waiting: bool = False) -> bool:
        """Forget a number that was given but never published, or with ``waiting`` keep it for the same upload.

        Whether it was asked for again since it was given (see ``resubmit``).
        """
        ...

    def fail(self, repository: str, name: str, *, stored: bool = False) -> None:
        """Nobody will decide on the upload of this model that is undecided: it waits, to be replayed or replaced.

        With ``stored`` it lies in its place already: it may only be replayed, and what comes next gets the next number.
        """
        ...

    def next(self, repository: str, name: str) -> ModelSubmitted | None:
        """The upload of this model that was kept first, with a number now; ``None`` if there is none, or one is undecided."""
        ...

    def holds(self, repository: str, name: str, version: int, digest: str) -> bool:
        """Whether this number is, published or not, that of the upload with this digest."""
        ...

    def publish(self, version: ModelPublished, upload: str) -> bool:
        """A numbered version is there to be used from now on; ``upload`` is the digest of what was uploaded, if that is known.

        ``False`` if it was already, or the number is not that upload's (any more).
        """
        ...

    def adopt(self, version: ModelPublished, upload: str) -> bool:
        """Publish a version of an earlier lake; ``upload`` is the digest of its upload. ``False`` if its number was given."""
        ...

    def numbered(self, repository: str, name: str, version: int) -> bool:
        """Whether this number was given to an upload, be it published yet or not."""
        ...

    def get(self, repository: str, name: str, version: int) -> ModelPublished | None:
        """A published version."""
        ...

    def versions(self, repository: str = "", name: str = "") -> list[ModelPublished]:
        """Published versions by repository, name and number."""
        ...

    def alias(self, repository: str, name: str, alias: str) -> Alias | None: ...

    def aliases(self, repository: str = "", name: str = "") -> list[Alias]: ...

    def promote(self, alias: Alias) -> None:
        """Store what an alias means from now on."""
        ...
