"""The HTTP API of a lake: what people and programs ask it. JSON in and out; errors are ``{"error": "..."}``."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from events.codec import to_json
from events.errors import Reject, Retry, SluiceError
from events.event import Event, now
from events.ports import NotFound, Query
from events.schema import asyncapi, schemas
from infra.catalog.sqlite import SqliteCatalog
from infra.delivery import subscription as subscriptions
from infra.delivery.handshake import ALLOWED_RATE, positive
from infra.delivery.metrics import CONTENT_TYPE
from infra.delivery.reconcile import Tally
from infra.delivery.replay import dry_run
from infra.lake import Lake
from infra.log.log import DeadLetter
from infra.models.sqlite import SqliteModels
from infra.runtime.asgi import MAX_BODY
from infra.sources.token import callback_key, same

#: How often a following reader looks for new events, in seconds, and how many it takes at once.
FOLLOW_SECONDS, PAGE = 0.2, 500


def reply(document: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(document), status, media_type="application/json")


async def body(request: Request, kind: Any) -> Any:
    """The request's JSON as ``kind``. Raises ``HTTPException`` 400 with the path of the first misfit."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the body is not what {request.url.path} takes: {error}") from error


def number(request: Request, name: str, default: int, most: int = 2**62) -> int:
    """A query parameter from 0 to ``most``. Raises ``HTTPException`` 400."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise HTTPException(400, f"{name}={text!r} must be a whole number from 0 to {most}")
    return int(text)


def _value(text: str) -> Any:
    """``12``, ``1.5``, ``true`` as what they are, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def query_of(request: Request) -> Query:
    """The search in a request's parameters; ``where=rows>=100`` may repeat."""
    where: dict[str, Any] = {}
    for condition in request.query_params.getlist("where"):
        found = next((how for how in (">=", "<=", "!=", ">", "<", "=") if how in condition), None)
        if found is None:
            raise HTTPException(400, f"where={condition!r} compares nothing: write where=PATH>=VALUE (or = != < > <=)")
        path, _, value = condition.partition(found)
        where[path.strip() + ("" if found == "=" else found)] = _value(value.strip())
    texts = {name: request.query_params[name] for name in Query.__struct_fields__ if name in request.query_params}
    for name in ("where", "limit"):
        texts.pop(name, None)
    unknown = set(request.query_params) - set(Query.__struct_fields__)
    if unknown:
        raise HTTPException(
            400, f"unknown parameters {', '.join(sorted(unknown))}; known: {', '.join(Query.__struct_fields__)}"
        )
    return Query(**texts, where=where, limit=number(request, "limit", 100))


class Sweep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to reconcile: a bucket, or the keys below ``prefix``. ``dry_run`` only counts; ``restart`` does not go on."""

    bucket: str
    prefix: str = ""
    dry_run: bool = False
    restart: bool = False


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /dead-letters/replay`` takes: which letters; with ``dry_run`` they are only tried."""

    ids: list[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]]
    dry_run: bool = False


class Api:
    """The answers. ``ready`` says whether the lake may be sent work yet; ``sweep`` reconciles a bucket, if there is a store."""

    def __init__(
        self, lake: Lake, ready: Callable[[], bool], url: str, sweep: Callable[..., Iterator[Tally]] | None = None
    ) -> None:
        self.lake, self.ready, self.url, self.sweep = lake, ready, url, sweep
        self.closing = asyncio.Event()

    def application(self) -> Starlette:
        """The ASGI application."""
        get, post = ["GET"], ["POST"]
        routes = [
            Route("/healthz", self.health, methods=get),
            Route("/readyz", self.readiness, methods=get),
            Route("/status", self.status, methods=get),
            Route("/metrics", self.metrics, methods=get),
            Route("/events", self.events, methods=get),
            Route("/catalog", self.search, methods=get),
            Route("/catalog/{bucket}/{key:path}", self.entry, methods=get),
            Route("/models", self.models, methods=get),
            Route("/profiles", self.profiles, methods=get),
            Route("/plan", self.plan, methods=post),
            Route("/subscriptions", self.subscriptions, methods=get),
            Route("/subscriptions", self.subscribe, methods=post),
            Route("/subscriptions/{id}", self.subscription, methods=get),
            Route("/subscriptions/{id}", self.resubscribe, methods=["PUT"]),
            Route("/subscriptions/{id}", self.unsubscribe, methods=["DELETE"]),
            Route("/callbacks/{id}/{key}", self.consent, methods=["GET", "POST"]),
            Route("/dead-letters", self.dead_letters, methods=get),
            Route("/dead-letters/replay", self.replay, methods=post),
            Route("/reconcile", self.reconcile, methods=post),
            Route("/schemas", self.schemas, methods=get),
            Route("/asyncapi.json", self.asyncapi, methods=get),
        ]
        handlers: dict[Any, Any] = {HTTPException: _failed, Reject: _rejected, Retry: _later, Exception: _broken}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def health(self, _: Request) -> Response:
        return reply({"status": "ok"})

    async def readiness(self, _: Request) -> Response:
        ready = self.ready()
        return reply({"status": "ready" if ready else "starting"}, 200 if ready else 503)

    async def status(self, _: Request) -> Response:
        return reply(await run_in_threadpool(self.lake.status))

    async def metrics(self, _: Request) -> Response:
        return Response(await run_in_threadpool(self.lake.metrics.text), headers={"content-type": CONTENT_TYPE})

    async def events(self, request: Request) -> Response:
        """Accepted events behind ``after``, as JSON, or with ``follow=1`` as lines of JSON that never end."""
        after, limit = number(request, "after", 0), number(request, "limit", 100, 10_000)
        pattern = request.query_params.get("type", "*")
        if request.query_params.get("follow") in ("1", "true"):
            return StreamingResponse(self._follow(request, after, pattern), media_type="application/x-ndjson")
        lines = await run_in_threadpool(self._tail, after, limit, pattern)
        return Response(b'{"events":[' + b",".join(lines) + b"]}", media_type="application/json")

    def _tail(self, after: int, limit: int, pattern: str) -> list[bytes]:
        found = self.lake.log.tail(after, limit, pattern)
        return [b'{"seq":%d,"recorded":%.6f,"event":%s}' % (seq, at, to_json(event)) for seq, at, event in found]

    async def _follow(self, request: Request, after: int, pattern: str) -> AsyncIterator[bytes]:
        while not self.closing.is_set() and not await request.is_disconnected():
            lines = await run_in_threadpool(self._tail, after, PAGE, pattern)
            if lines:
                after = json.loads(lines[-1])["seq"]
                yield b"\n".join(lines) + b"\n"
            else:
                await asyncio.sleep(FOLLOW_SECONDS)

    async def search(self, request: Request) -> Response:
        query = query_of(request)
        entries = await self._read(lambda connection: SqliteCatalog(connection).search(query))
        more = len(entries) == query.limit
        return reply({"entries": entries, "next": f"{entries[-1].bucket}/{entries[-1].key}" if more else None})

    async def entry(self, request: Request) -> Response:
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        found = await self._read(lambda connection: SqliteCatalog(connection).get(bucket, key))
        if found is None:
            raise HTTPException(404, f"the catalogue has no s3://{bucket}/{key}; see what it has with: sluice ls s3://{bucket}")
        return reply(found)

    async def models(self, request: Request) -> Response:
        names = request.query_params.get("repository", ""), request.query_params.get("name", "")
        found = await self._read(lambda connection: SqliteModels(connection, ()).versions(*names))
        return reply({"models": found})

    async def profiles(self, request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        return reply({"profiles": await run_in_threadpool(self.lake.profiles, prefix)})

    async def plan(self, request: Request) -> Response:
        wanted = await body(request, dict[str, Any])
        event = Event(
            id=str(uuid.uuid4()), source="/http", type="dev.sluice.plan.requested.v1", time=now(),
            datacontenttype="application/json", data=wanted,
        )  # fmt: skip
        replies = await run_in_threadpool(self.lake.call, "plan", event)
        return reply(replies[0].data)

    async def subscriptions(self, _: Request) -> Response:
        return reply({"subscriptions": [found.shown() for found in self.lake.subscriptions.all()]})

    async def subscribe(self, request: Request) -> Response:
        """Make a subscription; an ``id`` that the body proposes is ignored."""
        wanted = subscriptions.parse(await body(request, dict[str, Any]))
        made = await run_in_threadpool(self.lake.subscribe, msgspec.structs.replace(wanted, id=""))
        return _subscribed(made, 201)

    async def resubscribe(self, request: Request) -> Response:
        """Replace the subscription of this id, or make it."""
        name = request.path_params["id"]
        wanted = subscriptions.parse(await body(request, dict[str, Any]))
        if wanted.id not in ("", name):
            raise HTTPException(400, f"the subscription {name} cannot become {wanted.id}: an id is for ever")
        known = self.lake.subscriptions.get(name) is not None
        made = await run_in_threadpool(self.lake.subscribe, msgspec.structs.replace(wanted, id=name))
        return _subscribed(made, 200 if known else 201)

    async def subscription(self, request: Request) -> Response:
        found = self.lake.subscriptions.get(request.path_params["id"])
        if found is None:
            raise HTTPException(404, f"there is no subscription {request.path_params['id']}")
        return reply(found.shown())

    async def unsubscribe(self, request: Request) -> Response:
        name = request.path_params["id"]
        if not await run_in_threadpool(self.lake.unsubscribe, name):
            raise HTTPException(404, f"there is no subscription {name}")
        return Response(status_code=204)

    async def consent(self, request: Request) -> Response:
        """The sink of a subscription agrees to its events: ``WebHook-Allowed-Rate`` a minute, or any number."""
        name, lake = request.path_params["id"], self.lake
        if not same(request.path_params["key"], callback_key(lake.config, name)):
            raise HTTPException(404, "there is no such callback")
        rate = positive(request.headers.get(ALLOWED_RATE, ""))
        if request.method != "HEAD" and not await asyncio.to_thread(lake.consent, name, rate):
            raise HTTPException(404, "the subscription has ended")
        return reply({"agreed": True})

    async def dead_letters(self, request: Request) -> Response:
        limit = number(request, "limit", 100, 10_000)
        letters = await run_in_threadpool(self.lake.log.dead_letters, limit)
        return reply({"dead_letters": [_letter(letter) for letter in letters]})

    async def replay(self, request: Request) -> Response:
        wanted: Replay = await body(request, Replay)
        if wanted.dry_run:
            return reply({"trials": await run_in_threadpool(dry_run, self.lake, wanted.ids)})
        letters = await run_in_threadpool(self.lake.replay, wanted.ids)
        return reply({"replayed": [letter.id for letter in letters]})

    async def reconcile(self, request: Request) -> Response:
        """Sweep a bucket; lines of JSON tell how far it is, and the last one the result or ``error``."""
        wanted = await body(request, Sweep)
        if self.sweep is None:
            raise HTTPException(404, "there is no object store here to compare the catalogue with")
        tallies = self.sweep(wanted.bucket, wanted.prefix, dry_run=wanted.dry_run, restart=wanted.restart)
        return StreamingResponse(self._lines(tallies), media_type="application/x-ndjson")

    async def _lines(self, tallies: Iterator[Tally]) -> AsyncIterator[bytes]:
        try:
            async for tally in iterate_in_threadpool(tallies):
                yield msgspec.json.encode(tally) + b"\n"
                if self.closing.is_set():
                    break
        except (SluiceError, NotFound) as error:
            yield msgspec.json.encode({"error": str(error)}) + b"\n"

    async def schemas(self, _: Request) -> Response:
        return reply(schemas())

    async def asyncapi(self, _: Request) -> Response:
        return reply(asyncapi(self.url))

    async def _read(self, work: Callable[[Any], Any]) -> Any:
        def read() -> Any:
            with self.lake.reading() as connection:
                return work(connection)

        return await run_in_threadpool(read)


def _letter(letter: DeadLetter) -> dict[str, Any]:
    event = letter.event
    return {
        "id": letter.id, "function": letter.target, "cause": letter.cause, "attempts": letter.attempts, "at": letter.at,
        "event": msgspec.Raw(to_json(event)) if event else None,
        "body": None if event else letter.body[:1024].decode("utf-8", "replace"),
    }  # fmt: skip


def _subscribed(made: subscriptions.Subscription, status: int) -> Response:
    answer = reply(made.shown(), status)
    if status == 201:
        answer.headers["location"] = f"/subscriptions/{quote(made.id, safe='')}"
    return answer


async def _failed(_: Request, error: HTTPException) -> Response:
    answer = reply({"error": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _rejected(_: Request, error: Reject) -> Response:
    return reply({"error": str(error)}, 400)


async def _later(_: Request, error: Retry) -> Response:
    return Response(msgspec.json.encode({"error": str(error)}), 503, {"retry-after": "1"}, "application/json")


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours; the server's log has it (Starlette raises it again for that)."""
    return reply(
        {"error": f"{request.method} {request.url.path} failed in the lake: see its log ({type(error).__name__})"}, 500
    )
