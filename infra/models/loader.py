"""Load a version of a model: its bytes are read once, and the very bytes that were hashed are the ones that are given out.

A version is loaded if its record, its file, their sidecars and its signature (where the repository has keys) agree about it,
and it is nothing that would have been refused; an alias if its own sidecar agrees. Nothing else is asked, so the bucket alone
is enough: a container that has no catalogue checks the same. What belongs to a repository within this one is not there for it:
that one may ask for signatures which this one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import msgspec

from events.models import Repository
from events.ports import NotFound, ObjectStore
from functions.repository import layout, onnx_model, safety, sidecar
from functions.repository.protobuf import Malformed
from functions.repository.sidecar import Unverified
from infra.models.room import room


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What ``version.json`` tells of a version."""

    name: str
    version: int
    key: str
    digest: str
    size: int
    stored: str = ""
    source: str = ""
    metadata: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    datasets: list[str] = []


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What an alias's object tells."""

    name: str
    alias: str
    version: int
    digest: str


class Verified(msgspec.Struct, frozen=True):
    """A model that was checked: its record, and its bytes."""

    record: Record
    content: bytes


def within(repository: Repository, others: Iterable[Repository]) -> list[Repository]:
    """Those of ``others`` that lie within a repository, whose objects are theirs."""
    bucket, prefix = repository.bucket, repository.prefix
    return [each for each in others if each.bucket == bucket and each.prefix != prefix and each.prefix.startswith(prefix)]


class Loader:
    """Loads from one repository. ``others`` are whichever else are configured: what lies in one of them is not loaded here."""

    def __init__(self, objects: ObjectStore, repository: Repository, others: Iterable[Repository] = ()) -> None:
        self._objects, self.repository = objects, repository
        self._inner = [each.prefix for each in within(repository, others)]

    def owns(self, key: str) -> bool:
        """Whether an object is this repository's: where prefixes contain each other, it belongs to the innermost."""
        return key.startswith(self.repository.prefix) and not any(key.startswith(prefix) for prefix in self._inner)

    def load(self, name: str, version: int) -> Verified:
        """Raises ``Unverified`` for anything that is missing or does not agree."""
        record = self.record(name, version)
        algorithm = record.digest.partition(":")[0]  # the repository's may be another by now
        digest, content = self._read(record.key, [algorithm], record.size)
        if record.digest != f"{algorithm}:{digest}" or record.size != len(content):
            raise Unverified(
                f"{self._at(record.key)} is not version {version} of {name}: its record names another digest. "
                "Something replaced it; publish the model again"
            )
        self._signed(record, content)
        self._harmless(record, content)
        return Verified(record, content)

    def record(self, name: str, version: int) -> Record:
        """What a version is. Raises ``Unverified``."""
        key = layout.record_key(self.repository.prefix, name, version)
        record: Record = self._document(key, Record)
        if record.digest.partition(":")[0] not in sidecar.ALGORITHMS:
            raise Unverified(f"{self._at(key)} names the digest {record.digest[:60]!r}, of an algorithm nobody here knows")
        file = layout.file_key(self.repository.prefix, name, version)
        if (record.name, record.version, record.key) != (name, version, file):
            raise Unverified(f"{self._at(key)} is the record of version {record.version} of {record.name}: it was put there")
        return record

    def resolve(self, name: str, alias: str) -> int:
        """The version that an alias means. Raises ``Unverified``."""
        key = layout.alias_key(self.repository.prefix, name, alias)
        found: Meaning = self._document(key, Meaning)
        if (found.name, found.alias) != (name, alias):
            raise Unverified(f"{self._at(key)} is the alias {found.alias} of {found.name}: it was put there")
        if self.record(name, found.version).digest != found.digest:
            raise Unverified(f"{self._at(key)} names another digest than version {found.version} has: one of them was replaced")
        return found.version

    def has_alias(self, name: str, alias: str) -> bool:
        """Whether the bucket has this alias, or a part of it."""
        key = layout.alias_key(self.repository.prefix, name, alias)
        return any(True for _ in self._listed(key))

    def aliases(self, name: str) -> list[str]:
        """The aliases of a model that lie in the bucket, whether or not they can be believed."""
        folder = layout.alias_key(self.repository.prefix, name, "").removesuffix(".json")
        files = (found.removeprefix(folder) for found in self._listed(folder))
        return sorted({file.removesuffix(".json") for file in files if file.endswith(".json") and "/" not in file})

    def names(self) -> list[str]:
        """The models that have a version in the bucket."""
        prefix = self.repository.prefix
        places = (layout.place(key[len(prefix) :]) for key in self._listed(prefix))
        return sorted({place.name for place in places if place and place.version and place.file == layout.FILE})

    def versions(self, name: str) -> list[int]:
        """The numbers of the versions that lie in the bucket, whether or not they could be loaded."""
        folder = layout.file_key(self.repository.prefix, name, 0)[: -len(f"0/{layout.FILE}")]
        found = {
            place.version
            for key in self._listed(folder)
            if (place := layout.place(key[len(self.repository.prefix) :]))
            and (place.name, place.file) == (name, layout.FILE)
            and place.version
        }
        return sorted(found)

    def _listed(self, start: str) -> Iterator[str]:
        """The repository's own keys that begin so."""
        return (info.key for info in self._objects.list(self.repository.bucket, start) if self.owns(info.key))

    def _document(self, key: str, kind: type[Any]) -> Any:
        configured = self.repository.digest  # now; it may have been another when this was written
        _, content = self._read(key, [configured, *(each for each in sidecar.ALGORITHMS if each != configured)])
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise Unverified(f"{self._at(key)} cannot be read: {error}") from error

    def _sidecar(self, key: str, algorithms: Sequence[str]) -> tuple[str, bytes]:
        """The first of these algorithms by which a file is checked, and its sidecar. Raises ``NotFound``."""
        for algorithm in algorithms:
            with suppress(NotFound):
                return algorithm, self._objects.read(self.repository.bucket, sidecar.key(key, algorithm), 0, sidecar.MOST + 1)
        raise NotFound(f"{self._at(key)}.*asc")

    def _harmless(self, record: Record, content: bytes) -> None:
        """Raises ``Unverified`` for what would not have been published: it may have been put there by other ways."""
        try:
            fault = safety.fault(onnx_model.read(content), self.repository.operators)
        except Malformed as error:
            fault = f"it is no ONNX model that can be used: {error}"
        if fault:
            raise Unverified(f"{self._at(record.key)} is refused: {fault}")

    def _signed(self, record: Record, content: bytes) -> None:
        """Raises ``Unverified`` for a signature that is wrong, or missing where one is needed."""
        keys, needed = self.repository.keys, self.repository.signed
        if not keys and not needed:
            return
        from functions.repository import signature  # a server that checks none starts without cryptography

        try:
            found = self._objects.read(self.repository.bucket, record.key + signature.SUFFIX, 0, signature.MOST + 1)
        except NotFound as error:
            if needed:
                raise Unverified(f"{self._at(record.key)} is not signed, but the repository's `signed` asks for it") from error
            return
        signature.check(found, keys, record.name, record.version, content, self._at(record.key))

    def _read(self, key: str, algorithms: Sequence[str], size: int = 0) -> tuple[str, bytes]:
        """A file's digest and bytes, read once and checked against its sidecar, which is by one of ``algorithms``.

        ``size`` is a guess. Raises ``Unverified``.
        """
        if not self.owns(key):
            raise Unverified(f"{self._at(key)} belongs to another model repository, which lies within {self.repository.name}")
        content, bucket = room(size), self.repository.bucket
        try:
            algorithm, told = self._sidecar(key, algorithms)
            hashed = sidecar.hasher(algorithm)
            with closing(self._objects.stream(bucket, key)) as chunks:
                for chunk in chunks:
                    hashed.update(chunk)
                    content.write(chunk)
        except NotFound as error:
            raise Unverified(
                f"{self._at(key)} cannot be checked: it or its sidecar .{algorithms[0]}asc is missing ({error})"
            ) from error
        content.truncate()  # to what came
        digest, read = hashed.hexdigest(), content.getvalue()
        sidecar.check(told, algorithm, digest, self._at(key), key.rsplit("/", 1)[-1])
        return digest, read

    def _at(self, key: str) -> str:
        return f"s3://{self.repository.bucket}/{key}"
