"""A submitted model is read once, checked, tried, and copied to its version's own place beside its sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from events.errors import Reject
from events.event import Event
from events.ports import Changed, Models, NotFound, ObjectStore, Repository
from events.route import on
from events.types import ModelPromoted, ModelRejected, ModelStored, ModelSubmitted
from functions.formats.isolated import ONNXRUNTIME, Failed
from functions.repository import layout, safety, sidecar, signature

#: How long a model may take to load and to answer once, with inputs of zeros.
TRIAL_SECONDS = 30.0
JSON = "application/json"


@on("dev.sluice.model.submitted.v1", "dev.sluice.model.promoted.v1")
def model_store(event: Event, objects: ObjectStore, models: Models) -> Iterator[Event]:
    """Store a version, or what an alias means. A model that fails a check is rejected with its reason."""
    if event.type == "dev.sluice.model.promoted.v1":
        _alias(event.read(ModelPromoted), objects, models)
        return
    data = event.read(ModelSubmitted)
    repository = _repository(models, data.repository)
    if repository is None:
        return  # configured no more
    subject = f"{data.repository}/{data.name}"
    try:
        content = _read(data, repository, objects)
        signed = _signed(data, repository, content, objects)
        _try(content, f"s3://{data.object.bucket}/{data.object.key}")
        yield event.reply(_store(data, repository, content, signed, objects, event.time or ""), subject=subject)
    except (Reject, NotFound, Changed) as error:
        gone = "it was overwritten or removed before it could be stored" if not isinstance(error, Reject) else str(error)
        rejected = ModelRejected(
            repository=data.repository,
            name=data.name,
            version=data.version,
            bucket=data.object.bucket,
            key=data.object.key,
            etag=data.object.etag,
            cause=gone,
        )
        yield event.reply(rejected, subject=subject)


def _read(data: ModelSubmitted, repository: Repository, objects: ObjectStore) -> bytes:
    """The uploaded bytes, once they have passed every check. Raises ``Reject``."""
    bucket, key = data.object.bucket, data.object.key
    content = b"".join(objects.stream(bucket, key, etag=data.object.etag))
    if data.format != "onnx":
        what = safety.disguise(content[:16]) or "its content says otherwise"
        raise Reject(f"s3://{bucket}/{key} is no ONNX model: {what}")
    if fault := safety.fault(data.metadata, repository.operators):
        raise Reject(f"s3://{bucket}/{key} is refused: {fault}")
    beside = sidecar.key(key, repository.digest)
    try:
        told = objects.read(bucket, beside, 0, sidecar.MOST + 1)
    except NotFound:
        if repository.sidecars:
            raise Reject(f"s3://{bucket}/{key} has no sidecar: upload {beside} first, then the model again") from None
    else:
        sidecar.check(told, repository.digest, _digest(content, repository.digest), f"s3://{bucket}/{key}")
    return content


def _signed(data: ModelSubmitted, repository: Repository, content: bytes, objects: ObjectStore) -> bytes:
    """The upload's signature, checked; nothing if there is none and none is needed. Raises ``Reject``."""
    bucket, key = data.object.bucket, data.object.key
    try:
        found = objects.read(bucket, key + signature.SUFFIX, 0, signature.MOST + 1)
    except NotFound:
        if repository.signed:
            raise Reject(
                f"s3://{bucket}/{key} is not signed: upload {key}{signature.SUFFIX} first, then the model again"
            ) from None
        return b""
    if not repository.keys and not repository.signed:
        return b""  # nobody here could tell whether it is right
    signature.check(found, repository.keys, data.name, data.version, content, f"s3://{bucket}/{key}")
    return found


def _try(content: bytes, what: str) -> None:
    """Load the model and run it once, in a process with bounded memory and time. Raises ``Reject``."""
    with TemporaryDirectory(prefix="sluice-") as folder:
        file = Path(folder) / layout.FILE
        file.write_bytes(content)
        try:
            ONNXRUNTIME.call("infer", TRIAL_SECONDS, path=str(file))
        except Failed as error:
            raise Reject(f"{what} is refused: ONNX Runtime could not run it ({error})") from error


def _store(
    data: ModelSubmitted, repository: Repository, content: bytes, signed: bytes, objects: ObjectStore, time: str
) -> ModelStored:
    digest = _digest(content, repository.digest)
    key = layout.file_key(repository.prefix, data.name, data.version)
    if signed:
        objects.write(repository.bucket, key + signature.SUFFIX, signed, content_type=JSON)
    info = _write(objects, repository, key, content, "application/onnx", digest)
    stored = ModelStored(
        repository=data.repository,
        name=data.name,
        version=data.version,
        bucket=repository.bucket,
        key=key,
        etag=info,
        digest=f"{repository.digest}:{digest}",
        size=len(content),
        source=f"s3://{data.object.bucket}/{data.object.key}",
        metadata=data.metadata,
    )
    record = msgspec.json.format(msgspec.json.encode({"stored": time, **msgspec.to_builtins(stored)}))
    _write(objects, repository, layout.record_key(repository.prefix, data.name, data.version), record, JSON)
    return stored


def _alias(data: ModelPromoted, objects: ObjectStore, models: Models) -> None:
    """Write what the alias means now: the last word, however late this event comes."""
    repository, now = _repository(models, data.repository), models.alias(data.repository, data.name, data.alias)
    version = models.get(data.repository, data.name, now.version) if now else None
    if repository is None or now is None or version is None:
        return
    document = {"name": now.name, "alias": now.alias, "version": now.version, "digest": version.digest}
    _write(objects, repository, layout.alias_key(repository.prefix, now.name, now.alias), msgspec.json.encode(document), JSON)


def _write(objects: ObjectStore, repository: Repository, key: str, content: bytes, kind: str, digest: str = "") -> str:
    """Write a file and its sidecar, the sidecar first: a file that is seen has one. Returns the file's ETag."""
    digest = digest or _digest(content, repository.digest)
    beside = sidecar.text(digest, key.rsplit("/", 1)[-1])
    objects.write(repository.bucket, sidecar.key(key, repository.digest), beside, content_type="text/plain")
    return objects.write(repository.bucket, key, content, content_type=kind).etag


def _digest(content: bytes, algorithm: str) -> str:
    made = sidecar.hasher(algorithm)
    made.update(content)
    digest: str = made.hexdigest()
    return digest


def _repository(models: Models, name: str) -> Repository | None:
    return next((found for found in models.repositories() if found.name == name), None)
