"""New content in a model repository becomes a numbered version: submitted here, checked and copied, then published here.

Of each model one upload at a time is decided on, so that a version's number is always one more than what is published: who
signs one knows it. What is uploaded meanwhile waits its turn.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from events.errors import Reject
from events.event import Event
from events.models import Models, Repository
from events.ports import Catalog, Entry
from events.route import on
from events.types import (
    CatalogUpdated,
    DeliveryFailed,
    ModelPublished,
    ModelRejected,
    ModelStored,
    ModelSubmitted,
    ObjectVersion,
)
from events.types.models import StoredModel
from functions.repository import layout, sidecar, store, told
from functions.repository.layout import FILE, RECORD, Place, place

#: Who decides on an upload, and what goes back and forth between them.
_DECIDING = ("model_store", "model_trial", "model_version")
_STORED = "dev.sluice.model.stored.v1"
_ON_ITS_WAY = ("dev.sluice.model.submitted.v1", _STORED, "dev.sluice.model.rejected.v1")


@on(
    "dev.sluice.catalog.updated.v1",
    "dev.sluice.model.stored.v1",
    "dev.sluice.model.rejected.v1",
    "dev.sluice.delivery.failed.v1",
)
def model_version(event: Event, models: Models, catalog: Catalog) -> Iterator[Event]:
    """Number an upload, publish what was stored, forget the number of what was rejected, and go on with the next upload.

    What was rejected for its sidecar or signature keeps its number, and is submitted again when that comes.
    """
    if event.type == "dev.sluice.model.stored.v1":
        stored = event.read(ModelStored)
        version = ModelPublished(**{name: getattr(stored, name) for name in StoredModel.__struct_fields__})
        if models.publish(version, stored.upload):
            yield event.reply(version, subject=f"{version.repository}/{version.name}")
        yield from _next(event, version.repository, version.name, models)
    elif event.type == "dev.sluice.model.rejected.v1":
        rejected = event.read(ModelRejected)
        if not _is_version(rejected, models):  # what became of a version's own objects says nothing of an upload on its way
            yield from _withdrawn(event, rejected, models, catalog)
    elif event.type == "dev.sluice.delivery.failed.v1":
        failure = event.read(DeliveryFailed)
        if failure.function in _DECIDING and failure.type in _ON_ITS_WAY:
            yield from _failed(event, failure.type == _STORED, models)
    else:
        data = event.read(CatalogUpdated)
        if repository := _repository(data, models):
            path = data.key[len(repository.prefix) :]
            found, upload = place(path), layout.beside(path)
            if found is not None:
                yield from _changed(event, data, repository, found, models, catalog)
            elif upload and data.change == "upserted" and (of := place(upload)):
                entry = catalog.get(data.bucket, data.key[: len(data.key) - len(path)] + upload)
                yield from _again(event, repository, of.name, entry, models)


def _withdrawn(event: Event, rejected: ModelRejected, models: Models, catalog: Catalog) -> Iterator[Event]:
    """Its number is free again, unless it waits for a sidecar or signature: that may have come before this event."""
    waits = bool(rejected.wants)
    if models.withdraw(rejected.repository, rejected.name, rejected.version, waiting=waits) and waits:
        repository = store.configured(models, rejected.repository)
        if repository is not None:
            yield from _again(event, repository, rejected.name, catalog.get(rejected.bucket, rejected.key), models)
    yield from _next(event, rejected.repository, rejected.name, models)


def _failed(event: Event, stored: bool, models: Models) -> Iterator[Event]:
    """Nobody will decide on this upload unless a dead letter is replayed: others go before it. It is ``REPOSITORY/NAME``'s."""
    subject = event.subject or ""
    for repository in models.repositories():
        if subject.startswith(f"{repository.name}/"):
            name = subject.removeprefix(f"{repository.name}/")
            models.fail(repository.name, name, stored=stored)
            yield from _next(event, repository.name, name, models)


def _next(event: Event, repository: str, name: str, models: Models) -> Iterator[Event]:
    """Submit what was uploaded while another upload of this model was undecided."""
    if submitted := models.next(repository, name):
        yield event.reply(submitted, subject=f"{repository}/{name}")


def _is_version(rejected: ModelRejected, models: Models) -> bool:
    """Whether the object that was rejected is a part of a version, not what somebody uploaded."""
    prefix = next((each.prefix for each in models.repositories() if each.name == rejected.repository), "")
    found = place(rejected.key.removeprefix(prefix))
    return found is not None and found.version > 0


def _repository(data: CatalogUpdated, models: Models) -> Repository | None:
    """The repository that the object lies in: the innermost, where prefixes contain each other."""
    holding = (each for each in models.repositories() if each.bucket == data.bucket and data.key.startswith(each.prefix))
    return max(holding, key=lambda each: len(each.prefix), default=None)


def _changed(
    event: Event, data: CatalogUpdated, repository: Repository, found: Place, models: Models, catalog: Catalog
) -> Iterator[Event]:
    """What a change of the object at ``found`` means."""
    if found.version:
        yield from _watch(event, data, repository, found, models)
    elif data.change == "failed":
        entry = catalog.get(data.bucket, data.key)
        why = f": {entry.cause}" if entry is not None and entry.etag == data.etag and entry.cause else ""
        yield _rejected(event, data, repository, found, f"it is no ONNX model that can be used{why}")
    elif data.change == "upserted":
        entry = catalog.get(data.bucket, data.key)
        user = entry.user if entry is not None and entry.etag == data.etag else {}
        try:
            upload = _submission(repository, found.name, data, user)
        except Reject as error:
            yield _rejected(event, data, repository, found, str(error))
            return
        if version := models.submit(upload):
            yield event.reply(msgspec.structs.replace(upload, version=version), subject=f"{repository.name}/{found.name}")
        else:
            yield from _next(event, repository.name, found.name, models)


def _again(event: Event, repository: Repository, name: str, entry: Entry | None, models: Models) -> Iterator[Event]:
    """Submit an upload that waited, if it still lies there."""
    if entry is None or entry.state != "ready":
        return
    try:
        upload = _submission(repository, name, entry, entry.user)
    except Reject:
        return  # that was told when it was uploaded
    if version := models.resubmit(repository.name, name, entry.digest):
        yield event.reply(msgspec.structs.replace(upload, version=version), subject=f"{repository.name}/{name}")


def _submission(repository: Repository, name: str, data: CatalogUpdated | Entry, user: dict[str, str]) -> ModelSubmitted:
    """An upload that has no number yet. Raises ``Reject`` for what is told beside it."""
    metrics, datasets = told.read(user)
    return ModelSubmitted(
        repository=repository.name,
        name=name,
        version=0,
        object=ObjectVersion(**{each: getattr(data, each) for each in ObjectVersion.__struct_fields__}),
        digest=data.digest,
        format=data.format,
        metadata=data.metadata,
        metrics=metrics,
        datasets=datasets,
    )


def _watch(event: Event, data: CatalogUpdated, repository: Repository, found: Place, models: Models) -> Iterator[Event]:
    """A version is written once, and by the lake: whoever puts one there, or changes or removes a part of it, is told on."""
    if data.change != "removed" and found.file == FILE and not models.numbered(repository.name, found.name, found.version):
        cause = (
            f"version {found.version} was never published: somebody put it there. It will not be served where the lake can be "
            f"asked; upload to {found.name}/{FILE}, which becomes the next version. If an earlier lake published it, take it "
            f"over: sluice model adopt {found.name}"
        )
        yield _rejected(event, data, repository, found, cause)
        return
    version = models.get(repository.name, found.name, found.version)
    if version is None:
        return
    algorithm = version.digest.partition(":")[0]  # of that time; the repository's may be another by now
    parts = (FILE, RECORD, *(sidecar.key(name, algorithm) for name in (FILE, RECORD)))
    if found.file not in parts or (data.change != "removed" and not _altered(data, found, version)):
        return
    how = "was removed" if data.change == "removed" else "was overwritten: its content is not what was published"
    cause = f"version {found.version}: its {found.file} {how}. It will not be loaded; restore it, or publish the model again"
    yield _rejected(event, data, repository, found, cause)


def _altered(data: CatalogUpdated, found: Place, version: ModelPublished) -> bool:
    """Whether what lies there now is other than what was written. The record's time is not known here: every load checks it."""
    if found.file == FILE:
        return data.etag != version.etag  # its list or labels may change
    if data.change == "failed":
        return True  # it is empty: what was written never is
    algorithm, _, digest = data.digest.partition(":")
    if found.file == RECORD or algorithm not in sidecar.ALGORITHMS:
        return False
    wanted, _, content = version.digest.partition(":")
    if found.file != sidecar.key(FILE, wanted):
        return False
    return digest != store.digest_of(sidecar.text(content, FILE), algorithm)


def _rejected(event: Event, data: CatalogUpdated, repository: Repository, found: Place, cause: str) -> Event:
    rejected = ModelRejected(
        repository=repository.name,
        name=found.name,
        bucket=data.bucket,
        key=data.key,
        etag=data.etag,
        cause=cause,
        version=found.version,
    )
    return event.reply(rejected, subject=f"{repository.name}/{found.name}")
