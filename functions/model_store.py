"""A submitted model is read once, checked, tried, and copied to its version's own place beside its sidecar.

Most models answer within a moment. One that does not goes to a queue of its own, where only others of its kind wait for it: as
many models as never end may be uploaded, the honest ones between them are stored meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from events.errors import Reject
from events.event import Event
from events.models import Models, Repository
from events.ports import Changed, NotFound, ObjectStore
from events.route import on
from events.types import ModelRejected, ModelStored, ModelSubmitted
from functions.formats.isolated import ONNXRUNTIME, ONNXRUNTIME_SLOW, Failed
from functions.repository import layout, safety, sidecar, signature, store
from functions.repository.sidecar import Unverified

#: How long a model may take to load and to answer once, with inputs of zeros; and how long if others wait behind it.
TRIAL_SECONDS, FIRST_SECONDS = 30.0, 3.0
#: More than any record has: its metadata tells of at most so many inputs and outputs.
_RECORD = 64 << 20


@on("dev.sluice.model.submitted.v1", alone=True)
def model_store(event: Event, data: ModelSubmitted, objects: ObjectStore, models: Models) -> Iterator[Event]:
    """Store a version. A model that fails a check is rejected with its reason; one that takes long is left to the other."""
    if not data.slow:
        yield from _stored(event, data, objects, models)


@on("dev.sluice.model.submitted.v1", alone=True)
def model_trial(event: Event, data: ModelSubmitted, objects: ObjectStore, models: Models) -> Iterator[Event]:
    """Store a version that takes long to try."""
    if data.slow:
        yield from _stored(event, data, objects, models)


class _Slow(Exception):
    """The model did not answer while others wait."""


def _stored(event: Event, data: ModelSubmitted, objects: ObjectStore, models: Models) -> Iterator[Event]:
    repository = store.configured(models, data.repository)
    if repository is None:
        return  # configured no more
    subject = f"{data.repository}/{data.name}"
    version = data.version
    try:
        if not models.holds(data.repository, data.name, version, data.digest):
            version = 0
            raise Reject(f"its number, {data.version}, went to another upload meanwhile: upload it again")
        content = _read(data, repository, objects)
        signed = _signed(data, repository, content, objects)
        _try(content, f"s3://{data.object.bucket}/{data.object.key}", slow=data.slow)
        yield event.reply(_store(data, repository, content, signed, objects, event.time or ""), subject=subject)
    except _Slow:
        yield event.reply(msgspec.structs.replace(data, slow=True), subject=subject)
    except (Reject, NotFound, Changed) as error:
        gone = "it was overwritten or removed before it could be stored" if not isinstance(error, Reject) else str(error)
        wants = error.wants if isinstance(error, _Wanting) else ""
        rejected = ModelRejected(
            repository=data.repository,
            name=data.name,
            version=version,
            bucket=data.object.bucket,
            key=data.object.key,
            etag=data.object.etag,
            cause=gone,
            wants=wants,
        )
        yield event.reply(rejected, subject=subject)


class _Wanting(Reject):
    """An upload cannot be taken for want of the object at ``wants``, or because that is wrong."""

    def __init__(self, text: str, wants: str) -> None:
        super().__init__(text)
        self.wants = wants


def _read(data: ModelSubmitted, repository: Repository, objects: ObjectStore) -> bytes:
    """The uploaded bytes, once they have passed every check. Raises ``Reject``."""
    bucket, key = data.object.bucket, data.object.key
    content = b"".join(objects.stream(bucket, key, etag=data.object.etag))
    if data.format != "onnx":
        what = safety.disguise(content[:16]) or "its content says otherwise"
        raise Reject(f"s3://{bucket}/{key} is no ONNX model: {what}")
    if fault := safety.fault(data.metadata, repository.operators):
        raise Reject(f"s3://{bucket}/{key} is refused: {fault}")
    _sidecars(repository, bucket, key, content, objects)
    return content


def _sidecars(repository: Repository, bucket: str, key: str, content: bytes, objects: ObjectStore) -> None:
    """Check the upload against each sidecar that lies beside it, whatever its algorithm. Raises ``Reject``."""
    there = {info.key for info in objects.list(bucket, f"{key}.")}
    found = [algorithm for algorithm in sidecar.ALGORITHMS if sidecar.key(key, algorithm) in there]
    for algorithm in found:
        beside = sidecar.key(key, algorithm)
        try:
            told = objects.read(bucket, beside, 0, sidecar.MOST + 1)
            sidecar.check(told, algorithm, store.digest_of(content, algorithm), f"s3://{bucket}/{key}")
        except (Unverified, NotFound) as error:
            raise _Wanting(str(error), beside) from error
    if repository.sidecars and not found:
        beside = sidecar.key(key, repository.digest)
        raise _Wanting(f"s3://{bucket}/{key} has no sidecar: upload {beside}, and it is tried again", beside)


def _signed(data: ModelSubmitted, repository: Repository, content: bytes, objects: ObjectStore) -> bytes:
    """The upload's signature, checked; nothing if there is none and none is needed. Raises ``Reject``."""
    bucket, key = data.object.bucket, data.object.key
    try:
        found = objects.read(bucket, key + signature.SUFFIX, 0, signature.MOST + 1)
    except NotFound:
        if repository.signed:
            beside = key + signature.SUFFIX
            raise _Wanting(f"s3://{bucket}/{key} is not signed: upload {beside}, and it is tried again", beside) from None
        return b""
    if not repository.keys and not repository.signed:
        return b""  # nobody here could tell whether it is right
    try:
        signature.check(found, repository.keys, data.name, data.version, content, f"s3://{bucket}/{key}")
    except Unverified as error:
        raise _Wanting(str(error), key + signature.SUFFIX) from error
    return found


def _try(content: bytes, what: str, *, slow: bool) -> None:
    """Load the model and run it once, in a process with bounded memory and time. Raises ``Reject``, or ``_Slow``."""
    library, seconds = (ONNXRUNTIME_SLOW, TRIAL_SECONDS) if slow else (ONNXRUNTIME, FIRST_SECONDS)
    with TemporaryDirectory(prefix="sluice-") as folder:
        file = Path(folder) / layout.FILE
        file.write_bytes(content)
        try:
            found = library.call("infer", seconds, path=str(file))
        except Failed as error:
            if not slow and isinstance(error.__cause__, TimeoutError):
                raise _Slow from error
            raise Reject(f"{what} is refused: ONNX Runtime could not run it ({error})") from error
    for name, kind in found.get("strange", {}).items():
        advice = "export it with zipmap=False" if "map(" in kind else "export it with tensors of FP32 or another of its types"
        raise Reject(f"{what} is refused: {name!r} is a {kind}, which the inference protocol has no type for: {advice}")


def _vacant(data: ModelSubmitted, repository: Repository, content: bytes, objects: ObjectStore, time: str) -> None:
    """Raises ``Reject`` where another version lies than what this very event has stored before, if it comes again."""
    places = [make(repository.prefix, data.name, data.version) for make in (layout.file_key, layout.record_key)]
    try:
        mine = b"".join(objects.stream(repository.bucket, places[0])) == content
    except NotFound:
        mine = True
    try:
        told = msgspec.json.decode(objects.read(repository.bucket, places[1], 0, _RECORD), type=dict[str, Any])
        mine = mine and told.get("stored") == time
    except NotFound:
        pass
    except (msgspec.MsgspecError, RecursionError):
        mine = False
    if not mine:
        raise Reject(
            f"version {data.version} of {data.name} lies in s3://{repository.bucket} already, but this lake has not published "
            f"it. If an earlier lake did, take it over, and upload this one again: sluice model adopt {data.name}"
        )


def _store(
    data: ModelSubmitted, repository: Repository, content: bytes, signed: bytes, objects: ObjectStore, time: str
) -> ModelStored:
    digest = store.digest_of(content, repository.digest)
    key = layout.file_key(repository.prefix, data.name, data.version)
    _vacant(data, repository, content, objects, time)
    if signed:
        objects.write(repository.bucket, key + signature.SUFFIX, signed, content_type=store.JSON)
    info = store.write(objects, repository, key, content, "application/onnx")
    stored = ModelStored(
        repository=data.repository,
        name=data.name,
        version=data.version,
        bucket=repository.bucket,
        key=key,
        etag=info.etag,
        digest=f"{repository.digest}:{digest}",
        upload=data.digest,
        size=len(content),
        source=f"s3://{data.object.bucket}/{data.object.key}",
        metadata=data.metadata,
        metrics=data.metrics,
        datasets=data.datasets,
    )
    record = msgspec.json.format(msgspec.json.encode({"stored": time, **msgspec.to_builtins(stored)}))
    store.write(objects, repository, layout.record_key(repository.prefix, data.name, data.version), record, store.JSON)
    return stored
