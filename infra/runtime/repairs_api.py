"""What an operator does by HTTP when something went wrong: look at dead letters, replay them, reconcile a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import msgspec
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from events.codec import to_json
from events.errors import SluiceError
from events.ports import NotFound
from infra.delivery.reconcile import Tally
from infra.delivery.replay import History, dry_run, try_history
from infra.lake import Lake
from infra.log.log import DeadLetter
from infra.runtime.answers import body, number, reply
from infra.runtime.operation import Operation


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


class RepairsApi:
    """``sweep`` reconciles a bucket, if there is a store; ``closing`` ends it."""

    def __init__(self, lake: Lake, closing: asyncio.Event, sweep: Callable[..., Iterator[Tally]] | None) -> None:
        self._lake, self._closing, self._sweep = lake, closing, sweep

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/dead-letters", "admin", self.dead_letters, query=("limit",)),
            Operation("POST", "/dead-letters/replay", "admin", self.replay, takes=Replay),
            Operation("POST", "/trials", "admin", self.trials, takes=History),
            Operation("POST", "/reconcile", "admin", self.reconcile, takes=Sweep),
        ]

    async def dead_letters(self, request: Request) -> Response:
        """List the newest dead letters."""
        letters = await run_in_threadpool(self._lake.log.dead_letters, number(request, "limit", 100, 10_000))
        return reply({"dead_letters": [_letter(letter) for letter in letters]})

    async def replay(self, request: Request) -> Response:
        """Deliver dead letters again, or only try what that would do."""
        wanted: Replay = await body(request, Replay)
        if wanted.dry_run:
            return reply({"trials": await run_in_threadpool(dry_run, self._lake, wanted.ids)})
        letters = await run_in_threadpool(self._lake.replay, wanted.ids)
        return reply({"replayed": [letter.id for letter in letters]})

    async def trials(self, request: Request) -> Response:
        """Try a function with events of the log: what it would yield and change now. ``next`` is where to go on."""
        found, last = await run_in_threadpool(try_history, self._lake, await body(request, History))
        return reply({"trials": found, "next": last})

    async def reconcile(self, request: Request) -> Response:
        """Sweep a bucket; lines of JSON tell how far it is, and the last one the result or ``error``."""
        wanted = await body(request, Sweep)
        if self._sweep is None:
            raise HTTPException(404, "there is no object store here to compare the catalogue with")
        tallies = self._sweep(wanted.bucket, wanted.prefix, dry_run=wanted.dry_run, restart=wanted.restart)
        return StreamingResponse(self._lines(tallies), media_type="application/x-ndjson")

    async def _lines(self, tallies: Iterator[Tally]) -> AsyncIterator[bytes]:
        try:
            async for tally in iterate_in_threadpool(tallies):
                yield msgspec.json.encode(tally) + b"\n"
                if self._closing.is_set():
                    break
        except (SluiceError, NotFound) as error:
            yield msgspec.json.encode({"error": str(error)}) + b"\n"


def _letter(letter: DeadLetter) -> dict[str, Any]:
    event = letter.event
    return {
        "id": letter.id, "function": letter.target, "cause": letter.cause, "attempts": letter.attempts, "at": letter.at,
        "event": msgspec.Raw(to_json(event)) if event else None,
        "body": None if event else letter.body[:1024].decode("utf-8", "replace"),
    }  # fmt: skip
