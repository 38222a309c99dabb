"""Random access to one version of one object: what a format reads from, by ranges, never the whole."""

from __future__ import annotations

import io
from typing import Any

from events.ports import ObjectStore


class Source:
    """One object at one ETag. Every range read carries the ETag, so a changed object is refused, never mixed up.

    ``memo`` is for a format's own use between ``describe`` and ``index``, so that nothing is read twice.
    """

    def __init__(self, objects: ObjectStore, bucket: str, key: str, size: int, etag: str) -> None:
        self.objects, self.bucket, self.key, self.size, self.etag = objects, bucket, key, size, etag
        self.memo: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def read(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end`` (exclusive), cut at the object's end. Raises ``events.ports.Changed``."""
        end = min(end, self.size)
        return self.objects.read(self.bucket, self.key, start, end, etag=self.etag) if end > start else b""

    def open(self, block: int = 1 << 18) -> io.BufferedReader:
        """A seekable binary file over the ranges, for libraries that want a file; reads at least ``block`` bytes a time."""
        return io.BufferedReader(_Raw(self), block)


class _Raw(io.RawIOBase):
    """The unbuffered file under ``Source.open``."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source, self._position = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek before the start of {self._source}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._source.read(self._position, self._position + len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
