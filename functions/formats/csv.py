"""CSV and TSV text: the catalogue learns its columns and rows, slices are runs of whole records.

Source: RFC 4180, read as Python's csv module and Arrow read it (any of four delimiters, stray quotes are literal).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.csv_scan import DELIMITERS, HEAD, CsvScanner
from functions.formats.format import Broken, Index, Part, Slice, cut, short
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
        if encoding_of(head) == "latin-1" or text.lstrip()[:1] in tuple("{[<#%") or not text.strip():
            return False
        found, rows = _delimiter(text, len(head) >= HEAD)
        return bool(found) and rows >= 3

    def scanner(self) -> CsvScanner:
        return CsvScanner(_delimiter_of)

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Delimiter, encoding, whether there is a header, columns with their guessed types, and rows (without the header)."""
        layout = _layout(source, scan)
        found = {key: layout[key] for key in ("delimiter", "encoding", "header", "columns")}
        if "records" in scan:
            found["rows"] = scan["records"] - layout["header"]
        if reason := _refusal(scan):
            found["unsliceable"] = reason
        return found

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for text that cannot be cut (``describe`` tells why)."""
        if _refusal(scan):
            return None
        layout = _layout(source, scan)
        data = {key: layout[key] for key in ("delimiter", "encoding", "header", "columns", "start")}
        rows = scan["records"] - layout["header"]
        return Index(
            format=self.name, size=source.size, etag=source.etag, units=rows, unit="rows", data=data | {"marks": scan["marks"]}
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known record starts nearest to an even share of the rows."""
        starts, before = unpack(index.data["marks"])
        rows = before - int(index.data["header"])
        shared = {key: index.data[key] for key in ("delimiter", "encoding", "columns")}
        parts = [
            Part([(start, end)], number, shared | {"first_row": first})
            for start, end, first, number in shares((starts, rows), int(index.data["start"]), index.size, index.units, count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A ``pyarrow.Table`` with the index's columns and types, the same for every slice. Other columns are not converted.

        Raises:
            Broken: a record with another number of columns, or a value that its column's type does not allow.

        """
        return _opened(part, objects, columns, where)


def _refusal(scan: dict[str, Any]) -> str:
    """Why the text cannot be cut, or ""."""
    if "marks" not in scan:
        return "too many of its quotes stand inside of fields" if scan else "it was not scanned"
    if scan["records"] > 1 and scan["body"] < 0:
        return "its lines end in a carriage return only"
    return ""


def _text(head: bytes, encoding: str) -> str:
    return head.decode(encoding, "ignore").removeprefix("\ufeff")


def _delimiter_of(head: bytes, encoding: str) -> str:
    text = _text(head, encoding)
    return _delimiter(text, len(head) >= HEAD)[0] or _most(text)


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
    """Delimiter, encoding, header and columns, and where the first row starts."""
    if "csv" in source.memo:
        known: dict[str, Any] = source.memo["csv"]
        return known
    if not source.size:
        raise Broken(f"{source} is empty: a CSV file has at least a line of column names")
    head = source.read(0, SAMPLE)
    encoding = scan.get("encoding") or encoding_of(head)
    text = _text(head, encoding)
    delimiter = scan.get("delimiter") or _delimiter_of(head[:HEAD], encoding)
    rows = _records(text, delimiter, 2, len(head) < source.size)
    if not rows:
        raise Broken(f"{source} has no record in its first {len(head)} bytes")
    if len(rows[0]) > MAX_COLUMNS:
        raise Broken(f"{source} has {len(rows[0])} columns; at most {MAX_COLUMNS} are read")
    header = _is_header(rows[0], rows[1] if len(rows) > 1 else [])
    names = _unique(rows[0] if header else [""] * len(rows[0]))
    start = scan.get("body", -1) if header else bom_of(head)
    types = _types(source, scan, delimiter, encoding, names, start)
    layout = {"delimiter": delimiter, "encoding": encoding, "header": header, "columns": dict(zip(names, types, strict=True))}
    source.memo["csv"] = layout | {"start": start if start >= 0 else source.size}
    return layout | {"start": start if start >= 0 else source.size}


def _is_header(first: list[str], second: list[str]) -> bool:
    """Names are no numbers and differ from each other. A file of text only is taken to have a header."""
    named = [field for field in first if field]
    return bool(named) and len(set(named)) == len(named) and not any(_number(field) for field in named) and first != second


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


def _types(source: Source, scan: dict[str, Any], delimiter: str, encoding: str, names: list[str], start: int) -> list[str]:
    """The narrowest type that fits every sample: parts from the whole length of the file, so that late surprises are few."""
    import pyarrow

    seen: list[set[str]] = [set() for _ in names]
    for low, high in _samples(source, scan, start):
        data = source.read(low, high)
        if data.strip():
            try:
                table = _parse(data, delimiter, encoding, names, None)
            except pyarrow.ArrowInvalid as error:
                raise Broken(f"{source} is no table with {len(names)} columns: {short(error)}") from error
            for kinds, field in zip(seen, table.schema, strict=True):
                kinds.add(str(field.type))
    return [_common(kinds - {"null"}) for kinds in seen]


def _samples(source: Source, scan: dict[str, Any], start: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole records."""
    if start < 0:
        return
    if "marks" in scan:
        yield from samples(unpack(scan["marks"]), start, source.size, SAMPLE, SAMPLES)
    elif source.size - start <= SAMPLE * SAMPLES:
        yield start, source.size


def _common(kinds: set[str]) -> str:
    import pyarrow

    if kinds == {"int64", "double"}:
        return "double"
    if len(kinds) == 1:
        (kind,) = kinds
        try:
            pyarrow.type_for_alias(kind)
        except ValueError:
            return "string"
        return kind
    return "string"


def _parse(
    data: bytes, delimiter: str, encoding: str, names: list[str], types: dict[str, str] | None, needed: list[str] | None = None
) -> Any:
    """The table; only the columns ``needed`` unless that is ``None``."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    kinds = {name: pyarrow.type_for_alias(kind) for name, kind in (types or {}).items()}
    if not data.strip(b"\r\n\0"):  # with the zeros of UTF-16
        chosen = names if needed is None else needed
        return pyarrow.table({name: pyarrow.array([], kinds.get(name, pyarrow.null())) for name in chosen})
    return arrow_csv.read_csv(
        pyarrow.BufferReader(data),
        arrow_csv.ReadOptions(column_names=names, encoding=encoding, block_size=min(len(data) + 64, (1 << 31) - 1)),
        arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        arrow_csv.ConvertOptions(column_types=kinds, include_columns=needed or []),
    )


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    import pyarrow

    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    types = part.data["columns"]
    needed = wanted.check(columns, where, types, source)
    data = source.exactly(start, end)
    try:
        table = _parse(data, part.data["delimiter"], part.data["encoding"], list(types), types, needed)
    except pyarrow.ArrowInvalid as error:
        raise Broken(f"{source}, rows from {part.data['first_row']}: {short(error)}") from error
    if table.num_rows != part.units and needed != []:
        raise Broken(f"{source}, rows from {part.data['first_row']}: {table.num_rows} rows where {part.units} were counted")
    yield wanted.table(table, columns, where)
