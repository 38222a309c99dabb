"""A catalogue, a store and its notifications in one thread, whose every step is chosen from outside."""

from __future__ import annotations

import hashlib
import sqlite3
import types
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from events.errors import Reject
from events.event import Event
from events.ports import NotFound, ObjectInfo, ObjectStore, Settings
from events.types import ObjectIngested, S3Record
from functions.catalog import catalog
from functions.ingest import ingest
from functions.metadata import metadata
from infra.catalog.acl import Caller, Forbidden
from infra.catalog.claims import StoredClaims
from infra.catalog.database import Database
from infra.catalog.entries import Entries, walk
from infra.catalog.resources import DataObject, object_id
from infra.catalog.store import Conflict, Store
from infra.delivery import dead_letter
from infra.delivery.reconcile import differs, event_of
from infra.log.log import Delivery
from infra.runtime import uploads_api
from infra.runtime.asgi import CALLER
from infra.runtime.overdue import Overdue
from infra.runtime.uploads_api import UploadsApi

ANN = Caller(frozenset(("user/ann", "group/anyone")), frozenset(("read", "write")))
BUCKET, KEY = "lake", "k"
ID = object_id(BUCKET, KEY)
CONTENTS = [b"one", b"two", b""]
SHA = {content: hashlib.sha256(content).hexdigest() for content in CONTENTS}
REFUSALS = (Conflict, NotFound, Forbidden, Reject, HTTPException)


def _time(number: int) -> str:
    """When the store did its change of this number: one a second."""
    return f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000000Z"


@types.coroutine
def boundary() -> Iterator[None]:
    """Here another request may go on."""
    yield


class Bucket:
    """A store of one bucket, and the notifications that it owes. It is its own client."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.parts: dict[str, list[bytes]] = {}
        self.told: list[Event] = []
        self.changes, self.begun, self.client = 0, 0, self
        self.modified = ""

    def of(self, bucket: str) -> tuple[Bucket, str]:
        return self, bucket

    def ensure(self, bucket: str) -> None:
        """It is there."""

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        if key not in self.content:
            raise NotFound(f"there is no {key}")
        content = self.content[key]
        etag = hashlib.md5(content).hexdigest()
        return ObjectInfo(bucket=bucket, key=key, size=len(content), etag=etag, modified=self.modified)

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Iterator[bytes]:
        if self.head(bucket, key).etag != etag:
            raise NotFound("changed")
        yield self.content[key]

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        return b"".join(self.stream(bucket, key, etag=etag))[start:end]

    def put(self, content: bytes) -> None:
        self.content[KEY], self.modified = content, _time(self.changes + 1)
        self._tell("ObjectCreated:Put", {"size": len(content), "eTag": self.head(BUCKET, KEY).etag})

    def delete(self, bucket: str, key: str) -> None:
        if self.content.pop(key, None) is not None:
            self._tell("ObjectRemoved:Delete", {})

    def _tell(self, name: str, more: dict[str, Any]) -> None:
        self.changes += 1
        s3 = {"bucket": {"name": BUCKET}, "object": {"key": KEY, **more}}
        record = {"eventName": name, "eventTime": _time(self.changes), "s3": s3}
        extensions: dict[str, str | int | bool] = {"sequence": f"{self.changes:08x}", "partitionkey": KEY}
        made = Event(id=str(self.changes), source="/s3", type=f"com.amazonaws.s3.{name}", data=record, extensions=extensions)
        self.told.append(made)

    def generate_presigned_url(self, operation: str, parameters: dict[str, Any], ExpiresIn: int) -> str:
        return f"{operation} {parameters.get('UploadId', '')}"

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        self.begun += 1
        self.parts[f"u{self.begun}"] = []
        return {"UploadId": f"u{self.begun}"}

    def complete_multipart_upload(self, UploadId: str, **_: Any) -> None:
        if not (found := self.parts.get(UploadId)):
            raise NotFound(UploadId)
        del self.parts[UploadId]
        self.put(b"".join(found))

    def abort_multipart_upload(self, UploadId: str, **_: Any) -> None:
        if self.parts.pop(UploadId, None) is None:
            raise NotFound(UploadId)


class World:
    """A catalogue, its store, and what is under way. ``pick(n)`` chooses one of n."""

    def __init__(self, connection: sqlite3.Connection, pick: Callable[[int], int]) -> None:
        self.database, self.pick, self.bucket = Database(connection), pick, Bucket()
        self.running: list[Coroutine[Any, Any, Any]] = []
        self.waiting: list[tuple[str, Event]] = []
        self.urls: list[str] = []
        self.overdue: list[DataObject] = []
        self.kept = ("", "")
        lake = SimpleNamespace(config=SimpleNamespace(bucket="sluice"), database=self.reading, commit=self.future)
        self.uploads = UploadsApi(lake, self.bucket)  # type: ignore[arg-type]
        self.expiry = Overdue(lake, self.bucket)  # type: ignore[arg-type]
        for name in ("read", "commit", "run_in_threadpool"):
            setattr(uploads_api, name, getattr(self, name))

    @contextmanager
    def reading(self) -> Iterator[Database]:
        yield self.database

    def transaction(self, work: Callable[[Database], Any]) -> Any:
        self.database.connection.execute("BEGIN")
        try:
            answer = work(self.database)
        except BaseException:
            self.database.connection.execute("ROLLBACK")
            raise
        self.database.connection.execute("COMMIT")
        return answer

    def future(self, work: Callable[[Database], Any]) -> Future[Any]:
        made: Future[Any] = Future()
        made.set_result(self.transaction(work)[0])
        return made

    async def read(self, _: Any, work: Callable[[Store], Any]) -> Any:
        await boundary()
        return work(Store(self.database))

    async def commit(self, _: Any, work: Callable[[Store], Any]) -> Any:
        await boundary()
        return self.transaction(lambda database: work(Store(database)))[0]

    async def run_in_threadpool(self, work: Callable[..., Any], *arguments: Any) -> Any:
        await boundary()
        return work(*arguments)

    def request(self, document: Any = None, query: str = "") -> Request:
        content = b"" if document is None else msgspec.json.encode(document)
        headers = [(b"content-length", b"%d" % len(content))]
        scope = {
            "type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": headers,
            "path_params": {"id": ID.partition("/")[2]}, CALLER: ANN,
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        return Request(scope, receive)

    def step(self) -> None:
        """One step of something."""
        acts = [self.begin, self.begin, self.proceed, self.proceed, self.proceed, self.send, self.deliver, self.deliver]
        [*acts, self.find_overdue, self.end_overdue][self.pick(len(acts) + 2)]()

    def begin(self) -> None:
        if len(self.running) < 4:
            begun = (
                self.create,
                self.upload,
                self.upload,
                self.ready,
                self.ready,
                self.complete,
                self.edit,
                self.remove,
                self.keep,
            )
            self.start(begun[self.pick(len(begun))]())

    def start(self, one: Coroutine[Any, Any, Any]) -> None:
        self.running.append(one)
        self.advance(one)

    async def create(self) -> None:
        digests = {"sha256": SHA[CONTENTS[0]]} if self.pick(2) else {}
        wanted = await self.run_in_threadpool(self.uploads.create, DataObject(bucket=BUCKET, key=KEY, digests=digests), ANN)
        await self.commit(None, lambda store: (store.create(wanted, ANN), ()))
        self.kept = ("", "")

    async def upload(self) -> None:
        parts = self.pick(2)
        answer = await self.uploads.upload(self.request({"ttl": 60, "parts": parts}))
        told = msgspec.json.decode(bytes(answer.body))
        self.urls += told["uris"] or [told["uri"]]

    async def ready(self) -> None:
        await self.uploads.ready(self.request())

    async def complete(self) -> None:
        await self.uploads.complete(self.request({"parts": [{"number": 1, "etag": "e"}]}))

    async def edit(self) -> None:
        await self.commit(None, lambda store: (store.edit(ID, {"name": "n"}, ANN), ()))

    async def remove(self) -> None:
        await self.uploads.delete(self.request())

    async def keep(self) -> None:
        answer = await self.uploads.delete(self.request(query="keep-object=true"))
        assert answer.status_code == 204
        with self.reading() as database:
            self.kept = str(database.row("SELECT kept FROM data_object")[0]), self.bucket.modified

    def proceed(self) -> None:
        if self.running:
            self.advance(self.running[self.pick(len(self.running))])

    def advance(self, one: Coroutine[Any, Any, Any]) -> None:
        try:
            one.send(None)
        except StopIteration:
            self.running.remove(one)
        except REFUSALS:
            self.running.remove(one)

    def send(self) -> None:
        """Whoever has a URL puts something there."""
        if self.urls:
            _, _, upload = self.urls[self.pick(len(self.urls))].partition(" ")
            content = CONTENTS[self.pick(len(CONTENTS))]
            if not upload:
                self.bucket.put(content)
            elif upload in self.bucket.parts:
                self.bucket.parts[upload] = [content]

    def deliver(self) -> None:
        self.waiting += [(name, event) for event in self.bucket.told for name in self.targets(event)]
        self.bucket.told.clear()
        if self.waiting:
            at = self.pick(len(self.waiting))
            name, event = self.waiting[at]
            if self.pick(4):  # or it comes again
                del self.waiting[at]
            self.work(name, event)

    def targets(self, event: Event) -> list[str]:
        created = "ObjectCreated" in event.type
        return {"dev.sluice.object.ingested.v1": ["metadata"]}.get(event.type, ["ingest"] if created else ["catalog"])

    def work(self, name: str, event: Event) -> None:
        settings, store = Settings(), cast(ObjectStore, self.bucket)
        try:
            if name == "ingest":
                made = list(ingest(event, event.read(S3Record), store, settings, StoredClaims(self.database)))
            elif name == "metadata":
                made = list(metadata(event, event.read(ObjectIngested), store, settings))
            else:
                self.transaction(lambda database: list(catalog(event, Entries(database), settings)))
                return
        except Reject as error:
            made = dead_letter.failed(Delivery(seq=1, target=name, attempts=0, event=event, lane=(name, KEY)), str(error), 1)
        known = {event.id for _, event in self.waiting}
        named = [msgspec.structs.replace(each, id=f"{name}.{event.id}") for each in made]
        self.waiting += [(target, each) for each in named if each.id not in known for target in self.targets(each)]

    def find_overdue(self) -> None:
        with self.reading() as database:
            self.overdue = [
                each for each in Store(database).all("data-object") if isinstance(each, DataObject) and each.expires
            ]

    def end_overdue(self) -> None:
        for each in self.overdue:
            with suppress(Conflict, NotFound):
                self.expiry._end(each)
        self.overdue.clear()

    def settle(self) -> None:
        """Everything comes to its end, in any order; a sweep tells what was never told."""
        while self.running:
            self.advance(self.running[self.pick(len(self.running))])
        while self.waiting or self.bucket.told:
            self.deliver()
        listed = self.bucket.head(BUCKET, KEY) if KEY in self.bucket.content else None
        with self.reading() as database:
            known = next(iter(walk(database, BUCKET, "", "", 1)), None)
        if differs(listed, known):
            self.bucket.told.append(event_of(listed, known, BUCKET, "s3", f"{self.bucket.changes:08x}"))
        while self.waiting or self.bucket.told:
            self.deliver()

    def end(self) -> None:
        """Nothing is left half done, whatever went wrong."""
        for one in list(self.running):
            with suppress(Exception):
                while one in self.running:
                    self.advance(one)

    def check(self) -> None:
        """What the plain model says."""
        content = self.bucket.content.get(KEY)
        with self.reading() as database:
            row = database.row("SELECT * FROM data_object")
        if row is None:
            assert content is None
            return
        etag = hashlib.md5(content).hexdigest() if content is not None else ""
        if content is None:
            assert row["state"] != "READY", "it is not there"
        elif row["state"] == "REMOVED":
            assert row["kept"], "only what was kept is forgotten while it is there"
            assert etag in (row["kept"], row["etag"])
        elif row["state"] == "READY":
            assert (row["etag"], row["bytes"]) == (etag, len(content))
            assert row["digest"], "it has been read"
            assert row["cause"] == ""
            assert content != b""
        else:
            assert row["state"] == "FAILED", f"{row['state']}, although its content is there"
            assert row["cause"].endswith(("remove it.", "Upload it again."))
        if content is not None and self.kept == (etag, self.bucket.modified):
            assert row["state"] == "REMOVED", "nobody has put other content there since it was forgotten"
