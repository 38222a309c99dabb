"""FASTA: sequences, each behind a line that begins with ``>``; slices are runs of whole sequences.

Of files with at most a thousand sequences the index also has each one's length and width of lines, as samtools' ``.fai`` has,
so that ``region`` cuts a part out of a long one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Part, Slice, cut
from functions.formats.records import Places, RecordScanner, bom_of, shares, text_of, unpack
from functions.formats.source import Flow, Source
from functions.formats.text import opened_text
from functions.formats.where import Where, none

MOST = 1000  # sequences whose lines are measured
NAME = 256  # bytes that a name may have


class FASTA:
    """Nucleotide or protein sequences."""

    name = "fasta"
    media_type = "text/x-fasta"
    suffixes: tuple[str, ...] = (".fasta", ".fa", ".fna", ".faa")

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        text = _behind(text_of(head) or "")
        if not text.startswith(">"):
            return named and not head
        rows = [row.strip() for row in text.split("\n")[1:-1] or [text.partition("\n")[2]]]
        letters = "".join(row for row in rows if not row.startswith(">"))
        return bool(letters) and (named or all(letter.isalpha() or letter in "*-." for letter in letters))

    def scanner(self) -> RecordScanner:
        return _Scanner()

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """How many sequences, and of at most a thousand their names and lengths."""
        if not scan["records"]:
            raise Broken(f"{source} has no sequence: no line begins with >")
        return {"sequences": scan["records"], "lengths": {name: length for name, length, *_ in scan.get("sequences", [])}}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        data = {"marks": scan["marks"], "encoding": scan["encoding"], "sequences": scan.get("sequences", [])}
        data |= {"start": bom_of(source.read(0, 4))}
        return Index(format=self.name, size=source.size, etag=source.etag, units=scan["records"], unit="sequences", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known sequence starts nearest to an even share of the bytes."""
        parts = [
            Part([(start, end)], number, {"first_sequence": first, "encoding": index.data["encoding"]})
            for start, end, first, number in shares(
                unpack(index.data["marks"]), int(index.data["start"]), index.size, index.units, count
            )
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's sequences, as Biopython's ``SeqIO.parse`` takes it."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a FASTA file,")
        return _opened_region(part, objects) if "region" in part.data else opened_text(part, objects)


def _behind(text: str) -> str:
    """The text behind the blank lines and comments (``;``) that it may begin with."""
    while text and (text[0] == ";" or not text.partition("\n")[0].strip()):
        text = text.partition("\n")[2]
    return text


def region(index: Index, name: str, first: int, end: int, *, bucket: str, key: str) -> Slice:
    """Bases ``first`` to ``end`` (exclusive, from 0) of one sequence, as a slice; opened it is called ``name:first+1-end``.

    Raises:
        Reject: there is no such sequence or base, or its lines are of different lengths.

    """
    found = next((sequence for sequence in index.data["sequences"] if sequence[0] == name), None)
    if found is None:
        raise Reject(f"s3://{bucket}/{key} has no measured sequence called {name!r}")
    _, length, start, bases, width = found
    if not bases:
        raise Reject(f"the lines of {name!r} in s3://{bucket}/{key} differ in length, so it cannot be cut")
    if not 0 <= first < end <= length:
        raise Reject(f"{name!r} in s3://{bucket}/{key} has bases 0 to {length}, not {first} to {end}")

    def place(base: int) -> int:
        return int(start + base // bases * width + base % bases)

    (part,) = cut(
        index, [Part([(place(first), place(end - 1) + 1)], 1, {"region": f"{name}:{first + 1}-{end}"})], bucket=bucket, key=key
    )
    return part


class _Scanner(RecordScanner):
    """Sees where sequences begin, and whether all lines of each but its last are of one length."""

    def __init__(self) -> None:
        super().__init__(_begins)
        self._found: list[_Measured] = []

    def result(self) -> dict[str, Any]:
        found = super().result()
        if found["records"] > MOST:
            return found
        for measured in self._found[-1:]:
            measured.close(self.position)
        return found | {"sequences": [measured.told() for measured in self._found]}

    def look(self, data: bytes, starts: Places) -> None:
        if self.records + len(starts) > MOST:
            return
        ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
        borders = [0, *starts.tolist(), len(data)]
        for turn, (low, high) in enumerate(pairwise(borders)):
            if turn:
                for measured in self._found[-1:]:
                    measured.close(self.position + low)
                self._found.append(_Measured())
            if self._found and low < high:
                inside = ends[np.searchsorted(ends, low) : np.searchsorted(ends, high)]
                self._found[-1].feed(inside + self.position, data[low : min(high, low + NAME)])


class _Measured:
    """One sequence's name, place and width of lines, while its line ends come by."""

    def __init__(self) -> None:
        self._line, self._body, self._end, self._width = b"", -1, -1, 0
        self._even, self._short, self._last, self._left = True, False, -1, 0

    def feed(self, ends: Places, text: bytes) -> None:
        """These line ends come next; ``text`` is where the name may be."""
        if self._body < 0:
            self._line = (self._line + text)[:NAME]
        if len(ends) and self._body < 0:
            self._last, ends = int(ends[0]), ends[1:]
            self._body = self._last + 1
        if len(ends):
            widths = np.diff(ends, prepend=self._last)
            self._width = self._width or int(widths[0])
            self._even &= not self._short and bool((widths[:-1] == self._width).all()) and bool(widths[-1] <= self._width)
            self._short = bool(widths[-1] != self._width)
            self._last = int(ends[-1])

    def close(self, end: int) -> None:
        """The sequence ends here."""
        if self._body < 0:  # nothing but a name, cut off
            self._body, self._last = end, end - 1
        self._left = end - self._last - 1  # a last line without an end
        self._even &= self._left <= (self._width or self._left) and not (self._left and self._short)
        self._end = end

    def told(self) -> list[Any]:
        """(name, bases, where the first is, bases a line, bytes a line); no bases a line where lines differ in length."""
        line, newline, _ = self._line.partition(b"\n")
        name = (line[1:].split() or [b""])[0].decode("latin-1")
        ending = 2 if newline and line.endswith(b"\r") else 1
        if not self._width:  # one line without an end, or none
            return [name, self._left, self._body, self._left, self._left]
        full, rest = divmod(self._end - self._body - self._left, self._width)
        bases = full * (self._width - ending) + max(0, rest - ending) + self._left
        return [name, bases, self._body, (self._width - ending) if self._even else 0, self._width]


def _begins(data: NDArray[np.uint8], before: int) -> Places:
    """A record begins with > at the start of a line."""
    places = np.flatnonzero(data == ord(">"))
    behind = data[places - 1] == 10
    if len(places) and not places[0]:
        behind[0] = before == 10
    found: Places = places[behind]
    return found


@contextmanager
def _opened_region(part: Slice, objects: ObjectStore) -> Iterator[Any]:
    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)

    def pieces() -> Iterator[bytes]:
        yield f">{part.data['region']}\n".encode("latin-1")
        yield from source.parts(start, end)
        yield b"\n"

    with Flow.text(pieces(), "latin-1") as file:
        yield file
