"""The catalogue's resources by HTTP, one path a noun: create, list, read, replace, change and delete them.

A revision is an ETag: with ``If-Match`` a change is only made to the revision it was meant for, with ``If-None-Match`` a
resource is only sent if it is another one. What a caller may not view is answered as what does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from events.event import Event
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.resources import KINDS, Resource
from infra.catalog.store import EDITABLE, Store
from infra.etags import weak
from infra.lake import Lake
from infra.runtime.answers import body, reply
from infra.runtime.catalog_work import commit, read
from infra.runtime.changes import changed
from infra.runtime.imports_api import BULK, Progress, bulk
from infra.runtime.operation import Handler, Operation, caller_of
from infra.runtime.resource_documents import SERVERS, known, merge, resource
from infra.runtime.searching import NAMES, search_of

T = TypeVar("T")
#: Path -> kind
NOUNS = {f"{kind}es" if kind == "prefix" else f"{kind}s": kind for kind in KINDS}


class Found(msgspec.Struct):
    """A page; ``next`` is the ``after`` of the one behind it. ``count``, with an aggregation, is of all that match."""

    resources: list[dict[str, Any]]
    next: str | None = None
    count: int | None = None
    aggregations: dict[str, Any] = {}
    scanned: list[str] = []


class ResourcesApi:
    """The operations on each noun.

    ``create`` is asked before a resource of a kind is stored for the first time, and may refuse or complete it; ``check`` is
    asked with everything that was stored, new or changed, in the transaction that it may refuse so.
    """

    def __init__(
        self,
        lake: Lake,
        create: Mapping[str, Callable[[Resource, Caller], Resource]],
        check: Mapping[str, Callable[[Resource, Database], None]],
    ) -> None:
        self._lake, self._create, self._check = lake, create, check

    def operations(self) -> list[Operation]:
        """All of them; to delete an object is more (``uploads_api.py``)."""
        every = [each for noun, kind in NOUNS.items() for each in self._of(noun, kind)]
        return [each for each in every if (each.method, each.path) != ("DELETE", "/data-objects/{id}")]

    def _of(self, noun: str, kind: str) -> list[Operation]:
        struct, one = KINDS[kind], f"/{noun}/{{id}}"
        edits: dict[str, Any] = {"headers": ("If-Match",), "etag": True}
        return [
            Operation("GET", f"/{noun}", "read", self._bound(self.search, kind), gives=Found, query=NAMES),
            Operation(
                "POST",
                f"/{noun}",
                "write",
                self._bound(self.create, kind),
                takes=struct,
                gives=struct,
                status=201,
                query=("bulk",) if kind in BULK else (),
                etag=True,
                lines=Progress if kind in BULK else None,
            ),
            Operation("GET", one, "read", self._bound(self.get, kind), gives=struct, headers=("If-None-Match",), etag=True),
            Operation("PUT", one, "write", self._bound(self.replace, kind), takes=struct, gives=struct, **edits),
            Operation("PATCH", one, "write", self._bound(self.patch, kind), takes=dict[str, Any], gives=struct, **edits),
            Operation("DELETE", one, "write", self._bound(self.delete, kind), status=204, headers=("If-Match",)),
        ]

    def _bound(self, handler: Callable[[str, Request], Any], kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            found: Response = await handler(kind, request)
            return found

        answer.__doc__ = (handler.__doc__ or "").replace("resource", kind, 1)
        return answer

    async def search(self, kind: str, request: Request) -> Response:
        """Find every resource that matches and that the caller may view."""
        wanted, caller = search_of(request), caller_of(request)

        def work(store: Store) -> Found:
            page = store.search(kind, wanted, caller) if wanted.limit else None
            told = store.aggregate(kind, wanted, caller) if wanted.aggregation else {"count": None, "aggregations": {}}
            return Found(
                resources=page.items if page else [],
                next=(page.next or None) if page else None,
                count=told["count"],
                aggregations=told["aggregations"],
                scanned=page.scan if page else [],
            )

        return reply(await read(self._lake, work))

    async def create(self, kind: str, request: Request) -> Response:
        """Create a resource; its access list is the caller's own unless the body has one."""
        caller = caller_of(request)
        if "bulk" in request.query_params:
            return bulk(self._lake, kind, request)
        wanted = await resource_of(request, kind)
        if kind in self._create:
            wanted = await run_in_threadpool(self._create[kind], wanted, caller)

        def work(store: Store) -> tuple[Resource, list[Event]]:
            made = store.create(wanted, caller)
            if kind in self._check:
                self._check[kind](made, store.database)
            return made, changed(made, "created")

        made = await self._commit(kind, work)
        return answered(made, 201)

    async def get(self, kind: str, request: Request) -> Response:
        """Read a resource."""
        id, caller = id_of(kind, request), caller_of(request)
        found = await read(self._lake, lambda store: store.get(id, caller))
        if weak(header(request, "if-none-match"), etag(found)):
            return Response(status_code=304, headers={"etag": etag(found)})
        return answered(found)

    async def replace(self, kind: str, request: Request) -> Response:
        """Replace what may be said of a resource. What the body leaves out becomes empty, but the access list stays."""
        given: dict[str, Any] = await body(request, dict[str, Any])
        resource(kind, given)
        changes = {name: given.get(name) for name in EDITABLE[kind] if name != "acl" or "acl" in given}
        return await self._edit(kind, request, lambda _: changes)

    async def patch(self, kind: str, request: Request) -> Response:
        """Change some attributes of a resource (JSON Merge Patch, RFC 7396): ``null`` empties one."""
        given: dict[str, Any] = await body(request, dict[str, Any])
        known(kind, given)
        changes = {name: value for name, value in given.items() if name not in SERVERS}
        return await self._edit(
            kind, request, lambda found: {name: merge(found.get(name), value) for name, value in changes.items()}
        )

    async def _edit(self, kind: str, request: Request, changes_of: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
        id, caller, if_match = id_of(kind, request), caller_of(request), header(request, "if-match")

        def work(store: Store) -> tuple[Resource, list[Event]]:
            before: dict[str, Any] = msgspec.to_builtins(store.get(id, caller))
            made = store.edit(id, changes_of(before), caller, if_match)
            if kind in self._check:
                self._check[kind](made, store.database)
            return made, changed(made, "edited")

        return answered(await self._commit(kind, work))

    async def delete(self, kind: str, request: Request) -> Response:
        """Delete a resource."""
        id, caller, if_match = id_of(kind, request), caller_of(request), header(request, "if-match")

        def work(store: Store) -> tuple[None, list[Event]]:
            return None, changed(store.delete(id, caller, if_match), "removed")

        await self._commit(kind, work)
        return Response(status_code=204)

    async def _commit(self, kind: str, work: Callable[[Store], tuple[T, list[Event]]]) -> T:
        answer = await commit(self._lake, work)
        if kind == "key":
            self._lake.index_keys()
        if kind == "provider":
            self._lake.find_providers()
        return answer


def id_of(kind: str, request: Request) -> str:
    """The id that a path names."""
    return f"{kind}/{request.path_params['id']}"


def header(request: Request, name: str) -> str:
    """A header that is a list, which may come in several lines; ``""`` for none."""
    return ", ".join(request.headers.getlist(name))


def etag(resource: Resource) -> str:
    """The entity tag of a resource's revision."""
    return f'"{resource.revision}"'


def answered(resource: Resource, status: int = 200) -> Response:
    """A resource as an answer."""
    more = {"location": location(resource.id)} if status == 201 else {}
    return reply(resource, status, etag=etag(resource), **more)


def location(id: str) -> str:
    """The path of a resource."""
    kind, _, name = id.partition("/")
    return f"/{kind}{'es' if kind == 'prefix' else 's'}/{name}"


async def resource_of(request: Request, kind: str) -> Resource:
    """The resource in a request's body. Raises ``HTTPException`` or ``Reject`` 400 with what does not fit."""
    return resource(kind, await body(request, dict[str, Any]))
