"""Plain text: slices are whole lines, together the file, in every encoding and for any number."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Changed
from functions.formats import by_name, records, sniff
from functions.formats.format import Broken

FORMAT: Any = by_name("text")
SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
BOMS = {"utf-8": [b"", b"\xef\xbb\xbf"], "utf-16-le": [b"\xff\xfe"], "utf-16-be": [b"\xfe\xff"], "latin-1": [b""]}


@SETTINGS
@given(
    st.text(alphabet="ab\né ÿĊ\u0a0a日\U0001f600", max_size=200),
    st.sampled_from(sorted(BOMS)),
    st.integers(0, 1),
    st.integers(1, 30),
    st.integers(1, 9),
    st.sampled_from([8, 64]),
)
def test_slices_together_are_the_text(
    lake: Any, text: str, encoding: str, mark: int, chunk: int, count: int, block: int
) -> None:
    body = text.encode(encoding, "replace")
    text = body.decode(encoding)
    bom = BOMS[encoding][mark % len(BOMS[encoding])]
    source = lake.put("t.txt", bom + body)
    before, records.BLOCK = records.BLOCK, block
    try:
        scan = lake.scan("text", source, chunk)
    finally:
        records.BLOCK = before
    if not source.size:
        return
    index = FORMAT.index(source, scan)
    assert index.units == len(text.split("\n")) - (text == "" or text.endswith("\n"))
    if encoding in ("utf-8", "latin-1") and not bom:
        assert scan["encoding"] == ("latin-1" if _latin(body) else "utf-8")
        text = body.decode(scan["encoding"])
    parts = FORMAT.slices(index, count, bucket="lake", key="t.txt")
    assert sum(part.units for part in parts) == index.units
    found = []
    for part in parts:
        with part.open(lake) as file:
            found.append(file.read())
        assert part.data["first_line"] == sum(text.count("\n") for text in found[:-1])
    assert "".join(found) == text


def _latin(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def test_a_large_text_is_cut_evenly_and_read_once(lake: Any) -> None:
    source = lake.put("l.log", "".join(f"line {number}\n" for number in range(200_000)).encode())
    scan = lake.scan("text", source, 12_345)
    assert len(str(scan)) < 40_000
    parts = lake.cut("text", source, 20)
    assert max(part.bytes for part in parts) - min(part.bytes for part in parts) < 0.02 * source.size / 20
    lake.read_bytes = 0
    found = []
    for part in parts:
        with part.open(lake) as file:
            found += file.readlines()
    assert lake.read_bytes == source.size
    assert found == [f"line {number}\n" for number in range(200_000)]


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"one\ntwo\n", "x", "text"),
        (b"one", "x.txt", "text"),
        (b"one", "x", "opaque"),
        (b"", "x.log", "text"),
        ("größe\nx\n".encode("latin-1"), "x.txt", "text"),
        ("größe\nx\n".encode("latin-1"), "x", "opaque"),
        ("a\nb\n".encode("utf-16"), "x", "text"),
        (b"a\n\x00b\n", "x.txt", "opaque"),
        (b"\xff\xfe\x00\x00\x01\x00\n\x00", "x", "opaque"),
        (b"<html>\n<body>\n", "x.html", "text"),
        (b"@prefix : <http://example.com> .\n:a :b :c .\n", "x.ttl", "text"),
        (b"> quoted mail, with words\n> more of it 123\n", "x.txt", "text"),
    ],
)
def test_sniff(head: bytes, name: str, expected: str) -> None:
    assert sniff(head, name).name == expected


def test_what_it_has_not_is_refused(lake: Any) -> None:
    with pytest.raises(Broken, match=r"e\.txt is empty"):
        lake.describe("text", lake.put("e.txt", b""))
    source = lake.put("c.txt", b"a\nb\n")
    assert lake.describe("text", source) == {"encoding": "utf-8", "lines": 2}
    (part,) = lake.cut("text", source, 1)
    with pytest.raises(Reject, match="has no columns"), part.open(lake, columns=["a"]):
        pass
    lake.put("c.txt", b"a\nc\n")
    with pytest.raises(Changed), part.open(lake) as file:
        file.read()


def test_what_is_no_text_is_broken_not_a_puzzle(lake: Any) -> None:
    source = lake.put("t.txt", "a\nb\n".encode("utf-16") + b"x")
    with pytest.raises(Broken, match="ends inside of a character"):
        lake.describe("text", source)
    (part,) = lake.cut("text", source, 1)
    with part.open(lake) as file, pytest.raises(Broken, match="cannot be read: 'utf-16-le' codec can't decode"):
        file.read()
