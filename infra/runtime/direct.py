"""A catalogue of what lies in the store right now, for maps whose planner does not answer: it looks into the objects itself."""

from __future__ import annotations

import uuid
from contextlib import closing

from events.errors import Reject
from events.ports import Entry, NotFound, ObjectStore, Query
from functions.formats import sniff
from functions.formats.format import Index
from functions.formats.source import Source
from functions.metadata import index_key
from functions.planner.coverage import coverage

HEAD = 1 << 16


class DirectCatalog:
    """The ``Catalog`` port by looking. ``indexes`` holds the slice index of every object asked for, by bucket, key and ETag.

    Workers read some formats' indexes themselves, so each is written to ``bucket``, under a name that nobody else has:
    ``written``, to be removed when the map is done.
    """

    def __init__(self, objects: ObjectStore, bucket: str) -> None:
        self._objects, self._bucket, self._name = objects, bucket, uuid.uuid4().hex
        self.indexes: dict[tuple[str, str, str], Index] = {}
        self.written: list[str] = []

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
        index, place = known.index(source, scan), ""
        if index is not None:
            self.indexes[bucket, key, info.etag] = index
            metadata = {**metadata, **coverage(index).metadata()}
            place = index_key(bucket, key, info.etag, self._name)
            self._objects.write(self._bucket, place, index.encode(), content_type="application/vnd.msgpack")
            self.written.append(place)
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
