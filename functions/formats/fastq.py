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
from functions.formats.records import Places, RecordScanner, shares, text_of, unpack
from functions.formats.source import Source
from functions.formats.text import every_line, opened_text
from functions.formats.where import Where, none


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
        if scan["wrong"] >= 0:
            raise Broken(f"{source} has no read of four lines at byte {scan['wrong']}: a line there has no @ or +")
        if scan["lines"] % 4:
            raise Broken(
                f"{source} has {scan['lines']} lines, which are no whole number of reads of four lines: it was cut off"
            )
        return {"reads": scan["lines"] // 4}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        units = scan["lines"] // 4
        data = {"marks": scan["marks"], "encoding": scan["encoding"]}
        return Index(format=self.name, size=source.size, etag=source.etag, units=units, unit="reads", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known read starts nearest to an even share of the reads."""
        parts = [
            Part([(start, end)], number, {"first_read": first, "encoding": index.data["encoding"]})
            for start, end, first, number in shares(unpack(index.data["marks"]), 0, index.size, index.units, count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's reads, as Biopython's ``SeqIO.parse`` takes it."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a FASTQ file,")
        return opened_text(part, objects)


def is_fastq(head: bytes) -> bool:
    """Whether these bytes begin with a read: @, sequence, +, and as many qualities as bases."""
    text = text_of(head)
    if text is None or not text.startswith("@"):
        return False
    rows = [row.rstrip("\r") for row in text.split("\n", 4)]
    if len(rows) < 3 or not rows[2].startswith("+"):
        return False
    complete = len(rows) > 4 or (len(rows) == 4 and len(head) < 1 << 16)
    return not complete or len(rows[1]) == len(rows[3])


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
        for found, letter in ((names, b"@"), (pluses, b"+")):
            wrong = found[data[found] != letter[0]]
            if len(wrong) and self._wrong < 0:
                self._wrong = self.position + int(wrong[0])
        self._lines += len(places)
        return names
