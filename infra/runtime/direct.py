"""A catalogue of what lies in the store right now, for maps whose planner does not answer: it looks into the objects itself."""

from __future__ import annotations

from contextlib import closing

from events.errors import Reject
from events.ports import Entry, NotFound, ObjectStore, Query
from functions.formats import sniff
from functions.formats.format import Index
from functions.formats.source import Source
from functions.planner.coverage import coverage

HEAD = 1 << 16


class DirectCatalog:
    """The ``Catalog`` port by looking. ``indexes`` holds the slice index of every object asked for, by bucket, key and ETag."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.indexes: dict[tuple[str, str, str], Index] = {}

    def get(self, bucket: str, key: str) -> Entry | None:
        """Describe the object; formats that must see every byte read it once."""
        try:
            info = self._objects.head(bucket, key)
        except NotFound:
            return None
        source = Source(self._objects, bucket, key, info.size, info.etag, info.user)
        known = sniff(source.read(0, HEAD), source.name, info.user)
        scan = {}
        scanner = known.scanner()
        if scanner is not None:
            with closing(self._objects.stream(bucket, key, etag=info.etag)) as chunks:
                for chunk in chunks:
                    scanner.feed(chunk)
            scan = scanner.result()
        metadata = known.describe(source, scan)
        index = known.index(source, scan)
        if index is not None:
            self.indexes[bucket, key, info.etag] = index
            metadata = {**metadata, **coverage(index).metadata()}
        place = "in memory" if index is not None else ""
        return Entry(bucket=bucket, key=key, etag=info.etag, size=info.size, format=known.name, metadata=metadata, index=place)

    def search(self, query: Query) -> list[Entry]:
        """Only the catalogue can search."""
        raise Reject("a data set by query needs the catalogue: start it (sluice up), or name the objects as s3://bucket/key")

    def upsert(self, entry: Entry) -> bool:
        """Nothing is kept."""
        return False


class NoProfiles:
    """The ``Profiles`` port without any history."""

    def get(self, key: str) -> None:
        return None

    def put(self, key: str, profile: object) -> None:
        """Nothing is kept."""

    def keys(self, prefix: str = "") -> list[str]:
        return []
