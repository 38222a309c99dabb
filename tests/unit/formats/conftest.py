"""An object store in memory that counts what is read of it, and sources over it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events.ports import Changed, NotFound, ObjectInfo
from functions.formats import by_name
from functions.formats.format import Index, Slice, decode_index
from functions.formats.source import Source


class Memory:
    """The ``ObjectStore`` port over a dictionary. ``read_bytes`` and ``reads`` count what ``read`` gave away."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.read_bytes = self.reads = 0
        self._lock = threading.Lock()

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        data = self._get(bucket, key)
        return ObjectInfo(bucket=bucket, key=key, size=len(data), etag=hashlib.md5(data).hexdigest())

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        data = self._get(bucket, key)
        if etag and etag != hashlib.md5(data).hexdigest():
            raise Changed(f"s3://{bucket}/{key} is no longer {etag}")
        part = data[start:end]
        with self._lock:
            self.reads, self.read_bytes = self.reads + 1, self.read_bytes + len(part)
        return part

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        yield self._get(bucket, key)

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        self.objects[bucket, key] = bytes(data)
        return self.head(bucket, key)

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        return self.write(bucket, key, file.read_bytes(), content_type=content_type)

    def delete(self, bucket: str, key: str) -> None:
        self.objects.pop((bucket, key), None)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        for found, key in sorted(self.objects):
            if found == bucket and key.startswith(prefix):
                yield self.head(found, key)

    def _get(self, bucket: str, key: str) -> bytes:
        try:
            return self.objects[bucket, key]
        except KeyError:
            raise NotFound(f"s3://{bucket}/{key}") from None


class Lake(Memory):
    """Memory, and the steps that ingest and metadata take with a format."""

    def put(self, key: str, content: bytes | Path) -> Source:
        """Store an object and give the source of it."""
        data = content.read_bytes() if isinstance(content, Path) else content
        info = self.write("lake", key, data)
        return Source(self, "lake", key, info.size, info.etag)

    def scan(self, format_name: str, source: Source, chunk: int = 1 << 20) -> dict[str, Any]:
        """What the format's scanner says of the object when it comes in chunks of this size."""
        scanner = by_name(format_name).scanner()
        if scanner is None:
            return {}
        data = self.objects["lake", source.key]
        for start in range(0, len(data), chunk):
            scanner.feed(data[start : start + chunk])
        found: dict[str, Any] = json.loads(json.dumps(scanner.result()))  # as it travels with an event
        return found

    def describe(self, format_name: str, source: Source) -> dict[str, Any]:
        return by_name(format_name).describe(source, self.scan(format_name, source))

    def index(self, format_name: str, source: Source) -> Index | None:
        """The index, stored beside the object as the metadata function does."""
        index = by_name(format_name).index(source, self.scan(format_name, source))
        if index is not None:
            self.write("lake", f"index/{source.key}", index.encode())
            index = decode_index(index.encode())
        return index

    def cut(self, format_name: str, source: Source, count: int) -> list[Slice]:
        index = self.index(format_name, source)
        assert index is not None
        parts = by_name(format_name).slices(index, count, bucket="lake", key=source.key, index_at=f"lake/index/{source.key}")
        return msgspec.json.decode(msgspec.json.encode(parts), type=list[Slice])  # as they travel to a worker


@pytest.fixture
def lake() -> Lake:
    return Lake()
