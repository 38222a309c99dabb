"""The catalogue in DCAT by HTTP, streamed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from infra.catalog.dcat import Export
from infra.lake import Lake
from infra.runtime.operation import Handler, Operation, caller_of


class DcatApi:
    """Exports what the caller may view."""

    def __init__(self, lake: Lake, url: str) -> None:
        self._lake, self._url = lake, url
        #: Media type -> what answers in it.
        self.by_type: dict[str, Handler] = {"text/turtle": self.turtle, "application/ld+json": self.json_ld}

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/catalog.ttl", "read", self.turtle),
            Operation("GET", "/catalog.jsonld", "read", self.json_ld),
        ]

    async def turtle(self, request: Request) -> Response:
        """Export the catalogue in DCAT as Turtle."""
        _whole(request)
        return StreamingResponse(self._export(request).turtle(), media_type="text/turtle; charset=utf-8")

    async def json_ld(self, request: Request) -> Response:
        """Export the catalogue in DCAT as JSON-LD."""
        _whole(request)
        return StreamingResponse(self._export(request).json_ld(), media_type="application/ld+json")

    def _export(self, request: Request) -> Export:
        return Export(self._lake.database, caller_of(request), self._url)


def _whole(request: Request) -> None:
    """Raises ``HTTPException`` where somebody expects a part: it is not to be told by all that there is."""
    if request.query_params:
        raise HTTPException(400, "in DCAT the catalogue is exported as a whole: ask without parameters, or for JSON")
