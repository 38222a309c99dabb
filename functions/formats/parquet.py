"""Apache Parquet: the footer tells all; slices are runs of row groups.

Source: Parquet format 2.11, file layout (``PAR1`` at both ends, the footer's length before the last).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Slice, spans
from functions.formats.source import Source

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
        footer = _footer(source)
        groups = footer.num_row_groups
        codecs = (
            {footer.row_group(0).column(number).compression for number in range(footer.row_group(0).num_columns)}
            if groups
            else ()
        )
        return {
            "columns": {field.name: str(field.type) for field in _schema(source, footer)},
            "rows": footer.num_rows,
            "row_groups": groups,
            "compression": sorted(codecs),
            "created_by": footer.created_by or "",
        }

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        footer = _footer(source)
        groups = [_extent(source, footer.row_group(number)) for number in range(footer.num_row_groups)]
        rows = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        if sum(rows) != footer.num_rows or min(rows, default=0) < 0:
            raise Broken(f"{source} counts {footer.num_rows} rows, but its row groups hold {sum(rows)}")
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
        cuts = list(spans(index.units, count))
        footer = (int(index.data["footer"]), index.size)
        return [
            Slice(
                bucket=bucket,
                key=key,
                etag=index.etag,
                size=index.size,
                format=self.name,
                number=number,
                of=len(cuts),
                ranges=[*((int(start), int(end)) for start, end in groups[low:high]), footer],
                units=high - low,
                data={"groups": [low, high], "first_row": sum(rows[:low]), "rows": sum(rows[low:high])},
                index=index_at,
            )
            for number, (low, high) in enumerate(cuts)
        ]

    def open(self, part: Slice, objects: ObjectStore) -> AbstractContextManager[Any]:
        """A ``pyarrow.Table`` of the slice's row groups."""
        return _opened(part, objects)


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


def _footer(source: Source) -> Any:
    import pyarrow
    from pyarrow import parquet

    if "parquet" not in source.memo:
        start = _footer_start(source)
        data = MAGIC + source.read(start, source.size)
        try:
            source.memo["parquet"] = parquet.read_metadata(pyarrow.BufferReader(data))
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            raise Broken(f"{source} has a footer that is no Parquet metadata: {_short(error)}") from error
    return source.memo["parquet"]


def _schema(source: Source, footer: Any) -> Any:
    import pyarrow

    try:
        return footer.schema.to_arrow_schema()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Broken(f"{source} has a schema that Arrow cannot read: {_short(error)}") from error


def _extent(source: Source, group: Any) -> list[int]:
    """The bytes of a row group: from its first page to its last."""
    starts, ends = [], []
    for number in range(group.num_columns):
        column = group.column(number)
        pages = [column.data_page_offset, column.dictionary_page_offset if column.has_dictionary_page else None]
        start = min(page for page in pages if page is not None)
        starts.append(start)
        ends.append(start + column.total_compressed_size)
    start, end = min(starts, default=len(MAGIC)), max(ends, default=len(MAGIC))
    if start < 0 or end > source.size or end < start:
        raise Broken(f"{source} has a row group from byte {start} to {end}, but only {source.size} bytes")
    return [start, end]


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _opened(part: Slice, objects: ObjectStore) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    low, high = part.data["groups"]
    try:
        with source.open() as file, parquet.ParquetFile(file, pre_buffer=False) as opened:
            table = opened.read_row_groups(list(range(low, high))) if high > low else opened.schema_arrow.empty_table()
    except (pyarrow.ArrowException, OSError) as error:
        raise Broken(f"{source}, row groups {low} to {high}: {_short(error)}") from error
    yield table
