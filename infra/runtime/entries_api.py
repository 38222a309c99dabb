"""The short form of the catalogue by HTTP: one entry an object, searched by the fields of ``Query``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from events.ports import Entry, Query
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.lake import Lake
from infra.runtime.answers import number, reply
from infra.runtime.negotiation import preferred
from infra.runtime.operation import Handler, Operation, caller_of
from infra.scalar import scalar

T = TypeVar("T")
JSON = "application/json"


class FoundEntries(msgspec.Struct):
    """Entries, and the ``after`` of the next page."""

    entries: list[Entry]
    next: str | None


class EntriesApi:
    """Searches and reads, for those who may view. ``others`` answer who wants all of it in another media type than JSON."""

    def __init__(self, lake: Lake, others: Mapping[str, Handler]) -> None:
        self._lake, self._others = lake, others

    def operations(self) -> list[Operation]:
        fields = Query.__struct_fields__
        return [
            Operation("GET", "/catalog", "read", self.search, gives=FoundEntries, query=fields),
            Operation("GET", "/catalog/{bucket}/{key:path}", "read", self.entry, gives=Entry),
        ]

    async def search(self, request: Request) -> Response:
        """Search the catalogue; ``where=rows>=100`` may repeat. Who accepts Turtle or JSON-LD is sent all of it in DCAT."""
        answer = self._others.get(preferred(request.headers.get("accept", ""), (JSON, *self._others)), self._found)
        made = await answer(request)
        made.headers["vary"] = "accept"
        return made

    async def _found(self, request: Request) -> Response:
        query, caller = query_of(request), caller_of(request)
        entries = await self._read(lambda database: Entries(database, viewer=caller).search(query))
        more = len(entries) == query.limit
        return reply(FoundEntries(entries, f"{entries[-1].bucket}/{entries[-1].key}" if more else None))

    async def entry(self, request: Request) -> Response:
        """Read one entry."""
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        caller = caller_of(request)
        found = await self._read(lambda database: Entries(database, viewer=caller).get(bucket, key))
        if found is None:
            raise HTTPException(404, f"the catalogue has no s3://{bucket}/{key}; see what it has with: sluice ls s3://{bucket}")
        return reply(found)

    async def _read(self, work: Callable[[Database], T]) -> T:
        def read() -> T:
            with self._lake.database() as database:
                return work(database)

        return await run_in_threadpool(read)


#: A path, the first operator, and a value that does not begin with another: ``rows==3`` would look for the text "=3".
_COMPARISON = re.compile(r"\s*([^<>=!]*[^<>=!\s])\s*(>=|<=|!=|>|<|=)(?![<>=!])\s*+(?![<>=!])(.*?)\s*", re.DOTALL).fullmatch


def query_of(request: Request) -> Query:
    """The search in a request's parameters; ``where=rows>=100`` may repeat."""
    where: dict[str, Any] = {}
    for condition in request.query_params.getlist("where"):
        found = _COMPARISON(condition)
        if found is None:
            raise HTTPException(400, f"where={condition!r} compares nothing: write where=PATH>=VALUE (or = != < > <=)")
        path, how, value = found.groups()
        where[path + ("" if how == "=" else how)] = scalar(value)
    texts = {name: request.query_params[name] for name in Query.__struct_fields__ if name in request.query_params}
    for name in ("where", "limit"):
        texts.pop(name, None)
    unknown = set(request.query_params) - set(Query.__struct_fields__)
    if unknown:
        raise HTTPException(
            400, f"unknown parameters {', '.join(sorted(unknown))}; known: {', '.join(Query.__struct_fields__)}"
        )
    return Query(**texts, where=where, limit=number(request, "limit", 100))
