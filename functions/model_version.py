"""A new or changed object in a model repository becomes a numbered version, and subscribers hear of it."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.ports import Models
from events.route import on
from events.types import CatalogUpdated, ModelPublished


@on("dev.sluice.catalog.updated.v1")
def model_version(event: Event, data: CatalogUpdated, models: Models) -> Iterator[Event]:
    """Number the version, unless its content is the latest version's already."""
    if data.change != "upserted" or data.format != "onnx":
        return
    for repository, bucket, prefix in models.repositories():
        if bucket != data.bucket or not data.key.startswith(prefix):
            continue
        name = model_name(data.key[len(prefix) :])
        latest = models.latest(repository, name)
        if latest and latest.digest == data.digest:
            continue
        version = ModelPublished(
            repository=repository,
            name=name,
            version=latest.version + 1 if latest else 1,
            bucket=data.bucket,
            key=data.key,
            etag=data.etag,
            digest=data.digest,
            size=data.size,
            metadata=data.metadata,
        )
        models.add(version)
        yield event.reply(version, subject=f"{repository}/{name}")


def model_name(path: str) -> str:
    """``NAME`` of ``NAME/model.onnx`` or ``NAME.onnx``, the path being below the repository's prefix."""
    return path.removeprefix("/").removesuffix(".onnx").removesuffix("/model")
