"""The listing operations: ListObjects, ListObjectsV2, ListObjectVersions (one version of each, called null)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from infra.objects.door import listing, store, xml
from infra.objects.door.buckets import OWNER
from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request
from infra.objects.door.service import Service, answer
from infra.objects.door.store import About

MOST = 1000


async def objects(service: Service, request: Request) -> Response:
    """ListObjects (version 1)."""
    marker = request.query.get("marker", "")
    page, text, head = await _page(service, request, marker)
    head.insert(1, ("Marker", text(marker)))
    if page.truncated and request.query.get("delimiter"):
        head.append(("NextMarker", text(page.last)))
    return answer("ListBucketResult", [*head, *_contents(page, text, owner=True), *_prefixes(page, text)])


async def objects_v2(service: Service, request: Request) -> Response:
    """ListObjectsV2."""
    start, token = request.query.get("start-after", ""), request.query.get("continuation-token")
    page, text, head = await _page(service, request, start if token is None else _place(token))
    head.append(("KeyCount", len(page.rows) + len(page.prefixes)))
    if start:
        head.append(("StartAfter", text(start)))
    if token is not None:
        head.append(("ContinuationToken", token))
    if page.truncated:
        head.append(("NextContinuationToken", base64.urlsafe_b64encode(page.last.encode()).decode()))
    owner = request.query.get("fetch-owner", "").lower() == "true"
    return answer("ListBucketResult", [*head, *_contents(page, text, owner=owner), *_prefixes(page, text)])


async def versions(service: Service, request: Request) -> Response:
    """ListObjectVersions."""
    marker = request.query.get("key-marker", "")
    page, text, head = await _page(service, request, marker)
    head[1:1] = [("KeyMarker", text(marker)), ("VersionIdMarker", request.query.get("version-id-marker", ""))]
    if page.truncated:
        head += [("NextKeyMarker", text(page.last)), ("NextVersionIdMarker", "null")]
    null: list[xml.Pair] = [("VersionId", "null"), ("IsLatest", True)]
    rows = _contents(page, text, owner=True, name="Version", more=null)
    return answer("ListVersionsResult", [*head, *rows, *_prefixes(page, text)])


async def _page(service: Service, request: Request, after: str) -> tuple[listing.Page, Callable[[str], str], list[xml.Pair]]:
    """The page, how to write keys, and the elements all listings begin with."""
    query = request.query
    encoding = query.get("encoding-type", "")
    if encoding not in ("", "url"):
        raise S3Error("InvalidArgument", "The only encoding-type is url.", ArgumentName="encoding-type")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    asked = request.number("max-keys", MOST)
    most = min(MOST, asked)

    def read() -> listing.Page:
        reader = service.store.reader
        store.bucket(reader, request.bucket)
        return listing.page(reader, request.bucket, prefix, delimiter, after, most)

    page = await service.threaded(read)
    text: Callable[[str], str] = (lambda value: quote(value, safe="/-_.~*")) if encoding else str
    head: list[xml.Pair] = [("Name", request.bucket), ("Prefix", text(prefix)), ("MaxKeys", most)]
    if delimiter:
        head.append(("Delimiter", text(delimiter)))
    if encoding:
        head.append(("EncodingType", encoding))
    return page, text, [*head, ("IsTruncated", page.truncated)]


def _contents(
    page: listing.Page, text: Callable[[str], str], *, owner: bool, name: str = "Contents", more: list[xml.Pair] | None = None
) -> list[xml.Pair]:
    return [(name, _entry(row, text, owner, more or [])) for row in page.rows]


def _entry(row: Any, text: Callable[[str], str], owner: bool, more: list[xml.Pair]) -> list[xml.Pair]:
    about = msgspec.json.decode(row["about"], type=About)
    sums: list[xml.Pair] = [("ChecksumAlgorithm", algorithm.upper()) for algorithm in about.checksums]
    if sums:
        sums.append(("ChecksumType", "FULL_OBJECT" if about.whole else "COMPOSITE"))
    return [
        ("Key", text(row["key"].decode())),
        *more,
        ("LastModified", store.iso(row["modified"])),
        ("ETag", f'"{row["etag"]}"'),
        *sums,
        ("Size", row["size"]),
        *([("Owner", OWNER)] if owner else []),
        ("StorageClass", "STANDARD"),
    ]


def _prefixes(page: listing.Page, text: Callable[[str], str]) -> list[xml.Pair]:
    return [("CommonPrefixes", [("Prefix", text(prefix))]) for prefix in page.prefixes]


def _place(token: str) -> str:
    """The key a continuation token stands for."""
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise S3Error(
            "InvalidArgument", "The continuation token is not one of this door.", ArgumentName="continuation-token"
        ) from error
