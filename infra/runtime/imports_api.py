"""Bulk import by HTTP: a body of one JSON resource a line, stored in portions; lines of JSON tell how far it is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from events.errors import Reject
from events.event import Event
from infra.access.errors import MissingScope
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.resources import DataObject, Resource, object_id
from infra.catalog.store import Conflict, Store
from infra.lake import Lake
from infra.runtime.changes import changed
from infra.runtime.operation import caller_of
from infra.runtime.resource_documents import resource

PORTION = 500
NAMESPACE = uuid.UUID("b0f1a6d4-6f0e-4d5b-9d0c-5a6c1f6f8e11")
MOST_LINE = 1 << 20
#: What can be imported so.
BULK = ("data-object", "data-record")


class Progress(msgspec.Struct, omit_defaults=True):
    """Lines read and resources stored so far. ``error`` tells of one ``line`` that was passed over, the last has ``done``."""

    read: int = 0
    stored: int = 0
    failed: int = 0
    line: int = 0
    error: str = ""
    done: bool = False


class Importer:
    """Stores the lines of one request's body. A line that does not fit is told of and passed over; the others stay."""

    def __init__(self, lake: Lake, kind: str, caller: Caller) -> None:
        self._lake, self._kind, self._caller = lake, kind, caller
        self._progress = Progress()

    async def run(self, request: Request) -> AsyncIterator[bytes]:
        """Progress, a line of JSON after each portion."""
        left, portion = b"", list[tuple[int, bytes]]()
        async for chunk in request.stream():
            *lines, left = (left + chunk).split(b"\n")
            for line in lines:
                async for told in self._take(line, portion):
                    yield told
            if len(left) > MOST_LINE:
                error = f"the line is longer than {MOST_LINE} bytes: the import ends"
                yield self._told(line=self._progress.read + 1, error=error)
                return
        async for told in self._take(left, portion, last=True):
            yield told
        yield self._told(done=True)

    async def _take(self, line: bytes, portion: list[tuple[int, bytes]], last: bool = False) -> AsyncIterator[bytes]:
        if not (last and not line):
            self._progress.read += 1
        if line.strip():
            portion.append((self._progress.read, line))
        if portion and (last or len(portion) >= PORTION):
            for number, error in await self._store(portion):
                self._progress.failed += 1
                yield self._told(line=number, error=error)
            portion.clear()
            yield self._told()

    def _told(self, **more: Any) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(self._progress, **more)) + b"\n"

    async def _store(self, portion: list[tuple[int, bytes]]) -> list[tuple[int, str]]:
        """Store a portion in one transaction; the lines that do not fit, with what is wrong."""
        wanted: list[tuple[int, Resource]] = []
        wrong: list[tuple[int, str]] = []
        for number, line in portion:
            try:
                wanted.append((number, self._resource(line)))
            except (Reject, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                wrong.append((number, str(error)))
        refused: list[tuple[int, str]] = []

        def work(database: Database) -> tuple[int, list[Event]]:
            store, stored, events = Store(database), 0, list[Event]()
            refused.clear()
            for number, each in wanted:
                try:
                    if store.import_many([each], self._caller):
                        stored += 1
                        events += changed(each, "created")
                except (Reject, Conflict) as error:
                    refused.append((number, str(error)))
            return stored, events

        self._progress.stored += await asyncio.wrap_future(self._lake.commit(work))
        return sorted(wrong + refused)

    def _resource(self, line: bytes) -> Resource:
        """The resource of a line, with its id: repeating an import changes nothing.

        A record's id is made of its content and of who imports it, so that nobody can find out what others have.
        """
        document = msgspec.json.decode(line, type=dict[str, Any])
        made = resource(self._kind, document)
        if isinstance(made, DataObject):
            made.id = object_id(made.bucket, made.key)
        else:
            own = [self._caller.name, msgspec.json.encode(made, order="deterministic").decode()]
            made.id = f"{self._kind}/{uuid.uuid5(NAMESPACE, msgspec.json.encode(own).decode())}"
        return made


class _Telling(StreamingResponse):
    """An answer that is written while the request is still read: nobody else may take what comes in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


def bulk(lake: Lake, kind: str, request: Request) -> Response:
    """Answer a POST with ``?bulk``. Imported objects are believed to be in their store: only administrators may say so."""
    caller = caller_of(request)
    if kind not in BULK:
        raise Reject(f"{kind}s are made one by one; objects and records can be imported in bulk")
    if kind == "data-object" and "admin" not in caller.scopes:
        raise MissingScope("admin")
    return _Telling(Importer(lake, kind, caller).run(request), media_type="application/x-ndjson")
