"""What all of the HTTP API has in common: reading requests, and answering, also what went wrong: ``{"error": "..."}``."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from events.errors import Reject, Retry
from events.ports import NotFound
from infra.access.errors import Denied
from infra.catalog.acl import Forbidden
from infra.catalog.query import FilterError
from infra.catalog.store import Conflict
from infra.runtime.messages import MAX_BODY


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, for people; of a filter also where: line and column (from 1) of a text, the pointer into CQL2-JSON."""

    error: str
    line: int = 0
    column: int = 0
    pointer: str = ""


def reply(document: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(msgspec.json.encode(document), status, told, "application/json")


async def body(request: Request, kind: Any) -> Any:
    """The request's JSON as ``kind``. Raises ``HTTPException`` 400 with the path of the first misfit."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise HTTPException(400, "the body is nested too deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the body is not what {request.url.path} takes: {error}") from error


def number(request: Request, name: str, default: int, most: int = 2**62) -> int:
    """A query parameter from 0 to ``most``. Raises ``HTTPException`` 400."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise HTTPException(400, f"{name}={text!r} must be a whole number from 0 to {most}")
    return int(text)


async def failed(_: Request, error: HTTPException) -> Response:
    """Starlette's own refusals, and those that say their status."""
    answer = reply(Error(error.detail), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def denied(_: Request, error: Denied) -> Response:
    """Who calls may not do that."""
    return reply(Error(str(error)), error.status, www_authenticate=error.challenge)


async def rejected(_: Request, error: Reject) -> Response:
    """The request makes no sense."""
    return reply(Error(str(error)), 400)


async def misread(_: Request, error: FilterError) -> Response:
    """A filter makes no sense."""
    return reply(Error(str(error), error.line, error.column, error.pointer), 400)


async def missing(_: Request, error: NotFound) -> Response:
    """What is asked for is not there, or not for who asks."""
    return reply(Error(str(error)), 404)


async def later(_: Request, error: Retry) -> Response:
    """Something that is needed cannot be reached now."""
    return reply(Error(str(error)), 503, retry_after="1")


async def broken(request: Request, error: Exception) -> Response:
    """A fault of ours; the server's log has it (Starlette raises it again for that)."""
    return reply(Error(f"{request.method} {request.url.path} failed in the lake: see its log ({type(error).__name__})"), 500)


async def forbidden(_: Request, error: Forbidden) -> Response:
    """Who calls may see it, but not do that to it."""
    return reply(Error(str(error)), 403)


async def conflict(_: Request, error: Conflict) -> Response:
    """It is not in the state, or not of the revision, that this needs."""
    return reply(Error(str(error)), error.status)


HANDLERS: dict[Any, Any] = {
    HTTPException: failed, Denied: denied, Forbidden: forbidden, Conflict: conflict, Reject: rejected, FilterError: misread,
    NotFound: missing, Retry: later, Exception: broken,
}  # fmt: skip
