"""Where records begin in a text that comes in pieces: lines, FASTQ reads, FASTA sequences, rows of a CSV table.

For gzip, which asks only now and then: what is looked for costs little beside decompressing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from functions.formats.csv import delimiter_of, is_table
from functions.formats.csv_scan import CsvScanner, Words
from functions.formats.fasta import FASTA
from functions.formats.fastq import is_fastq
from functions.formats.records import bom_of, encoding_of, text_of

HEAD = 1 << 16


class Records(Protocol):
    """Counts the records of one kind of content.

    Attributes:
        content, unit: what it is, and what its records are called.
        reason: why it cannot be cut, or "".
        error: why it is broken, once it has ended; or "".

    """

    content: str
    unit: str
    reason: str
    error: str

    def feed(self, text: bytes, wanted: bool) -> tuple[int, int] | None:
        """Take the next text. Where ``wanted``: the place in it where a record begins first, and how many come before."""
        ...

    def ended(self) -> int:
        """How many records there were."""
        ...


class Lines:
    """Lines, or reads of four lines."""

    def __init__(self, step: int = 1) -> None:
        self.content, self.unit = ("fastq", "reads") if step == 4 else ("text", "lines")
        self.reason = self.error = ""
        self._step, self._lines, self._last = step, 0, b"\n"

    def feed(self, text: bytes, wanted: bool) -> tuple[int, int] | None:
        """See ``Records``."""
        found = self._first(text) if wanted else None
        if found and self._step == 4 and not _is_read(text[found[0] :]):
            self.reason = "its reads are wrapped over more than four lines: write each sequence on one line first"
        self._lines += text.count(b"\n")
        self._last = (self._last + text[-8:])[-8:]
        return found

    def ended(self) -> int:
        """See ``Records``."""
        lines = self._lines + (self._last[-1:] != b"\n")
        if self._step == 1:
            return lines
        if self._last.endswith(b"\n\n"):  # blank lines may end it
            lines -= min(lines % 4, len(self._last) - len(self._last.rstrip(b"\n")) - 1)
        if lines % 4:
            self.error = f"its {lines} lines are no whole number of FASTQ reads of four lines: it was cut off"
        return lines // 4

    def _first(self, text: bytes) -> tuple[int, int] | None:
        ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 10)
        first = (-self._lines - 1) % self._step  # of these line ends the first that also ends a record
        if self._last.endswith(b"\n") and self._lines % self._step == 0:
            return 0, self._lines // self._step
        if first < len(ends):
            return int(ends[first]) + 1, (self._lines + first + 1) // self._step
        return None


def _is_read(text: bytes) -> bool:
    """Whether a text that may be cut off begins as a read does."""
    rows = text.split(b"\n", 3)
    return text.strip() == b"" or (rows[0][:1] == b"@" and (len(rows) < 3 or rows[2][:1] in (b"+", b"")))


class Wrapped(Lines):
    """FASTQ that is not cut, as its reads do not have four lines each."""

    def __init__(self) -> None:
        super().__init__(1)
        self.content = "fastq"
        self.reason = "its reads are wrapped over more than four lines: write each sequence on one line first"


class Sequences:
    """FASTA sequences, each behind a line that begins with ``>``."""

    content, unit, reason, error = "fasta", "sequences", "", ""

    def __init__(self) -> None:
        self._count, self._ended = 0, True

    def feed(self, text: bytes, wanted: bool) -> tuple[int, int] | None:
        """See ``Records``."""
        here = self._ended and text.startswith(b">")
        at = 0 if here else text.find(b"\n>") + 1
        found = (at, self._count) if wanted and (here or at) else None
        self._count += text.count(b"\n>") + here
        self._ended = text.endswith(b"\n")
        return found

    def ended(self) -> int:
        """See ``Records``."""
        return self._count


class Rows(CsvScanner):
    """Records of a CSV table, header and comments among them."""

    content, unit, reason, error = "csv", "rows", "", ""

    def __init__(self, delimiter: str) -> None:
        super().__init__(lambda _head, _encoding: delimiter)
        self.delimiter = delimiter
        self._wanted, self._found = False, None  # type: tuple[bool, tuple[int, int] | None]

    def feed(self, text: bytes, wanted: bool = False) -> tuple[int, int] | None:  # type: ignore[override]
        """See ``Records``."""
        before, self._wanted, self._found = self._position, wanted, None
        self._take(text)
        found: tuple[int, int] | None = self._found
        return (found[0] - before, found[1]) if found else None

    def ended(self) -> int:
        """See ``Records``."""
        self.reason = self.refused
        return self._records + (not self._ended)

    def _mark(self, feeds: Words, counted: Words, before: NDArray[np.int64]) -> None:
        """Take note of the first newline that is not quoted; nothing is kept."""
        words = np.flatnonzero(feeds)[:1] if self._wanted else ()
        for word in words:
            bit = (int(feeds[word]) & -int(feeds[word])).bit_length() - 1
            later = (int(counted[word]) >> (bit + 1)).bit_count()
            self._found = self._position + int(word) * 64 + bit + 1, self._records + int(before[word]) - later


def records_of(head: bytes) -> Records | None:
    """What counts the records of a text that begins so (64 kB, or all of it); ``None`` for what is no text."""
    head = head[:HEAD]
    text = text_of(head)
    encoding = encoding_of(head)
    if head and (text is None or encoding.startswith("utf-16")):
        return None
    if is_fastq(head):
        return Lines(4) if _is_read(head[bom_of(head) :]) else Wrapped()
    if FASTA().sniff(head, ""):
        return Sequences()
    if text and is_table(text, len(head) >= HEAD):
        return Rows(delimiter_of(head, encoding))
    return Lines()
