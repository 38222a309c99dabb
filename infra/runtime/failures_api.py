"""How bindings failed, by HTTP."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.catalog.failures import Failure, last
from infra.catalog.store import Store
from infra.lake import Lake
from infra.runtime.answers import reply
from infra.runtime.catalog_work import read
from infra.runtime.operation import Operation, caller_of


class LastFailure(msgspec.Struct):
    """How a binding failed last, if it did for an object that the caller may view."""

    failure: Failure | None


class FailuresApi:
    """Shows the last failure of a binding."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        return [Operation("GET", "/bindings/{id}/failure", "read", self.last, gives=LastFailure)]

    async def last(self, request: Request) -> Response:
        """Tell how a binding failed last."""
        id, caller = f"binding/{request.path_params['id']}", caller_of(request)

        def found(store: Store) -> LastFailure:
            store.get(id, caller)
            return LastFailure(last(store.database, id, caller))

        return reply(await read(self._lake, found))
