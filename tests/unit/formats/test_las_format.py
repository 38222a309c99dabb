"""LAS, LAZ and COPC: slices together are the points that laspy reads, each exactly once."""

import importlib.util
import io
import struct
from typing import Any

import laspy
import lazrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, sniff
from functions.formats.format import Broken, decode_index

FORMAT: Any = by_name("las")
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def cloud(number: int, point_format: int = 6) -> laspy.LasData:
    rng = np.random.default_rng(number)
    made = laspy.create(point_format=point_format, file_version="1.4" if point_format > 5 else "1.2")
    made.header.scales, made.header.offsets = [0.001] * 3, [1000.0, 0.0, -5.0]
    made.add_extra_dim(laspy.ExtraBytesParams("amplitude", "f4"))
    made.x, made.y, made.z = rng.random((3, number)) * 100
    made.intensity, made.amplitude = np.arange(number) % 65536, np.arange(number) / 3
    made.return_number = np.arange(number) % 5 + 1
    return made


def written(made: laspy.LasData, *, compress: bool) -> bytes:
    file = io.BytesIO()
    made.write(file, do_compress=compress, laz_backend=laspy.LazBackend.Lazrs if compress else None)
    return file.getvalue()


def copc(number: int) -> tuple[bytes, np.ndarray]:
    """A COPC file of a root and its eight children, in two hierarchy pages; and all points' raw records in file order."""
    made = cloud(number, 6)
    points = made.points.array
    coordinates = np.stack([np.asarray(made.x), np.asarray(made.y), np.asarray(made.z)]).T
    low, half = coordinates.min(0) - 1e-3, (np.ptp(coordinates, axis=0).max() + 2e-3) / 2
    octant = ((coordinates - low) >= half).astype(int)
    level = np.arange(number) % 4 > 0  # a quarter stays in the root
    vlr = lazrs.LazVlr.new_for_compression(6, 4, True)
    groups = [((0, 0, 0, 0), points[~level])]
    for place in np.ndindex(2, 2, 2):
        chosen = level & (octant == place).all(1)
        if chosen.any():
            groups.append(((1, *place), points[chosen]))
    header = made.header
    header.vlrs.append(laspy.VLR("copc", 1, "", bytes(160)))
    header.vlrs.append(laspy.VLR("laszip encoded", 22204, "", vlr.record_data()))
    file = io.BytesIO()
    header.are_points_compressed = True
    header.point_count = number
    header.write_to(file, ensure_same_size=False)
    data = bytearray(file.getvalue())
    start = len(data)
    body = io.BytesIO(data)
    body.seek(start)
    packer = lazrs.LasZipCompressor(body, vlr)
    packer.compress_chunks([np.frombuffer(group.tobytes(), "u1") for _, group in groups])
    packer.done()
    body.seek(start)
    table = [entry for entry in lazrs.read_chunk_table(body, vlr) if entry[0]]
    entries, at = [], start + 8
    for (place, group), (_, size) in zip(groups, table, strict=True):
        entries.append(struct.pack("<iiiiQii", *place, at, size, len(group)))
        at += size
    data = bytearray(body.getvalue())
    child = len(data)
    data += b"".join(entries[1:])
    root = len(data)
    data += entries[0] + struct.pack("<iiiiQii", 1, 0, 0, 0, child, 32 * len(entries[1:]), -1)
    info = struct.pack("<5d2Q2d", *(low + half), half, 5.0, root, 64, 0.0, 1.0)
    record = data.index(b"copc\0") - 2 + 54
    data[record : record + len(info)] = info
    struct.pack_into("<I", data, 96, start)
    data[104] |= 128
    return bytes(data), np.concatenate([group for _, group in groups])


def opened(lake: Any, parts: Any, **options: Any) -> Any:
    found = []
    for part in parts:
        with part.open(lake, **options) as points:
            found.append(points if options.get("columns") else points.array)
    return np.concatenate(found)


@SETTINGS
@given(st.integers(1, 3000), st.sampled_from([0, 1, 3, 6, 7]), st.integers(1, 9))
def test_slices_of_las_are_the_points(lake: Any, number: int, point_format: int, count: int) -> None:
    made = cloud(number, point_format)
    source = lake.put("a.las", written(made, compress=False))
    parts = lake.cut("las", source, count)
    assert len(parts) == min(count, number)
    assert opened(lake, parts).tobytes() == made.points.array.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 9])
@pytest.mark.parametrize("point_format", [1, 3, 6])
def test_slices_of_laz_are_whole_chunks(lake: Any, count: int, point_format: int) -> None:
    made = cloud(170_001, point_format)
    source = lake.put("a.laz", written(made, compress=True))
    lake.read_bytes = 0
    parts = lake.cut("las", source, count)
    assert lake.read_bytes < source.size / 4
    assert len(parts) == min(count, 4)
    assert sum(part.data["points"] for part in parts) == 170_001
    lake.read_bytes = 0
    assert opened(lake, parts).tobytes() == made.points.array.tobytes()
    with parts[-1].open(lake) as points:
        assert np.allclose(points.x[-1], made.x[-1])


@pytest.mark.parametrize("count", [1, 2, 4, 50])
def test_slices_of_copc_are_octree_nodes(lake: Any, count: int) -> None:
    data, points = copc(5000)
    assert laspy.read(io.BytesIO(data)).points.array.tobytes() == points.tobytes()
    source = lake.put("a.copc.laz", data)
    found = lake.describe("las", source)
    assert (found["kind"], found["points"], found["spacing"]) == ("copc", 5000, 5.0)
    parts = lake.cut("las", source, count)
    assert len(parts) == min(count, 9)
    assert opened(lake, parts).tobytes() == points.tobytes()


def test_conditions_on_places_leave_octree_nodes_unread(lake: Any) -> None:
    data, _ = copc(60_000)
    (part,) = lake.cut("las", lake.put("a.copc.laz", data), 1)
    whole = laspy.read(io.BytesIO(data))
    lake.read_bytes = 0
    found = opened(lake, [part], columns=["x", "intensity"], where=[("x", "<", 20.0), ("y", ">=", 60.0), ("z", "<=", 30)])
    x, y, z = (np.asarray(values) for values in (whole.x, whole.y, whole.z))
    chosen = (x < 20) & (y >= 60) & (z <= 30)
    assert chosen.sum() > 100
    assert (found["x"] == x[chosen]).all()
    assert (found["intensity"] == whole.intensity[chosen]).all()
    assert lake.read_bytes < 0.6 * len(data)
    with pytest.raises(Reject, match="has no column 'colour'"), part.open(lake, columns=["colour"]):
        pass
    lake.read_bytes = 0
    for condition in (("x", "<", "a"), ("intensity", "in", ["a"])):
        told = f"column '{condition[0]}' of type .*, so the condition {condition[0]}"
        with pytest.raises(Reject, match=told), part.open(lake, where=[condition]):
            pass
    assert lake.read_bytes < 0.1 * len(data)


def test_describe_encode_and_sniff(lake: Any) -> None:
    source = lake.put("d.laz", written(cloud(1000), compress=True))
    found = lake.describe("las", source)
    assert (found["kind"], found["points"], found["version"]) == ("laz", 1000, "1.4")
    assert "amplitude" in found["dimensions"]
    assert len(found["bounds"]) == 6
    index = lake.index("las", source)
    assert decode_index(index.encode()) == index
    assert sniff(lake.objects["lake", "d.laz"], "x").name == sniff(b"", "x.las").name == "las"
    assert lake.index("las", lake.put("e.las", written(cloud(0), compress=False))) is None


def test_damage_is_found_or_harmless(lake: Any) -> None:
    plain, packed = (written(cloud(60_000), compress=compress) for compress in (False, True))
    with pytest.raises(Broken, match="cut off: 60000 points"):
        lake.index("las", lake.put("b.las", plain[:-1]))
    with pytest.raises(Broken, match="chunk table"):
        lake.index("las", lake.put("b.laz", packed[:-100]))
    with pytest.raises(Broken, match="no LAS header"):
        lake.describe("las", lake.put("b.las", plain[:100]))
    with pytest.raises(Broken, match="which cannot be"):
        lake.describe("las", lake.put("b.las", plain[:96] + b"\xff" * 8 + plain[104:]))
    rng = np.random.default_rng(8)
    for turn in range(60):
        damaged = bytearray(packed)
        start = int.from_bytes(packed[96:100], "little") + 8
        for place in rng.integers(start, len(packed), 5 + turn % 20):
            damaged[place] ^= 1 << int(rng.integers(8))
        try:
            found = opened(lake, lake.cut("las", lake.put("f.laz", bytes(damaged)), 3))
            assert len(found) == 60_000
        except Broken as error:
            assert "lake/f.laz" in str(error)  # noqa: PT017


def test_changed_and_missing(lake: Any, monkeypatch: Any) -> None:
    source = lake.put("c.las", written(cloud(10), compress=False))
    (part,) = lake.cut("las", source, 1)
    lake.put("c.las", written(cloud(11), compress=False))
    with pytest.raises(Changed), part.open(lake):
        pass
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "sluice[formats]" in lake.describe("las", source)["unsliceable"]
    assert lake.index("las", source) is None
    with pytest.raises(Reject, match="not installed"), part.open(lake):
        pass


@pytest.mark.parametrize("compress", [False, True])
def test_without_points_there_is_a_reason(lake: Any, compress: bool) -> None:
    source = lake.put("z.las", written(cloud(0), compress=compress))
    assert lake.describe("las", source)["unsliceable"] == "it has no points"
    assert lake.index("las", source) is None
