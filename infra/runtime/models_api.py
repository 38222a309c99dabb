"""Models by HTTP: which versions there are, and what their aliases mean."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from events.errors import SluiceError
from events.event import Event, now
from events.models import Alias, Repository
from events.ports import NotFound
from events.types import ModelAdopted, ModelPromoted, ModelPublished, PromotionRequested
from infra.access.visible import visible
from infra.catalog.resources import object_id
from infra.lake import Lake
from infra.models.adopted import Adoption, Found
from infra.models.loader import Loader
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


class Adopt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take over what lies in a repository's bucket: of the model ``name``, or of all.

    ``aliases`` are only believed if that is said: nothing shows who wrote them. ``dry_run`` only looks.
    """

    repository: str
    name: str = ""
    aliases: bool = False
    dry_run: bool = False


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
            Operation("POST", "/models/adopt", "admin", self.adopt, takes=Adopt),
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
        event = _event("dev.sluice.promotion.requested.v1", asked)

        def ask() -> ModelPromoted | None:
            trial = self._lake.trial("model_alias", event, lambda _, port: port)
            self._lake.append([event]).result()
            return trial[0].read(ModelPromoted) if trial else None

        return reply(Promoted(await run_in_threadpool(ask)), 202)

    async def adopt(self, request: Request) -> Response:
        """Take over versions that an earlier lake published; lines of JSON tell of each, the last one ``done`` or ``error``."""
        wanted: Adopt = await body(request, Adopt)
        repository = next((each for each in self._lake.config.models if each.name == wanted.repository), None)
        if repository is None:
            raise HTTPException(404, f"there is no model repository {wanted.repository[:100]!r}; see sluice.models")
        return StreamingResponse(self._lines(self._adopted(wanted, repository)), media_type="application/x-ndjson")

    def _adopted(self, wanted: Adopt, repository: Repository) -> Iterator[Found]:
        lake = self._lake
        adoption = Adoption(
            Loader(lake.objects, repository, lake.config.models), lake.objects, lake.database, lake.config.digest
        )
        for found, event in adoption.look(wanted.name, aliases=wanted.aliases):
            if event is not None and not wanted.dry_run:
                lake.append([_event("dev.sluice.model.adopted.v1", event)]).result()
            yield from found

    async def _lines(self, found: Iterator[Found]) -> AsyncIterator[bytes]:
        try:
            async for each in iterate_in_threadpool(found):
                yield msgspec.json.encode(each) + b"\n"
            yield b'{"done": true}\n'
        except (SluiceError, NotFound) as error:
            yield msgspec.json.encode({"error": str(error)}) + b"\n"


def _event(type: str, data: PromotionRequested | ModelAdopted) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        source="/http",
        type=type,
        subject=f"{data.repository}/{data.name}",
        time=now(),
        datacontenttype="application/json",
        data=msgspec.to_builtins(data),
    )
