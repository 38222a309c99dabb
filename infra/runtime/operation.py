"""One operation of the HTTP API: what it answers to, who may ask for it, and what the OpenAPI document says of it.

The handler's docstring is its description there. Who calls stands in the request's scope; where nothing put anybody there (a
lake without an endpoint before it), it is everybody, and they may do everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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


def caller_of(request: Request) -> Caller:
    """Who calls."""
    found: Caller = request.scope.get(CALLER, ANYBODY)
    return found
