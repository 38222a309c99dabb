"""GeoJSON sequences: by separators (RFC 8142) or by lines, slices are whole features."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.formats import by_name, records, sniff
from functions.formats.format import Broken

FORMAT: Any = by_name("geojsonseq")
SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def feature(number: int, text: str = "") -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": [number / 7, number]}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": text}}


@SETTINGS
@given(st.lists(st.text(max_size=6), min_size=1, max_size=20), st.booleans(), st.integers(1, 50), st.integers(1, 7))
def test_slices_together_are_the_features(lake: Any, names: list[str], separated: bool, chunk: int, count: int) -> None:
    features = [feature(number, name) for number, name in enumerate(names)]
    if separated:  # features may be indented: only the separator counts
        data = "".join(f"\x1e{json.dumps(one, indent=number % 3 or None)}\n" for number, one in enumerate(features))
    else:
        data = "\n".join(map(json.dumps, features))
    source = lake.put("f.geojsons", data.encode())
    assert sniff(data.encode(), "x").name == "geojsonseq"
    before, records.BLOCK = records.BLOCK, 32
    try:
        scan = lake.scan("geojsonseq", source, chunk)
    finally:
        records.BLOCK = before
    index = FORMAT.index(source, scan)
    assert index.units == len(names)
    found: list[Any] = []
    for part in FORMAT.slices(index, count, bucket="lake", key="f.geojsons"):
        with part.open(lake) as some:
            assert len(some) == part.units
            assert part.data["first_feature"] == len(found)
            found += some
    assert found == features


def test_describe_and_broken(lake: Any) -> None:
    data = "".join(f"\x1e{json.dumps(feature(number))}\n" for number in range(9)).encode()
    source = lake.put("d.geojsons", data)
    assert lake.describe("geojsonseq", source) == {"features": 9, "geometries": ["Point"], "properties": ["name"]}
    with pytest.raises(Broken, match="feature 8 of these cannot be read"):
        lake.describe("geojsonseq", lake.put("b.geojsons", data[:-9]))
    with pytest.raises(Broken, match="no feature"):
        lake.describe("geojsonseq", lake.put("b.geojsons", b""))


def test_a_byte_order_mark_hides_nothing(lake: Any) -> None:
    feature = b'{"type": "Feature", "geometry": null, "properties": {}}\n'
    for text in (b"\x1e" + feature, feature):
        source = lake.put("b", b"\xef\xbb\xbf" + text * 6)
        assert sniff(source.read(0, 1 << 16), "b").name == "geojsonseq"
        assert lake.describe("geojsonseq", source)["features"] == 6
        found = []
        for part in lake.cut("geojsonseq", source, 3):
            with part.open(lake) as features:
                found += features
        assert len(found) == 6
