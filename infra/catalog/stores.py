"""Stores of many objects in the catalogue's answers: a key that ends with a slash names all that lies below it.

The catalogue has their objects one by one. Whoever plans with the store gets an entry for the whole: what lies there now is
listed, and its slice index made and kept in the lake's bucket until something there changes.
"""

from __future__ import annotations

from events.errors import Reject
from events.ports import Catalog, Entry, NotFound, ObjectStore, Query
from functions.formats import by_name
from functions.formats.folder import DOCUMENTS, Folder, look
from functions.formats.format import Index, decode_index
from functions.metadata import index_key


class Stores:
    """A ``Catalog`` that knows stores too. ``bucket`` is the lake's own; ``private``: only those who may view a store's first
    object, as the catalogue itself has it, may have the store.
    """

    def __init__(self, catalog: Catalog, objects: ObjectStore, bucket: str, *, private: bool = False) -> None:
        self._catalog, self._objects, self._bucket, self._private = catalog, objects, bucket, private

    def upsert(self, entry: Entry) -> bool:
        return self._catalog.upsert(entry)

    def search(self, query: Query) -> list[Entry]:
        return self._catalog.search(query)

    def get(self, bucket: str, key: str) -> Entry | None:
        """The entry of an object, or of the store below a prefix. Raises ``Reject`` for a prefix that cannot be cut."""
        found = self._catalog.get(bucket, key)
        if found is not None or not key.endswith("/") or not self._seen(bucket, key):
            return found
        folder, format = look(self._objects, bucket, key)
        at = index_key(bucket, key, "")
        index = self._kept(at)
        if index is None or index.etag != folder.etag:
            index = _made(folder, format)
            self._objects.write(self._bucket, at, index.encode(), content_type="application/vnd.msgpack")
        metadata = {"units": index.units, "unit": index.unit}
        return Entry(
            bucket=bucket,
            key=key,
            etag=folder.etag,
            size=folder.size,
            format=format,
            metadata=metadata,
            index=at,
            user=folder.user,
        )

    def _seen(self, bucket: str, key: str) -> bool:
        return not self._private or any(self._catalog.get(bucket, key + document) is not None for document in DOCUMENTS)

    def _kept(self, at: str) -> Index | None:
        try:
            info = self._objects.head(self._bucket, at)
            return decode_index(self._objects.read(self._bucket, at, 0, info.size, etag=info.etag))
        except NotFound:
            return None


def _made(folder: Folder, format: str) -> Index:
    known = by_name(format)
    reason = known.describe(folder, {}).get("unsliceable")
    index = known.index(folder, {})
    if index is None:
        raise Reject(f"{folder} cannot be cut: {reason or 'it has nothing to cut'}")
    return index
