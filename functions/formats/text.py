"""Plain text: slices are runs of whole lines.

Encodings are UTF-8, UTF-16 (told by its byte order mark) and Latin-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Part, Slice, cut
from functions.formats.records import Places, RecordScanner, bom_of, encoding_of, shares, text_of, unpack
from functions.formats.source import Flow, Source
from functions.formats.where import Where, none


class Text:
    """Lines of text."""

    name = "text"
    media_type = "text/plain"
    suffixes: tuple[str, ...] = (".txt", ".text", ".log", ".md")

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        if not head:
            return named
        text = text_of(head)
        return text is not None and (named or (encoding_of(head) != "latin-1" and "\n" in text))

    def scanner(self) -> RecordScanner:
        return RecordScanner(every_line)

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Encoding and lines. Raises ``Broken`` for UTF-16 that ends inside of a character."""
        if not source.size:
            raise Broken(f"{source} is empty: there is no line in it")
        if scan["encoding"].startswith("utf-16") and source.size % 2:
            raise Broken(f"{source} ends inside of a character: {source.size} bytes are no {scan['encoding']}")
        return {"encoding": scan["encoding"], "lines": scan["records"]}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=scan["records"],
            unit="lines",
            data={"encoding": scan["encoding"], "start": bom_of(source.read(0, 4)), "marks": scan["marks"]},
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known line starts nearest to an even share of the bytes."""
        parts = [
            Part([(start, end)], number, {"encoding": index.data["encoding"], "first_line": first})
            for start, end, first, number in shares(
                unpack(index.data["marks"]), int(index.data["start"]), index.size, index.units, count
            )
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A text file of the slice's lines."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a text,")
        return opened_text(part, objects)


def every_line(data: NDArray[np.uint8], before: int) -> Places:
    """A record is a line, also an empty one."""
    places = np.flatnonzero(data[:-1] == 10) + 1
    return np.concatenate(([0], places)) if before == 10 else places


@contextmanager
def opened_text(part: Slice, objects: ObjectStore) -> Iterator[Any]:
    """The slice's only range as a text file, read piece by piece."""
    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    with Flow.text(source.parts(start, end), part.data["encoding"]) as file:
        yield file
