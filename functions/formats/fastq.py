"""FASTQ: reads of four lines (name, sequence, +, quality); slices are runs of whole reads.

Source: Cock et al., "The Sanger FASTQ file format", Nucleic Acids Research 38, 2010. Reads are counted from the start, four
lines each, so an ``@`` that begins a line of qualities fools nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Part, Slice, cut
from functions.formats.records import Places, RecordScanner, bom_of, shares, text_of, unpack
from functions.formats.source import Source
from functions.formats.text import every_line, opened_text
from functions.formats.where import Where, none

HEAD = 1 << 16
#: What a sequence is written in (IUPAC).
BASES = frozenset("ACGTUNRYKMSWBDHVXacgtunrykmswbdhvx.")
WRAPPED = "its reads are wrapped over more than four lines: write each sequence on one line first"


class FASTQ:
    """Sequencing reads with qualities."""

    name = "fastq"
    media_type = "text/x-fastq"
    suffixes: tuple[str, ...] = (".fastq", ".fq")

    def sniff(self, head: bytes, name: str) -> bool:
        return is_fastq(head) if head else name.lower().endswith(self.suffixes)

    def scanner(self) -> RecordScanner:
        return _Scanner()

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Reads. Raises ``Broken`` for a read that is none, or one that is cut off."""
        if _wraps(source, scan):
            return {"unsliceable": WRAPPED}
        if scan["wrong"] >= 0:
            raise Broken(f"{source} has no read of four lines at byte {scan['wrong']}: a line there has no @ or +")
        if scan["lines"] % 4:
            raise Broken(
                f"{source} has {scan['lines']} lines, which are no whole number of reads of four lines: it was cut off"
            )
        return {"reads": scan["lines"] // 4}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` where reads are wrapped."""
        if _wraps(source, scan):
            return None
        units = scan["lines"] // 4
        data = {"marks": scan["marks"], "encoding": scan["encoding"], "start": bom_of(source.read(0, 4))}
        return Index(format=self.name, size=source.size, etag=source.etag, units=units, unit="reads", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known read starts nearest to an even share of the bytes."""
        parts = [
            Part([(start, end)], number, {"first_read": first, "encoding": index.data["encoding"]})
            for start, end, first, number in shares(
                unpack(index.data["marks"]), int(index.data["start"]), index.size, index.units, count
            )
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's reads, as Biopython's ``SeqIO.parse`` takes it."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a FASTQ file,")
        return opened_text(part, objects)


def is_fastq(head: bytes) -> bool:
    """Whether these bytes begin with a read: @, sequence, +, and as many qualities as bases; its lines may be wrapped.

    A sequence that is longer than 64 kB, as of nanopores, is known by its letters.
    """
    rows = _first(head)
    end = next((number for number, row in enumerate(rows) if number > 1 and row.startswith("+")), 0)
    cut_off = len(head) >= HEAD
    if end == 2:
        complete = len(rows) > 4 or (len(rows) == 4 and not cut_off)
        return not complete or len(rows[1]) == len(rows[3])
    sequence = rows[1:end] if end else rows[1:] if cut_off else []
    return any(sequence) and all(BASES.issuperset(row) for row in sequence)


def is_wrapped(head: bytes) -> bool:
    """Whether the first read of a FASTQ text that begins so has its sequence in several lines."""
    rows = _first(head)
    return len(rows) > 2 and not rows[2].startswith("+") and BASES.issuperset(rows[2])


def _wraps(source: Source, scan: dict[str, Any]) -> bool:
    """Whether what the scan found wrong is a sequence that goes on in the line behind its first one."""
    wrong = int(scan["wrong"])
    if wrong < 0:
        return False
    name, sequence, *_ = [*source.read(max(0, wrong - 4 * HEAD), wrong).decode("latin-1").splitlines()[-2:], "", ""]
    more, *_ = source.read(wrong, wrong + HEAD).decode("latin-1").splitlines()
    return name.startswith("@") and all(row and BASES.issuperset(row) for row in (sequence, more))


def _first(head: bytes) -> list[str]:
    """The first lines, none if they are not of reads."""
    text = text_of(head)
    return [row.rstrip("\r") for row in text.split("\n")] if text is not None and text.startswith("@") else []


class _Scanner(RecordScanner):
    """Every fourth line begins a read; every first line of four begins with @, every third with +. Blank lines may end it."""

    def __init__(self) -> None:
        super().__init__(self._reads)
        self._lines, self._wrong, self._blank = 0, -1, -1

    def result(self) -> dict[str, Any]:
        found = super().result()
        return found | {"lines": self._lines, "wrong": self._wrong}

    def _reads(self, data: NDArray[np.uint8], before: int) -> Places:
        places = every_line(data, before)
        names = places[-self._lines % 4 :: 4]
        blank = names[(data[names] == 10) | (data[names] == 13)]
        if self._blank >= 0 or len(blank):
            end = int(blank[0]) if self._blank < 0 else 0
            self._blank = self.position + end if self._blank < 0 else self._blank
            if self._wrong < 0 and not np.isin(data[end:], (10, 13)).all():
                self._wrong = self._blank
            places, names = places[places < end], names[names < end]
        pluses = places[(2 - self._lines) % 4 :: 4]
        wrong = np.concatenate([names[data[names] != ord("@")], pluses[data[pluses] != ord("+")]])
        if len(wrong) and self._wrong < 0:
            self._wrong = self.position + int(wrong.min())
        self._lines += len(places)
        return names
