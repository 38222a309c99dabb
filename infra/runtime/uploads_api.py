"""What is done with the object itself, by HTTP: presigned URLs to send and fetch it, and the end of an upload.

``POST /data-objects`` makes a place for an object; ``upload`` gives a URL (or one for each part) that takes its content for a
while; the store's notification or ``ready``, whichever comes first, ends the upload.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from events.errors import Reject, Retry
from events.event import Event
from events.ports import NotFound, ObjectInfo
from infra.catalog import claims, times
from infra.catalog.acl import Caller, Forbidden, Right
from infra.catalog.providers import may_use
from infra.catalog.resources import DataObject, Resource, object_id
from infra.catalog.store import Conflict, Store
from infra.etags import strong
from infra.lake import Lake
from infra.objects import presigned
from infra.objects.providers import UNKNOWN, Providers, joined, split
from infra.runtime import versions
from infra.runtime.answers import body, reply
from infra.runtime.catalog_work import commit, read
from infra.runtime.changes import changed
from infra.runtime.operation import Operation, caller_of
from infra.runtime.resources_api import answered, etag, header, id_of

KIND = "data-object"
#: What only the lake says of an object.
OBJECTS_OWN = (
    "state",
    "bytes",
    "format",
    "etag",
    "version",
    "digest",
    "digests",
    "modified",
    "index",
    "cause",
    "expires",
    "upload",
)
ONE = "/data-objects/{id}"


class Ttl(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds a presigned URL is good."""

    ttl: int = 900


class Download(Ttl, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version of the object is asked for; the present one unless given."""

    version: str = ""


class Upload(Ttl, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How content will be sent: whole, or with ``parts`` in so many parts of at least 5 MiB (the last may be smaller).

    ``digests`` (hexadecimal, by algorithm) are what it shall have; without them it is what the object's maker has said, until
    that was met once.
    """

    parts: int = 0
    digests: dict[str, str] | None = None


class Uri(msgspec.Struct, frozen=True, kw_only=True):
    """A presigned URL, or with ``uris`` one for each part; nobody can use them after ``expires``.

    ``headers`` must be sent with what is put there.
    """

    uri: str = ""
    headers: dict[str, str] = {}
    uris: list[str] = []
    expires: str = ""


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parts that were sent, with the ``ETag`` that the store answered for each."""

    parts: list[presigned.Part]


class UploadsApi:
    """The actions on objects, over the lake's object stores."""

    def __init__(self, lake: Lake, objects: Providers | None) -> None:
        self._lake, self._stores = lake, objects

    def operations(self) -> list[Operation]:
        made = DataObject
        return [
            Operation("POST", f"{ONE}/upload", "write", self.upload, takes=Upload, gives=Uri, optional=True),
            Operation("POST", f"{ONE}/complete", "write", self.complete, takes=Sent, gives=made, etag=True),
            Operation("POST", f"{ONE}/ready", "write", self.ready, gives=made, etag=True),
            Operation("POST", f"{ONE}/download", "read", self.download, takes=Download, gives=Uri, status=303, optional=True),
            Operation("DELETE", ONE, "write", self.delete, status=204, query=("keep-object",), headers=("If-Match",)),
        ]

    @property
    def _objects(self) -> Providers:
        if self._stores is None:
            raise NotFound("there is no object store here")
        return self._stores

    def create(self, wanted: Resource, caller: Caller) -> Resource:
        """A place for an object: its bucket is made if it is missing.

        What is in the store already may only be claimed by who could edit the object before it was made to be forgotten.

        Raises:
            Reject, Conflict: no such place can be.

        """
        assert isinstance(wanted, DataObject)  # noqa: S101 - the table of nouns says so
        provider, name = split(wanted.bucket)
        provider = provider or wanted.provider
        if not (name and wanted.key):
            raise Reject("an object needs a bucket and a key")
        if name == self._lake.config.bucket and not provider:
            raise Reject(f"the bucket {name} is the lake's own")
        bucket = joined(provider, name)
        if provider and not caller.admin:
            with self._lake.database() as database:
                if not may_use(database, provider, caller):
                    raise Reject(UNKNOWN.format(provider))
        store, _ = self._objects.of(bucket)
        store.ensure(name)
        if not caller.admin:
            try:
                self._objects.head(bucket, wanted.key)
            except NotFound:
                pass
            else:
                if not self._had(object_id(bucket, wanted.key), caller):
                    raise Conflict(f"s3://{bucket}/{wanted.key} is taken: choose another name")  # as the catalogue says it
        empty = DataObject()
        own = {name: getattr(empty, name) for name in OBJECTS_OWN}
        own |= {"provider": provider, "bucket": bucket, "key": wanted.key, "claims": claims.checked(wanted.digests)}
        return msgspec.structs.replace(wanted, **own)

    def _had(self, id: str, caller: Caller) -> bool:
        with self._lake.database() as database:
            return Store(database).had(id, caller)

    async def upload(self, request: Request) -> Response:
        """Get a URL to PUT the object to, or with ``parts`` one for each part. Asking again begins anew.

        An object that is READY is there to be fetched until its new content has come.
        """
        wanted: Upload = await _body_or(request, Upload)
        caller, id = caller_of(request), id_of(KIND, request)
        found = await self._found(id, caller, "edit")
        before_claimed = {} if found.state == "READY" else found.claims
        claimed = before_claimed if wanted.digests is None else claims.checked(wanted.digests)

        def begin() -> tuple[str, Uri]:
            presigned.checked(wanted.ttl)
            ends = times.text(int((time.time() + wanted.ttl) * 1000))
            place = self._objects, found.bucket, found.key
            if not wanted.parts:
                uri, headers = presigned.put(*place, wanted.ttl, _type(found), claimed)
                return "", Uri(uri=uri, headers=headers, expires=ends)
            upload, uris = presigned.begin(*place, wanted.parts, wanted.ttl, _type(found))
            return upload, Uri(uris=uris, expires=ends)

        upload, answer = await run_in_threadpool(begin)
        facts = {"expires": int((time.time() + wanted.ttl) * 1000), "upload": upload, "claims": claimed}

        def work(store: Store) -> tuple[Resource, list[Event]]:
            before = store.get(id, caller)  # another upload in parts may have begun meanwhile
            return before, changed(store.transition(id, "upload", caller, **facts), "edited")

        try:
            before = await commit(self._lake, work)
        except BaseException:
            await run_in_threadpool(self._abort, found, upload)
            raise
        await run_in_threadpool(self._abort, found, getattr(before, "upload", ""))
        return reply(answer)

    async def complete(self, request: Request) -> Response:
        """Make one object of the parts that were sent, and end the upload."""
        sent: Sent = await body(request, Sent)
        caller, id = caller_of(request), id_of(KIND, request)
        found = await self._found(id, caller, "edit")
        if not found.upload:
            raise Conflict("no upload in parts has begun: ask for one with upload {parts: N}")
        info = await run_in_threadpool(presigned.complete, self._objects, found.bucket, found.key, found.upload, sent.parts)
        return answered(await self._ended(id, caller, info))

    async def ready(self, request: Request) -> Response:
        """Say that the upload has ended: the object is in its store. If its notification was quicker, nothing changes."""
        caller, id = caller_of(request), id_of(KIND, request)
        found = await self._found(id, caller, "edit")
        if found.state == "READY" and not found.expires:
            return answered(found)
        try:
            info = await run_in_threadpool(self._objects.head, found.bucket, found.key)
        except NotFound:
            raise Conflict(f"nothing has been uploaded to s3://{found.bucket}/{found.key}") from None
        return answered(await self._ended(id, caller, info))

    async def download(self, request: Request) -> Response:
        """Get a URL to GET the object from, also as the redirect."""
        wanted: Download = await _body_or(request, Download)
        found = await self._found(id_of(KIND, request), caller_of(request), "view")
        if found.state != "READY":
            raise Conflict(f"the object is {found.state}, not READY: there is nothing to download")
        if wanted.version:
            await run_in_threadpool(versions.check, self._lake, self._objects, found, wanted.version, caller_of(request))
        uri = await run_in_threadpool(presigned.get, self._objects, found.bucket, found.key, wanted.ttl, wanted.version)
        ends = times.text(int((time.time() + wanted.ttl) * 1000))
        return reply(Uri(uri=uri, expires=ends), 303, location=uri)

    async def delete(self, request: Request) -> Response:
        """Delete the object; with ``keep-object=true`` only the catalogue forgets it."""
        caller, id, if_match = caller_of(request), id_of(KIND, request), header(request, "if-match")
        keep = request.query_params.get("keep-object", "false")
        if keep not in ("true", "false"):
            raise Reject(f"keep-object={keep!r} is neither true nor false")
        found = await self._found(id, caller, "delete")
        if if_match and not strong(if_match, etag(found)):
            raise Conflict(f"{id} is at revision {found.revision} now", 412)
        await run_in_threadpool(self._abort, found, found.upload)
        kept = None
        if keep == "true":
            kept = await run_in_threadpool(self._content, found)
        else:  # first: if what follows fails, the store's notification or a second attempt makes up for it
            await run_in_threadpool(self._objects.delete, found.bucket, found.key)

        def work(store: Store) -> tuple[None, list[Event]]:
            return None, changed(store.delete(id, caller, kept=kept), "removed")

        with suppress(NotFound):  # the store's notification was quicker
            await commit(self._lake, work)
        return Response(status_code=204)

    def _content(self, found: DataObject) -> ObjectInfo | None:
        """What is in the store, or what the catalogue knows of it where that cannot be asked."""
        try:
            return self._objects.head(found.bucket, found.key)
        except NotFound:
            return None
        except (Reject, Retry):
            return ObjectInfo(bucket=found.bucket, key=found.key, size=found.bytes, etag=found.etag)

    async def _found(self, id: str, caller: Caller, right: Right) -> DataObject:
        """The object, if the caller has this right. Raises ``NotFound`` or ``Forbidden``."""
        found = await read(self._lake, lambda store: store.get(id, caller))
        assert isinstance(found, DataObject)  # noqa: S101 - the id says so
        if not caller.may(right, found.acl):
            raise Forbidden(f"you may see {id}, but not {right} it")
        return found

    async def _ended(self, id: str, caller: Caller, info: ObjectInfo) -> Resource:
        def work(store: Store) -> tuple[Resource, list[Event]]:
            found = store.get(id, caller)
            assert isinstance(found, DataObject)  # noqa: S101 - the id says so
            action, more = ended(found, info)
            made = store.transition(id, action, caller, **more)
            return made, changed(made, "edited")

        return await commit(self._lake, work)

    def _abort(self, found: DataObject, upload: str) -> None:
        if upload:
            with suppress(NotFound):  # it was completed, or given up before
                presigned.abort(self._objects, found.bucket, found.key, upload)


def ended(found: DataObject, info: ObjectInfo) -> tuple[str, dict[str, Any]]:
    """How an upload ends whose object is in its store: the action, and what the store says, as the catalogue keeps it.

    What was claimed and the store cannot tell, is found out when the object is read. What was refused stays so, until it is
    sent again: that a URL was asked for since, does not mean that anything was put there.
    """
    if found.cause and info.etag == found.etag and not _newer(info.modified, found.modified):
        return "fail", {"cause": found.cause}
    facts: dict[str, Any] = {
        "bytes": info.size,
        "etag": info.etag,
        "version": info.version,
        "modified": times.utc(info.modified) or "",
    }
    if broken := claims.held_against(found, info.digests):
        return "fail", {**facts, "cause": broken}
    met = {name: value for name, value in info.digests.items() if found.claims.get(name) == value}
    left = {name: value for name, value in found.claims.items() if name not in met}
    return "ready", {**facts, "digests": info.digests, "claims": left}


def _newer(time: str, known: str) -> bool:
    """Whether a time is later than another that is known; what cannot be compared is not."""
    one, other = times.utc(time), times.utc(known)
    return bool(one and other and one > other)


def _type(of: DataObject) -> str:
    """The content type that must be sent: what the maker said, not what was found out of content that goes."""
    return "" if of.state == "READY" else of.content_type


async def _body_or(request: Request, kind: type[Ttl]) -> Any:
    """The body, or what the type says where there is none."""
    return kind() if request.headers.get("content-length", "0") == "0" else await body(request, kind)
