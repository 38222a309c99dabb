"""A file of one form into a file of another, batch by batch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import csv, json, parquet

from events.errors import Reject
from events.types import FunctionRequested
from functions.tables.rule import JSON_LINES, Rule

#: Rows of a batch of Parquet, and bytes of one of CSV and of lines of JSON.
ROWS, BLOCK = 65_536, 4 << 20


def convert(rule: Rule, source: Path, result: Path, of: FunctionRequested) -> None:
    """Write the result of a rule on a table of a format (``csv``, ``parquet``; lines of JSON by the end of the key).

    What is only compressed may be anything. Raises ``Reject`` for what cannot be read so, or has no such column.
    """
    key, format = of.key, of.format
    form = "jsonl" if key.endswith(JSON_LINES) else format
    try:
        if form not in _READERS:
            if rule.rows or rule.columns or rule.convert:
                raise Reject(f"s3://…/{key} is {format or 'of no known format'}, not a table: it can only be compressed")
            with source.open("rb") as inside, _sink(rule, result) as out:
                shutil.copyfileobj(inside, out, BLOCK)
        elif rule.rows or rule.columns or rule.convert or form == "parquet":
            _table(rule, source, result, form, of.metadata)
        else:
            with source.open("rb") as inside, _sink(rule, result) as out:
                shutil.copyfileobj(inside, out, BLOCK)
    except (pa.ArrowException, KeyError, ValueError, TypeError, UnicodeError) as error:
        raise Reject(f"the rule fails on {key}: {' '.join(str(error).split())[:500]}") from error


def _table(rule: Rule, source: Path, result: Path, form: str, layout: dict[str, Any]) -> None:
    wanted = parquet.filters_to_expression([tuple(row) for row in rule.rows]) if rule.rows else None
    with pa.memory_map(str(source)) as mapped:
        schema, batches = _READERS[form](mapped, layout)
        if rule.columns:
            schema = pa.schema([schema.field(name) for name in rule.columns])
        delimiter = str(layout.get("delimiter", ",")) if form == "csv" else ","
        with _WRITERS[rule.convert or form](rule, result, schema, delimiter) as writer:
            for batch in batches:
                table = pa.Table.from_batches([batch])
                if wanted is not None:
                    table = table.filter(wanted)
                if rule.columns:
                    table = table.select(rule.columns)
                writer.write_table(table)


def _csv(mapped: Any, layout: dict[str, Any]) -> tuple[Any, Iterator[Any]]:
    """As the catalogue has described it: delimiter, encoding, and names for a table without a header."""
    names = None if layout.get("header", True) else [column["name"] for column in layout["columns"]]
    how = csv.ReadOptions(block_size=BLOCK, encoding=layout.get("encoding", "utf-8"), column_names=names)
    parse = csv.ParseOptions(delimiter=layout.get("delimiter", ","), newlines_in_values=True)
    reader = csv.open_csv(mapped, read_options=how, parse_options=parse)
    return reader.schema, reader


def _parquet(mapped: Any, layout: dict[str, Any]) -> tuple[Any, Iterator[Any]]:
    file = parquet.ParquetFile(mapped)
    return file.schema_arrow, file.iter_batches(ROWS)


def _jsonl(mapped: Any, layout: dict[str, Any]) -> tuple[Any, Iterator[Any]]:
    reader = json.open_json(mapped, read_options=json.ReadOptions(block_size=BLOCK))
    return reader.schema, reader


def _sink(rule: Rule, result: Path) -> Any:
    if rule.compress in ("gzip", "zstd"):
        return pa.CompressedOutputStream(str(result), rule.compress)
    return pa.OSFile(str(result), "wb")


class _CsvWriter:
    """CSV with a header, compressed as the rule says."""

    def __init__(self, rule: Rule, result: Path, schema: Any, delimiter: str) -> None:
        self._sink = _sink(rule, result)
        self._writer = csv.CSVWriter(self._sink, schema, write_options=csv.WriteOptions(delimiter=delimiter))

    def __enter__(self) -> _CsvWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._sink.close()

    def write_table(self, table: Any) -> None:
        """Append rows."""
        self._writer.write_table(table)


class _LinesWriter:
    """A JSON object a row and line."""

    def __init__(self, rule: Rule, result: Path, schema: Any, delimiter: str) -> None:
        self._sink = _sink(rule, result)

    def __enter__(self) -> _LinesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.close()

    def write_table(self, table: Any) -> None:
        """Append rows."""
        for batch in table.to_batches(1024):
            self._sink.write(b"".join(msgspec.json.encode(row) + b"\n" for row in batch.to_pylist()))


def _parquet_writer(rule: Rule, result: Path, schema: Any, delimiter: str) -> Any:
    return parquet.ParquetWriter(str(result), schema, compression=rule.compress or "zstd")


_READERS = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl}
_WRITERS: dict[str, Any] = {"csv": _CsvWriter, "parquet": _parquet_writer, "jsonl": _LinesWriter}
