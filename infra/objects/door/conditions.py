"""Conditional requests and byte ranges.

Source: RFC 9110, sections 13 (conditional requests) and 14 (range requests), as far as S3 supports them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from infra.etags import weak
from infra.objects.door.errors import NotModified, S3Error
from infra.objects.door.request import Request
from infra.objects.door.store import Object


def http_date(microseconds: int) -> str:
    """A time as HTTP headers have it."""
    return format_datetime(datetime.fromtimestamp(microseconds // 1_000_000, UTC), usegmt=True)


def validators(found: Object) -> dict[str, str]:
    """The headers by which a client recognises what it has."""
    return {"ETag": f'"{found.etag}"', "Last-Modified": http_date(found.modified)}


def may_read(request: Request, found: Object) -> None:
    """Check the conditions of a GET or HEAD.

    Raises:
        S3Error: PreconditionFailed.
        NotModified: the client's copy is current.

    """
    if _unmet(request, found, ""):
        raise S3Error("PreconditionFailed", Condition=_unmet(request, found, ""))
    if _unchanged(request, found, ""):
        raise NotModified(validators(found))


def may_copy(request: Request, found: Object) -> None:
    """Check the ``x-amz-copy-source-if-`` conditions.

    Raises:
        S3Error: PreconditionFailed.

    """
    condition = _unmet(request, found, "x-amz-copy-source-") or _unchanged(request, found, "x-amz-copy-source-")
    if condition:
        raise S3Error("PreconditionFailed", Condition=condition)


def may_write(request: Request, old: Object | None, key: str) -> None:
    """Check the conditions of a write against what is there. Only within the write's transaction is the answer final.

    Raises:
        S3Error: PreconditionFailed; NoSuchKey for If-Match where nothing is.

    """
    none_match = request.headers.get("if-none-match")
    if none_match is not None and old is not None and _matches(none_match, old.etag):
        raise S3Error("PreconditionFailed", Condition="If-None-Match")
    match = request.headers.get("if-match")
    if match is not None:
        if old is None:
            raise S3Error("NoSuchKey", Key=key)
        if not _matches(match, old.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")


def may_delete(old: Object, etag: str, size: str, modified: str) -> None:
    """Check the conditions of a delete, empty where there are none: the object is the one the client knows.

    Raises:
        S3Error: PreconditionFailed; InvalidArgument for a time that cannot be read.

    """
    if etag and not _matches(etag, old.etag):
        raise S3Error("PreconditionFailed", Condition="ETag")
    if size and size != str(old.size):
        raise S3Error("PreconditionFailed", Condition="Size")
    if modified:
        moment = _date(modified)
        if moment is None:
            raise S3Error("InvalidArgument", f"The time {modified[:40]!r} cannot be read.", ArgumentName="LastModifiedTime")
        if int(moment) != _seconds(old):
            raise S3Error("PreconditionFailed", Condition="LastModifiedTime")


def byte_range(request: Request, size: int) -> tuple[int, int] | None:
    """The range asked for as (first, end), end exclusive; ``None`` for all of it. What is no single range is ignored.

    Raises:
        S3Error: InvalidRange, when it lies outside.

    """
    match = re.fullmatch(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", request.headers.get("range", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < first:
            return None
    if first >= end:
        raise S3Error("InvalidRange", headers={"Content-Range": f"bytes */{size}"}, ActualObjectSize=str(size))
    return first, end


def _unmet(request: Request, found: Object, prefix: str) -> str:
    """The condition that asks for the client's version and does not get it."""
    match = request.headers.get(prefix + "if-match")
    if match is not None:
        return "" if _matches(match, found.etag) else "If-Match"
    since = _date(request.headers.get(prefix + "if-unmodified-since"))
    return "If-Unmodified-Since" if since is not None and _seconds(found) > since else ""


def _unchanged(request: Request, found: Object, prefix: str) -> str:
    """The condition that asks for another version than the client's, where there is none."""
    none_match = request.headers.get(prefix + "if-none-match")
    if none_match is not None:
        return "If-None-Match" if _matches(none_match, found.etag) else ""
    since = _date(request.headers.get(prefix + "if-modified-since"))
    return "If-Modified-Since" if since is not None and _seconds(found) <= since else ""


def _matches(header: str, etag: str) -> bool:
    return weak(header, etag, bare=True)


def _seconds(found: Object) -> float:
    return found.modified // 1_000_000


def _date(text: str | None) -> float | None:
    if not text:
        return None
    try:  # HTTP's form, or ISO 8601 as XML has it
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
