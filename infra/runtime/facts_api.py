"""The API's part about what is known: why something holds, and which shelters people can reach."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.catalog.database import Database
from infra.lake import Lake
from infra.runtime.answers import number, reply
from infra.runtime.operation import Operation
from infra.semantics.shelters import shelters
from infra.semantics.why import why


class FactsApi:
    """``/facts/...``. Facts have no access lists of their own."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/facts/why", "graph", self.why, query=("subject", "class")),
            Operation("GET", "/facts/shelters", "graph", self.shelters, query=("person", "limit", "after")),
        ]

    async def why(self, request: Request) -> Response:
        """Prove that a subject belongs to a class, else to those that it is known to belong to by inference."""
        subject, kind = request.query_params.get("subject", ""), request.query_params.get("class", "")
        if not subject:
            raise HTTPException(400, "subject= is missing: the IRI of what to explain")

        def ask() -> dict[str, Any]:
            announced, knowledge = self._lake.config.settings.announce, self._lake.knowledge

            def read(connection: Any) -> dict[str, Any]:  # where changes are made: only there is the reasoner at the present
                return why(Database(connection), knowledge, subject, kind, announced)

            return self._lake.catalog.writer.submit(read).result()

        return reply(await run_in_threadpool(ask))

    async def shelters(self, request: Request) -> Response:
        """List each person's reachable shelters, with the way to the nearest if only one person is asked for."""
        if self._lake.graph is None:
            raise HTTPException(404, "this process has no graph store open")
        asked = request.query_params
        limit, person, after = number(request, "limit", 1000), asked.get("person", ""), asked.get("after", "")
        return reply(await run_in_threadpool(partial(shelters, self._lake.graph, person, limit, after)))
