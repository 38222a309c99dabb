"""CSV and TSV text: the catalogue learns its columns and rows, slices are runs of whole records.

Lines of comment before the header are left out; a line of nothing but blanks is no row, though it is counted as one.

Source: RFC 4180, read as Python's csv module and Arrow read it (any of four delimiters, stray quotes are literal).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import numpy as np

from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.csv_scan import DELIMITERS, HEAD, CsvScanner
from functions.formats.csv_table import WHOLE, Dialect, types
from functions.formats.format import Broken, Index, Part, Slice, cut
from functions.formats.records import bom_of, encoding_of, samples, shares, unpack
from functions.formats.source import Source
from functions.formats.where import Where

SAMPLE, SAMPLES = 1 << 18, 8  # column types are guessed from so many parts of so many bytes
LINES = 200  # lines looked at to guess the delimiter
MAX_COLUMNS = 100_000


class CSV:
    """Comma-, semicolon-, tab- or bar-separated text."""

    name = "csv"
    media_type = "text/csv"
    suffixes: tuple[str, ...] = (".csv", ".tsv")

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        if not head:
            return named
        text = _text(head, encoding_of(head))
        if "\0" in text or sum(character < " " and character not in "\t\r\n\f" for character in text[:4096]) > 0:
            return False
        if named:
            return True
        if encoding_of(head) == "latin-1":
            return False
        return is_table(text, len(head) >= HEAD)

    def scanner(self) -> CsvScanner:
        return CsvScanner(delimiter_of)

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Delimiter, encoding, whether there is a header, columns with their guessed types, and rows (without the header)."""
        layout = _layout(source, scan)
        found = {key: layout[key] for key in ("delimiter", "encoding", "header", "columns")}
        if "records" in scan:
            found["rows"] = scan["records"] - layout["skip"]
        if reason := _refusal(scan):
            found["unsliceable"] = reason
        return found

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for text that cannot be cut (``describe`` tells why)."""
        if _refusal(scan):
            return None
        layout = _layout(source, scan)
        data = {key: layout[key] for key in ("delimiter", "encoding", "header", "columns", "start", "skip")}
        rows = scan["records"] - layout["skip"]
        return Index(
            format=self.name, size=source.size, etag=source.etag, units=rows, unit="rows", data=data | {"marks": scan["marks"]}
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known record starts nearest to an even share of the bytes: rows may differ in length."""
        starts, before = unpack(index.data["marks"])
        rows = before - int(index.data["skip"])
        shared = {key: index.data[key] for key in ("delimiter", "encoding", "columns")}
        parts = [
            Part([(start, end)], number, shared | {"first_row": first})
            for start, end, first, number in shares((starts, rows), int(index.data["start"]), index.size, index.units, count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A ``pyarrow.Table`` with the index's columns and types. Other columns are not converted.

        A column with a value that does not fit has a wider type in this slice (see ``csv_table``).

        Raises:
            Broken: a record with another number of fields.

        """
        return _opened(part, objects, columns, where)


def is_table(text: str, cut: bool) -> bool:
    """Whether a text that begins so has a delimiter that fits each of at least three records. ``cut``: more comes behind."""
    if text.lstrip()[:1] in tuple("{[<#%") or not text.strip():
        return False
    found, rows = _delimiter(text, cut)
    return bool(found) and rows >= 3


def _refusal(scan: dict[str, Any]) -> str:
    """Why the text cannot be cut, or ""."""
    if "marks" not in scan:
        return "too many of its quotes stand inside of fields" if scan else "it was not scanned"
    if scan["records"] > 1 and scan["body"] < 0:
        return "its lines end in a carriage return only"
    return ""


def _text(head: bytes, encoding: str) -> str:
    return head.decode(encoding, "ignore").removeprefix("\ufeff")


def delimiter_of(head: bytes, encoding: str) -> str:
    """The delimiter of a text that begins so: one that fits every record, or else the most frequent one."""
    text = _uncommented(_text(head, encoding))
    return _delimiter(text, len(head) >= HEAD)[0] or _most(text)


def _uncommented(text: str) -> str:
    """The text behind the lines of comment that it may begin with; all of it where nothing else is in it."""
    rest = text
    while rest.startswith("#"):
        rest = rest.partition("\n")[2]
    return rest or text


def _most(text: str) -> str:
    """The delimiter that the first line has most of; a comma when it has none."""
    line = next((line for line in text.splitlines() if line), "")
    return max(DELIMITERS, key=lambda delimiter: (line.count(delimiter), -DELIMITERS.index(delimiter)))


def _delimiter(text: str, cut: bool) -> tuple[str, int]:
    """The delimiter that gives every record the same number of fields, at least two, and the number of records seen."""
    best = ("", 0, 1)
    for delimiter in DELIMITERS:
        if delimiter not in text:
            continue
        rows = _records(text, delimiter, LINES, cut)
        widths = {len(row) for row in rows}
        if len(widths) == 1 and (width := widths.pop()) > best[2]:
            best = (delimiter, len(rows), width)
    return best[0], best[1]


def _records(text: str, delimiter: str, limit: int, cut: bool) -> list[list[str]]:
    """The first records; without the last one where the text is cut off."""
    lines = io.StringIO(text, newline="")
    try:
        rows = list(islice(filter(None, csv.reader(lines, delimiter=delimiter)), limit))
    except csv.Error:  # a field beyond the module's limit
        return []
    return rows[:-1] if cut and len(rows) < limit and len(rows) > 1 else rows


def _layout(source: Source, scan: dict[str, Any]) -> dict[str, Any]:
    """Delimiter, encoding, header and columns, where the first row starts, and how many records lie before it."""
    if "csv" in source.memo:
        known: dict[str, Any] = source.memo["csv"]
        return known
    if not source.size:
        raise Broken(f"{source} is empty: a CSV file has at least a line of column names")
    head = source.read(0, SAMPLE)
    encoding = scan.get("encoding") or encoding_of(head)
    if encoding.startswith("utf-16") and source.size % 2:
        raise Broken(f"{source} ends inside of a character: {source.size} bytes are no {encoding}")
    found = begin(head, len(head) < source.size, encoding, scan.get("delimiter", ""), source)
    if found["start"] < 0 and found["skip"] == 1:
        found["start"] = scan.get("body", -1)
    if found["start"] < 0 and scan.get("records", 0) > found["skip"] > 1:
        raise Broken(f"{source} has no row in its first {len(head)} bytes, only comments")
    dialect = Dialect(found["delimiter"], encoding, found.pop("names"))
    seen: list[set[str]] = [set() for _ in dialect.names]
    for low, high, first in _samples(source, scan, found["start"], found["skip"]):
        data = source.read(low, high)
        if data.strip():
            for kinds, kind in zip(seen, dialect.kinds(data, source, first), strict=True):
                kinds.add(kind)
    found["start"] = found["start"] if found["start"] >= 0 else source.size
    found["columns"] = types(dialect.names, seen, whole=source.size - found["start"] <= WHOLE)
    source.memo["csv"] = found
    return found


def begin(head: bytes, cut: bool, encoding: str, delimiter: str, what: object) -> dict[str, Any]:
    """What the first bytes tell: delimiter, encoding, header, names, records before the first row, and where that starts.

    ``start`` is -1 where that is not in them. ``cut``: more bytes come behind. Raises ``Broken`` where no record is.
    """
    text = _text(head, encoding)
    delimiter = delimiter or delimiter_of(head[:HEAD], encoding)
    rows = _records(text, delimiter, LINES, cut)
    comments = 0
    while comments < len(rows) - 1 and rows[comments][0].startswith("#"):
        comments += 1
    if comments and len(rows[comments - 1]) == len(rows[comments]) > 1 and not _names(rows[comments], rows[comments + 1 :]):
        comments -= 1  # a header that begins with #
    if not rows:
        raise Broken(f"{what} has no record in its first {len(head)} bytes")
    first, below = rows[comments], rows[comments + 1 :]
    if len(first) > MAX_COLUMNS:
        raise Broken(f"{what} has {len(first)} columns; at most {MAX_COLUMNS} are read")
    header = _is_header(first, below)
    skip = comments + header
    return {
        "delimiter": delimiter,
        "encoding": encoding,
        "header": header,
        "names": _unique(first if header else [""] * len(first)),
        "skip": skip,
        "start": _start(head, delimiter, skip),
    }


def _start(head: bytes, delimiter: str, skip: int) -> int:
    """Where the record behind ``skip`` others starts in the text; -1 where it is not in these bytes."""
    if not skip:
        return bom_of(head)
    for size in (1 << 12, 1 << 14, HEAD, SAMPLE):  # of a few records every start is kept
        scanner = CsvScanner(lambda _head, _encoding: delimiter)
        scanner.feed(head[:size])
        starts, before = unpack(scanner.result()["marks"])
        if len(places := starts[before == skip]) and places[0] < len(head):
            return int(places[0])
    return -1


def _is_header(first: list[str], below: list[list[str]]) -> bool:
    """Names are no numbers, and differ from each other or stand over numbers. A file of text only is taken to have a header."""
    named = [field for field in first if field]
    if not named or any(_number(field) for field in named) or below[:1] == [first]:
        return False
    return len(set(named)) == len(named) or _over_numbers(first, below)


def _names(fields: list[str], below: list[list[str]]) -> bool:
    """Whether a line can be nothing but a header: no number and no missing value is in it, but numbers stand below."""
    from pyarrow.csv import ConvertOptions

    missing = ConvertOptions().null_values
    return not any(_number(field) or field in missing for field in fields) and _over_numbers(fields, below)


def _over_numbers(first: list[str], below: list[list[str]]) -> bool:
    """Whether some column of the records below holds numbers and nothing else."""
    columns = zip(*(row for row in below if len(row) == len(first)), strict=True)
    values = ([field for field in column if field] for column in columns)
    return any(column and all(map(_number, column)) for column in values)


def _number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _unique(fields: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for number, field in enumerate(fields):
        name = field or f"f{number}"
        while name in names:
            name += "_"
        names[name] = None
    return list(names)


def _samples(source: Source, scan: dict[str, Any], start: int, skip: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of whole records, and how many rows come before: all of a short text, parts from all over a long one."""
    if start < 0:
        return
    if source.size - start <= WHOLE:
        yield start, source.size, 0
    elif "marks" in scan:
        starts, before = unpack(scan["marks"])
        for low, high in samples((starts, before), start, source.size, SAMPLE, SAMPLES):
            yield low, high, int(before[np.searchsorted(starts, low)]) - skip if low > start else 0


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    yield table_of(source.exactly(start, end), part, source, columns, where)


def table_of(data: bytes, part: Slice, what: object, columns: Sequence[str] | None, where: Where) -> Any:
    """The wanted part of a slice's records. Raises ``Broken`` and ``Reject`` as ``CSV.open`` does."""
    types, first = part.data["columns"], int(part.data["first_row"])
    needed = wanted.check(columns, where, types, what)
    dialect = Dialect(part.data["delimiter"], part.data["encoding"], list(types))
    table, blank = dialect.table(data, types, needed, what, first)
    rows = int(part.data.get("rows", part.units))
    if table.num_rows + blank != rows and needed != []:
        raise Broken(f"{what}, rows from {first}: {table.num_rows} rows where {rows} were counted")
    return wanted.table(table, columns, where, what)
