"""Apache Parquet: the footer tells all; slices are runs of row groups.

Source: Parquet format 2.11, file layout (``PAR1`` at both ends, the footer's length before the last).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, short
from functions.formats.isolated import ARROW, Failed
from functions.formats.source import Source
from functions.formats.where import OPERATORS, Where

MAGIC = b"PAR1"
MAX_FOOTER = 256 << 20


class Parquet:
    """Columnar tables in row groups."""

    name = "parquet"
    media_type = "application/vnd.apache.parquet"
    suffixes: tuple[str, ...] = (".parquet",)

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC) or (not head and name.lower().endswith(self.suffixes))

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Columns with their types, rows, row groups, compression, and who wrote it."""
        return {key: value for key, value in _footer(source).items() if key not in ("groups", "group_rows")}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        footer = _footer(source)
        groups, rows = footer["groups"], footer["group_rows"]
        for start, end in groups:
            if not 0 <= start <= end <= source.size:
                raise Broken(f"{source} has a row group from byte {start} to {end}, but only {source.size} bytes")
        if sum(rows) != footer["rows"] or min(rows, default=0) < 0:
            raise Broken(f"{source} counts {footer['rows']} rows, but its row groups hold {sum(rows)}")
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=len(groups),
            unit="row groups",
            data={"groups": groups, "rows": rows, "footer": _footer_start(source)},
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of row groups; the ranges are theirs and the footer's."""
        groups, rows = index.data["groups"], index.data["rows"]
        footer = (int(index.data["footer"]), index.size)
        parts = [
            Part(
                [*((int(start), int(end)) for start, end in groups[low:high]), footer],
                high - low,
                {"groups": [low, high], "first_row": sum(rows[:low]), "rows": sum(rows[low:high])},
            )
            for low, high in balanced([end - start for start, end in groups], count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A ``pyarrow.Table``. Columns not wanted, and row groups whose statistics exclude a match, are not read."""
        return _opened(part, objects, columns, where)


def _footer_start(source: Source) -> int:
    """Where the footer begins. Raises ``Broken`` for a file that was cut off."""
    if not source.size:
        raise Broken(f"{source} is empty: a Parquet file has at least a footer")
    tail = source.read(source.size - 8, source.size) if source.size >= 12 else b""
    if tail[4:] == b"PARE":
        raise Broken(f"{source} has an encrypted footer; it cannot be read without its key")
    if tail[4:] != MAGIC:
        raise Broken(f"{source} begins like a Parquet file but does not end like one: it was cut off")
    start = source.size - 8 - int.from_bytes(tail[:4], "little")
    if start < len(MAGIC) or source.size - start > MAX_FOOTER:
        raise Broken(f"{source} claims a footer of {source.size - 8 - start} bytes, which cannot be")
    return start


def _footer(source: Source) -> dict[str, Any]:
    """What the footer tells, read by Arrow in a process apart: some damage makes it abort."""
    if "parquet" not in source.memo:
        with tempfile.NamedTemporaryFile(prefix="sluice-parquet-") as file:
            file.write(MAGIC + source.read(_footer_start(source), source.size))
            file.flush()
            try:
                source.memo["parquet"] = ARROW.call("parquet", path=file.name)
            except Failed as error:
                raise Broken(f"{source} has a footer that is no Parquet metadata: {error}") from error
    found: dict[str, Any] = source.memo["parquet"]
    return found


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    low, high = part.data["groups"]
    try:
        footer = parquet.read_metadata(pyarrow.BufferReader(MAGIC + source.exactly(*part.ranges[-1])))
        schema = footer.schema.to_arrow_schema()
        needed = wanted.check(columns, where, schema.names, source)
        wanted.compare(where, schema, source)
        groups = [number for number in range(low, high) if _may_match(footer.row_group(number), where)]
        ahead = [place for number in groups for place in _places(footer.row_group(number), needed)]
        with source.open(ahead=ahead) as file, parquet.ParquetFile(file, metadata=footer, pre_buffer=False) as opened:
            table = opened.read_row_groups(groups, columns=needed) if groups else _empty(schema, needed)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Broken(f"{source}, row groups {low} to {high}: {short(error)}") from error
    yield wanted.table(table, columns, where, source)


def _places(group: Any, needed: list[str] | None) -> Iterator[tuple[int, int]]:
    """Where the column chunks of a row group lie, of all columns or the ones needed; one of no rows may have no page."""
    for column in map(group.column, range(group.num_columns)):
        pages = [page for page in (column.dictionary_page_offset, column.data_page_offset) if page]
        if pages and (needed is None or column.path_in_schema.split(".")[0] in needed):
            yield min(pages), min(pages) + int(column.total_compressed_size)


def _empty(schema: Any, needed: list[str] | None) -> Any:
    table = schema.empty_table()
    return table if needed is None else table.select(needed)


def _may_match(group: Any, where: Where) -> bool:
    """Whether the row group's statistics leave room for a row that meets every condition."""
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    for name, symbol, value in where:
        statistics = columns[name].statistics if name in columns and columns[name].is_stats_set else None
        if statistics is None or not statistics.has_min_max:
            continue
        try:
            if not _possible(statistics.min, statistics.max, symbol, value):
                return False
        except TypeError:  # values that do not compare: Arrow itself will say so
            continue
    return True


def _possible(low: Any, high: Any, symbol: str, value: Any) -> bool:
    """Whether something from ``low`` to ``high`` can meet the condition."""
    match symbol:
        case "==":
            return bool(low <= value <= high)
        case "in":
            return any(low <= one <= high for one in value)
        case "<" | "<=":
            return bool(OPERATORS[symbol](low, value))
        case ">" | ">=":
            return bool(OPERATORS[symbol](high, value))
    return True
