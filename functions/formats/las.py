"""LAS, LAZ and COPC point clouds: slices of points; of LAZ whole chunks, of COPC whole octree nodes, which are chunks.

Source: ASPRS LAS 1.4-R15 (public header block), LASzip's chunk table, COPC 1.0 (info VLR, hierarchy pages).
"""

from __future__ import annotations

import importlib.util
import io
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import zstandard

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, index_of, short, spans
from functions.formats.source import Source
from functions.formats.where import Where

MAGIC = b"LASF"
MISSING = "laspy or lazrs is not installed: pip install 'sluice[formats]'"
HEADER = 375  # bytes of the longest header, of version 1.4
MAX_HEADER = 64 << 20  # bytes of header and variable length records: more is none
VLR = 54  # bytes of the header of one
ENTRY = np.dtype([("level", "<i4"), ("place", "<i4", (3,)), ("offset", "<u8"), ("size", "<i4"), ("points", "<i4")])
MAX_NODES = 10_000_000


class LAS:
    """Points of a laser scanner."""

    name = "las"
    media_type = "application/vnd.las"
    suffixes: tuple[str, ...] = (".las", ".laz")

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC) if head else name.lower().endswith(self.suffixes)

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Points, their dimensions and bounds, version, compression (``las``, ``laz`` or ``copc``), and who wrote it."""
        if _missing():
            return {"unsliceable": MISSING}
        header, _ = _header(source)
        bounds = [float(value) for value in (*header.mins, *header.maxs)]
        copc = _copc(header)
        found: dict[str, Any] = {
            "version": str(header.version),
            "kind": "copc" if copc else "laz" if header.are_points_compressed else "las",
            "points": int(header.point_count),
            "point_format": int(header.point_format.id),
            "dimensions": list(header.point_format.dimension_names),
            "system": str(header.system_identifier),
            "software": str(header.generating_software),
        }
        if all(map(math.isfinite, bounds)):
            found["bounds"] = bounds
        if copc:
            found["spacing"] = float(copc.spacing)
        return found | ({} if found["points"] else {"unsliceable": "it has no points"})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """The header, and where each chunk lies; ``None`` where there are no points."""
        if _missing():
            return None
        header, text = _header(source)
        points, start = int(header.point_count), int(header.offset_to_point_data)
        if not points:
            return None
        data: dict[str, Any] = {"header": zstandard.compress(text), "points": points, "start": start}
        if not header.are_points_compressed:
            record = int(header.point_format.size)
            if start + points * record > source.size:
                raise Broken(f"{source} is cut off: {points} points of {record} bytes from byte {start}, of {source.size}")
            data |= {"record": record}
            return Index(format=self.name, size=source.size, etag=source.etag, units=points, unit="points", data=data)
        copc = _copc(header)
        chunks = _nodes(source, copc) if copc else _chunks(source, header)
        if int(chunks["points"].sum(dtype=np.int64)) != points:
            raise Broken(f"{source} counts {points} points, but its chunks hold {chunks['points'].sum(dtype=np.int64)}")
        if copc:
            data["copc"] = [*map(float, copc.center), float(copc.halfsize)]
        data["chunks"] = zstandard.compress(chunks.tobytes(), 9)
        unit = "octree nodes" if copc else "chunks"
        return Index(format=self.name, size=source.size, etag=source.etag, units=len(chunks), unit=unit, data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of points that lie one after the other; of compressed ones whole chunks."""
        start, parts = int(index.data["start"]), []
        chunks = _unpacked(index)
        for low, high in spans(index.units, count) if chunks is None else balanced(chunks["size"].tolist(), count):
            if chunks is None:
                record = int(index.data["record"])
                parts.append(Part([(start + low * record, start + high * record)], high - low, {"points": high - low}))
            else:
                run = chunks[low:high]
                ranges = [(int(run["offset"][0]), int(run["offset"][-1]) + int(run["size"][-1]))]
                data = {"points": int(run["points"].sum()), "chunks": [low, high]}
                parts.append(Part(ranges, high - low, data))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A ``laspy.ScaleAwarePointRecord``; with ``columns`` a structured numpy array of these dimensions, x, y, z scaled.

        Conditions on x, y and z keep octree nodes that cannot match from being read. Raises ``Reject`` without laspy.
        """
        return _opened(part, objects, columns, where)


def _missing() -> bool:
    return any(importlib.util.find_spec(name) is None for name in ("laspy", "lazrs"))


def _header(source: Source) -> tuple[Any, bytes]:
    """The header as laspy reads it, and the bytes before the points."""
    if "las" not in source.memo:
        head = source.read(0, HEADER)
        if len(head) < 227:
            raise Broken(f"{source} is cut off: {len(head)} bytes are no LAS header")
        (start, records) = struct.unpack_from("<II", head, 96)
        if not 227 <= start <= min(source.size, MAX_HEADER) or records > start // VLR:
            raise Broken(f"{source} claims {records} records and points from byte {start}, which cannot be")
        text = source.exactly(0, start)
        source.memo["las"] = (_parsed(text, str(source)), text)
    found: tuple[Any, bytes] = source.memo["las"]
    return found


def _parsed(text: bytes, what: str) -> Any:
    import laspy

    try:
        header = laspy.LasHeader.read_from(io.BytesIO(text))
        header.point_count = int(header.point_count)
        if header.are_points_compressed and not header.vlrs.get("LasZipVlr"):
            raise ValueError("its points are compressed, but no record says how")
        return header
    except Exception as error:  # laspy has no exception of its own for most damage
        raise Broken(f"{what} has a header that is no LAS: {short(error)}") from error


def _copc(header: Any) -> Any:
    """The COPC info record, or ``None``."""
    found = header.vlrs.get("CopcInfoVlr")
    return found[0] if found and header.are_points_compressed else None


def _chunks(source: Source, header: Any) -> np.ndarray[Any, Any]:
    """The chunk table of a LAZ file, as nodes without a place."""
    import lazrs

    start = int(header.offset_to_point_data)
    table = int.from_bytes(source.exactly(start, start + 8), "little", signed=True)
    if table == -1:  # written by a program that could not go back
        table = int.from_bytes(source.exactly(source.size - 8, source.size), "little", signed=True)
    if not start + 8 <= table <= source.size - 8:
        raise Broken(f"{source} has its chunk table at byte {table} of {source.size}: it was cut off")
    number = int.from_bytes(source.exactly(table + 4, table + 8), "little")
    if number > source.size // 8:
        raise Broken(f"{source} claims {number} chunks in {source.size} bytes")
    with source.open(ahead=[(table, min(source.size, table + 16 + 12 * number))]) as file:
        file.seek(start)
        found = _safely(
            source,
            "chunk table",
            lambda: lazrs.read_chunk_table(file, lazrs.LazVlr(header.vlrs.get("LasZipVlr")[0].record_data)),
        )
    chunks = np.zeros(len(found), ENTRY)
    if found:
        points, sizes = np.array(found, dtype=np.uint64).T
        if max(points.max(), sizes.max()) >= 1 << 31 or int(sizes.sum()) > table - start - 8:
            raise Broken(f"{source} has chunks of {int(sizes.sum())} bytes, but {table - start - 8} bytes of points")
        left = int(header.point_count) - int(points[:-1].sum())
        chunks["points"], chunks["size"] = points, sizes
        chunks["points"][-1] = left if 0 < left < int(points[-1]) else points[-1]  # the last one may not be full
        chunks["offset"] = start + 8 + np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.uint64)
    return chunks


def _nodes(source: Source, copc: Any) -> np.ndarray[Any, Any]:
    """The octree nodes that hold points, in the order they lie in the file."""
    pages, seen, found = [(int(copc.hierarchy_root_offset), int(copc.hierarchy_root_size))], set(), []
    total = 0
    while pages:
        offset, size = pages.pop()
        total += size // ENTRY.itemsize
        if offset in seen or size <= 0 or size % ENTRY.itemsize or offset + size > source.size or total > MAX_NODES:
            raise Broken(f"{source} has a hierarchy page of {size} bytes at byte {offset}, which cannot be")
        seen.add(offset)
        page = np.frombuffer(source.exactly(offset, offset + size), ENTRY)
        pages += [(int(entry["offset"]), int(entry["size"])) for entry in page[page["points"] == -1]]
        found.append(page[page["points"] > 0])
    nodes = np.sort(np.concatenate(found), order="offset")
    ends = nodes["offset"].astype(np.int64) + nodes["size"]
    if len(nodes) and (
        int(nodes["size"].min()) <= 0 or int(ends.max()) > source.size or (ends[:-1] > nodes["offset"][1:]).any()
    ):
        raise Broken(f"{source} has octree nodes that overlap or leave the object")
    return nodes


def _unpacked(index: Index) -> np.ndarray[Any, Any] | None:
    return np.frombuffer(zstandard.decompress(index.data["chunks"]), ENTRY) if "chunks" in index.data else None


def _safely(source: Source, what: str, work: Any) -> Any:
    """What ``work`` gives. Damage makes lazrs panic, which is no ``Exception``."""
    try:
        return work()
    except Exception as error:
        raise Broken(f"{source} has a {what} that cannot be read: {short(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Broken(f"{source} has a {what} that cannot be read: {short(error)}") from error


def _may_match(nodes: np.ndarray[Any, Any], cube: list[float], where: Where) -> np.ndarray[Any, Any]:
    """Which octree nodes leave room for a point that meets every condition on x, y and z."""
    x, y, z, half = cube
    side = 2 * half / np.exp2(nodes["level"])
    possible = np.ones(len(nodes), dtype=bool)
    for name, symbol, value in where:
        if name in ("x", "y", "z") and symbol in ("<", "<=", ">", ">=", "=="):
            axis = "xyz".index(name)
            low = (x, y, z)[axis] - half + nodes["place"][:, axis] * side
            slack = side * 1e-6  # points are rounded to the scale
            possible &= (low - slack <= value) if symbol in ("<", "<=", "==") else True
            possible &= (low + side + slack >= value) if symbol in (">", ">=", "==") else True
    return possible


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    if _missing():
        raise Reject(f"s3://{part.bucket}/{part.key}: {MISSING}")
    from laspy.point.record import PackedPointRecord, ScaleAwarePointRecord

    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    index = index_of(part, objects)
    header = _parsed(zstandard.decompress(index.data["header"]), str(source))
    names = ["x", "y", "z", *header.point_format.dimension_names]
    wanted.check(columns, where, names, source)

    def met(points: Any) -> Any:
        """Which of the points meet every condition."""
        mask = np.ones(len(points), dtype=bool)
        for condition in where:
            mask &= wanted.met(condition, np.asarray(points[condition[0]]), source)
        return mask

    def points_of(data: bytes | bytearray) -> Any:
        packed = PackedPointRecord(np.frombuffer(data, header.point_format.dtype()), header.point_format)
        return ScaleAwarePointRecord(packed.array, header.point_format, header.scales, header.offsets)

    met(points_of(b""))  # conditions that do not fit are told before anything is read
    points = points_of(_points(source, part, index, header, where))
    if where:
        mask = met(points)
        points = points[mask]
    if columns is not None:
        arrays = [np.asarray(points[name]) for name in columns]
        kind = [(name, array.dtype, array.shape[1:]) for name, array in zip(columns, arrays, strict=True)]
        chosen = np.empty(len(points), dtype=kind)
        for name, array in zip(columns, arrays, strict=True):
            chosen[name] = array
        yield chosen
    else:
        yield points


def _points(source: Source, part: Slice, index: Index, header: Any, where: Where) -> bytearray:
    """The points' records, decompressed."""
    import lazrs

    chunks = _unpacked(index)
    ((start, end),) = part.ranges
    if chunks is None:
        return bytearray(source.exactly(start, end))
    low, high = part.data["chunks"]
    chunks = chunks[low:high]
    if "copc" in index.data:
        chunks = chunks[_may_match(chunks, index.data["copc"], where)]
    places = [(int(chunk["offset"]), int(chunk["offset"]) + int(chunk["size"])) for chunk in chunks]
    kept = source.many(places)
    starts = [at for at, _ in kept]
    pieces = []
    for first, last in places:
        at, data = kept[int(np.searchsorted(starts, first, side="right")) - 1]
        pieces.append(data[first - at : last - at])
    out = bytearray(int(chunks["points"].sum()) * int(header.point_format.size))
    if out:
        table = [(int(chunk["points"]), int(chunk["size"])) for chunk in chunks]
        vlr = header.vlrs.get("LasZipVlr")[0].record_data
        _safely(source, "chunk", lambda: lazrs.decompress_points_with_chunk_table(b"".join(pieces), vlr, out, table))
    return out
