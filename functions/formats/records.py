"""One look at every byte of a text made of records, while it streams by: how many, and where some thousand of them begin.

What begins a record is a question of the format: a line, every fourth line, a line that begins with ``>``, a separator. CSV,
whose quotes hide newlines, has a scanner of its own.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from functions.formats.format import balanced

Places = NDArray[np.int64]
HEAD = 1 << 16
BLOCK = 1 << 18  # bytes worked on at once
MARKS = 4096  # record starts kept at most, evenly spread
BOM = codecs.BOM_UTF8
WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
#: Control characters that are no part of a text.
BINARY = frozenset(bytes(range(32))) - frozenset(b"\t\n\r\f\x1b")


def encoding_of(head: bytes) -> str:
    """``utf-8``, ``utf-16-le``, ``utf-16-be``, or ``latin-1`` (which every byte is) of a text that begins so."""
    if head[:2] in WIDE:
        return WIDE[head[:2]]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def bom_of(head: bytes) -> int:
    """The bytes of the byte order mark at the start."""
    return len(BOM) if head.startswith(BOM) else 2 if head[:2] in WIDE else 0


def text_of(head: bytes) -> str | None:
    """The text that an object begins with, or ``None`` where it is none: control characters, or nothing at all."""
    encoding = encoding_of(head)
    wide = encoding.startswith("utf-16")
    if not head or (not wide and not BINARY.isdisjoint(head)):
        return None
    text = head[bom_of(head) :].decode(encoding, "ignore")
    return None if wide and any(character < " " and character not in "\t\n\r\f\x1b" for character in text) else text


class Encoding:
    """Whether a text stays UTF-8 to its last byte; ``name`` is ``latin-1`` from the first byte on that cannot be."""

    def __init__(self, head: bytes) -> None:
        self.name = encoding_of(head)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = False

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        if self.name == "utf-8" and (self._pending or not data.isascii()):
            try:
                self._decoder.decode(data)
                self._pending = bool(self._decoder.getstate()[0])
            except UnicodeDecodeError:
                self.name = "latin-1"

    def ended(self) -> str:
        """The encoding, after the last byte."""
        return "latin-1" if self._pending and self.name == "utf-8" else self.name


class Marks:
    """Where some thousand records begin, evenly spread however many there are."""

    def __init__(self, most: int = MARKS) -> None:
        self._most, self._shift = most, 0
        self.starts, self.before = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)

    def add(self, starts: Places, before: int) -> None:
        """These records begin next; ``before`` of them came earlier."""
        last = int(self.starts[-1]) >> self._shift if len(self.starts) else -1
        cells = starts >> self._shift
        fresh = np.diff(cells, prepend=last) > 0
        self.starts = np.concatenate([self.starts, starts[fresh]])
        self.before = np.concatenate([self.before, np.flatnonzero(fresh) + before])
        while len(self.starts) > self._most:
            self._shift += 1
            kept = np.diff(self.starts >> self._shift, prepend=-1) > 0
            self.starts, self.before = self.starts[kept], self.before[kept]

    def pack(self) -> str:
        """As text, for a scan or an index; ``unpack`` reads it."""
        deltas = np.concatenate([np.diff(self.starts, prepend=0), np.diff(self.before, prepend=0)]).astype("<i8")
        return base64.b64encode(zstandard.compress(deltas.tobytes(), 9)).decode()


def unpack(packed: str) -> tuple[Places, Places]:
    """Record starts, and the number of records before each."""
    values = np.frombuffer(zstandard.decompress(base64.b64decode(packed)), dtype="<i8")
    half = len(values) // 2
    return np.cumsum(values[:half]), np.cumsum(values[half:])


#: The bytes and the byte before them -> places in them where a record begins.
Starts = Callable[[NDArray[np.uint8], int], Places]


def lines(data: NDArray[np.uint8], before: int) -> Places:
    """A record is a line that is not empty."""
    first = np.flatnonzero(data[:-1] == 10) + 1
    if before == 10:
        first = np.concatenate(([0], first))
    found = data[first]
    kept: Places = first[(found != 10) & (found != 13)]
    return kept


class RecordScanner:
    """The scanner of formats whose records begin where ``starts`` says. Subclasses may ``look`` at each block as well."""

    def __init__(self, starts: Starts) -> None:
        self._starts, self._marks = starts, Marks()
        self._waiting = bytearray()
        self._encoding: Encoding | None = None
        self._last, self.position, self.records = 10, 0, 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. The result is the same however they come in pieces."""
        self._waiting += chunk
        if len(self._waiting) >= BLOCK:
            whole = len(self._waiting) // BLOCK * BLOCK
            data = bytes(self._waiting)
            self._waiting = bytearray(data[whole:])
            for at in range(0, whole, BLOCK):
                self._take(data[at : at + BLOCK])

    def result(self) -> dict[str, Any]:
        """``records``, ``encoding``, and ``marks``: record starts and the number of records before each (see ``unpack``)."""
        self._take(bytes(self._waiting))
        self._waiting.clear()
        encoding = self._encoding.ended() if self._encoding else "utf-8"
        return {"records": self.records, "encoding": encoding, "bytes": self.position, "marks": self._marks.pack()}

    def look(self, data: bytes, starts: Places) -> None:
        """See a block and the places in it where records begin."""

    def _take(self, data: bytes) -> None:
        if self._encoding is None:
            self._encoding = Encoding(data[:HEAD])
            self.position, data = bom_of(data), data[bom_of(data) :]
        self._encoding.feed(data)
        if data:
            wide = self._encoding.name.startswith("utf-16")
            array = narrow(data, self._encoding.name) if wide else np.frombuffer(data, dtype=np.uint8)
            places = self._starts(array, self._last)
            self.look(data, places)
            self._marks.add(self.position + places * (1 + wide), self.records)
            self.records += len(places)
            self._last = int(array[-1]) if len(array) else self._last
            self.position += len(data)


def narrow(data: bytes, encoding: str) -> NDArray[np.uint8]:
    """UTF-16 as one byte a unit: ASCII as it is, everything else 127. So what looks for ASCII in bytes finds it."""
    units = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if encoding == "utf-16-le" else ">u2")
    return np.where(units < 128, units, 127).astype(np.uint8)


def shares(marks: tuple[Places, Places], start: int, end: int, units: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """At most ``count`` runs of about the same number of bytes: (first byte, end, first record, how many).

    Cut at known record starts, as near to even shares of the bytes as they are. What lies between ``start`` and ``end`` are
    ``units`` records.
    """
    starts, before = marks
    inner = (starts > start) & (starts < end) & (before > 0) & (before < units)
    inner[inner] = np.diff(before[inner], prepend=0) > 0  # each run has a record
    borders = [start, *starts[inner].tolist(), end]
    firsts = [0, *before[inner].tolist(), units]
    for low, high in balanced(np.diff(borders).tolist(), min(count, max(units, 1))):
        yield borders[low], borders[high], firsts[low], firsts[high] - firsts[low]


def samples(marks: tuple[Places, Places], start: int, end: int, size: int, number: int) -> Iterator[tuple[int, int]]:
    """Up to ``number`` ranges of whole records of about ``size`` bytes from the whole length of the text; all of a short one.

    Known starts of records may be far from each other: then there are fewer ranges, but at least one.
    """
    if end - start <= size * number:
        yield start, end
        return
    starts, _ = marks
    borders = np.concatenate(([start], starts[(starts > start) & (starts < end)], [end]))
    found = []
    for turn in range(number):
        at = start + (end - start - size) * turn // (number - 1)
        low = int(np.searchsorted(borders, at, side="right")) - 1
        high = max(low + 1, int(np.searchsorted(borders, at + size, side="right")) - 1)
        found.append((int(borders[low]), int(borders[high])))
    found, left = list(dict.fromkeys(found)), 4 * size * number
    shortest = min(found, key=lambda one: one[1] - one[0])
    for low, high in [shortest, *(one for one in found if one != shortest)]:
        if high - low <= left or (low, high) == shortest:
            yield low, high
            left -= high - low
