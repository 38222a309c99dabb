"""Gzip of text, FASTQ, FASTA or CSV: slices are runs of whole lines, reads, sequences or rows, from one seek point to another.

Text is whatever decompresses to text; other content (a tar, an image) is described, but not cut. Quotes of a table may hold
newlines, and each of its slices is a table with the columns of the whole. Bgzip and other files of many members need no
windows, so their index is small; for others its windows take a third of a percent of the object.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import zstandard

from events.ports import ObjectStore
from functions.formats import gzip_table
from functions.formats.csv import table_of
from functions.formats.deflate import Damaged, Inflate
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, index_of
from functions.formats.gzip_records import Records, Rows, records_of
from functions.formats.gzip_text import text_between
from functions.formats.records import Encoding, bom_of
from functions.formats.source import Flow, Source
from functions.formats.where import Where, none

MAGIC = b"\x1f\x8b\x08"
FIRST = 1 << 16  # bytes of text from which it is told what it is
APART = 1 << 20  # bytes of text between two points, at least
MOST = 1024  # points kept at most
TABLES = (".csv.gz", ".tsv.gz")
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
        """What it holds (``fastq``, ``fasta``, ``csv``, ``text`` or ``binary``), its text's size, and how many records."""
        if scan.get("error"):
            raise Broken(f"{source}: {scan['error']}")
        reason = _refusal(source, scan)
        told = {key: value for key, value in scan.items() if key not in ("points", "unit", "reason")}
        if scan.get("content") == "csv" and not reason:
            table = gzip_table.layout(source, scan)
            told |= {key: table[key] for key in ("header", "columns")} | {"rows": scan["rows"] - table["skip"]}
        return told | ({"unsliceable": reason} if reason else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for what is no text, or cannot be cut."""
        if _refusal(source, scan):
            return None
        points = [[*point[:6], base64.b64decode(point[6]) if point[6] else point[6]] for point in scan["points"]]
        unit = scan["unit"]
        data = {"content": scan["content"], "encoding": scan["encoding"], "total": scan[unit], "length": scan["length"]}
        if scan["content"] == "csv":
            table = gzip_table.layout(source, scan)
            first = [*points[0][:3], table["start"], table["skip"], *points[0][5:]]
            points = [first, *(point for point in points[1:] if point[3] > table["start"])]
            data["table"] = {key: table[key] for key in ("columns", "delimiter", "skip")}
        data["points"] = points
        return Index(format=self.name, size=source.size, etag=source.etag, units=len(points), unit="seek points", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs from seek point to seek point. ``data["first"]`` and ``data["records"]`` count lines, reads, sequences, rows."""
        points, table = index.data["points"], index.data.get("table")
        last = [index.size, 0, 0, index.data["length"], index.data["total"], index.size, None]
        parts = []
        places = [*(int(point[0]) for point in points), index.size]
        for low, high in balanced([end - start for start, end in pairwise(places)], count):
            position, bits, length, start, first, _, _ = points[low]
            *_, end, later, until, _ = points[high] if high < index.units else last
            data = {"point": low, "skip": start - length, "length": end - start, "first": first, "records": later - first}
            data |= {"encoding": index.data["encoding"]}
            if table:
                first -= table["skip"]
                shared = {key: table[key] for key in ("columns", "delimiter")}
                data |= shared | {"first": first, "first_row": first, "rows": later - first - table["skip"]}
            parts.append(Part([(position - bool(bits), until)], high - low, data))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's lines, reads or sequences, decompressed while it is read; of CSV a ``pyarrow.Table``."""
        if "columns" not in part.data:
            none(columns, where, f"s3://{part.bucket}/{part.key}, a compressed text,")
        return _opened(part, objects, columns, where)


class GzipScanner:
    """Decompresses an object while it streams by, and keeps seek points and where the next record after each begins."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._open: list[Point] = []  # points whose next record has not come yet
        self._apart, self._size, self._members = APART, 0, 0
        self._head, self._error = b"", ""
        self._encoding: Encoding | None = None
        self._records: Records | None = None  # none for what is no text
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
        """``content``, ``encoding``, ``length``, its records by their name, ``members``, and ``points``; or ``error``."""
        inflate, records = self._inflate, self._records
        if inflate is None:
            return {"content": "unknown"}
        if self._encoding is None:
            self._take(self._begin(), inflate)
            records = self._records
        if not self._error and not inflate.member:
            self._error = f"it was cut off: the gzip member that byte {self._size} is in does not end"
        count = records.ended() if records else 0
        if self._error or (records and records.error and not records.reason):
            return {"error": self._error or (records.error if records else "")}
        found: dict[str, Any] = {"length": inflate.length, "members": self._members}
        if records is None or self._encoding is None:
            return {"content": "binary"} | found
        found |= {"content": records.content, "encoding": self._encoding.ended()}
        if records.reason:
            return found | {"reason": records.reason}
        kept = [point for point in self._points if 0 <= point.start < inflate.length]
        kept = kept[:1] + [point for before, point in pairwise(kept) if point.start > before.start]
        points = [
            [p.position, p.bits, p.length, p.start, p.record, p.end, p.window and base64.b64encode(p.window).decode()]
            for p in kept
        ]
        told = {"delimiter": records.delimiter} if isinstance(records, Rows) else {}
        return found | told | {"unit": records.unit, records.unit: count, "points": points}

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
        self._encoding, self._records = Encoding(head[:FIRST]), records_of(head)
        if self._records:
            self._points.append(Point(0, 0, 0, None, start=bom_of(head)))
        return head

    def _take(self, text: bytes, inflate: Inflate) -> None:
        if self._records is None or self._encoding is None:
            return
        self._encoding.feed(text)
        place = self._records.feed(text, bool(self._open))
        if place is not None and self._open:
            for point in self._open:
                point.start, point.record = inflate.length - len(text) + place[0], place[1]
                point.end = inflate.position
            self._open.clear()

    def _point(self, inflate: Inflate) -> None:
        if self._records is None or inflate.length - self._points[-1].length < self._apart:
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


def _refusal(source: Source, scan: dict[str, Any]) -> str:
    """Why it cannot be cut, or ""."""
    if scan.get("content") == "binary":
        return "what it holds is no text in UTF-8 or Latin-1"
    if scan.get("content") == "unknown":
        return "libz cannot be called here"
    if scan.get("reason"):
        return str(scan["reason"])
    if scan.get("content") == "text" and source.name.lower().endswith(TABLES):
        return "its name says that it is a table, but no delimiter fits each of its first records, so rows are not told apart"
    return "" if scan.get("points") else "it holds nothing"


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    _, bits, _, _, _, _, packed = index_of(part, objects).data["points"][part.data["point"]]
    window = None if packed is None else zstandard.decompress(packed)
    ((start, end),) = part.ranges
    pieces = text_between(source, (start, end), bits, window, part.data["skip"], part.data["length"])
    if "columns" in part.data:
        yield table_of(b"".join(pieces), part, source, columns, where)
        return
    with Flow.text(pieces, part.data["encoding"]) as file:
        yield file
