"""Damaged objects of every format: whatever byte is missing or wrong, the only error is ``Broken``, and soon."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import h5py
import laspy
import numpy as np
import pytest
import zarr

from events.ports import Changed
from functions.formats import FORMATS, by_name, sniff
from functions.formats.format import Broken
from infra.demo import inputs
from infra.demo.measurement_set import Observation

#: Formats that do not say where they end.
ENDLESS = ("csv", "text", "jsonlines", "geojsonseq", "fasta", "fastq")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("samples")
    table, columns = inputs.digits(folder)
    picture = inputs.image(folder, 64)
    features = ({"type": "Feature", "geometry": None, "properties": {"n": number}} for number in range(200))
    lines = "".join(f"line {number} of the text\n" for number in range(500)).encode()
    return {
        **_libraries(folder),
        "text": lines,
        "jsonlines": "".join(json.dumps({"n": number, "t": "x" * (number % 9)}) + "\n" for number in range(300)).encode(),
        "geojsonseq": "".join(f"\x1e{json.dumps(one)}\n" for one in features).encode(),
        "fasta": b"".join(b">s%d\nACGTACGT\nACG\n" % number for number in range(200)),
        "fastq": b"".join(b"@r%d\nACGT\n+\nIII@\n" % number for number in range(200)),
        "gzip": gzip.compress(lines),
        "csv": table.read_bytes()[: table.read_bytes().index(b"\n", 9000) + 1],
        "parquet": columns.read_bytes(),
        "fits": picture.read_bytes(),
        "onnx": inputs.models(folder)[1].read_bytes(),
        "measurementset": inputs.observation(folder, Observation(stations=3, times=4, channels=4, layout="casa")).read_bytes(),
    }


def _libraries(folder: Path) -> dict[str, bytes]:
    """A small file of each format whose library writes it."""
    array, files = np.random.default_rng(1).random((60, 40)), {name: io.BytesIO() for name in ("fixed", "hdf5", "las")}
    np.save(files["fixed"], array)
    with h5py.File(files["hdf5"], "w") as file:
        file.create_dataset("a", data=array, chunks=(7, 40), compression="gzip")
    cloud = laspy.create(point_format=3, file_version="1.2")
    cloud.x, cloud.y, cloud.z = array[:3]
    cloud.write(files["las"], do_compress=True, laz_backend=laspy.LazBackend.Lazrs)
    store = zarr.storage.ZipStore(folder / "a.zarr.zip", mode="w")
    zarr.create_array(store, shape=array.shape, chunks=(7, 40), dtype="f8")[:] = array
    store.close()
    return {name: file.getvalue() for name, file in files.items()} | {"zarr": (folder / "a.zarr.zip").read_bytes()}


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
                if name not in ("measurementset", "hdf5"):  # they are opened by C++, in a worker's own process
                    with part.open(lake) as opened:
                        if hasattr(opened, "read"):
                            opened.read()
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
    assert found <= {"broken"} or name in ENDLESS


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
