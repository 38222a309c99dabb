"""What the operations share: the store, the files, the threads; answers, and the headers they read and write."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.responses import Response

from infra.objects.door import body, checksums, notify, store, xml
from infra.objects.door.errors import S3Error
from infra.objects.door.files import Files
from infra.objects.door.request import Request
from infra.objects.door.store import About, Object, Store, Transaction

T = TypeVar("T")
#: Headers stored with an object and given back as they came.
STORED = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")
META = "x-amz-meta-"
MOST_META = 2048
#: Headers that ask for something this door does not do: refused, because to ignore them silently would mislead.
REFUSED = (
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
XML_TYPE = "application/xml"


@dataclass(frozen=True)
class Service:
    """A running door's parts, handed to every operation."""

    store: Store
    files: Files
    threads: ThreadPoolExecutor
    region: str
    host_id: str
    targets: Mapping[str, str]

    async def commit(self, work: Callable[[Transaction], T], new: Sequence[str] = ()) -> T:
        """Run ``work`` in a durable transaction; see ``Store.commit``. Cancelling the request does not cancel it."""
        return await asyncio.shield(asyncio.wrap_future(self.store.commit(work, new)))

    async def threaded(self, work: Callable[[], T]) -> T:
        """Run blocking ``work`` beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def document(self, request: Request, root: str) -> xml.Element:
        """The XML document in the request's body.

        Raises:
            S3Error: MissingRequestBodyError, MalformedXML.

        """
        data = await body.to_memory(request, self.threads)
        if not data:
            raise S3Error("MissingRequestBodyError")
        return await self.threaded(lambda: xml.parse(data, root))

    def cause(self, request: Request) -> notify.Cause:
        """The request as its notifications name it."""
        return notify.Cause(request.id, self.host_id, request.verified.access_key, request.source_address, self.region)

    @contextmanager
    def pinned(self, bucket: str, key: str) -> Iterator[Object]:
        """The object of a key, whose files stay while it is used, whatever becomes of the object.

        Raises:
            S3Error: NoSuchBucket or NoSuchKey.

        """
        while True:
            found = store.get(self.store.reader, bucket, key)
            names = [segment.name for segment in found.segments]
            self.files.pin(names)
            try:
                # Still the same after pinning: so its files were not removed before. Else look again.
                if (now := store.find(self.store.reader, bucket, key)) and now.segments == found.segments:
                    yield found
                    return
            finally:
                self.files.unpin(names)


def answer(root: str, children: list[xml.Pair]) -> Response:
    """An XML document as the answer."""
    return Response(xml.render(root, children), media_type=XML_TYPE)


def done(headers: Mapping[str, str] | None = None) -> Response:
    """204: it is done, there is nothing to say."""
    return Response(status_code=204, headers=headers)


def check_supported(request: Request) -> None:
    """Refuse what the headers ask for and this door cannot do.

    Raises:
        S3Error: NotImplemented, InvalidStorageClass or NoSuchVersion.

    """
    for name in request.headers:
        if name.startswith(REFUSED):
            raise S3Error("NotImplemented", f"The header {name} asks for something this door does not do.", Header=name)
    if request.header("x-amz-acl") not in ("", "private", "bucket-owner-full-control", "bucket-owner-read"):
        raise S3Error("NotImplemented", "Everything here is private; other ACLs are not supported.", Header="x-amz-acl")
    if request.header("x-amz-storage-class") not in ("", "STANDARD"):
        raise S3Error("InvalidStorageClass")


def check_version(request: Request) -> None:
    """There is one version of each object, called null.

    Raises:
        S3Error: NoSuchVersion.

    """
    if request.query.get("versionId", "null") != "null":
        raise S3Error("NoSuchVersion", Key=request.key, VersionId=request.query["versionId"])


def about(request: Request) -> About:
    """What the request says of the object it writes.

    Raises:
        S3Error: MetadataTooLarge or InvalidTag.

    """
    headers = {name: request.headers[name] for name in STORED if request.headers.get(name)}
    coding = [name.strip() for name in headers.pop("content-encoding", "").split(",")]
    if coding := [name for name in coding if name not in ("", "aws-chunked")]:
        headers["content-encoding"] = ",".join(coding)
    user = {name.removeprefix(META): value for name, value in request.headers.items() if name.startswith(META)}
    if sum(len(name) + len(value) for name, value in user.items()) > MOST_META:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(MOST_META))
    return About(headers=headers, user=user, tags=header_tags(request))


def header_tags(request: Request) -> dict[str, str]:
    """The tags in ``x-amz-tagging``, a query string.

    Raises:
        S3Error: InvalidTag.

    """
    try:
        pairs = parse_qsl(request.header("x-amz-tagging"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise S3Error("InvalidTag", "x-amz-tagging must be a URL-encoded query string.") from error
    return check_tags(pairs)


def check_tags(pairs: list[tuple[str, str]], most: int = 10) -> dict[str, str]:
    """Tags as a dict.

    Raises:
        S3Error: InvalidTag.

    """
    tags = dict(pairs)
    sizes = all(1 <= len(name) <= 128 and len(value) <= 256 for name, value in pairs)
    if len(tags) != len(pairs) or len(tags) > most or not sizes or any(name.startswith("aws:") for name in tags):
        raise S3Error("InvalidTag")
    return tags


def checksum_headers(found: About) -> dict[str, str]:
    """The checksums of an object as headers."""
    headers = {checksums.PREFIX + name: value for name, value in found.checksums.items()}
    return headers | {checksums.PREFIX + "type": "FULL_OBJECT" if found.whole else "COMPOSITE"} if headers else {}


def checksum_elements(found: Mapping[str, str]) -> list[xml.Pair]:
    """Checksums as elements: ``ChecksumCRC32`` and so on."""
    return [("Checksum" + name.upper(), value) for name, value in found.items()]


def plain(value: str) -> str:
    """A header's value from outside, fit to be sent: UTF-8 in the bytes, no control characters.

    Raises:
        S3Error: InvalidArgument.

    """
    if re.search("[\x00-\x1f\x7f]", value):
        raise S3Error("InvalidArgument", "A header's value must not hold control characters.")
    return value.encode().decode("latin-1")
