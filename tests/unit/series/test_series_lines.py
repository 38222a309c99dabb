"""Line protocol: what is taken, what is told, and that both ways of reading give the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import Reject
from infra.series import lines
from infra.series.batch import Batch, Bounds, Series, series
from infra.series.lines import parse

BOUNDS = Bounds(0, 2**42)


def points(body: str | bytes, precision: str = "ms", bounds: Bounds = BOUNDS) -> list[tuple[Series, int, float]]:
    found = parse(body.encode() if isinstance(body, str) else body, precision, 7, bounds)
    assert found.errors == []
    return plain(found.batch)


def plain(batch: Batch) -> list[tuple[Series, int, float]]:
    names = [batch.series[which] for which in batch.which.tolist()]
    return list(zip(names, batch.time.tolist(), batch.value.tolist(), strict=True))


def test_a_line_is_a_point_of_each_field():
    found = points("sensor,host=h1,zone=a temperature=20.5,count=3i 1000")
    tags = {"host": "h1", "zone": "a"}
    assert found == [(series("sensor_temperature", tags), 1000, 20.5), (series("sensor_count", tags), 1000, 3.0)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("m x=1", [(series("m_x"), 7, 1.0)]),
        ("m,a=b x=t,y=FALSE 1", [(series("m_x", {"a": "b"}), 1, 1.0), (series("m_y", {"a": "b"}), 1, 0.0)]),
        (r"a\ b,t\,x=1\ 2 f\=g=1.5 1", [(series("a b_f=g", {"t,x": "1 2"}), 1, 1.5)]),
        ("m x=18446744073709551615u,y=-1e-3,z=+.5,w=5. 1", None),
        ("# a comment\n\nm x=1 1\r\n   \nm x=2 2", [(series("m_x"), 1, 1.0), (series("m_x"), 2, 2.0)]),
        ("ü,ö=日本 ß=1 1", [(series("ü_ß", {"ö": "日本"}), 1, 1.0)]),
        ("m,b=2,a=1 x=1 1\nm,a=1,b=2 x=3 1", [(series("m_x", {"a": "1", "b": "2"}), 1, value) for value in (1.0, 3.0)]),
    ],
)  # fmt: skip
def test_forms_of_a_line(body, expected):
    found = points(body)
    assert found == expected if expected else [value for _, _, value in found] == [float(2**64), -0.001, 0.5, 5.0]


@pytest.mark.parametrize(
    ("precision", "text", "ms"),
    [
        ("", "1234567890", 1234), ("ns", "1999999", 1), ("u", "1500", 1), ("ms", "5", 5), ("s", "5", 5000), ("m", "2", 120_000),
        ("h", "1", 3_600_000),
    ],
)  # fmt: skip
def test_times_become_milliseconds(precision, text, ms):
    assert points(f"m x=1 {text}", precision)[0][1] == ms
    assert points(f"m x=1,s=2,a\\ b=3 {text}", precision)[0][1] == ms


@pytest.mark.parametrize(
    "bad",
    [
        "m", "m x", "m x=", "m x=1,", "m x=1 y", "m x=1 1.5", "m x=1 2 3", "m x=abc", "m x=1.5i", "m x=1e999", "m x=nan",
        "m x=inf", "m, x=1", "m,a x=1", "m,a= x=1", "m,=b x=1", ",a=b x=1", "m,a=1,a=2 x=1", "m,__name__=z x=1", 'm x="text',
        'm s="text" 1', "m x=9223372036854775808i", "m x=-1u", "m x=1 99999999999999999999", "m x=1 -1", "m:1h_sum =1",
        "m x=0x10", "m x=1_0", "m,a=\x01 x=1", "m x=--1 1", "m:1h sum=1\x00 1", "m:1h sum=1 1",
        "m,a=" + "v" * 1025 + " x=1", "m," + ",".join(f"t{n}=1" for n in range(30)) + " x=1",
    ],
)  # fmt: skip
def test_a_bad_line_is_told_and_hinders_no_other(bad):
    found = parse(f"good x=1 1\n{bad}\ngood x=2 2\n".encode(), "ms", 7, BOUNDS)
    assert [each.line for each in found.errors] == [2]
    assert found.errors[0].error.startswith("line 2: ")
    assert plain(found.batch) == [(series("good_x"), 1, 1.0), (series("good_x"), 2, 2.0)]


def test_bytes_that_are_no_text_are_one_bad_line():
    found = parse(b"good x=1 1\nbad,a=\xff\xfe x=1 1\ngood x=2 2", "ms", 7, BOUNDS)
    assert [each.line for each in found.errors] == [2]
    assert len(found.batch) == 2


def test_a_field_of_text_is_told_and_its_line_goes_on():
    found = parse(b'm x=1,s="a, b \\" c",y=2 5', "ms", 7, BOUNDS)
    assert "'s' is text" in found.errors[0].error
    assert [value for _, _, value in plain(found.batch)] == [1.0, 2.0]


@pytest.mark.parametrize(("time", "why"), [(99, "older"), (201, "future")])
def test_times_that_are_not_kept_are_told(time, why):
    found = parse(f"m x=1 100\nm x=1 200\nm x=1 {time}".encode(), "ms", 7, Bounds(100, 200))
    assert [each.line for each in found.errors] == [3]
    assert why in found.errors[0].error
    assert len(found.batch) == 2


def test_the_later_line_of_a_time_comes_later_however_it_is_written():
    assert [value for _, _, value in points("m x=1 5\nm,a\\ b=c x=9 5\nm  x=2 5\nm x=3 5")] == [1.0, 9.0, 2.0, 3.0]


def test_an_unknown_precision_is_refused():
    with pytest.raises(Reject, match="precision"):
        parse(b"m x=1", "years", 7, BOUNDS)


PIECE = st.text(st.sampled_from('ab1=, \\"#tfi.-eEu+µ\r'), max_size=6)


@given(st.lists(st.builds("{},{}={} {}={},{}={} {}".format, *[PIECE] * 7, st.integers(-5, 99)) | PIECE, max_size=6))
def test_lines_read_as_columns_are_what_they_are_one_by_one(body):
    data = "\n".join(body).encode()
    found = parse(data, "ms", 7, BOUNDS)
    columns = lines._columns
    try:
        lines._columns = lambda all_, unit: (lines._EMPTY, lines._EMPTY.time, range(len(all_)))  # type: ignore[assignment]
        slowly = parse(data, "ms", 7, BOUNDS)
    finally:
        lines._columns = columns
    assert plain(found.batch) == plain(slowly.batch)
    assert found.errors == slowly.errors
