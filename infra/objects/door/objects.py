"""Operations on one object: put, get, head, delete, copy, attributes; and the batch delete."""

from __future__ import annotations

from contextlib import ExitStack
from urllib.parse import unquote

import msgspec
from starlette.responses import Response

from infra.objects.door import body, checksums, conditions, store, xml
from infra.objects.door.download import Download
from infra.objects.door.errors import S3Error
from infra.objects.door.request import MAX_KEY, Request
from infra.objects.door.service import (
    META,
    XML_TYPE,
    Service,
    about,
    answer,
    check_supported,
    check_version,
    checksum_elements,
    checksum_headers,
    done,
    header_tags,
    plain,
)
from infra.objects.door.store import Object, Segment, Transaction

DEFAULT_TYPE = "binary/octet-stream"
MOST_DELETES = 1000


async def put(service: Service, request: Request, event: str = "ObjectCreated:Put") -> Response:
    """PutObject, or what notifications call ``event``.

    Its conditions are checked before the content is sent, and again in the transaction, where it counts.
    """
    check_supported(request)
    described = about(request)
    bucket, key = request.bucket, request.key
    store.bucket(service.store.reader, bucket)
    conditions.may_write(request, store.find(service.store.reader, bucket, key), key)
    algorithm = request.header("x-amz-sdk-checksum-algorithm")
    stored = await body.to_file(
        request, service.files, service.threads, checksums.algorithm_named(algorithm) if algorithm else ""
    )
    described = msgspec.structs.replace(described, checksums=stored.checksums)
    cause = service.cause(request)

    def work(transaction: Transaction) -> None:
        store.bucket(transaction.connection, bucket)
        conditions.may_write(request, store.find(transaction.connection, bucket, key), key)
        new = Object(
            bucket=bucket,
            key=key,
            size=stored.size,
            etag=stored.md5,
            modified=store.present(),
            about=described,
            segments=[Segment(stored.name, stored.size)],
        )
        transaction.put(new, event, cause)

    await service.commit(work, [stored.name])
    return Response(headers={"ETag": f'"{stored.md5}"'} | checksum_headers(described))


async def get(service: Service, request: Request) -> Response:
    """GetObject and HeadObject: conditions, ranges, parts, and the overrides of response headers."""
    check_version(request)
    with ExitStack() as stack:
        found = stack.enter_context(service.pinned(request.bucket, request.key))
        conditions.may_read(request, found)
        headers = _headers(request, found)
        status, (first, end) = 200, (0, found.size)
        if "partNumber" in request.query:
            status, (first, end) = 206, _part(request, found)
            if found.upload:
                headers["x-amz-mp-parts-count"] = str(len(found.segments))
            if not found.size:
                status = 200
        elif (wanted := conditions.byte_range(request, found.size)) is not None:
            status, (first, end) = 206, wanted
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{found.size}"
        elif request.header("x-amz-checksum-mode").upper() == "ENABLED":
            headers |= checksum_headers(found.about)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers | {"Content-Length": str(end - first)})
        return Download(service, found, first, end, stack.pop_all(), status_code=status, headers=headers)


def _headers(request: Request, found: Object) -> dict[str, str]:
    headers = conditions.validators(found) | {"Accept-Ranges": "bytes", "Content-Type": DEFAULT_TYPE}
    headers |= {name.title(): value for name, value in found.about.headers.items()}
    headers |= {META + name: value for name, value in found.about.user.items()}
    headers["x-sluice-sequencer"] = f"{found.sequence:016X}"
    if found.about.tags:
        headers["x-amz-tagging-count"] = str(len(found.about.tags))
    for name, value in request.query.items():
        if name.startswith("response-") and (header := name.removeprefix("response-")) in (
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-type",
            "expires",
        ):
            headers[header.title()] = plain(value)
    return headers


def _part(request: Request, found: Object) -> tuple[int, int]:
    """Where a part of an uploaded object lies. An object put at once is its own part 1."""
    number = request.number("partNumber", 0, 10_000)
    if number < 1:
        raise S3Error("InvalidArgument", "partNumber must be from 1 to 10000.", ArgumentName="partNumber")
    if number > len(found.segments):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(len(found.segments)))
    first = sum(segment.size for segment in found.segments[: number - 1])
    return first, first + found.segments[number - 1].size


async def attributes(service: Service, request: Request) -> Response:
    """GetObjectAttributes."""
    check_version(request)
    wanted = {name.strip() for name in request.header("x-amz-object-attributes").split(",")} - {""}
    if not wanted or wanted - {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    found = store.get(service.store.reader, request.bucket, request.key)
    kind = "FULL_OBJECT" if found.about.whole else "COMPOSITE"
    sums = checksum_elements(found.about.checksums)
    children: list[xml.Pair] = []
    if "ETag" in wanted:
        children.append(("ETag", found.etag))
    if "Checksum" in wanted and sums:
        children.append(("Checksum", [*sums, ("ChecksumType", kind)]))
    if "ObjectParts" in wanted and found.upload:
        children.append(("ObjectParts", [("TotalPartsCount", len(found.segments))]))
    if "StorageClass" in wanted:
        children.append(("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        children.append(("ObjectSize", found.size))
    response = answer("GetObjectAttributesResponse", children)
    response.headers["Last-Modified"] = conditions.http_date(found.modified)
    return response


async def delete(service: Service, request: Request) -> Response:
    """DeleteObject. Deleting what is not there succeeds and tells nobody."""
    check_version(request)
    wanted = tuple(map(request.header, ("if-match", "x-amz-if-match-size", "x-amz-if-match-last-modified-time")))
    cause = service.cause(request)

    def work(transaction: Transaction) -> None:
        store.bucket(transaction.connection, request.bucket)
        old = store.find(transaction.connection, request.bucket, request.key)
        if old is not None:
            conditions.may_delete(old, *wanted)
            transaction.delete(old, cause)

    await service.commit(work)
    return done()


async def delete_many(service: Service, request: Request) -> Response:
    """DeleteObjects: up to 1000 keys in one transaction; each has its own answer."""
    document = await service.document(request, "Delete")
    wanted = document.all("Object")
    if not 1 <= len(wanted) <= MOST_DELETES:
        raise S3Error("MalformedXML", f"A batch delete names from 1 to {MOST_DELETES} objects.")
    quiet = document.get("Quiet", "false").strip().lower() == "true"
    conditional = [[item.get(name, "").strip() for name in ("ETag", "Size", "LastModifiedTime")] for item in wanted]
    pairs = [(item.get("Key"), item.get("VersionId", "") or "null") for item in wanted]
    cause = service.cause(request)

    def work(transaction: Transaction) -> list[xml.Pair]:
        store.bucket(transaction.connection, request.bucket)
        answers: list[xml.Pair] = []
        for (key, version), expected in zip(pairs, conditional, strict=True):
            error = _refusal(key, version)
            old = None if error else store.find(transaction.connection, request.bucket, key)
            if old is not None:
                try:
                    conditions.may_delete(old, *expected)
                    transaction.delete(old, cause)
                except S3Error as refusal:
                    error = refusal
            if error is not None:
                answers.append(("Error", [("Key", key), ("Code", error.code), ("Message", error.message)]))
            elif not quiet:
                answers.append(("Deleted", [("Key", key)]))
        return answers

    return answer("DeleteResult", await service.commit(work))


def _refusal(key: str, version: str) -> S3Error | None:
    if not key:
        return S3Error("InvalidRequest", "A key must be given.")
    if len(key.encode()) > MAX_KEY:
        return S3Error("KeyTooLongError")
    return S3Error("NoSuchVersion") if version != "null" else None


def copy_source(request: Request) -> tuple[str, str]:
    """Bucket and key of ``x-amz-copy-source``.

    Raises:
        S3Error: InvalidArgument or NoSuchVersion.

    """
    path, _, version = request.header("x-amz-copy-source").partition("?versionId=")
    try:
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        bucket = key = ""
    if not bucket or not key:
        raise S3Error("InvalidArgument", "The copy source must read BUCKET/KEY, URL-encoded.", ArgumentName="x-amz-copy-source")
    if version not in ("", "null"):
        raise S3Error("NoSuchVersion")
    return bucket, key


def directive(request: Request, name: str) -> bool:
    """Whether a directive says REPLACE rather than COPY.

    Raises:
        S3Error: InvalidArgument.

    """
    value = request.header(name) or "COPY"
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"{name} must be COPY or REPLACE.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"


async def copy(service: Service, request: Request) -> Response:
    """CopyObject. Content is linked, not copied; the ETag stays the source's."""
    check_supported(request)
    bucket, key = copy_source(request)
    described = about(request)
    replace, retag = directive(request, "x-amz-metadata-directive"), directive(request, "x-amz-tagging-directive")
    if (bucket, key) == (request.bucket, request.key) and not replace:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes.",
        )
    store.bucket(service.store.reader, request.bucket)
    cause = service.cause(request)
    made: list[Segment] = []
    with service.pinned(bucket, key) as source:
        conditions.may_copy(request, source)

        def link() -> None:
            for segment in source.segments:
                made.append(Segment(service.files.link(segment.name), segment.size, segment.checksum))

        try:
            await service.threaded(link)
        except BaseException:
            service.files.remove([segment.name for segment in made])
            raise
    new = Object(
        bucket=request.bucket,
        key=request.key,
        size=source.size,
        etag=source.etag,
        modified=store.present(),
        upload=source.upload,
        segments=made,
        about=msgspec.structs.replace(
            source.about,
            headers=described.headers if replace else source.about.headers,
            user=described.user if replace else source.about.user,
            tags=header_tags(request) if retag else source.about.tags,
        ),
    )

    def work(transaction: Transaction) -> None:
        conditions.may_write(request, store.find(transaction.connection, new.bucket, new.key), new.key)
        transaction.put(new, "ObjectCreated:Copy", cause)

    await service.commit(work, [segment.name for segment in made])
    children: list[xml.Pair] = [("LastModified", store.iso(new.modified)), ("ETag", f'"{new.etag}"')]
    return Response(xml.render("CopyObjectResult", [*children, *checksum_elements(new.about.checksums)]), media_type=XML_TYPE)
