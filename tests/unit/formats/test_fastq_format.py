"""FASTQ: slices are whole reads, whatever their qualities look like."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.formats import by_name, records, sniff
from functions.formats.format import Broken

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
FORMAT: Any = by_name("fastq")


@st.composite
def reads(draw: Any) -> list[str]:
    found = []
    for number in range(draw(st.integers(1, 15))):
        size = draw(st.integers(0, 9))
        quality = draw(st.text(alphabet="@+I>", min_size=size, max_size=size))
        found.append(f"@r{number}\n{'ACGTACGTA'[:size]}\n+{draw(st.sampled_from(['', '@']))}\n{quality}\n")
    return found


@SETTINGS
@given(reads(), st.integers(1, 50), st.integers(1, 8), st.sampled_from(["", "\n", "\n\n\n\n\n\n"]), st.booleans())
def test_slices_together_are_the_reads(lake: Any, found: list[str], chunk: int, count: int, tail: str, windows: bool) -> None:
    text = "".join(found) + tail
    text = text.replace("\n", "\r\n") if windows else text
    source = lake.put("t.fastq", text.encode())
    before, records.BLOCK = records.BLOCK, 16
    try:
        scan = lake.scan("fastq", source, chunk)
    finally:
        records.BLOCK = before
    assert FORMAT.describe(source, scan) == {"reads": len(found)}
    parts = FORMAT.slices(FORMAT.index(source, scan), count, bucket="lake", key="t.fastq")
    texts = []
    for part in parts:
        with part.open(lake) as file:
            texts.append(file.buffer.read().decode())
        assert texts[-1].startswith(f"@r{part.data['first_read']}")
        assert len(texts[-1].split()) >= 2 * part.units
    assert sum(part.units for part in parts) == len(found)
    assert "".join(texts) == text


def test_sniff() -> None:
    assert sniff(b"@r\nACGT\n+\nIIII\n", "x").name == "fastq"
    assert sniff(b"@r\nACGT\n+\nIII\n@", "x").name == "text"
    assert sniff((b"@r\n" + b"A" * 70_000)[: 1 << 16], "x").name == "fastq"
    assert sniff(b"@r\nACGT\nAC\n+\nIIII\nII\n", "x").name == "fastq"
    assert sniff(b"@HD\tVN:1.6\n@SQ\tSN:1\tLN:9\n", "x.sam").name == "text"
    assert sniff(b"@author\nsomebody\n", "x").name == "text"
    assert sniff(b"", "x.fq").name == "fastq"


def test_broken_reads_are_named(lake: Any) -> None:
    good = b"@r\nACGT\n+\nIIII\n"
    with pytest.raises(Broken, match="no read of four lines at byte 15"):
        lake.describe("fastq", lake.put("b.fq", good + b"r\nACGT\n+\nIIII\n"))
    with pytest.raises(Broken, match="byte 23"):
        lake.describe("fastq", lake.put("b.fq", good + b"@r\nACGT\n-\nIIII\n"))
    with pytest.raises(Broken, match="6 lines"):
        lake.describe("fastq", lake.put("b.fq", good + b"@r\nAC"))
    with pytest.raises(Broken, match="no read of four lines at byte 15"):
        lake.describe("fastq", lake.put("b.fq", good + b"\n" + good))


def test_reads_that_are_longer_than_what_is_looked_at_first_stay_whole(lake: Any) -> None:
    reads = [f"@r{number}\n{'ACGT' * 50_000}\n+\n{'@III' * 50_000}\n" for number in range(5)]
    source = lake.put("nano", "".join(reads).encode())
    assert sniff(source.read(0, 1 << 16), "nano").name == "fastq"
    read = []
    for part in lake.cut("fastq", source, 3):
        with part.open(lake) as file:
            read.append(file.read())
            assert read[-1].startswith("@r")
    assert (len(read), "".join(read)) == (3, "".join(reads))


@pytest.mark.parametrize("before", [b"", b"@r\nAC\n+\nII\n" * 3])
def test_wrapped_reads_are_refused_with_the_reason(lake: Any, before: bytes) -> None:
    source = lake.put("w.fastq", before + b"@r\nACGT\nACGT\n+\nIIII\n@III\n" * 9)
    assert sniff(source.read(0, 1 << 16), "w.fastq").name == "fastq"
    assert "wrapped" in lake.describe("fastq", source)["unsliceable"]
    assert lake.index("fastq", source) is None


def test_a_byte_order_mark_is_no_part_of_the_first_read(lake: Any) -> None:
    source = lake.put("b.fq", b"\xef\xbb\xbf" + b"@r\nACGT\n+\nIIII\n" * 4)
    with lake.cut("fastq", source, 2)[0].open(lake) as file:
        assert file.read() == "@r\nACGT\n+\nIIII\n" * 2
