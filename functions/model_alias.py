"""Aliases of model versions: ``champion`` means version 3 from now on, or again what it meant before."""

from __future__ import annotations

from collections.abc import Iterator

from events.errors import Reject
from events.event import Event
from events.models import Alias, Models
from events.route import on
from events.types import ModelPromoted, PromotionRequested
from functions.repository.layout import is_alias


@on("dev.sluice.promotion.requested.v1")
def model_alias(event: Event, data: PromotionRequested, models: Models) -> Iterator[Event]:
    """Let the alias mean the version. Raises ``Reject`` for an alias nobody may use or a version that is not published."""
    what = f"{data.repository}/{data.name}"
    if not is_alias(data.alias):
        raise Reject(f"{data.alias[:60]!r} is no alias: use lower-case letters, digits and dashes, such as champion")
    before = models.alias(data.repository, data.name, data.alias)
    version = data.version or (before.previous if before else 0)
    if not version:
        raise Reject(f"{data.alias} of {what} meant no other version before, so there is nothing to roll back to")
    found = models.get(data.repository, data.name, version)
    if found is None:
        known = ", ".join(str(each.version) for each in models.versions(data.repository, data.name)) or "none"
        raise Reject(f"{what} has no published version {version}; published are: {known}")
    if before is not None and before.version == version:
        return
    previous = before.version if before else 0
    alias = Alias(repository=data.repository, name=data.name, alias=data.alias, version=version, previous=previous)
    models.promote(alias)
    promoted = ModelPromoted(
        repository=data.repository,
        name=data.name,
        version=version,
        alias=data.alias,
        digest=found.digest,
        previous=previous,
        bucket=found.bucket,
        key=found.key,
    )
    yield event.reply(promoted, subject=what)
