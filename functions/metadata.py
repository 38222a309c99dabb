"""An ingested object is described by its format, and its slice index is built and stored in the lake's own bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from events.event import Event
from events.ports import Changed, NotFound, ObjectStore, Settings
from events.route import on
from events.types import MetadataExtracted, ObjectIngested
from functions.formats import by_name
from functions.formats.source import Source
from functions.planner.coverage import coverage


@on("dev.sluice.object.ingested.v1")
def metadata(event: Event, data: ObjectIngested, objects: ObjectStore, settings: Settings) -> Iterator[Event]:
    """Describe the object and index it. Raises ``Broken`` (a ``Reject``) when its content contradicts its format."""
    known = by_name(data.format)
    source = Source(objects, data.bucket, data.key, data.size, data.etag, data.user)
    at = ""
    try:
        described = known.describe(source, data.scan)
        index = known.index(source, data.scan)
    except (NotFound, Changed):
        return  # removed or overwritten since: that change has an event of its own
    if index is not None:
        at = index_key(data.bucket, data.key, data.etag, data.sequence)
        objects.write(settings.bucket, at, index.encode(), content_type="application/vnd.msgpack")
        described = {**described, **coverage(index).metadata(), "units": index.units, "unit": index.unit}
    yield event.reply(
        MetadataExtracted(
            bucket=data.bucket,
            key=data.key,
            etag=data.etag,
            size=data.size,
            version=data.version,
            sequence=data.sequence,
            modified=data.modified,
            digest=data.digest,
            format=data.format,
            content_type=data.content_type,
            metadata=described,
            user=data.user,
            index=at,
            digests=data.digests,
        )
    )


def index_key(bucket: str, key: str, etag: str, sequence: str = "") -> str:
    """Where the slice index that one change of an object led to lies in the lake's bucket: short for any key, never shared.

    The same content put again is another change with another ``sequence``: an index that is retired is nobody else's.
    """
    name = hashlib.blake2b(f"{key}\x1f{etag}\x1f{sequence}".encode(), digest_size=16).hexdigest()
    return f"index/{bucket}/{name}"
