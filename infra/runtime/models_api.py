"""Models by HTTP: which versions there are, and what their aliases mean."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from events.event import Event, now
from events.ports import Alias
from events.types import ModelPromoted, ModelPublished, PromotionRequested
from infra.access.visible import visible
from infra.catalog.resources import object_id
from infra.lake import Lake
from infra.models.table import StoredModels
from infra.runtime.answers import body, reply
from infra.runtime.operation import Operation, caller_of


class Models(msgspec.Struct):
    """The versions that the caller may view, and the aliases that mean them."""

    models: list[ModelPublished]
    aliases: list[Alias]


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version an alias shall mean; 0 is the one it meant before."""

    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class Promoted(msgspec.Struct):
    """What becomes of the alias; null if it means that already."""

    promoted: ModelPromoted | None


class ModelsApi:
    """``/models`` and what is below it."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        alias = "/models/{repository}/{name:path}/aliases/{alias}"
        return [
            Operation("GET", "/models", "read", self.models, gives=Models, query=("repository", "name")),
            Operation("PUT", alias, "write", self.promote, takes=Promotion, gives=Promoted, status=202),
        ]

    async def models(self, request: Request) -> Response:
        """List the numbered versions of models, and their aliases."""
        names = request.query_params.get("repository", ""), request.query_params.get("name", "")
        caller = caller_of(request)

        def read() -> Models:
            with self._lake.database() as database:
                stored = StoredModels(database, ())
                found = [(object_id(each.bucket, each.key), each) for each in stored.versions(*names)]
                seen = visible(database, sorted({id for id, _ in found}), caller)
                models = [each for id, each in found if id in seen]
                shown = {(each.repository, each.name, each.version) for each in models}
                aliases = [each for each in stored.aliases(*names) if (each.repository, each.name, each.version) in shown]
                return Models(models, aliases)

        return reply(await run_in_threadpool(read))

    async def promote(self, request: Request) -> Response:
        """Let an alias mean a version. It is done soon after the answer, which says what it will be."""
        place: dict[str, Any] = request.path_params
        wanted: Promotion = await body(request, Promotion)
        asked = PromotionRequested(
            repository=place["repository"], name=place["name"], version=wanted.version, alias=place["alias"]
        )
        event = Event(
            id=str(uuid.uuid4()),
            source="/http",
            type="dev.sluice.promotion.requested.v1",
            subject=f"{asked.repository}/{asked.name}",
            time=now(),
            datacontenttype="application/json",
            data=msgspec.to_builtins(asked),
        )

        def ask() -> ModelPromoted | None:
            trial = self._lake.trial("model_alias", event, lambda _, port: port)
            self._lake.append([event]).result()
            return trial[0].read(ModelPromoted) if trial else None

        return reply(Promoted(await run_in_threadpool(ask)), 202)
