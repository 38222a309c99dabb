"""What an alias means is written to the bucket, which alone tells a server everything."""

from __future__ import annotations

import msgspec

from events.event import Event
from events.models import Models
from events.ports import ObjectStore
from events.route import on
from events.types import ModelPromoted
from functions.repository import layout, store


@on("dev.sluice.model.promoted.v1")
def alias_store(event: Event, data: ModelPromoted, objects: ObjectStore, models: Models) -> None:
    """Write what the alias means now: the last word, however late this event comes."""
    repository, now = store.configured(models, data.repository), models.alias(data.repository, data.name, data.alias)
    version = models.get(data.repository, data.name, now.version) if now else None
    if repository is None or now is None or version is None:
        return
    document = {"name": now.name, "alias": now.alias, "version": now.version, "digest": version.digest}
    key = layout.alias_key(repository.prefix, now.name, now.alias)
    store.write(objects, repository, key, msgspec.json.encode(document), store.JSON)
