"""Checkpoints leave the lake's own bucket: of a training that has ended, and of those that nobody goes on with."""

from __future__ import annotations

from datetime import datetime, timedelta

from events.event import Event, now
from events.ports import ObjectStore, Settings
from events.route import on
from events.types import ModelTrained

#: A training that failed for good, and was not replayed for so long, begins anew if it ever is.
KEPT = timedelta(days=30)


@on("dev.sluice.model.trained.v1")
def checkpoint(event: Event, data: ModelTrained, objects: ObjectStore, settings: Settings) -> None:
    """Remove what only an interrupted training needs; its progress and its curve stay."""
    objects.delete(settings.bucket, f"training/{data.run}/checkpoint")
    before = datetime.fromisoformat(now()) - KEPT
    for info in objects.list(settings.bucket, "training/"):
        if info.key.endswith("/checkpoint") and info.modified and datetime.fromisoformat(info.modified) < before:
            objects.delete(settings.bucket, info.key)
