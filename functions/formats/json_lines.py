"""JSON Lines (NDJSON): one JSON object a line; slices are runs of whole lines, opened as tables.

Source: jsonlines.org and RFC 8259. The columns and types are those of the whole text, or of samples from all over a long one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from events.ports import ObjectStore
from functions.formats import json_table
from functions.formats import where as wanted
from functions.formats.csv_table import WHOLE
from functions.formats.format import Broken, Index, Part, Slice, cut
from functions.formats.records import RecordScanner, bom_of, lines, samples, shares, text_of, unpack
from functions.formats.source import Source
from functions.formats.where import Where

SAMPLE, SAMPLES = 1 << 18, 8  # the columns are told from so many parts of so many bytes


class JSONLines:
    """One JSON object a line."""

    name = "jsonlines"
    media_type = "application/x-ndjson"
    suffixes: tuple[str, ...] = (".jsonl", ".ndjson")

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        return (named and text_of(head) is not None) or len(first_objects(head)) > 1 if head else named

    def scanner(self) -> RecordScanner:
        return RecordScanner(lines)

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Columns with their types, and rows. Raises ``Broken`` for a line that is no JSON object, where one is seen."""
        schema = _schema(source, scan)
        return {"columns": {field.name: str(field.type) for field in schema}, "rows": scan["records"]}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=scan["records"],
            unit="rows",
            data={
                "schema": _schema(source, scan).serialize().to_pybytes(),
                "start": bom_of(source.read(0, 4)),
                "marks": scan["marks"],
            },
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known line starts nearest to an even share of the bytes."""
        import base64

        schema = base64.b64encode(index.data["schema"]).decode()
        parts = [
            Part([(start, end)], number, {"schema": schema, "first_row": first})
            for start, end, first, number in shares(
                unpack(index.data["marks"]), int(index.data["start"]), index.size, index.units, count
            )
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A ``pyarrow.Table``. All slices have the same columns first; one that no sample had comes last, where it occurs.

        A column with a value that does not fit has a wider type in this slice (see ``json_table``).

        Raises:
            Broken: a line that is no JSON object.

        """
        return _opened(part, objects, columns, where)


def first_objects(head: bytes) -> list[dict[str, Any]]:
    """The objects of the first lines, none if one of them is something else. A cut-off last line does not count."""
    text = text_of(head)
    if text is None or not text.lstrip().startswith("{"):
        return []
    found: list[dict[str, Any]] = []
    rows = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(rows[:20]):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return found if number == len(rows) - 1 and number else []
        if not isinstance(value, dict):
            return []
        found.append(value)
    return found


def _schema(source: Source, scan: dict[str, Any]) -> Any:
    """The columns and types that fit all of a short text, or every sample of a long one."""
    if "jsonlines" in source.memo:
        return source.memo["jsonlines"]
    if not scan["records"]:
        raise Broken(f"{source} is empty: there is no line in it")
    if scan["encoding"] != "utf-8":
        raise Broken(f"{source} is no UTF-8, which JSON must be; it looks like {scan['encoding']}")
    schemas = []
    for low, high, first in _samples(source, scan):
        schemas.append(json_table.inferred(source.read(low, high), source, first))
    source.memo["jsonlines"] = json_table.merged(schemas)
    return source.memo["jsonlines"]


def _samples(source: Source, scan: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Ranges of whole lines, and how many rows come before."""
    start = bom_of(source.read(0, 4))
    if source.size - start <= WHOLE:
        yield start, source.size, 0
        return
    starts, before = unpack(scan["marks"])
    for low, high in samples((starts, before), start, source.size, SAMPLE, SAMPLES):
        yield low, high, int(before[np.searchsorted(starts, low)]) if low > start else 0


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    import base64

    import pyarrow

    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(base64.b64decode(part.data["schema"])))
    needed = wanted.check(columns, where, schema.names, source)
    if needed is not None:
        schema = pyarrow.schema([schema.field(name) for name in needed])
    data, first = source.exactly(start, end), int(part.data["first_row"])
    yield wanted.table(json_table.table(data, schema, source, first, others=needed is None), columns, where, source)
