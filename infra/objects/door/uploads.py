"""Multipart uploads: parts are content files of their own, and a completed object is their sequence; nothing is copied."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from infra.objects.door import body, checksums, conditions, store, xml
from infra.objects.door.buckets import OWNER
from infra.objects.door.errors import S3Error
from infra.objects.door.objects import copy_source
from infra.objects.door.request import Request
from infra.objects.door.service import (
    Service,
    about,
    answer,
    check_supported,
    checksum_elements,
    checksum_headers,
    done,
)
from infra.objects.door.store import About, Object, Segment, Transaction

LEAST = 5 << 20
MOST_PARTS = 10_000
CHUNK = 1 << 20


async def create(service: Service, request: Request) -> Response:
    """CreateMultipartUpload."""
    check_supported(request)
    store.bucket(service.store.reader, request.bucket)
    named, kind = request.header("x-amz-checksum-algorithm"), request.header("x-amz-checksum-type").upper()
    algorithm = checksums.algorithm_named(named) if named else ""
    whole = kind == "FULL_OBJECT" or (not kind and algorithm == "crc64nvme")
    if kind not in ("", "COMPOSITE", "FULL_OBJECT") or (kind and not algorithm):
        raise S3Error("InvalidRequest", "x-amz-checksum-type is COMPOSITE or FULL_OBJECT, with an x-amz-checksum-algorithm.")
    if (algorithm == "crc64nvme" and not whole) or (algorithm.startswith("sha") and whole):
        raise S3Error("InvalidRequest", f"The checksum type {kind} cannot be used with {algorithm.upper()}.")
    described = msgspec.structs.replace(about(request), algorithm=algorithm, whole=whole)
    identity = secrets.token_hex(16)
    text = msgspec.json.encode(described).decode()

    def work(transaction: Transaction) -> None:
        store.bucket(transaction.connection, request.bucket)
        row = (identity, request.bucket, request.key.encode(), store.present(), text)
        transaction.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", row)

    await service.commit(work)
    response = answer(
        "InitiateMultipartUploadResult", [("Bucket", request.bucket), ("Key", request.key), ("UploadId", identity)]
    )
    if algorithm:
        response.headers["x-amz-checksum-algorithm"] = algorithm.upper()
        response.headers["x-amz-checksum-type"] = "FULL_OBJECT" if whole else "COMPOSITE"
    return response


def find(connection: sqlite3.Connection, request: Request) -> About:
    """What was said of the object when its upload began.

    Raises:
        S3Error: NoSuchBucket or NoSuchUpload.

    """
    identity = request.query.get("uploadId", "")
    row = connection.execute(
        "SELECT about FROM uploads WHERE id = ? AND bucket = ? AND key = ?", (identity, request.bucket, request.key.encode())
    ).fetchone()
    if row is None:
        store.bucket(connection, request.bucket)
        raise S3Error("NoSuchUpload", UploadId=identity)
    return msgspec.json.decode(row["about"], type=About)


async def put_part(service: Service, request: Request) -> Response:
    """UploadPart. The same number again replaces the part."""
    number = _number(request)
    described = find(service.store.reader, request)
    stored = await body.to_file(request, service.files, service.threads, described.algorithm)
    checksum = stored.checksums.get(described.algorithm, "")
    await _keep(service, request, number, stored, checksum)
    headers = {checksums.PREFIX + name: value for name, value in stored.checksums.items()}
    return Response(headers={"ETag": f'"{stored.md5}"'} | headers)


async def copy_part(service: Service, request: Request) -> Response:
    """UploadPartCopy: a part from (a range of) another object."""
    number = _number(request)
    described = find(service.store.reader, request)
    bucket, key = copy_source(request)
    with service.pinned(bucket, key) as source:
        conditions.may_copy(request, source)
        first, end = _source_range(request.header("x-amz-copy-source-range"), source.size)
        stored = await service.threaded(lambda: _copy(service, source, first, end, described.algorithm))
    checksum = stored.checksums.get(described.algorithm, "")
    await _keep(service, request, number, stored, checksum)
    children: list[xml.Pair] = [("LastModified", store.iso(store.present())), ("ETag", f'"{stored.md5}"')]
    return answer("CopyPartResult", [*children, *checksum_elements(stored.checksums)])


def _number(request: Request) -> int:
    number = request.number("partNumber", 0)
    if not 1 <= number <= MOST_PARTS:
        raise S3Error(
            "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.", ArgumentName="partNumber"
        )
    return number


def _source_range(text: str, size: int) -> tuple[int, int]:
    if not text:
        return 0, size
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not (
        text.startswith("bytes=") and first.isdecimal() and last.isdecimal() and len(text) < 60 and int(first) <= int(last)
    ):
        raise S3Error(
            "InvalidArgument", "x-amz-copy-source-range must read bytes=FIRST-LAST.", ArgumentName="x-amz-copy-source-range"
        )
    if int(last) >= size:
        raise S3Error("InvalidRange", f"The range ends beyond the source, which has {size} bytes.", ActualObjectSize=str(size))
    return int(first), int(last) + 1


def _copy(service: Service, source: Object, first: int, end: int, algorithm: str) -> body.Stored:
    """Bytes of an object as a content file of their own."""
    name, out = service.files.create()
    try:
        md5 = hashlib.md5(usedforsecurity=False)
        digest = checksums.new(algorithm) if algorithm else None
        start = 0
        for segment in source.segments:
            low, high = max(first, start) - start, min(end, start + segment.size) - start
            start += segment.size
            if low < high:
                descriptor = service.files.open(segment.name)
                try:
                    while low < high:
                        block = os.pread(descriptor, min(CHUNK, high - low), low)
                        if not block:
                            raise OSError(f"the content file {segment.name} is too short")
                        low += len(block)
                        md5.update(block)
                        if digest is not None:
                            digest.update(block)
                        service.files.write(out, [block])
                finally:
                    os.close(descriptor)
        service.files.settle(name, out)
    except BaseException:
        service.files.remove([name])
        raise
    finally:
        os.close(out)
    sums = {algorithm: checksums.encode(digest.digest())} if digest is not None else {}
    return body.Stored(name, end - first, md5.hexdigest(), sums)


async def _keep(service: Service, request: Request, number: int, stored: body.Stored, checksum: str) -> None:
    identity = request.query["uploadId"]

    def work(transaction: Transaction) -> None:
        find(transaction.connection, request)
        old = transaction.execute("SELECT file FROM parts WHERE upload = ? AND number = ?", (identity, number)).fetchone()
        if old is not None:
            transaction.drop([old[0]])
        transaction.keep([stored.name])
        row = (identity, number, stored.size, stored.md5, store.present(), checksum, stored.name)
        transaction.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    await service.commit(work, [stored.name])


async def abort(service: Service, request: Request) -> Response:
    """AbortMultipartUpload."""
    identity = request.query["uploadId"]

    def work(transaction: Transaction) -> None:
        find(transaction.connection, request)
        transaction.drop([row[0] for row in transaction.execute("SELECT file FROM parts WHERE upload = ?", (identity,))])
        transaction.execute("DELETE FROM uploads WHERE id = ?", (identity,))

    await service.commit(work)
    return done()


@dataclass(frozen=True)
class Claim:
    """A part as the completing client names it."""

    number: int
    etag: str
    checksum: str


async def complete(service: Service, request: Request) -> Response:
    """CompleteMultipartUpload. Repeating it after success gives the same answer."""
    identity = request.query["uploadId"]
    try:
        described: About | None = find(service.store.reader, request)
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
        described = None
    data = await body.to_memory(request, service.threads)
    document = await service.threaded(lambda: xml.parse(data, "CompleteMultipartUpload"))  # S3 calls no body malformed too
    claims = [_claim(part, described.algorithm if described else "") for part in document.all("Part")]
    if not 1 <= len(claims) <= MOST_PARTS:
        raise S3Error("MalformedXML", f"An upload is completed from 1 to {MOST_PARTS} parts.")
    if any(one.number >= two.number for one, two in pairwise(claims)):
        raise S3Error("InvalidPartOrder")
    cause = service.cause(request)

    def work(transaction: Transaction) -> Object:
        old = store.find(transaction.connection, request.bucket, request.key)
        if old is not None and old.upload == identity:
            return old
        described = find(transaction.connection, request)
        conditions.may_write(request, old, request.key)
        rows = {
            row["number"]: row
            for row in transaction.execute("SELECT * FROM parts WHERE upload = ? ORDER BY number", (identity,))
        }
        new = _assemble(request, described, claims, rows)
        used = {segment.name for segment in new.segments}
        transaction.put(new, "ObjectCreated:CompleteMultipartUpload", cause, taken=used)
        transaction.drop([row["file"] for row in rows.values() if row["file"] not in used])
        transaction.execute("DELETE FROM uploads WHERE id = ?", (identity,))
        return new

    new = await service.commit(work)
    host = request.headers.get("host", "")
    place = f"{request.scope.get('scheme', 'http')}://{host}/{new.bucket}/{quote(new.key)}"
    sums = checksum_headers(new.about)
    children: list[xml.Pair] = [("Location", place), ("Bucket", new.bucket), ("Key", new.key), ("ETag", f'"{new.etag}"')]
    children += checksum_elements(new.about.checksums)
    if sums:
        children.append(("ChecksumType", sums[checksums.PREFIX + "type"]))
    return answer("CompleteMultipartUploadResult", children)


def _claim(part: xml.Element, algorithm: str) -> Claim:
    number = part.get("PartNumber").strip()
    if not number.isdecimal() or not 1 <= int(number[:9]) <= MOST_PARTS:
        raise S3Error("MalformedXML", f"A <PartNumber> is a number from 1 to {MOST_PARTS}.")
    return Claim(
        int(number), part.get("ETag").strip().strip('"'), part.get("Checksum" + algorithm.upper(), "") if algorithm else ""
    )


def _assemble(request: Request, described: About, claims: list[Claim], rows: dict[int, Any]) -> Object:
    """The object that the parts make up.

    Raises:
        S3Error: InvalidPart, EntityTooSmall, BadDigest or InvalidRequest.

    """
    for claim in claims:
        row = rows.get(claim.number)
        if row is None or row["etag"] != claim.etag or (claim.checksum and claim.checksum != row["checksum"]):
            raise S3Error("InvalidPart", PartNumber=str(claim.number), ETag=claim.etag)
    chosen = [rows[claim.number] for claim in claims]
    for row in chosen[:-1]:
        if row["size"] < LEAST:
            raise S3Error(
                "EntityTooSmall", ProposedSize=str(row["size"]), MinSizeAllowed=str(LEAST), PartNumber=str(row["number"])
            )
    size = sum(row["size"] for row in chosen)
    expected = request.header("x-amz-mp-object-size")
    if expected and expected != str(size):
        raise S3Error("InvalidRequest", f"x-amz-mp-object-size says {expected[:20]}, the parts have {size} bytes.")
    digests = b"".join(bytes.fromhex(row["etag"]) for row in chosen)
    sums: dict[str, str] = {}
    algorithm = described.algorithm
    if algorithm and described.whole:
        sums = {algorithm: checksums.whole(algorithm, [(row["checksum"], row["size"]) for row in chosen])}
        claimed = request.header(checksums.PREFIX + algorithm)
        if claimed and claimed != sums[algorithm]:
            raise S3Error("BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum.")
    elif algorithm:
        sums = {algorithm: checksums.composite(algorithm, [row["checksum"] for row in chosen])}
    return Object(
        bucket=request.bucket,
        key=request.key,
        size=size,
        etag=f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}",
        modified=store.present(),
        upload=request.query["uploadId"],
        about=msgspec.structs.replace(described, checksums=sums, whole=described.whole or not algorithm),
        segments=[Segment(row["file"], row["size"], row["checksum"]) for row in chosen],
    )


async def list_parts(service: Service, request: Request) -> Response:
    """ListParts."""
    described = find(service.store.reader, request)
    marker, most = request.number("part-number-marker", 0), min(1000, request.number("max-parts", 1000))
    rows = service.store.reader.execute(
        "SELECT * FROM parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?",
        (request.query["uploadId"], marker, most + 1),
    ).fetchall()
    shown = rows[:most]
    children: list[xml.Pair] = [
        ("Bucket", request.bucket),
        ("Key", request.key),
        ("UploadId", request.query["uploadId"]),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1]["number"] if shown else 0),
        ("MaxParts", most),
        ("IsTruncated", len(rows) > most and most > 0),
    ]
    if described.algorithm:
        kind = "FULL_OBJECT" if described.whole else "COMPOSITE"
        children += [("ChecksumAlgorithm", described.algorithm.upper()), ("ChecksumType", kind)]
    for row in shown:
        part: list[xml.Pair] = [
            ("PartNumber", row["number"]),
            ("LastModified", store.iso(row["modified"])),
            ("ETag", f'"{row["etag"]}"'),
            ("Size", row["size"]),
        ]
        sums = checksum_elements({described.algorithm: row["checksum"]}) if row["checksum"] else []
        children.append(("Part", [*part, *sums]))
    return answer("ListPartsResult", children)


async def list_uploads(service: Service, request: Request) -> Response:
    """ListMultipartUploads."""
    reader, query = service.store.reader, request.query
    store.bucket(reader, request.bucket)
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    after = query.get("upload-id-marker", "") if marker else ""
    most = min(1000, request.number("max-uploads", 1000))
    text: Callable[[str], str] = (lambda value: quote(value, safe="/-_.~*")) if query.get("encoding-type") == "url" else str
    rows = reader.execute(
        "SELECT * FROM uploads WHERE bucket = ? AND (key > ? OR (key = ? AND ? <> '' AND id > ?)) ORDER BY key, id",
        (request.bucket, marker.encode(), marker.encode(), after, after),
    )
    found: list[xml.Pair] = []
    prefixes: list[str] = []
    last, truncated = (marker, after), False
    for row in rows:
        key: str = row["key"].decode()
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        common = key[: at + len(delimiter)] if at >= 0 else ""
        if not key.startswith(prefix) or (common and (common in prefixes[-1:] or marker.startswith(common))):
            continue
        if len(found) + len(prefixes) == most:
            truncated = most > 0
            break
        if common:
            prefixes.append(common)
            last = (common, "")
        else:
            last = (key, row["id"])
            started = store.iso(row["started"])
            inner: list[xml.Pair] = [("Key", text(key)), ("UploadId", row["id"]), ("Initiator", OWNER), ("Owner", OWNER)]
            found.append(("Upload", [*inner, ("StorageClass", "STANDARD"), ("Initiated", started)]))
    rows.close()
    head: list[xml.Pair] = [
        ("Bucket", request.bucket),
        ("KeyMarker", text(marker)),
        ("UploadIdMarker", after),
        ("Prefix", text(prefix)),
        *([("Delimiter", text(delimiter))] if delimiter else []),
        *([("EncodingType", "url")] if query.get("encoding-type") == "url" else []),
        ("MaxUploads", most),
        ("IsTruncated", truncated),
        *([("NextKeyMarker", text(last[0])), ("NextUploadIdMarker", last[1])] if truncated else []),
    ]
    rolled: list[xml.Pair] = [("CommonPrefixes", [("Prefix", text(one))]) for one in prefixes]
    return answer("ListMultipartUploadsResult", [*head, *found, *rolled])
