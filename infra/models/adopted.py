"""A lake that was rebuilt over an old bucket takes over the versions that an earlier one published there.

The bucket tells everything about them, but that it may be believed only an operator can say: who may write it could have put
anything there. Each version is verified as at any load, and keeps its number; what this lake knows already is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

import msgspec

from events.ports import NotFound, ObjectStore
from events.types import ModelAdopted
from functions.repository import layout
from functions.repository.sidecar import Unverified
from functions.repository.store import digest_of
from infra.catalog.database import Database
from infra.models.loader import Loader, Verified
from infra.models.table import StoredModels


class Found(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A version in the bucket, or an ``alias`` that means it, and what becomes of it.

    ``adopted`` (soon after it is told), ``known`` (the lake has it already), ``left`` (an alias, unless those are asked for) or
    ``refused``, for this ``cause``.
    """

    name: str
    version: int = 0
    alias: str = ""
    state: Literal["adopted", "known", "left", "refused"]
    digest: str = ""
    cause: str = ""


class Adoption:
    """Of what lies in one repository. ``reading`` opens the catalogue's database, which knows objects by ``digest``."""

    def __init__(
        self, loader: Loader, objects: ObjectStore, reading: Callable[[], AbstractContextManager[Database]], digest: str
    ) -> None:
        self._loader, self._objects, self._reading, self._digest = loader, objects, reading, digest
        self._repository = loader.repository

    def look(self, name: str = "", *, aliases: bool = False) -> Iterator[tuple[list[Found], ModelAdopted | None]]:
        """What is found of each version in turn, of one model or of all, and the event that adopts it, if anything is to be."""
        for each in [name] if name else self._loader.names():
            meant, broken = self._aliases(each)
            for version in self._loader.versions(each):
                yield self._version(each, version, meant.pop(version, []), aliases=aliases)
            broken += [_refused(each, 0, "its version is not there", alias) for lost in meant.values() for alias in lost]
            yield broken, None

    def _version(self, name: str, number: int, meant: list[str], *, aliases: bool) -> tuple[list[Found], ModelAdopted | None]:
        repository = self._repository
        with self._reading() as database:
            known = StoredModels(database, ())
            numbered = known.numbered(repository.name, name, number)
            published = known.get(repository.name, name, number)
            taken = {each.alias: each.version for each in known.aliases(repository.name, name)}
        if numbered and published is None:
            return [_refused(name, number, "this lake gives that number to an upload just now")], None
        try:
            etag = self._objects.head(repository.bucket, layout.file_key(repository.prefix, name, number)).etag
            model = self._loader.load(name, number)
        except (Unverified, NotFound) as error:
            return [_refused(name, number, str(error))], None
        digest = model.record.digest
        if published is not None and published.digest != digest:
            return [_refused(name, number, f"this lake published another content as that: {published.digest}")], None
        found = [Found(name=name, version=number, state="known" if published else "adopted", digest=digest)]
        found += [_alias(name, number, alias, taken.get(alias, 0), wanted=aliases) for alias in meant]
        wanted = [each.alias for each in found if each.alias and each.state == "adopted"]
        return found, None if published and not wanted else self._event(model, etag, wanted)

    def _event(self, model: Verified, etag: str, aliases: list[str]) -> ModelAdopted:
        record = model.record
        return ModelAdopted(
            repository=self._repository.name, name=record.name, version=record.version, bucket=self._repository.bucket,
            key=record.key, etag=etag, digest=record.digest, size=record.size, source=record.source,
            metadata=record.metadata, metrics=record.metrics, datasets=record.datasets,
            upload=f"{self._digest}:{digest_of(model.content, self._digest)}", aliases=aliases,
        )  # fmt: skip

    def _aliases(self, name: str) -> tuple[dict[int, list[str]], list[Found]]:
        """The aliases in the bucket by the version that they mean, and those that cannot be believed."""
        meant, broken = dict[int, list[str]](), list[Found]()
        for alias in self._loader.aliases(name):
            try:
                meant.setdefault(self._loader.resolve(name, alias), []).append(alias)
            except Unverified as error:
                broken.append(_refused(name, 0, str(error), alias))
        return meant, broken


def _alias(name: str, version: int, alias: str, means: int, *, wanted: bool) -> Found:
    """What becomes of an alias in the bucket that in this lake means a version now (0: none)."""
    if means and means != version:
        return _refused(name, version, f"in this lake it means version {means}", alias)
    return Found(name=name, version=version, alias=alias, state="known" if means else "adopted" if wanted else "left")


def _refused(name: str, version: int, cause: str, alias: str = "") -> Found:
    return Found(name=name, version=version, alias=alias, state="refused", cause=cause)
