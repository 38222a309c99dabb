"""Fixed records: .npy arrays, and binary objects whose uploader says how long their records are."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from events.errors import Reject
from events.event import Event
from events.ports import Changed, Settings
from events.types import ObjectIngested
from functions.formats import by_name, sniff
from functions.formats.format import Broken
from functions.formats.source import Source
from functions.metadata import metadata

FORMAT: Any = by_name("fixed")
KINDS: list[Any] = ["<f8", ">i2", "u1", "<c8", "<U3", "S2", "<M8[s]", [("a", "<i4"), ("b", "<f4", (2,))]]


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype.hasobject)
    return file.getvalue()


def opened(lake: Any, parts: Any, **options: Any) -> Any:
    found = []
    for part in parts:
        with part.open(lake, **options) as array:
            found.append(array)
    return np.concatenate(found)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    arrays.arrays(
        st.sampled_from(KINDS).map(np.dtype),
        arrays.array_shapes(max_dims=3),
    ),
    st.integers(1, 9),
)
def test_slices_together_are_the_array(lake: Any, array: Any, count: int) -> None:
    source = lake.put("a.npy", npy(array))
    parts = lake.cut("fixed", source, count)
    assert len(parts) == min(count, len(array))
    found = b""
    for part in parts:
        with part.open(lake) as some:
            assert (some.dtype, some.shape) == (array.dtype, (part.units, *array.shape[1:]))
            found += some.tobytes()
    assert found == array.tobytes()


def told(lake: Any, data: bytes, **user: str) -> Source:
    source = lake.put("raw.bin", data)
    return Source(
        lake, "lake", "raw.bin", source.size, source.etag, {key.replace("_", "-"): value for key, value in user.items()}
    )


def test_records_by_user_metadata(lake: Any) -> None:
    kind = np.dtype([("t", "<u4"), ("v", "<f4")])
    records = np.zeros(1000, kind)
    records["t"], records["v"] = np.arange(1000), np.arange(1000) / 3
    data = b"HEADER" + records.tobytes()
    assert sniff(data, "raw.bin").name == "opaque"
    assert sniff(data, "raw.bin", {"record-bytes": "8"}).name == "fixed"
    assert sniff(b"PAR1" + data, "x", {"record-bytes": "8"}).name == "fixed"
    source = told(lake, data, record_bytes="8", header_bytes="6")
    raw = opened(lake, FORMAT.slices(FORMAT.index(source, {}), 7, bucket="lake", key="raw.bin"))
    assert raw.dtype == "V8"
    assert raw.tobytes() == records.tobytes()
    source = told(lake, data, record_bytes="8", header_bytes="6", dtype="u4,f4")
    parts = FORMAT.slices(FORMAT.index(source, {}), 3, bucket="lake", key="raw.bin")
    found = opened(lake, parts, columns=["f1"], where=[("f0", ">=", 990), ("f0", "!=", 995)])
    assert found["f1"].tolist() == [value for value in records["v"][990:].tolist() if value != records["v"][995]]
    with pytest.raises(Reject, match="has no column 'x'"), parts[0].open(lake, columns=["x"]):
        pass
    source = told(lake, bytes(24), record_bytes="12", dtype=">f4")
    assert FORMAT.describe(source, {})["shape"] == [2, 3]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ({"record_bytes": "x"}, "record-bytes = 'x'"),
        ({"record_bytes": "0"}, "record-bytes = '0'"),
        ({"record_bytes": "8", "header_bytes": "-1"}, "header-bytes"),
        ({"record_bytes": "7"}, "ends with 3 bytes"),
        ({"record_bytes": "8", "header_bytes": "99"}, "ends with"),
        ({"record_bytes": "8", "dtype": "f3"}, "dtype"),
        ({"record_bytes": "8", "dtype": "O"}, "no whole number"),
        ({"record_bytes": "8", "dtype": "u1,u2"}, "no whole number"),
    ],
)
def test_wrong_user_metadata_is_named(lake: Any, user: dict[str, str], reason: str) -> None:
    with pytest.raises(Broken, match=reason):
        FORMAT.describe(told(lake, bytes(24), **user), {})


def test_arrays_that_cannot_be_cut_or_read(lake: Any) -> None:
    found = lake.describe("fixed", lake.put("f.npy", npy(np.asfortranarray(np.ones((3, 4))))))
    assert found["unsliceable"] == "it is in Fortran order"
    assert lake.index("fixed", lake.put("s.npy", npy(np.array(5.0)))) is None
    data = npy(np.arange(100))
    with pytest.raises(Broken, match="should have 800 bytes"):
        lake.describe("fixed", lake.put("b.npy", data[:-1]))
    with pytest.raises(Broken, match="pickled"):
        lake.describe("fixed", lake.put("b.npy", npy(np.array([{}]))))
    with pytest.raises(Broken, match=r"no \.npy"):
        lake.describe("fixed", lake.put("b.npy", data[:20]))
    (part,) = lake.cut("fixed", lake.put("c.npy", data), 1)
    lake.put("c.npy", npy(np.arange(1, 101)))
    with pytest.raises(Changed), part.open(lake):
        pass


def test_the_metadata_function_hands_on_what_the_uploader_said(lake: Any) -> None:
    source = lake.put("raw.bin", bytes(range(240)))
    told = {"bucket": "lake", "key": "raw.bin", "etag": source.etag, "size": 240, "digest": "x:y", "format": "fixed"}
    event = Event(id="1", source="s", type="dev.sluice.object.ingested.v1", data={**told, "user": {"record-bytes": "24"}})
    (found,) = metadata(event, event.read(ObjectIngested), lake, Settings())
    assert (found.data["metadata"]["units"], found.data["metadata"]["unit"]) == (10, "records")


@pytest.mark.parametrize(
    "content", [b"a,b,1\nc,d,2\n" * 5, b"\x1f\x8b\x08" + bytes(57), b"PAR1" + bytes(56), b"@r\nA\n+\nI\n" * 6]
)
def test_the_uploader_s_word_on_records_wins(lake: Any, content: bytes) -> None:
    user = {"record-bytes": "6"}
    assert sniff(content, "x.csv", user).name == "fixed"
    source = lake.put("x.csv", content)
    source.user = user
    with lake.cut("fixed", source, 1)[0].open(lake) as array:
        assert array.tobytes() == content
