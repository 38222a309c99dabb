"""FITS images and tables: headers for the catalogue, and slices of rows of the largest image or table.

Source: FITS standard 4.0, sections 3.1 (blocks of 2880 bytes), 4.4.1 (mandatory keywords), 7 (tables), 8 (coordinates).
"""

from __future__ import annotations

import math
import string
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.format import Broken, Index, Part, Slice, cut, short, spans
from functions.formats.source import Source
from functions.formats.where import Where

BLOCK = 2880
MAX_HEADER = 64 << 20  # bytes of one header: more is no header
MAX_HDUS = 10_000
MAX_AXES = 999
#: Cards worth finding in the catalogue; the structural ones are told by shape and bitpix.
CARDS = (
    "OBJECT", "TELESCOP", "INSTRUME", "OBSERVER", "DATE-OBS", "DATE", "MJD-OBS", "TIMESYS", "EXPTIME", "FILTER", "ORIGIN",
    "BUNIT", "EQUINOX", "RADESYS", "SPECSYS", "RESTFRQ", "BMAJ", "BMIN", "BPA", "BSCALE", "BZERO", "BLANK",
)  # fmt: skip
BITPIX = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


class FITS:
    """The Flexible Image Transport System."""

    name = "fits"
    media_type = "application/fits"
    suffixes: tuple[str, ...] = (".fits", ".fit", ".fts")

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(b"SIMPLE  =") or (not head and name.lower().endswith(self.suffixes))

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Every HDU's kind, shape and telling cards, and the celestial coordinates of images; why it cannot be cut."""
        found: dict[str, Any] = {"hdus": [_described(number, *hdu) for number, hdu in enumerate(_hdus(source))]}
        _, reason = _best(source)
        return found | ({"unsliceable": reason} if reason else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """Of the largest image or table that can be cut; ``None`` where there is none (``describe`` tells why)."""
        best, reason = _best(source)
        if reason:
            return None
        return Index(format=self.name, size=source.size, etag=source.etag, units=best.pop("rows"), unit="rows", data=best)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of rows along the slowest axis: one contiguous range each."""
        start, row = int(index.data["start"]), int(index.data["row"])
        shared = {key: value for key, value in index.data.items() if key not in ("start", "row")}
        parts = [
            Part([(start + low * row, start + high * row)], high - low, shared | {"first_row": low})
            for low, high in spans(index.units, count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """An astropy HDU of image rows, whose header says where in the image they are, or an ``astropy.table.Table``."""
        return _opened(part, objects, columns, where)


Hdu = tuple[Any, bytes, int, int]  # header, its bytes, where its data start, bytes of data (without padding)


def _hdus(source: Source) -> list[Hdu]:
    """All headers. Raises ``Broken`` when one cannot be read, or the file is shorter than they say."""
    if "fits" not in source.memo:
        source.memo["fits"] = list(_read(source))
    found: list[Hdu] = source.memo["fits"]
    return found


def _read(source: Source) -> Iterator[Hdu]:
    if not source.size:
        raise Broken(f"{source} is empty: a FITS file has at least one header of {BLOCK} bytes")
    position, number = 0, 0
    with source.open(block=16 * BLOCK) as file:
        while position < source.size:
            if number >= MAX_HDUS:
                raise Broken(f"{source} has more than {MAX_HDUS} HDUs")
            text = _header_text(source, file, position, number)
            if text is None:  # what follows the last HDU is no part of it
                return
            header = _header(source, text, number)
            start = position + len(text)
            size = _data_size(source, header, number)
            if start + size > source.size:
                raise Broken(
                    f"{source} is cut off: HDU {number} has {size} bytes of data from byte {start}, "
                    f"but {start + size - source.size} of them are missing"
                )
            yield header, text, start, size
            position = start + -(-size // BLOCK) * BLOCK
            number += 1


def _header_text(source: Source, file: Any, position: int, number: int) -> bytes | None:
    """The bytes of a header up to and with the block of its END card; ``None`` where no header begins (after the first)."""
    file.seek(position)
    text = bytearray()
    while len(text) < MAX_HEADER:
        block = file.read(BLOCK)
        if number and not text and not block.startswith(b"XTENSION"):
            return None
        if len(block) < BLOCK:
            missing = BLOCK - len(block)
            raise Broken(
                f"{source} is cut off: the header of HDU {number} has no END card; at least {missing} bytes are missing"
            )
        text += block
        if any(block[at : at + 80].rstrip() == b"END" for at in range(0, BLOCK, 80)):
            return bytes(text)
    raise Broken(f"{source} has a header without END in HDU {number}")


def _header(source: Source, text: bytes, number: int) -> Any:
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = fits.Header.fromstring(text)
            for card in header.cards:
                card.value  # noqa: B018 - parsed here, so that a card that cannot be is found here
            return header
    except Exception as error:  # astropy has many ways to refuse a card
        raise Broken(f"{source} has a header that is no FITS in HDU {number}: {short(error)}") from error


def _integer(source: Source, header: Any, keyword: str, number: int, default: int | None = None) -> int:
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Broken(f"{source} has {keyword} = {value!r} in HDU {number}; a whole number is needed")
    return value


def _data_size(source: Source, header: Any, number: int) -> int:
    """Bytes of data after this header, without padding (FITS 4.0, equations 1 and 2)."""
    bitpix, axes = _integer(source, header, "BITPIX", number), _integer(source, header, "NAXIS", number)
    if bitpix not in BITPIX or not 0 <= axes <= MAX_AXES:
        raise Broken(f"{source} has BITPIX = {bitpix} and NAXIS = {axes} in HDU {number}, which cannot be")
    lengths = [_integer(source, header, f"NAXIS{axis}", number) for axis in range(1, axes + 1)]
    groups = header.get("GROUPS") is True and lengths[:1] == [0]
    extra, count = _integer(source, header, "PCOUNT", number, 0), _integer(source, header, "GCOUNT", number, 1)
    if min((*lengths, extra, count)) < 0:
        raise Broken(f"{source} has a negative length in HDU {number}")
    if not axes:
        return 0
    return abs(bitpix) // 8 * count * (extra + math.prod(lengths[1:] if groups else lengths))


def _described(number: int, header: Any, _text: bytes, _start: int, size: int) -> dict[str, Any]:
    extension = str(header.get("XTENSION", "")).strip()
    shape = [int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1)]
    found: dict[str, Any] = {
        "name": str(header.get("EXTNAME", "") or ("PRIMARY" if number == 0 else "")),
        "kind": {"": "image", "IMAGE": "image", "BINTABLE": "table", "TABLE": "table"}.get(extension, extension.lower()),
        "shape": shape,
        "bitpix": int(header["BITPIX"]),
        "bytes": size,
    }
    if found["kind"] == "table":
        fields = int(header.get("TFIELDS", 0)) if isinstance(header.get("TFIELDS", 0), int) else 0
        found["rows"] = shape[0] if shape else 0
        found["columns"] = {
            str(header.get(f"TTYPE{n}", f"col{n}")): str(header.get(f"TFORM{n}", "")) for n in range(1, min(fields, 999) + 1)
        }
    cards = {card: _plain(header[card]) for card in CARDS if card in header}
    if cards := {card: value for card, value in cards.items() if value is not None}:
        found["cards"] = cards
    if found["kind"] == "image" and len(shape) >= 2 and (wcs := _wcs(header, shape)):
        found["wcs"] = wcs
    return found


def _plain(value: Any) -> Any:
    """A card's value as JSON; ``None`` for what is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else None


def _wcs(header: Any, shape: list[int]) -> dict[str, Any]:
    """Where an image looks: its axes, the sky position of its centre and the size of a pixel, in degrees."""
    from astropy import wcs

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            whole = wcs.WCS(header)
            if not whole.has_celestial:
                return {}
            sky = whole.celestial
            centre = sky.wcs_pix2world([[(shape[-1] - 1) / 2, (shape[-2] - 1) / 2]], 0)[0]
            scale = wcs.utils.proj_plane_pixel_scales(sky)
            numbers = [_plain(float(value)) for value in (*centre, *scale)]
    except Exception:  # coordinates that wcslib refuses leave the image what it is
        return {}
    if None in numbers:
        return {}
    return {"axes": [str(kind) for kind in whole.wcs.ctype], "centre": numbers[:2], "pixel_deg": numbers[2:]}


def _best(source: Source) -> tuple[dict[str, Any], str]:
    """How the rows of the largest HDU that can be cut lie; or why the largest of all cannot be."""
    best: dict[str, Any] = {}
    refused, reason = -1, "it has no image and no table"
    for number, (header, text, start, size) in enumerate(_hdus(source)):
        found = _rows(header)
        if isinstance(found, str):
            if found and size > refused:
                refused, reason = size, f"HDU {number} {found}"
        elif not best or found["rows"] * found["row"] > best["rows"] * best["row"]:
            best = found | {"hdu": number, "start": start, "header": text.decode("latin-1")}
    return best, "" if best else reason


def _rows(header: Any) -> dict[str, Any] | str:
    """How an HDU's rows lie, or why it cannot be cut into rows; "" where it has no data."""
    extension = str(header.get("XTENSION", "")).strip()
    shape = [int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1)]
    if not shape:
        return ""
    if header.get("GROUPS"):
        return "has random groups"
    if extension in ("BINTABLE", "TABLE"):
        if "ZIMAGE" in header:
            return "is a compressed image, whose tiles lie in no order"
        if header.get("PCOUNT", 0):
            return "is a table with arrays of any length, which lie in a heap behind its rows"
        if len(shape) != 2 or not all(shape):
            return "is a table without rows"
        return {"kind": "table", "rows": shape[0], "row": shape[1]}
    if extension not in ("", "IMAGE"):
        return f"is a {extension}, which is no image and no table"
    if not all(shape):
        return "is an image without pixels"
    return {"kind": "image", "rows": shape[0], "row": math.prod(shape[1:]) * abs(int(header["BITPIX"])) // 8}


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    ((start, end),) = part.ranges
    picture = part.data["kind"] == "image"
    if picture:
        wanted.none(columns, where, f"{source}, an image,")
    data = source.exactly(start, end)
    try:
        table = _image(data, part) if picture else _table(data, part)
    except Exception as error:  # astropy has many ways to refuse a header
        raise Broken(f"{source}, rows from {part.data['first_row']}: {short(error)}") from error
    if picture:
        yield table
        return
    wanted.check(columns, where, table.colnames, source)
    yield wanted.rows(table, columns, where, source)


def _image(data: bytes, part: Slice) -> Any:
    """The rows as a FITS image of their own, so that astropy itself scales them; its coordinates are those of the whole."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header.fromstring(part.data["header"])
        axis = int(header["NAXIS"])
        header[f"NAXIS{axis}"] = part.units
        for other in ("", *string.ascii_uppercase):  # the other systems of coordinates that it may have
            pixel = f"CRPIX{axis}{other}"
            if pixel in header or any(f"{card}{axis}{other}" in header for card in ("CTYPE", "CRVAL", "CDELT")):
                header[pixel] = header.get(pixel, 0.0) - part.data["first_row"]
        for card in ("CHECKSUM", "DATASUM"):  # of the whole
            header.remove(card, ignore_missing=True)
        extension = "XTENSION" in header
        before = fits.PrimaryHDU().header.tostring().encode("ascii") if extension else b""
        return fits.HDUList.fromstring(before + _file(header, data))[int(extension)]


def _table(data: bytes, part: Slice) -> Any:
    """The rows as a FITS table of their own, read by astropy."""
    from astropy.io import fits
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header.fromstring(part.data["header"])
        header["NAXIS2"] = part.units
        primary = fits.PrimaryHDU().header.tostring().encode("ascii")
        with fits.HDUList.fromstring(primary + _file(header, data)) as hdus:
            return Table.read(hdus[1])


def _file(header: Any, data: bytes) -> bytes:
    text: bytes = header.tostring().encode("latin-1")
    return b"".join((text, data, bytes(-len(data) % BLOCK)))
