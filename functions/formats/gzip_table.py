"""The columns of a CSV table inside of gzip, from its first rows and from samples all over it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import zstandard

from functions.formats.csv import SAMPLE, SAMPLES, begin
from functions.formats.csv_table import WHOLE, Dialect, types
from functions.formats.format import Broken
from functions.formats.gzip_records import Rows
from functions.formats.gzip_text import text_between
from functions.formats.source import Source


def layout(source: Source, scan: dict[str, Any]) -> dict[str, Any]:
    """Delimiter, encoding, header and columns, where in the text the first row starts, and how many records lie before it.

    Raises:
        Broken: rows differ in their number of fields, or the header is longer than what is looked at.

    """
    if "gzip" in source.memo:
        known: dict[str, Any] = source.memo["gzip"]
        return known
    length = int(scan["length"])
    head = _text(source, scan, 0, SAMPLE)
    found = begin(head, len(head) < length, scan["encoding"], scan["delimiter"], source)
    if found["start"] < 0 and scan["rows"] <= found["skip"]:
        found["start"] = length  # there are no rows
    if found["start"] < 0:
        raise Broken(f"{source} has no row in the first {len(head)} bytes of its text")
    dialect = Dialect(found["delimiter"], scan["encoding"], found.pop("names"))
    seen: list[set[str]] = [set() for _ in dialect.names]
    for data, first in _samples(source, scan, found["start"], found["skip"]):
        if data.strip():
            for kinds, kind in zip(seen, dialect.kinds(data, source, first), strict=True):
                kinds.add(kind)
    found["columns"] = types(dialect.names, seen, whole=length <= WHOLE)
    source.memo["gzip"] = found
    return found


def _samples(source: Source, scan: dict[str, Any], start: int, skip: int) -> Iterator[tuple[bytes, int]]:
    """Whole records, and how many rows come before: all of a short text, parts from all over a long one."""
    points, length = scan["points"], int(scan["length"])
    if length <= WHOLE:
        yield _text(source, scan, 0, length)[start:], 0
        return
    for turn in range(SAMPLES):
        number = (len(points) - 1) * turn // (SAMPLES - 1)
        at, before = (start, skip) if points[number][3] <= start else (points[number][3], points[number][4])
        size = SAMPLE
        while True:  # until a record ends in it
            data = _text(source, scan, number, size, at)
            rows = Rows(scan["delimiter"])
            whole = 0
            for line in range(0, len(data), 1 << 12):
                place = rows.feed(data[line : line + (1 << 12)], wanted=True)
                whole = line + place[0] if place else whole
            if whole or len(data) < size:
                break
            size *= 4
        yield data[: whole or len(data)], before - skip


def _text(source: Source, scan: dict[str, Any], number: int, size: int, at: int = 0) -> bytes:
    """``size`` bytes of text from ``at`` on, which is behind point ``number``; less at the end."""
    position, bits, length, _, _, _, window = scan["points"][number]
    start = position - bool(bits)
    size = min(size, int(scan["length"]) - at)
    packed = window and zstandard.decompress(base64.b64decode(window))
    end = next((point[0] for point in scan["points"] if point[2] >= at + size), source.size)
    return b"".join(text_between(source, (start, end), bits, packed, at - length, size))
