"""One operation of the HTTP API: what it answers to, who may ask for it, and what the OpenAPI document says of it.

The handler's docstring is its description there. Who calls stands in the request's scope; where nothing put anybody there (a
lake without an endpoint before it), it is everybody, and they may do everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from infra.access.errors import MissingScope
from infra.access.scopes import ANYBODY
from infra.catalog.acl import Caller
from infra.runtime.asgi import CALLER

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """``scope`` is what a credential needs for it (empty: nothing); ``takes`` and ``gives`` are the types of the bodies.

    The body may be left out where it is ``optional``. ``headers`` are those of the request that count, beside the
    ``etag`` of the answer. ``lines`` is the type of each line that answers JSON lines.
    """

    method: str
    path: str
    scope: str
    handler: Handler
    takes: Any = None
    gives: Any = None
    status: int = 200
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    etag: bool = False
    optional: bool = False
    lines: Any = None

    @property
    def route(self) -> Route:
        """The route that answers, to those with the scope."""

        async def answer(request: Request) -> Response:
            if self.scope and self.scope not in caller_of(request).scopes:
                raise MissingScope(self.scope)
            return await self.handler(request)

        return Route(self.path, answer, methods=[self.method])


def others(operations: Iterable[Operation]) -> Iterator[Route]:
    """The routes of whatever else is asked of the operations' paths: OPTIONS tells a path's methods, the rest is refused."""
    methods: dict[str, set[str]] = {}
    for each in operations:
        methods.setdefault(each.path, {"OPTIONS"}).update(each.route.methods or ())
    for path, known in methods.items():
        yield Route(path, _Methods(", ".join(sorted(known))))


class _Methods:
    """The ASGI application of one path's other methods."""

    def __init__(self, allowed: str) -> None:
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "OPTIONS":
            refusal = f"{scope['method']} is not possible here; {self._allowed} are"
            raise HTTPException(405, refusal, {"allow": self._allowed})
        await Response(status_code=200, headers={"allow": self._allowed})(scope, receive, send)


def caller_of(request: Request) -> Caller:
    """Who calls."""
    found: Caller = request.scope.get(CALLER, ANYBODY)
    return found
