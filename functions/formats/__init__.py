"""The data formats: one file each. A new one is a file here and an entry in ``FORMATS``, in the order they are asked."""

from __future__ import annotations

from collections.abc import Mapping

from functions.formats.csv import CSV
from functions.formats.fasta import FASTA
from functions.formats.fastq import FASTQ
from functions.formats.fits import FITS
from functions.formats.fixed import RECORD, Fixed
from functions.formats.format import Format
from functions.formats.geojson_sequence import GeoJSONSequence
from functions.formats.gzip import Gzip
from functions.formats.hdf5 import HDF5
from functions.formats.json_lines import JSONLines
from functions.formats.las import LAS
from functions.formats.measurement_set import MeasurementSet
from functions.formats.onnx import ONNX
from functions.formats.opaque import Opaque
from functions.formats.parquet import Parquet
from functions.formats.text import Text
from functions.formats.zarr import Zarr

#: Strictest first; ``Opaque`` takes what nobody else knows.
FORMATS: tuple[Format, ...] = (
    Parquet(), FITS(), MeasurementSet(), Zarr(), HDF5(), LAS(), Fixed(), Gzip(), ONNX(),
    GeoJSONSequence(), JSONLines(), FASTA(), FASTQ(), CSV(), Text(), Opaque(),
)  # fmt: skip


def sniff(head: bytes, name: str, user: Mapping[str, str] | None = None) -> Format:
    """The format of an object with these first bytes, this key and this user metadata; ``Opaque`` if unknown.

    What says how long its records are is ``Fixed``, whatever it looks like.
    """
    if user and RECORD in user:
        return by_name(Fixed.name)
    return next(found for found in FORMATS if found.sniff(head, name))


def by_name(name: str) -> Format:
    """The format called ``name``. Raises ``LookupError``."""
    for found in FORMATS:
        if found.name == name:
            return found
    raise LookupError(f"no format is called {name!r}; known are {', '.join(known.name for known in FORMATS)}")
