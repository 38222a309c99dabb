"""Tables from records of CSV text: the types that fit them, and what is done where one late value does not fit.

The types of an index come from the whole of a text up to ``WHOLE`` bytes, and from samples of a longer one. A slice whose
values do not all fit has the next wider type for that column (whole numbers, fractions, text), so that nothing is lost or
refused; its schema says so under ``WIDENED``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.formats.format import Broken, short

WHOLE = 16 << 20  # bytes of text that are looked at as a whole
#: Metadata of a table's schema: the columns that are wider than the index says, as JSON.
WIDENED = b"sluice.widened"
SHOWN = 100  # characters of a wrong row that a message shows


@dataclass
class _Rows:
    """What to do with rows of another number of fields: lines of nothing but blanks are none, others are an error."""

    blank: int = 0
    wrong: list[Any] = field(default_factory=list)

    def __call__(self, row: Any) -> str:
        if row.text.strip():
            self.wrong.append(row)
            return "error"
        self.blank += 1
        return "skip"


@dataclass(frozen=True)
class Dialect:
    """How the text is read: its delimiter, encoding and the names of its columns."""

    delimiter: str
    encoding: str
    names: list[str]

    def kinds(self, data: bytes, what: object, first: int) -> list[str]:
        """The types of these records, the first of which has the number ``first``. Raises ``Broken`` as ``table`` does."""
        return [str(one.type) for one in self._checked(data, None, None, _Rows(), what, first).schema]

    def table(
        self, data: bytes, types: Mapping[str, str], needed: list[str] | None, what: object, first: int
    ) -> tuple[Any, int]:
        """The records as a table of these types, or of wider ones, and how many lines of nothing but blanks were left out.

        Only the columns ``needed`` are converted, unless that is ``None``.

        Raises:
            Broken: a record with another number of fields; the text says which, counted from ``first``.

        """
        import pyarrow

        rows = _Rows()
        try:
            return self._checked(data, types, needed, rows, what, first), rows.blank
        except pyarrow.ArrowInvalid:  # a value that does not fit
            rows = _Rows()
        widened = self._widened(data, types, needed, what, first)
        found = self._checked(data, dict(types) | widened, needed, rows, what, first)
        return found.replace_schema_metadata({WIDENED: json.dumps(widened)}), rows.blank

    def _widened(
        self, data: bytes, types: Mapping[str, str], needed: list[str] | None, what: object, first: int
    ) -> dict[str, str]:
        """The columns whose values do not fit, with the narrowest type that is as wide as theirs and holds all."""
        import pyarrow

        found: dict[str, str] = {}
        for one in self._checked(data, None, needed, _Rows(), what, first).schema:
            known = types[one.name]
            if known == "string" or str(one.type) in (known, "null"):
                continue
            for kind in dict.fromkeys([known, common({known, str(one.type)}), "string"]):
                try:
                    (column,) = self._checked(data, {one.name: kind}, [one.name], _Rows(), what, first).columns
                except pyarrow.ArrowInvalid:
                    continue
                if kind == known or known != "int64" or kind != "double" or _exact(column):
                    found |= {} if kind == known else {one.name: kind}
                    break
        return found

    def _checked(
        self, data: bytes, types: Mapping[str, str] | None, needed: list[str] | None, rows: _Rows, what: object, first: int
    ) -> Any:
        """What Arrow reads. Raises ``Broken`` for rows of another length, ``ArrowInvalid`` for values that do not fit."""
        import pyarrow

        try:
            return self._read(data, types, needed, rows, threads=True)
        except UnicodeError as error:
            raise Broken(f"{what}, rows from {first}: it is no {self.encoding}: {short(error)}") from error
        except pyarrow.ArrowInvalid:
            if not rows.wrong:
                raise
        rows = _Rows()
        try:
            self._read(data, types, needed, rows, threads=False)  # threads do not know the numbers of rows
        except pyarrow.ArrowInvalid as error:
            raise Broken(f"{what}: {_told(rows, error, first)}") from error
        raise Broken(f"{what}, rows from {first}: rows differ in their number of fields")

    def _read(
        self, data: bytes, types: Mapping[str, str] | None, needed: list[str] | None, rows: _Rows, *, threads: bool
    ) -> Any:
        import pyarrow
        from pyarrow import csv as arrow_csv

        kinds = {name: pyarrow.type_for_alias(kind) for name, kind in (types or {}).items()}
        if not data.strip(b"\r\n\0"):  # with the zeros of UTF-16
            chosen = self.names if needed is None else needed
            return pyarrow.table({name: pyarrow.array([], kinds.get(name, pyarrow.null())) for name in chosen})
        if self.encoding != "utf-8":  # Arrow would do it, but in pieces, and lose the feed of a CRLF that two of them share
            data = data.decode(self.encoding).encode()
        size = min(len(data) + 64, (1 << 31) - 1)
        return arrow_csv.read_csv(
            pyarrow.BufferReader(data),
            arrow_csv.ReadOptions(column_names=self.names, block_size=size, use_threads=threads),
            arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=rows),
            arrow_csv.ConvertOptions(column_types=kinds, include_columns=needed or []),
        )


def _told(rows: _Rows, error: Exception, first: int) -> str:
    """Which row is wrong, and what is known to be the reason."""
    if not rows.wrong or rows.wrong[0].number is None:
        return short(error)
    row = rows.wrong[0]
    text = row.text.strip() if len(row.text) <= SHOWN else row.text[:SHOWN] + "..."
    told = f"row {first + row.number - 1} (counted from 0) has {row.actual_columns} fields, not {row.expected_columns}: {text}"
    blank_quote = any(f'{delimiter} "' in text for delimiter in ",;\t|")
    return told + (" (a quote behind a blank is part of the text and quotes nothing)" if blank_quote else "")


def _exact(column: Any) -> bool:
    """Whether no value is so large that whole numbers beside it would lose digits as fractions."""
    import pyarrow.compute as pc

    largest = pc.max(pc.abs(column)).as_py()
    return largest is None or largest <= 1 << 53


def types(names: Iterable[str], seen: Iterable[set[str]], *, whole: bool) -> dict[str, str]:
    """Each column's type by the kinds that were seen of it. Without any row in the ``whole`` text it is one that fits all."""
    unseen = "null" if whole else "string"
    return {name: common(kinds - {"null"}) if kinds else unseen for name, kinds in zip(names, seen, strict=True)}


def common(kinds: Iterable[str]) -> str:
    """The narrowest type that holds values of all these."""
    import pyarrow

    kinds = set(kinds)
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
