"""The data formats: one file each. A new one is a file here and an entry in ``FORMATS``, in the order they are asked."""

from __future__ import annotations

from functions.formats.csv import CSV
from functions.formats.fits import FITS
from functions.formats.format import Format
from functions.formats.measurement_set import MeasurementSet
from functions.formats.onnx import ONNX
from functions.formats.opaque import Opaque
from functions.formats.parquet import Parquet

#: Strictest first; ``Opaque`` takes what nobody else knows.
FORMATS: tuple[Format, ...] = (Parquet(), FITS(), MeasurementSet(), ONNX(), CSV(), Opaque())


def sniff(head: bytes, name: str) -> Format:
    """The format of an object with these first bytes and this key; ``Opaque`` if unknown."""
    return next(found for found in FORMATS if found.sniff(head, name))


def by_name(name: str) -> Format:
    """The format called ``name``. Raises ``LookupError``."""
    for found in FORMATS:
        if found.name == name:
            return found
    raise LookupError(f"no format is called {name!r}; known are {', '.join(known.name for known in FORMATS)}")
