"""How much of an object its slices read, and how unevenly: what a task is timed by, and what a worker must have room for.

Slices cover less than the object where it holds more than what is cut (one array of an HDF5 file, one HDU of a FITS file), and
a unit may be far larger than the others (a row group). Both are taken from the format's own slices, once, when it is indexed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from functions.formats import by_name
from functions.formats.format import Index, Slice

#: The names under which the catalogue's metadata keep it.
COVERED, LARGEST = "covered_bytes", "largest_unit_bytes"
#: Most slices that are made to find the largest unit; of more units than that, some are seen together.
MOST = 256


@dataclass(frozen=True)
class Coverage:
    """Bytes that all slices together read, and those of the largest unit; into ``units`` an object can be cut."""

    units: int
    bytes: int
    largest: float

    def metadata(self) -> dict[str, Any]:
        """As the catalogue keeps it."""
        return {"units": self.units, COVERED: self.bytes, LARGEST: round(self.largest)}


def volume(part: Slice) -> int:
    """What a slice counts for: its bytes, and at least one a unit: some units were never written."""
    return max(part.bytes, part.units, 1)


def coverage(index: Index) -> Coverage:
    """That of an object with this index."""
    form, units = by_name(index.format), max(index.units, 1)
    whole = sum(map(volume, form.slices(index, 1, bucket="", key="")))
    most = max(map(volume, form.slices(index, min(units, MOST), bucket="", key="")))
    others = -(-units // MOST) - 1  # units that are seen together with the largest, and are taken to be as usual
    return Coverage(units, whole, min(max(most - others * whole / units, whole / units), whole))


def even(units: int, size: int) -> Coverage:
    """That of an object of ``size`` bytes of which nothing else is known: as if all of it were cut, into like units."""
    units = max(units, 1)
    return Coverage(units, max(size, 1), size / units)


def kept(metadata: dict[str, Any], size: int) -> Coverage | None:
    """What the catalogue's metadata of an object of ``size`` bytes tell; ``None`` where they do not even tell the units."""
    units, covered, largest = (_count(metadata.get(name)) for name in ("units", COVERED, LARGEST))
    if units is None:
        return None
    if covered is None or largest is None:  # indexed when it was not kept yet
        return even(units, size)
    return Coverage(max(units, 1), max(covered, 1), largest)


def _count(told: Any) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None
