"""Damaged objects of every format: whatever byte is missing or wrong, the only error is ``Broken``, and soon."""

import json
from typing import Any

import numpy as np
import pytest

from events.ports import Changed
from functions.formats import FORMATS, by_name, sniff
from functions.formats.format import Broken
from infra.demo import inputs
from infra.demo.measurement_set import Observation


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("samples")
    table, columns = inputs.digits(folder)
    picture = inputs.image(folder, 64)
    return {
        "csv": table.read_bytes()[: table.read_bytes().index(b"\n", 9000) + 1],
        "parquet": columns.read_bytes(),
        "fits": picture.read_bytes(),
        "onnx": inputs.models(folder)[1].read_bytes(),
        "measurementset": inputs.observation(folder, Observation(stations=3, times=4, channels=4, layout="casa")).read_bytes(),
    }


def look(lake: Any, name: str, data: bytes) -> str:
    """Describe, index and slice ``data`` as the format ``name``; what came of it."""
    source = lake.put(f"damaged.{name}", data)
    try:
        json.dumps(lake.describe(name, source), allow_nan=False)
        index = lake.index(name, source)
        if index is not None:
            parts = by_name(name).slices(index, 3, bucket="lake", key=source.key, index_at=f"lake/index/{source.key}")
            assert 1 <= len(parts) <= 3
            for part in parts:
                for start, end in part.ranges:
                    assert 0 <= start <= end <= len(data)
    except (Broken, Changed) as error:
        assert "lake/damaged" in str(error)  # noqa: PT017
        return "broken"
    return "whole"


@pytest.mark.parametrize("name", [known.name for known in FORMATS if known.name != "opaque"])
def test_truncated(lake: Any, samples: Any, name: str) -> None:
    data = samples[name]
    assert look(lake, name, data) == "whole"
    assert sniff(data[:65536], "object").name == name
    rng = np.random.default_rng(5)
    last = len(data) - 2880 if name == "fits" else len(data)  # the padding of the last block may be missing
    found = {look(lake, name, data[:end]) for end in rng.integers(0, last, 40)}
    assert found <= {"broken"} or name == "csv"


@pytest.mark.parametrize("name", [known.name for known in FORMATS if known.name != "opaque"])
def test_bits_flipped(lake: Any, samples: Any, name: str) -> None:
    data = samples[name]
    rng = np.random.default_rng(6)
    for round_ in range(120):
        damaged = bytearray(data)
        # headers and footers are where damage matters: half of it goes there
        areas = [(0, min(3000, len(data))), (max(0, len(data) - 3000), len(data)), (0, len(data))]
        low, high = areas[round_ % 3]
        for place in rng.integers(low, high, 1 + round_ % 7):
            damaged[place] ^= 1 << int(rng.integers(8))
        look(lake, name, bytes(damaged))


@pytest.mark.parametrize("name", [known.name for known in FORMATS if known.name != "opaque"])
def test_garbage_with_the_right_beginning(lake: Any, samples: Any, name: str) -> None:
    rng = np.random.default_rng(7)
    for size in (8, 100, 5000, 100_000):
        for kept in (4, 16, 80):
            look(lake, name, samples[name][:kept] + rng.bytes(size))
