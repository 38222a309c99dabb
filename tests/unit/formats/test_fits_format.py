"""FITS: truncation is found to the byte, and row slices are what astropy reads of the whole file."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name
from functions.formats.format import Broken, decode_index
from infra.demo.inputs import image

FORMAT = by_name("fits")


def written(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([*hdus]).writeto(buffer)
    return buffer.getvalue()


def scaled() -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU(np.linspace(-5, 9, 3 * 7 * 5).reshape(7, 3, 5).astype("f4"))
    hdu.scale("int16", "minmax")
    return hdu


ARRAYS = [
    fits.PrimaryHDU(np.arange(70, dtype="f8").reshape(10, 7)),
    fits.PrimaryHDU(np.arange(70, dtype="u2").reshape(10, 7)),
    fits.PrimaryHDU(np.arange(70, dtype="u1").reshape(10, 7)),
    fits.PrimaryHDU(np.arange(30, dtype="i4")),
    scaled(),
]


@pytest.mark.parametrize("hdu", ARRAYS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_image_slices_together_are_the_image(lake: Any, hdu: Any, count: int) -> None:
    source = lake.put("i.fits", written(hdu, fits.ImageHDU(np.zeros((2, 2), dtype="u1"))))
    with fits.open(io.BytesIO(lake.objects["lake", "i.fits"])) as whole:
        expected = whole[0].data
    parts = lake.cut("fits", source, count)
    assert len(parts) == min(count, len(expected))
    found = []
    for part in parts:
        lake.read_bytes = 0
        with part.open(lake) as opened:
            found.append(opened.data)
        assert lake.read_bytes == part.bytes
        assert len(found[-1]) == part.units
    joined = np.concatenate(found)
    assert {array.dtype for array in found} == {expected.dtype}
    np.testing.assert_array_equal(joined, expected)


def test_table_slices_together_are_the_table(lake: Any) -> None:
    table = Table({"n": np.arange(50), "x": np.linspace(0, 1, 50), "name": [f"s{number}" for number in range(50)]})
    table["x"].unit = "Jy"
    source = lake.put("t.fits", written(fits.PrimaryHDU(), fits.BinTableHDU(table)))
    parts = lake.cut("fits", source, 7)
    found = []
    for part in parts:
        with part.open(lake) as rows:
            found.append(rows)
    joined = vstack(found)
    assert len(parts) == 7
    assert str(joined["x"].unit) == "Jy"
    for name in table.colnames:
        np.testing.assert_array_equal(joined[name], table[name])


def test_describe(lake: Any, tmp_path: Path) -> None:
    found = lake.describe("fits", lake.put("c.fits", image(tmp_path, 64)))
    (hdu,) = found["hdus"]
    assert (hdu["kind"], hdu["shape"], hdu["bitpix"]) == ("image", [64, 64], 16)
    assert hdu["cards"]["OBJECT"] == "CRAB"
    assert hdu["wcs"]["axes"] == ["RA---TAN", "DEC--TAN"]
    assert hdu["wcs"]["centre"] == pytest.approx([83.633, 22.014], abs=0.001)


def test_a_header_alone_has_nothing_to_slice(lake: Any) -> None:
    source = lake.put("h.fits", written(fits.PrimaryHDU()))
    assert lake.describe("fits", source)["hdus"][0]["shape"] == []
    assert lake.index("fits", source) is None


def test_truncation_names_the_hdu_and_the_bytes(lake: Any) -> None:
    data = written(fits.PrimaryHDU(np.zeros((10, 10), dtype="f4")), fits.ImageHDU(np.zeros((20, 20), dtype="f4")))
    end = data.rindex(b"XTENSION") + 2880 + 1600
    assert lake.describe("fits", lake.put("t.fits", data[:end]))  # only padding is missing
    with pytest.raises(Broken, match="HDU 1 has 1600 bytes of data from byte 8640, but 37 of them are missing"):
        lake.describe("fits", lake.put("t.fits", data[: end - 37]))
    with pytest.raises(Broken, match="header of HDU 1 has no END"):
        lake.describe("fits", lake.put("t.fits", data[: 5760 + 100]))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("fits", lake.put("t.fits", b""))


def test_a_header_that_lies_is_broken(lake: Any) -> None:
    data = written(fits.PrimaryHDU(np.zeros((10, 10), dtype="f4")))
    for old, new in ((b"NAXIS1  =                   10", b"NAXIS1  =  9999999999999999999"), (b"NAXIS   =", b"NAXIZ   =")):
        with pytest.raises(Broken, match=r"lake/l\.fits"):
            lake.describe("fits", lake.put("l.fits", data.replace(old, new)))


def test_a_changed_object_is_refused_and_the_index_survives(lake: Any) -> None:
    source = lake.put("i.fits", written(ARRAYS[0]))
    index = lake.index("fits", source)
    assert decode_index(index.encode()) == index
    (part,) = lake.cut("fits", source, 1)
    lake.put("i.fits", written(ARRAYS[1]))
    with pytest.raises(Changed), part.open(lake):
        pass


def test_no_warning_escapes(lake: Any) -> None:
    data = written(fits.PrimaryHDU(np.zeros((4, 4)))).replace(
        b"EXTEND  =                    T", b"BUNIT   = 'unclosed           "
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            FORMAT.describe(lake.put("w.fits", data), {})
        except Broken as error:
            assert "lake/w.fits" in str(error)  # noqa: PT017 - either is right, a warning is not


def test_columns_and_conditions_of_tables_only(lake: Any) -> None:
    table = Table({"n": np.arange(100), "x": np.arange(100) / 4, "s": [f"s{number % 3}" for number in range(100)]})
    file = io.BytesIO()
    table.write(file, format="fits")
    found: list[float] = []
    for part in lake.cut("fits", lake.put("t.fits", file.getvalue()), 3):
        with part.open(lake, columns=["x"], where=[("s", "==", "s1"), ("n", ">", 90)]) as rows:
            assert rows.colnames == ["x"]
            found += list(rows["x"])
    assert found == [22.75, 23.5, 24.25]
    with pytest.raises(Reject, match="has no column 'y'"), part.open(lake, columns=["y"]):
        pass
    image = io.BytesIO()
    fits.PrimaryHDU(np.ones((5, 5))).writeto(image)
    (part,) = lake.cut("fits", lake.put("i.fits", image.getvalue()), 1)
    with pytest.raises(Reject, match="has no columns to choose"), part.open(lake, where=[("x", "==", 1)]):
        pass


@pytest.mark.parametrize("extension", [False, True])
def test_an_image_slice_is_an_hdu_that_knows_where_it_is(lake: Any, extension: bool) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [80, 20], [5, 40], [-0.1, 0.1]
    header = wcs.to_header()
    header["OBJECT"], header["CRPIX2B"], header["CRVAL2B"] = "CRAB", 7.0, 3.0
    pixels = np.arange(60 * 9, dtype="f4").reshape(60, 9)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, header, name="SCI")] if extension else [fits.PrimaryHDU(pixels, header)]
    source = lake.put("w.fits", written(*hdus))
    for part in lake.cut("fits", source, 7):
        first = part.data["first_row"]
        with part.open(lake) as hdu:
            assert isinstance(hdu, fits.ImageHDU if extension else fits.PrimaryHDU)
            assert (hdu.header["OBJECT"], hdu.header["NAXIS2"], hdu.header["CRPIX2B"]) == ("CRAB", part.units, 7.0 - first)
            seen, expected = WCS(hdu.header).pixel_to_world_values(3, 2), wcs.pixel_to_world_values(3, 2 + first)
            np.testing.assert_allclose(seen, expected)
            out = io.BytesIO()
            hdu.writeto(out)
        np.testing.assert_array_equal(fits.getdata(io.BytesIO(out.getvalue())), pixels[first : first + part.units])


def test_tables_of_text_are_cut_too(lake: Any) -> None:
    columns = [fits.Column("a", "I6", array=np.arange(9)), fits.Column("b", "A5", array=[f"x{n}" for n in range(9)])]
    source = lake.put("a.fits", written(fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)))
    found = []
    for part in lake.cut("fits", source, 4):
        with part.open(lake) as rows:
            found += list(zip(rows["a"], rows["b"], strict=True))
    assert found == [(number, f"x{number}") for number in range(9)]


VARIABLE = fits.BinTableHDU.from_columns(
    [fits.Column("v", "PJ()", array=np.array([np.arange(n) for n in range(9)], dtype=object))]
)
NO_ROWS = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.zeros(0, "i4"))])


@pytest.mark.parametrize(
    ("hdu", "reason"),
    [
        (VARIABLE, "HDU 1 is a table with arrays of any length"),
        (NO_ROWS, "HDU 1 is a table without rows"),
        (fits.CompImageHDU(np.zeros((40, 40), "i2")), "HDU 1 is a compressed image"),
        (fits.ImageHDU(), "it has no image and no table"),
    ],
)
def test_what_cannot_be_cut_tells_why(lake: Any, hdu: Any, reason: str) -> None:
    source = lake.put("n.fits", written(fits.PrimaryHDU(), hdu))
    assert lake.describe("fits", source)["unsliceable"].startswith(reason)
    assert lake.index("fits", source) is None
