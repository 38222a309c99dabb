"""A store of many objects (a MeasurementSet, a Zarr store), named by its prefix, read as if it were one object.

Its members lie one after the other, in the order of their keys, so ranges and slices are as of any object. Each read says which
version of the member it wants (``If-Match``): of a store that is changed meanwhile nothing is mixed up. The store's own ETag is
a digest of its members' keys, ETags and sizes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from itertools import accumulate
from typing import Any

import msgspec
import zstandard

from events.errors import Reject
from events.ports import Changed, NotFound, ObjectStore
from functions.formats.format import Index, Slice
from functions.formats.source import Source

MOST = 100_000
#: What a store has at its top -> its format.
DOCUMENTS = {
    "table.dat": "measurementset",
    "zarr.json": "zarr",
    ".zarray": "zarr",
    ".zgroup": "zarr",
}


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One object of a store: its key behind the prefix, its version and its bytes."""

    name: str
    etag: str
    size: int


class Folder(Source):
    """The objects below a prefix (``key``, which ends with a slash) as one source."""

    def __init__(
        self, objects: ObjectStore, bucket: str, key: str, members: list[Member], user: dict[str, str] | None = None
    ) -> None:
        told = msgspec.json.encode([sorted((user or {}).items()), members])
        etag = hashlib.blake2b(told, digest_size=16).hexdigest()
        self.members = members
        self.starts = list(accumulate((member.size for member in members), initial=0))
        super().__init__(objects, bucket, key, self.starts[-1], etag, user)

    def read(self, start: int, end: int) -> bytes:
        """See ``Source.read``. Raises ``Changed`` where a member is another version, or is gone."""
        end, pieces = min(end, self.size), []
        number = bisect_right(self.starts, start) - 1
        while start < end:
            member, first = self.members[number], self.starts[number]
            stop = min(end, first + member.size)
            if stop > start:
                try:
                    piece = self.objects.read(
                        self.bucket, self.key + member.name, start - first, stop - first, etag=member.etag
                    )
                except NotFound as error:
                    raise Changed(f"{self}{member.name} is gone: plan again") from error
                if len(piece) != stop - start:
                    raise Changed(f"{self}{member.name} gave {len(piece)} of {stop - start} bytes: it was cut off")
                pieces.append(piece)
                start = stop
            number += 1
        return b"".join(pieces)

    def packed(self) -> bytes:
        """The members, for the index that slices of them need."""
        return zstandard.compress(msgspec.msgpack.encode(self.members), 9)


def look(objects: ObjectStore, bucket: str, key: str) -> tuple[Folder, str]:
    """What lies below a prefix now, and its format. The user metadata are those of the object that makes it a store.

    Raises:
        Reject: nothing lies there that is a store of many objects.

    """
    for document, format in DOCUMENTS.items():
        try:
            user = objects.head(bucket, key + document).user
        except NotFound:
            continue
        found = []
        for info in objects.list(bucket, key):
            name = info.key.removeprefix(key)
            if name and not name.endswith("/"):  # markers of folders
                found.append(Member(name, info.etag, info.size))
            if len(found) > MOST:
                raise Reject(f"s3://{bucket}/{key} has more than {MOST} objects, the most one store may have")
        return Folder(objects, bucket, key, sorted(found, key=lambda member: member.name), user), format
    names = ", ".join(DOCUMENTS)
    raise Reject(
        f"s3://{bucket}/{key} is no store of many objects: none of {names} lies there. To name an object, drop the slash"
    )


def source_of(part: Slice, objects: ObjectStore, index: Index) -> Source:
    """What a slice reads from: its object, or the members that its index names."""
    packed: Any = index.data.get("members")
    if packed is None:
        return Source(objects, part.bucket, part.key, part.size, part.etag)
    members = msgspec.msgpack.decode(zstandard.decompress(packed), type=list[Member])
    return Folder(objects, part.bucket, part.key, members)
