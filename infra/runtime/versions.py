"""The versions of an object that its store has kept, as far as somebody may see them."""

from __future__ import annotations

from typing import Any

import msgspec

from events.errors import Reject
from events.ports import NotFound
from infra.catalog import times, tombstones
from infra.catalog.acl import ADMIN, Caller
from infra.catalog.resources import DataObject
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.objects.s3 import errors

PAGE = 1000


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version; the ``current`` one is what a download gives unless another is named."""

    version: str
    etag: str
    bytes: int
    modified: str
    current: bool = False


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """A page of versions, the newest first; ``next`` is the ``after`` of the one behind it."""

    versions: list[Version]
    next: str = ""


def listed(lake: Lake, objects: Providers, found: DataObject, caller: Caller, after: str = "") -> Versions:
    """The versions of this life of an object. A store that keeps none has the present one."""
    store, name = objects.of(found.bucket)
    marker = {"KeyMarker": found.key, "VersionIdMarker": after} if after else {}
    try:
        with errors(found.bucket, found.key):
            page = store.client.list_object_versions(Bucket=name, Prefix=found.key, MaxKeys=PAGE, **marker)
    except Reject:
        page = {}
    since = _since(lake, found, caller)
    told = [_version(each) for each in page.get("Versions", ()) if each["Key"] == found.key]
    seen = [each for each in told if _moment(each.modified) >= since or each.etag == found.etag]
    if not told and not after and found.etag:
        seen = [Version(version=found.version, etag=found.etag, bytes=found.bytes, modified=found.modified, current=True)]
    more = page.get("IsTruncated") and page.get("NextKeyMarker") == found.key and len(seen) == len(told)
    return Versions(versions=seen, next=page["NextVersionIdMarker"] if more else "")


def check(lake: Lake, objects: Providers, found: DataObject, version: str, caller: Caller) -> None:
    """Raises ``NotFound`` for a version that is not there, or of an earlier life of the object."""
    missing = f"{found.id} has no version {version[:100]}"
    try:
        info = objects.head(found.bucket, found.key, version=version)
    except (NotFound, Reject):
        raise NotFound(missing) from None
    if info.etag != found.etag and _moment(info.modified) < _since(lake, found, caller):
        raise NotFound(missing)


def _since(lake: Lake, found: DataObject, caller: Caller) -> int:
    """When the life of an object began whose versions the caller may see: who has it now has not what others had before.

    What only the store has told of belongs to nobody, and was there before the catalogue heard of it. Stores tell seconds.
    """
    if caller.admin:
        return 0
    with lake.database() as database:
        ended = tombstones.last(database, found.id)
    if ended:
        return ended
    return 0 if ADMIN in found.acl.owners else _moment(found.created) // 1000 * 1000


def _moment(text: str) -> int:
    return times.ms(text) or 0


def _version(told: dict[str, Any]) -> Version:
    return Version(
        version=told["VersionId"],
        etag=told["ETag"].strip('"'),
        bytes=told["Size"],
        modified=times.utc(told["LastModified"].isoformat()) or "",
        current=told["IsLatest"],
    )
