"""GeoJSON sequences: features one after the other, each behind a record separator (RFC 8142) or each on a line of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Part, Slice, cut, short
from functions.formats.json_lines import first_objects
from functions.formats.records import Places, RecordScanner, bom_of, lines, samples, shares, unpack
from functions.formats.source import Source
from functions.formats.where import Where, none

SEPARATOR = b"\x1e"
SAMPLE, SAMPLES = 1 << 16, 4


class GeoJSONSequence:
    """Features without a collection around them."""

    name = "geojsonseq"
    media_type = "application/geo+json-seq"
    suffixes: tuple[str, ...] = (".geojsons", ".geojsonl", ".geojsonseq")

    def sniff(self, head: bytes, name: str) -> bool:
        if not head:
            return name.lower().endswith(self.suffixes)
        text = head[bom_of(head) :]
        if text.startswith(SEPARATOR):
            return text[1:].lstrip()[:1] == b"{"
        found = first_objects(head)
        return bool(found) and all(feature.get("type") == "Feature" and "geometry" in feature for feature in found)

    def scanner(self) -> RecordScanner:
        return _Scanner()

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Features, and of samples the kinds of geometry and the names of properties. Raises ``Broken``."""
        if not scan["records"]:
            raise Broken(f"{source} has no feature")
        kinds, names = set(), set()
        for low, high in samples(unpack(scan["marks"]), bom_of(source.read(0, 4)), source.size, SAMPLE, SAMPLES):
            for feature in _features(source.read(low, high), f"{source}, bytes {low} to {high}"):
                kinds.add(str((feature.get("geometry") or {}).get("type")))
                names |= set(feature.get("properties") or {})
        return {"features": scan["records"], "geometries": sorted(kinds), "properties": sorted(names)[:1000]}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=scan["records"],
            unit="features",
            data={"marks": scan["marks"], "start": bom_of(source.read(0, 4))},
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at the known feature starts nearest to an even share of the bytes."""
        parts = [
            Part([(start, end)], number, {"first_feature": first})
            for start, end, first, number in shares(
                unpack(index.data["marks"]), int(index.data["start"]), index.size, index.units, count
            )
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """The list of the slice's features, each a dict as ``json.loads`` gives it."""
        none(columns, where, f"s3://{part.bucket}/{part.key}, a GeoJSON sequence,")
        return _opened(part, objects)


class _Scanner(RecordScanner):
    """Goes by separators where the sequence begins with one, else by lines."""

    def __init__(self) -> None:
        super().__init__(self._places)
        self._separated: bool | None = None

    def _places(self, data: NDArray[np.uint8], before: int) -> Places:
        if self._separated is None:
            self._separated = bool(data[0] == SEPARATOR[0])
        return np.flatnonzero(data == SEPARATOR[0]) if self._separated else lines(data, before)


def _features(data: bytes, what: str) -> list[dict[str, Any]]:
    """Raises ``Broken`` for a text that is no JSON object."""
    found = []
    separated = data.startswith(SEPARATOR)
    for number, text in enumerate(data.split(SEPARATOR)[1:] if separated else data.splitlines()):
        if text.strip() or separated:
            try:
                feature = json.loads(text)
                if not isinstance(feature, dict) or not isinstance(feature.get("geometry") or {}, dict):
                    raise ValueError("it is no GeoJSON object")
            except (ValueError, RecursionError) as error:
                raise Broken(f"{what}: feature {number} of these cannot be read: {short(error)}") from error
            found.append(feature)
    return found


@contextmanager
def _opened(part: Slice, objects: ObjectStore) -> Iterator[Any]:
    ((start, end),) = part.ranges
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    yield _features(source.exactly(start, end), f"{source}, features from {part.data['first_feature']}")
