"""HDF5, and netCDF-4, which is HDF5: slices of the rows of one dataset, cut between rows of chunks.

The dataset is the one that the user metadata ``dataset`` names, or else the largest. Its chunks' places are read once, by h5py
in a process apart; so a slice reads the file's own headers and its chunks, nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import msgspec
import zstandard

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, short, spans
from functions.formats.isolated import H5PY, Failed
from functions.formats.source import GAP, Source
from functions.formats.where import Where

MAGIC = b"\x89HDF\r\n\x1a\n"
#: What the format's library is called where it is missing.
MISSING = "h5py is not installed: pip install 'sluice[formats]'"
#: Ranges that a slice lists; with more of them, gaps are read along.
MOST_RANGES = 64
MOST_TOLD = 1000  # datasets in the catalogue


class HDF5:
    """Arrays and tables in groups."""

    name = "hdf5"
    media_type = "application/x-hdf5"
    suffixes: tuple[str, ...] = (".h5", ".hdf5", ".hdf", ".nc")

    def sniff(self, head: bytes, name: str) -> bool:
        if not head:
            return name.lower().endswith(self.suffixes)
        return any(head[at : at + 8] == MAGIC for at in (0, *(512 << shift for shift in range(7))))

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Every dataset's shape, type and chunks, and which of them is cut."""
        if importlib.util.find_spec("h5py") is None:
            return {"unsliceable": MISSING}
        told = _told(source)
        found = {"datasets": dict(islice(told["datasets"].items(), MOST_TOLD)), "dataset": told["dataset"]}
        return found | ({"unsliceable": told["reason"]} if told["reason"] else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` where there is no dataset with rows, or its numbers cannot be read from this object alone."""
        if importlib.util.find_spec("h5py") is None or (told := _told(source))["reason"]:
            return None
        data = {key: told[key] for key in ("dataset", "rows", "fields", "height", "offset", "row") if key in told}
        for band in told["bands"]:
            for start, end in band:
                if not 0 <= start <= end <= source.size:
                    raise Broken(f"{source} has a chunk from byte {start} to {end}, but only {source.size} bytes")
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=len(told["bands"]) or told["rows"],
            unit="rows of chunks" if told["bands"] else "rows",
            data=data | {"bands": zstandard.compress(msgspec.msgpack.encode(told["bands"]), 9)},
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of rows; a chunk is never in two slices. ``data["rows"]`` tells which."""
        bands = msgspec.msgpack.decode(zstandard.decompress(index.data["bands"]), type=list[list[tuple[int, int]]])
        height, rows = int(index.data["height"]), int(index.data["rows"])
        parts = []
        weights = [sum(end - start for start, end in band) for band in bands]
        for low, high in balanced(weights, count) if bands else spans(index.units, count):
            first, end = low * height, min(high * height, rows)
            ranges = few([place for band in bands[low:high] for place in band])
            if not bands and index.data["offset"] >= 0:
                row = int(index.data["row"])
                ranges = [(index.data["offset"] + first * row, index.data["offset"] + end * row)]
            data = {"dataset": index.data["dataset"], "fields": index.data["fields"], "rows": [first, end]}
            parts.append(Part(ranges, high - low, data))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A numpy array of the slice's rows, as ``h5py.Dataset`` gives it; ``columns`` and ``where`` choose of compound types.

        Raises:
            Reject: h5py is not installed.

        """
        return _opened(part, objects, columns, where)


def _told(source: Source) -> dict[str, Any]:
    """What h5py tells of the file; ``reason`` says why it cannot be cut, or is empty."""
    if "hdf5" not in source.memo:
        if not source.size:
            raise Broken(f"{source} is empty: an HDF5 file has at least a header")
        choice = source.user.get("dataset", "").strip("/")
        try:
            told = H5PY.call("hdf5", source=source, size=source.size, wanted=choice)
        except Failed as error:
            raise Broken(f"{source} cannot be read as HDF5: {error}") from error
        if choice and choice != told["dataset"]:
            raise Broken(
                f"{source} has no dataset {choice!r}, which its user metadata names; it has {', '.join(told['datasets'])}"
            )
        source.memo["hdf5"] = {"bands": [], "reason": "" if "rows" in told else "it has no dataset with rows"} | told
    found: dict[str, Any] = source.memo["hdf5"]
    return found


def few(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """These ranges in order; nearer ones as one until they are few enough to list."""
    ranges, gap = sorted(ranges), 0
    while True:
        joined: list[tuple[int, int]] = []
        for start, end in ranges:
            if joined and start <= joined[-1][1] + gap:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        if len(joined) <= MOST_RANGES:
            return joined
        ranges, gap = joined, max(2 * gap, GAP)


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    if importlib.util.find_spec("h5py") is None:
        raise Reject(f"s3://{part.bucket}/{part.key}: {MISSING}")
    import h5py

    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    first, end = part.data["rows"]
    needed = wanted.check(columns, where, part.data["fields"], source) if columns is not None or where else None
    try:
        with source.open(ahead=part.ranges) as file, h5py.File(file, "r") as opened:
            dataset = opened[part.data["dataset"]]
            rows = (dataset.fields(needed) if needed else dataset)[first:end]
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise Broken(f"{source}, rows {first} to {end} of {part.data['dataset']}: {short(error)}") from error
    yield wanted.rows(rows, columns, where, source)
