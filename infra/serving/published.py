"""What the lake beside a server has published: which digest a version has, and which version an alias means.

The bucket alone shows that its parts agree. Whoever may write all of them - a file, its record, their sidecars, an alias - can
make them agree about something else; not so with what the lake wrote down when it published. Where there is none, signatures
protect.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from functions.repository.layout import alias_key
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader


class Register(Protocol):
    """A lake's API."""

    def get(self, path: str, **parameters: Any) -> Any: ...


class Published:
    """One repository as its lake told of it last. Nothing is vouched for until ``look`` has succeeded once."""

    def __init__(self, lake: Register, repository: str) -> None:
        self._lake, self._repository = lake, repository
        self._digests: dict[tuple[str, int], str] | None = None
        self._aliases: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def look(self, name: str = "") -> None:
        """Ask again, of one model or of all. Raises what the lake's client does; then what was known stays known."""
        with self._lock:
            told = self._lake.get("/models", repository=self._repository, name=name)
            digests = {(each["name"], each["version"]): each["digest"] for each in told["models"]}
            aliases = {(each["name"], each["alias"]): each["version"] for each in told["aliases"]}
            if name and self._digests is not None:
                digests |= {place: digest for place, digest in self._digests.items() if place[0] != name}
                aliases |= {place: version for place, version in self._aliases.items() if place[0] != name}
            if not name or self._digests is not None:
                self._digests, self._aliases = digests, aliases

    def alias(self, name: str, alias: str) -> int:
        """The version that the lake lets an alias mean, or 0."""
        return self._aliases.get((name, alias), 0)

    def check(self, name: str, version: int, digest: str = "") -> None:
        """Raises ``Unverified`` unless the lake has published this version, and with this ``digest`` (if given)."""
        if self._digests is None:
            raise Unverified("the lake beside this server has not told yet what it has published")
        known = self._digests.get((name, version))
        if known is None:
            raise Unverified(
                f"version {version} of {name} lies in the bucket, but the lake has not published it: somebody put it there"
            )
        if digest and digest != known:
            raise Unverified(
                f"version {version} of {name} is not what the lake has published ({known}): all of its parts were replaced. "
                "Restore them, or publish the model again"
            )


def meant(loader: Loader, published: Published | None, name: str, alias: str, followed: bool = False) -> int:
    """The version that an alias means, or 0 where there is no such alias and never was one.

    ``followed`` says that there was one. Raises ``Unverified`` for an alias that is gone, or that the lake knows otherwise.
    """
    at = f"s3://{loader.repository.bucket}/{alias_key(loader.repository.prefix, name, alias)}"
    told = published.alias(name, alias) if published is not None else 0
    if not loader.has_alias(name, alias):
        if told or followed:
            raise Unverified(f"{at} is missing: the alias {alias} was there before. Promote a version again")
        return 0
    version = loader.resolve(name, alias)
    if published is not None and told != version:
        raise Unverified(
            f"{at} means version {version}, but the lake has promoted "
            f"{f'version {told}' if told else 'none'}: it was put there, or is not written yet"
        )
    return version
