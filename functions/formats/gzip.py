"""Gzip of text or FASTQ: slices are runs of whole lines, or of whole reads, from one seek point to another.

Text is whatever decompresses to text; other content (a tar, an image) is described, but not cut. Bgzip and other files of many
members need no windows, so their index is small; for others its windows take a third of a percent of the object.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import zstandard

from events.ports import ObjectStore
from functions.formats.deflate import Damaged, Inflate, inflated
from functions.formats.fastq import is_fastq
from functions.formats.format import Broken, Index, Part, Slice, cut, index_of, short, spans
from functions.formats.records import Encoding, bom_of, text_of
from functions.formats.source import Flow, Source
from functions.formats.where import Where, none

MAGIC = b"\x1f\x8b\x08"
FIRST = 1 << 16  # bytes of text from which it is told what it is
APART = 1 << 20  # bytes of text between two points, at least
MOST = 1024  # points kept at most
FREE, SHARE = 1 << 18, 300  # bytes of windows that are always fine; beyond, one in so many of the object


@dataclass
class Point:
    """A place to start at: compressed bytes before it, text before it, and the first record that begins behind it.

    ``end`` is where the compressed bytes of all text before that record end.
    """

    position: int
    bits: int
    length: int
    window: bytes | None
    start: int = 0
    record: int = 0
    end: int = 0


class Gzip:
    """Compressed text."""

    name = "gzip"
    media_type = "application/gzip"
    suffixes: tuple[str, ...] = (".gz", ".bgz")

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC) if head else name.lower().endswith(self.suffixes)

    def scanner(self) -> GzipScanner:
        return GzipScanner()

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """What it holds (``fastq``, ``text`` or ``binary``), its size when decompressed, lines or reads, and members."""
        if scan.get("error"):
            raise Broken(f"{source}: {scan['error']}")
        reason = _refusal(scan)
        return {key: value for key, value in scan.items() if key != "points"} | ({"unsliceable": reason} if reason else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for what is no text."""
        if _refusal(scan):
            return None
        points = [[*point[:6], base64.b64decode(point[6]) if point[6] else point[6]] for point in scan["points"]]
        unit = "reads" if scan["content"] == "fastq" else "lines"
        data = {
            "points": points,
            "content": scan["content"],
            "encoding": scan["encoding"],
            unit: scan[unit],
            "length": scan["length"],
        }
        return Index(format=self.name, size=source.size, etag=source.etag, units=len(points), unit="seek points", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs from seek point to seek point. ``data["first"]`` and ``data["records"]`` count lines, or reads."""
        points = index.data["points"]
        total = index.data["reads" if index.data["content"] == "fastq" else "lines"]
        last = [index.size, 0, 0, index.data["length"], total, index.size, None]
        parts = []
        for low, high in spans(index.units, count):
            position, bits, length, start, first, _, _ = points[low]
            *_, end, later, until, _ = points[high] if high < index.units else last
            data = {"point": low, "skip": start - length, "length": end - start, "first": first, "records": later - first}
            ranges = [(position - bool(bits), until)]
            parts.append(Part(ranges, high - low, data | {"encoding": index.data["encoding"]}))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's lines or reads, decompressed while it is read."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a compressed text,")
        return _opened(part, objects)


class GzipScanner:
    """Decompresses an object while it streams by, and keeps seek points and where the next record after each begins."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._open: list[Point] = []  # points whose next record has not come yet
        self._apart, self._step = APART, 1
        self._lines, self._size, self._members = 0, 0, 0
        self._head, self._last, self._content, self._error = b"", b"\n", "", ""
        self._encoding: Encoding | None = None
        try:
            self._inflate: Inflate | None = Inflate()
        except OSError:
            self._inflate = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. The result is the same however they come in pieces."""
        self._size += len(chunk)
        if self._inflate is None or self._error:
            return
        try:
            for text in self._inflate.feed(chunk):
                if text:
                    self._text(text)
                self._members += self._inflate.member
                if self._inflate.member or self._inflate.border:
                    self._point(self._inflate)
        except Damaged as error:
            self._error = str(error)

    def result(self) -> dict[str, Any]:
        """``content``, ``encoding``, ``length``, ``lines`` or ``reads``, ``members``, and ``points``; or ``error``."""
        inflate = self._inflate
        if inflate is None:
            return {"content": "unknown"}
        if self._encoding is None:
            self._take(self._begin(), inflate)
        if not self._error and not inflate.member:
            self._error = f"it was cut off: the gzip member that byte {self._size} is in does not end"
        lines = self._lines + (self._last[-1:] != b"\n")
        if self._content == "fastq":  # blank lines may end it
            lines -= min(lines % 4, len(self._last) - len(self._last.rstrip(b"\n")) - 1) if self._last.endswith(b"\n\n") else 0
        if self._content == "fastq" and lines % 4 and not self._error:
            self._error = (
                f"its {lines} lines are no whole number of FASTQ reads of four lines: it was cut off, or reads are wrapped"
            )
        if self._error:
            return {"error": self._error}
        found: dict[str, Any] = {"content": self._content, "length": inflate.length, "members": self._members}
        if self._content == "binary":
            return found
        encoding = self._encoding.ended() if self._encoding else ""
        kept = [point for point in self._points if 0 <= point.start < inflate.length]
        kept = kept[:1] + [point for before, point in pairwise(kept) if point.start > before.start]
        points = [
            [p.position, p.bits, p.length, p.start, p.record, p.end, p.window and base64.b64encode(p.window).decode()]
            for p in kept
        ]
        count = {"reads": lines // 4} if self._content == "fastq" else {"lines": lines}
        return found | {"encoding": encoding, **count, "points": points}

    def _text(self, text: bytes) -> None:
        assert self._inflate is not None  # noqa: S101 - for the type checker
        if self._encoding is None:
            self._head += text
            if len(self._head) < FIRST:
                return
            text = self._begin()
        self._take(text, self._inflate)

    def _begin(self) -> bytes:
        """What it is, from the first text."""
        head, self._head = self._head, b""
        self._encoding = Encoding(head[:FIRST])
        if head and (text_of(head[:FIRST]) is None or bom_of(head)):
            self._content = "binary"
        else:
            self._content = "fastq" if is_fastq(head[:FIRST]) else "text"
            self._points.append(Point(0, 0, 0, None))
        self._step = 4 if self._content == "fastq" else 1
        return head

    def _take(self, text: bytes, inflate: Inflate) -> None:
        if self._content == "binary" or self._encoding is None:
            return
        self._encoding.feed(text)
        if self._open:
            self._places(text, inflate.length - len(text), inflate.position)
        self._lines += text.count(b"\n")
        self._last = (self._last + text[-8:])[-8:]

    def _places(self, text: bytes, length: int, position: int) -> None:
        """Where the records begin that the open points wait for: the first in this text, if one does."""
        ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 10)
        first = (-self._lines - 1) % self._step  # of these line ends the first that also ends a record
        if self._last.endswith(b"\n") and self._lines % self._step == 0:
            start, record = length, self._lines // self._step
        elif first < len(ends):
            start, record = length + int(ends[first]) + 1, (self._lines + first + 1) // self._step
        else:
            return
        for point in self._open:
            point.start, point.record, point.end = start, record, position
        self._open.clear()

    def _point(self, inflate: Inflate) -> None:
        if self._content in ("", "binary") or inflate.length - self._points[-1].length < self._apart:
            return
        window = None if inflate.member else zstandard.compress(inflate.window(), 9)
        bits = 0 if inflate.member else inflate.bits
        point = Point(inflate.position, bits, inflate.length, window, start=-1)
        self._points.append(point)
        self._open.append(point)
        while len(self._points) > MOST or sum(len(p.window or b"") for p in self._points) > FREE + self._size // SHARE:
            self._apart *= 2
            self._thin()

    def _thin(self) -> None:
        kept = self._points[:1]
        for point in self._points[1:]:
            if point.length - kept[-1].length >= self._apart:
                kept.append(point)
        self._points = kept
        self._open = [point for point in self._open if any(point is one for one in kept)]


def _refusal(scan: dict[str, Any]) -> str:
    """Why it cannot be cut, or ""."""
    if scan.get("content") == "binary":
        return "what it holds is no text in UTF-8 or Latin-1"
    if scan.get("content") == "unknown":
        return "libz cannot be called here"
    return "" if scan.get("points") else "it holds nothing"


@contextmanager
def _opened(part: Slice, objects: ObjectStore) -> Iterator[Any]:
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    point = index_of(part, objects).data["points"][part.data["point"]]
    window = None if point[6] is None else zstandard.decompress(point[6])
    ((start, end),) = part.ranges
    pieces = inflated(source.parts(start, end), point[1], window)
    with Flow.text(_cut_to(source, pieces, part.data["skip"], part.data["length"]), part.data["encoding"]) as file:
        yield file


def _cut_to(source: Source, pieces: Iterator[bytes], skip: int, length: int) -> Iterator[bytes]:
    """``length`` bytes of the pieces after ``skip`` others. Raises ``Broken`` where they end earlier."""
    try:
        for piece in pieces:
            text = piece[skip : skip + length]
            skip -= min(skip, len(piece))
            length -= len(text)
            if text:
                yield text
            if not length:
                return
    except zlib.error as error:
        raise Broken(f"{source} cannot be decompressed from its seek point: {short(error)}") from error
    if length:
        raise Broken(f"{source} ends {length} bytes before its slice does")
