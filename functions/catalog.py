"""The catalogue follows the lake: described objects are entered, removed ones leave, broken ones are shown as failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from events.event import Event, now
from events.ports import Catalog, Entry, Settings
from events.route import on
from events.types import (
    S3_EXPIRED,
    S3_EXPIRED_CEPH,
    S3_REMOVED,
    CatalogUpdated,
    DeliveryFailed,
    IndexRetired,
    MetadataExtracted,
    ObjectVersion,
    S3Record,
)

#: The functions without which an object cannot be catalogued.
NEEDED = ("ingest", "metadata")


@on("dev.sluice.metadata.extracted.v1", "dev.sluice.delivery.failed.v1", S3_REMOVED, S3_EXPIRED, S3_EXPIRED_CEPH)
def catalog(event: Event, catalog: Catalog, settings: Settings) -> Iterator[Event]:
    """Enter one change, unless the catalogue already knows a newer one of this object; tell which slice index is out of use."""
    if event.type.startswith("com.amazonaws.s3."):
        change, entry = "removed", _removed(event)
        if entry.bucket == settings.bucket:
            return  # the lake's own indexes and payloads: nobody's data
    elif event.type == "dev.sluice.metadata.extracted.v1":
        data = event.read(MetadataExtracted)
        fields = {name: getattr(data, name) for name in data.__struct_fields__}
        change, entry = "upserted", Entry(**fields, updated=now())
    else:
        failed = event.read(DeliveryFailed)
        if failed.object is None or failed.function not in NEEDED:
            return
        change, entry = "failed", Entry(**_version(failed.object), state="failed", cause=failed.cause, updated=now())
    before = catalog.get(entry.bucket, entry.key)
    if entry.state == "removed" and (before is None or before.state == "removed"):
        catalog.upsert(entry)  # remembered all the same: an older change may still be under way
        return
    if before is not None and event.type.endswith(":Delete") and "" != entry.version != before.version != "":
        return  # a version that was not the current one
    if before is not None and (before.state, before.etag) == (entry.state, entry.etag):  # of one content all that was found out
        entry = msgspec.structs.replace(entry, digests={**before.digests, **entry.digests})
    if before is not None and _same(before, entry):
        # Told a second time, by a late notification or a sweep: only where it stands in the order may be news.
        catalog.upsert(msgspec.structs.replace(entry, index=before.index or entry.index, updated=before.updated))
    elif catalog.upsert(entry):
        yield event.reply(
            CatalogUpdated(**_version(entry), change=change, digest=entry.digest, format=entry.format, metadata=entry.metadata),
            subject=f"{entry.bucket}/{entry.key}",
        )
    after = catalog.get(entry.bucket, entry.key)
    for index in sorted({entry.index, before.index if before else ""} - {"", after.index if after else ""}):
        yield event.reply(IndexRetired(bucket=entry.bucket, key=entry.key, index=index), subject=f"{entry.bucket}/{entry.key}")


def _removed(event: Event) -> Entry:
    record = event.read(S3Record)
    return Entry(
        bucket=record.s3.bucket.name,
        key=record.s3.object.key,
        state="removed",
        version=record.s3.object.versionId,
        sequence=str(event.extensions.get("sequence", "")),
        modified=record.eventTime,
        updated=now(),
    )


def _same(before: Entry, entry: Entry) -> bool:
    """Whether both tell the same content, described alike (the slice index of the one is as good as the other's)."""
    told = ("state", "etag", "size", "digest", "digests", "format", "content_type", "metadata", "user", "cause")
    return all(getattr(before, name) == getattr(entry, name) for name in told)


def _version(of: msgspec.Struct) -> dict[str, Any]:
    """The fields that an entry and an event share: which version of which object."""
    return {name: getattr(of, name) for name in ObjectVersion.__struct_fields__}
