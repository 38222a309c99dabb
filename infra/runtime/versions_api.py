"""The versions of objects by HTTP."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from events.ports import NotFound
from infra.catalog.resources import DataObject
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.runtime import versions
from infra.runtime.answers import reply
from infra.runtime.catalog_work import read
from infra.runtime.operation import Operation, caller_of


class VersionsApi:
    """Lists what the stores have kept."""

    def __init__(self, lake: Lake, objects: Providers | None) -> None:
        self._lake, self._objects = lake, objects

    def operations(self) -> list[Operation]:
        gives = versions.Versions
        return [Operation("GET", "/data-objects/{id}/versions", "read", self.listed, gives=gives, query=("after",))]

    async def listed(self, request: Request) -> Response:
        """List the versions of an object that its store has kept, the newest first."""
        id, caller = f"data-object/{request.path_params['id']}", caller_of(request)
        found = await read(self._lake, lambda store: store.get(id, caller))
        if self._objects is None or not isinstance(found, DataObject):
            raise NotFound("there is no object store here")
        after = request.query_params.get("after", "")
        return reply(await run_in_threadpool(versions.listed, self._lake, self._objects, found, caller, after))
