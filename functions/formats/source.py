"""Random access to one version of one object: what a format reads from, by ranges, never the whole."""

from __future__ import annotations

import codecs
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from events.ports import Changed, ObjectStore

PART = 16 << 20  # bytes of one range read: large enough for throughput, small enough for memory
CONNECTIONS = 4  # ranges read at once
NO_TEXT = "sluice.broken"  # how Python calls our way to refuse bytes that are no text
GAP = 64 << 10  # unwanted bytes between two wanted ranges that cost less than another request


class Source:
    """One object at one ETag. Every range read carries the ETag, so a changed object is refused, never mixed up.

    ``user`` is the uploader's metadata, which says what a format cannot know. ``memo`` is for a format's own use between
    ``describe`` and ``index``, so that nothing is read twice.
    """

    def __init__(
        self, objects: ObjectStore, bucket: str, key: str, size: int, etag: str, user: dict[str, str] | None = None
    ) -> None:
        self.objects, self.bucket, self.key, self.size, self.etag = objects, bucket, key, size, etag
        self.user = user or {}
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

    def exactly(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end``, all of them. Raises ``events.ports.Changed`` where some are missing."""
        data = self.read(start, end)
        if len(data) != end - start:
            raise Changed(f"{self} gave {len(data)} of {end - start} bytes at {start}: it was cut off")
        return data

    def parts(self, start: int, end: int) -> Iterator[bytes]:
        """The same bytes in pieces that fit in memory, one after the other."""
        for at in range(start, end, PART):
            yield self.exactly(at, min(at + PART, end))

    def many(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, bytes]]:
        """The bytes of several ranges as (start, bytes), neighbours joined, several requests at once."""
        joined: list[list[int]] = []
        for start, end in sorted(ranges):
            if joined and start <= joined[-1][1] + GAP and end - joined[-1][0] <= PART:
                joined[-1][1] = max(end, joined[-1][1])
            else:
                joined.append([start, end])
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(lambda run: (run[0], b"".join(self.parts(*run))), joined))

    def open(self, block: int = 1 << 18, ahead: Iterable[tuple[int, int]] = ()) -> io.BufferedReader:
        """A seekable binary file over the ranges, for libraries that want a file; reads at least ``block`` bytes a time.

        The ranges ``ahead`` are read at once and kept, so that the library's many small reads cost no requests.
        """
        return io.BufferedReader(_Raw(self, self.many(ahead)), block)


class _Raw(io.RawIOBase):
    """The unbuffered file under ``Source.open``."""

    def __init__(self, source: Source, kept: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self._source, self._position, self._kept = source, 0, kept

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
        start, end = self._position, self._position + len(buffer)
        place = bisect_right(self._kept, start, key=lambda piece: piece[0])
        at, kept = self._kept[place - 1] if place else (0, b"")
        if at + len(kept) > start:
            data = kept[start - at : end - at]
        else:
            data = self._source.read(start, min(end, self._kept[place][0]) if place < len(self._kept) else end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Flow(io.RawIOBase):
    """A file over pieces of bytes that come one after the other: it can be read, but not turned back."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    @classmethod
    def text(cls, pieces: Iterator[bytes], encoding: str) -> io.TextIOWrapper:
        """The text file that these pieces make. Reading it raises ``Broken`` for bytes that are no text in this encoding."""
        return io.TextIOWrapper(io.BufferedReader(cls(pieces), 1 << 18), encoding=encoding, errors=NO_TEXT)


def _refuse(error: UnicodeError) -> tuple[str, int]:
    from functions.formats.format import Broken

    raise Broken(f"the text cannot be read: {error}") from error


codecs.register_error(NO_TEXT, _refuse)
