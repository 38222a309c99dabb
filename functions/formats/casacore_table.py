"""How the tiled columns of a casacore table lie in their files, read from the headers ``table.fN``.

A row range of a tiled column is one contiguous range of bytes per hypercube: rows are the slowest axis of its tiles.
Source of the layout: casacore 3.8 itself (AipsIO, TiledStMan, TSMCube, TiledShapeStMan), checked byte for byte in the tests.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

MAGIC = b"\xbe\xbe\xbe\xbe"
TILED = ("TiledColumnStMan", "TiledShapeStMan")
TILED_FILE = re.compile(r"table\.f\d+_TSM\d+")
#: Bits of a pixel on disk by casacore's data type number (bool, char ... dcomplex, int64).
PIXEL_BITS = {0: 1, 1: 8, 2: 8, 3: 16, 4: 16, 5: 32, 6: 32, 7: 32, 8: 64, 9: 64, 10: 128, 29: 64}
MAX_AXES = 16


class BadHeader(ValueError):
    """The header of a storage manager is not what casacore writes."""


class Cube(msgspec.Struct, frozen=True):
    """One hypercube. ``block`` is the bytes of one run of ``tile`` rows; ``row`` those of one row, or 0 when rows are not
    contiguous in a tile (split in channels, or bits). ``offset`` is where it begins in ``file`` (as ``table.f0_TSM0``).
    """

    file: str
    offset: int
    rows: int
    tile: int
    block: int
    row: int

    def range(self, first: int, end: int) -> tuple[int, int]:
        """The bytes of the file that hold rows ``first`` to ``end`` (exclusive) of this cube."""
        if self.row:
            return self.offset + first * self.row, self.offset + end * self.row
        return self.offset + first // self.tile * self.block, self.offset + -(-end // self.tile) * self.block


class Manager(msgspec.Struct, frozen=True):
    """A tiled storage manager: its cubes, and which rows of the table are where in them.

    ``last``, ``cube`` and ``position`` are parallel: the rows up to ``last[i]`` are in ``cube[i]``, the last of them at
    ``position[i]``. A row beyond them all has no value.
    """

    cubes: list[Cube]
    last: list[int]
    cube: list[int]
    position: list[int]

    def ranges(self, first: int, end: int) -> list[tuple[str, int, int]]:
        """(file, start, end) that hold the table's rows ``first`` to ``end`` (exclusive): one range for each cube."""
        if end <= first or not self.last:
            return []
        last = np.asarray(self.last, dtype=np.int64)
        begin = np.concatenate(([0], last[:-1] + 1))
        low, high = np.maximum(begin, first), np.minimum(last, end - 1)
        here = low <= high
        cube, shift = np.asarray(self.cube)[here], (np.asarray(self.position, dtype=np.int64) - last)[here]
        low, high = low[here] + shift, high[here] + shift
        found = []
        for number in np.unique(cube):
            if self.cubes[number].rows:
                mine = cube == number
                start, stop = self.cubes[number].range(int(low[mine].min()), int(high[mine].max()) + 1)
                found.append((self.cubes[number].file, start, stop))
        return found


class _AipsIO:
    """A reader of casacore's canonical streams: big endian; an object is length, type name, version, content."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != MAGIC:
            raise BadHeader("it does not begin with casacore's magic value")
        self.data, self.at = data, 4

    def take(self, form: str) -> Any:
        try:
            (value,) = struct.unpack_from(">" + form, self.data, self.at)
        except struct.error as error:
            raise BadHeader(f"it ends at byte {len(self.data)}, inside a value") from error
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        length = self.take("I")
        if self.at + length > len(self.data):
            raise BadHeader("a text in it is longer than the file")
        self.at += length
        return self.data[self.at - length : self.at].decode("latin-1")

    def begin(self, name: str = "") -> tuple[str, int, int]:
        """Enter an object: (type, version, where it ends)."""
        start = self.at
        end = start + self.take("I")
        found, version = self.text(), self.take("I")
        if (name and found != name) or end > len(self.data) or end < self.at:
            raise BadHeader(f"it holds {found!r} where {name or 'an object'!r} was expected")
        return found, version, end

    def skip(self, name: str) -> None:
        self.at = self.begin(name)[2]

    def numbers(self, name: str) -> list[int]:
        """An IPosition or Block: a count and that many integers, whose width the object's length tells."""
        _, _, end = self.begin(name)
        count = self.take("I")
        width = (end - self.at) // count if count else 0
        if count and (width not in (4, 8) or width * count != end - self.at):
            raise BadHeader(f"the length of {name!r} does not fit its {count} values")
        values = np.frombuffer(self.data, f">i{width}", count, self.at).tolist() if count else []
        self.at = end
        return [int(value) for value in values]


def parse(data: bytes, name: str) -> Manager:
    """The tiled storage manager whose header file ``name`` (``table.f0``) has these bytes.

    Raises:
        BadHeader: not the header of a TiledColumnStMan or TiledShapeStMan; the text says what is wrong.

    """
    stream = _AipsIO(data)
    kind, _, _ = stream.begin()
    if kind not in TILED:
        raise BadHeader(f"it belongs to a {kind[:40]!r}")
    if kind == "TiledColumnStMan":
        stream.numbers("IPosition")
    cubes, rows = _cubes(stream, name)
    if kind == "TiledColumnStMan":
        last, cube, position = ([rows - 1], [0], [rows - 1]) if rows else ([], [], [])
    else:
        stream.numbers("IPosition")
        used = stream.take("I")
        last, cube, position = (stream.numbers("Block")[:used] for _ in range(3))
        last = [value & 0xFFFFFFFF if value < 0 else value for value in last]
    _check(cubes, last, cube, position, rows)
    return Manager(cubes, last, cube, position)


def owners(table: bytes, names: Iterable[str]) -> dict[str, int]:
    """By column, the number N of the storage manager (``table.fN``) that has it, from the bytes of ``table.dat``.

    Each column's entry is a version, its name, another version and that number. A column that was renamed is not found.
    """
    found = {}
    for name in names:
        text = name.encode()
        entry = b"\0\0\0\2" + len(text).to_bytes(4, "big") + text + b"\0\0\0\1"
        at = table.rfind(entry)
        if at >= 0 and len(table) >= at + len(entry) + 4:
            found[name] = int.from_bytes(table[at + len(entry) : at + len(entry) + 4], "big")
    return found


def _cubes(stream: _AipsIO, name: str) -> tuple[list[Cube], int]:
    _, version, _ = stream.begin("TiledStMan")
    wide = version >= 3
    if version >= 2:
        stream.take("B")  # whether the data are big endian: bytes are moved, never read, so it does not matter here
    stream.take("I")
    rows = stream.take("Q" if wide else "I")
    columns = stream.take("I")
    if not 0 < columns <= 1000:
        raise BadHeader(f"it claims {columns} columns")
    kinds = [stream.take("i") for _ in range(columns)]
    if unknown := [kind for kind in kinds if kind not in PIXEL_BITS]:
        raise BadHeader(f"data type {unknown[0]} cannot be tiled")
    stream.text()
    stream.take("Q" if wide else "I")
    stream.take("I")
    for _ in range(_count(stream, wide)):
        if stream.take("B"):
            form = stream.take("I")
            stream.take("I")
            stream.take("I" if form == 1 else "Q")
    cubes = [_cube(stream, name, kinds) for _ in range(_count(stream, wide))]
    return cubes, rows


def _count(stream: _AipsIO, wide: bool) -> int:
    count = int(stream.take("Q" if wide else "I"))
    if count > len(stream.data):
        raise BadHeader(f"it claims {count} entries, more than it has bytes")
    return count


def _cube(stream: _AipsIO, name: str, kinds: list[int]) -> Cube:
    version = stream.take("I")
    stream.skip("Record")
    stream.take("B")
    axes = stream.take("I")
    shape, tile = stream.numbers("IPosition"), stream.numbers("IPosition")
    file = stream.take("i")
    offset = stream.take("I" if version == 1 else "Q")
    if file < 0:  # the first cube of a TiledShapeStMan stands for cells without a value
        return Cube("", 0, 0, 1, 0, 0)
    if not len(shape) == len(tile) == axes <= MAX_AXES or not axes or min(tile) < 1 or min(shape) < 0:
        raise BadHeader(f"its hypercube has shape {shape} and tiles of {tile}")
    pixels = math.prod(tile)
    bucket = sum((pixels * PIXEL_BITS[kind] + 7) // 8 for kind in kinds)
    tiles = math.prod(-(-length // size) for length, size in zip(shape[:-1], tile[:-1], strict=True))
    bits = math.prod(tile[:-1]) * PIXEL_BITS[kinds[0]]
    contiguous = tiles == 1 and len(kinds) == 1 and bits % 8 == 0
    return Cube(f"{name}_TSM{file}", offset, shape[-1], tile[-1], bucket * tiles, bits // 8 if contiguous else 0)


def _check(cubes: list[Cube], last: list[int], cube: list[int], position: list[int], rows: int) -> None:
    """The row map must be one: rising, as long in each part, and within its cubes."""
    if not len(last) == len(cube) == len(position):
        raise BadHeader("the parts of its row map differ in length")
    before = -1
    for end, number, place in zip(last, cube, position, strict=True):
        if not before < end < rows or not 0 <= number < len(cubes):
            raise BadHeader(f"its row map does not fit {rows} rows and {len(cubes)} hypercubes")
        if cubes[number].rows and not end - before - 1 <= place < cubes[number].rows:
            raise BadHeader("its row map leaves a hypercube")
        before = end
