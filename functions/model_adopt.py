"""A version that an earlier lake published is this lake's own: it was verified in the bucket, and keeps its number."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.models import Models
from events.route import on
from events.types import ModelAdopted, ModelPublished, PromotionRequested
from events.types.models import StoredModel


@on("dev.sluice.model.adopted.v1")
def model_adopt(event: Event, data: ModelAdopted, models: Models) -> Iterator[Event]:
    """Publish the version unless its number was given already; let the aliases mean it that mean nothing yet."""
    version = ModelPublished(**{name: getattr(data, name) for name in StoredModel.__struct_fields__})
    what = f"{data.repository}/{data.name}"
    if models.adopt(version, data.upload):
        yield event.reply(version, subject=what)
    known = {each.alias for each in models.aliases(data.repository, data.name)}
    for alias in data.aliases:
        if alias not in known:
            wanted = PromotionRequested(repository=data.repository, name=data.name, version=data.version, alias=alias)
            yield event.reply(wanted, subject=what)
