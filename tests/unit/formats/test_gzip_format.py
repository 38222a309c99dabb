"""Gzip: zlib can start at every seek point, and slices of lines or reads together are the whole, however it was made."""

import gzip
import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.ports import Changed
from functions.formats import by_name, gzip_table, sniff
from functions.formats import gzip as module
from functions.formats.deflate import Inflate, _lead, inflated
from functions.formats.format import Broken

FORMAT: Any = by_name("gzip")
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
rng = np.random.default_rng(11)
LINES = [f"{number} {value:x}" * (number % 4) for number, value in enumerate(rng.integers(0, 1 << 60, 40_000))]
TEXT = ("\n".join(LINES) + "\n").encode()
BASES = ["".join(map("ACGT".__getitem__, rng.integers(0, 4, number % 150))) for number in range(20_000)]
READS = "".join(f"@read {number}\n{bases}\n+\n{'@' * len(bases)}\n" for number, bases in enumerate(BASES)).encode()


def bgzip(data: bytes, block: int) -> bytes:
    """Many members, as bgzip and concatenation make them."""
    return b"".join(gzip.compress(data[at : at + block], 6) for at in range(0, len(data), block)) + gzip.compress(b"")


def flushed(data: bytes) -> bytes:
    """One member with sync flushes, whose borders lie on bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return (
        b"".join(packer.compress(data[at : at + 9999]) + packer.flush(zlib.Z_SYNC_FLUSH) for at in range(0, len(data), 9999))
        + packer.flush()
    )


def read(lake: Any, source: Any, count: int) -> list[str]:
    found = []
    for part in lake.cut("gzip", source, count):
        with part.open(lake) as file:
            found.append(file.read())
    return found


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("byte", [0, 1, 0b10110101, 255])
def test_a_lead_is_blocks_without_text_and_then_the_bits(bits: int, byte: int) -> None:
    data = _lead(byte, bits)
    assert data[-1] >> (8 - bits) == byte >> (8 - bits)
    state = zlib.decompressobj(-15)
    # the last byte's upper bits belong to what follows: an empty last block (fixed, 10 bits) put there must end the stream
    value = int.from_bytes(data, "little") & ((1 << (len(data) * 8 - bits)) - 1) | 0b011 << (len(data) * 8 - bits)
    assert state.decompress(value.to_bytes(len(data) + 2, "little")) == b""
    assert state.eof


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_every_border_is_a_place_to_start_at(level: int) -> None:
    data = TEXT[:600_000]
    packed = gzip.compress(data, level)
    inflate, length, places = Inflate(), 0, []
    for text in inflate.feed(packed):
        length += len(text)
        if inflate.border:
            places.append((inflate.position, inflate.bits, length, inflate.window()))
    assert length == len(data)
    assert len(places) > 5
    for position, bits, start, window in places:
        pieces = (packed[at : at + 777] for at in range(position - bool(bits), len(packed), 777))
        assert b"".join(inflated(pieces, bits, window)) == data[start:]


@pytest.mark.parametrize(
    "packed", [gzip.compress(TEXT), bgzip(TEXT, 65_280), bgzip(TEXT, 700_000), flushed(TEXT), gzip.compress(TEXT, 0)]
)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_slices_together_are_the_text(lake: Any, packed: bytes, count: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "APART", 40_000)
    source = lake.put("t.txt.gz", packed)
    assert sniff(packed[:65536], "x").name == "gzip"
    parts = lake.cut("gzip", source, count)
    texts = read(lake, source, count)
    assert len(texts) == min(count, len(parts)) > (count > 1)
    assert "".join(texts).encode() == TEXT
    assert all(text.endswith("\n") for text in texts)
    assert [part.data["records"] for part in parts] == [text.count("\n") for text in texts]
    assert sum(part.bytes for part in parts) < len(packed) + 200_000 * len(parts)


@SETTINGS
@given(
    st.lists(st.text(alphabet="abé\r", max_size=12), max_size=60),
    st.integers(1, 70),
    st.integers(1, 9),
    st.booleans(),
    st.integers(10, 90),
)
def test_any_lines_any_members_any_chunks(lake: Any, rows: Any, block: int, count: int, ended: bool, chunk: int) -> None:
    text = "\n".join(rows) + ("\n" if ended and rows else "")
    source = lake.put("p.gz", bgzip(text.encode(), block))
    before = module.APART, module.FIRST
    module.APART, module.FIRST = 16, 8
    try:
        scan = lake.scan("gzip", source, chunk)
        index = FORMAT.index(source, scan)
    finally:
        module.APART, module.FIRST = before
    if not text:
        assert index is None
        return
    lake.write("lake", "i", index.encode())
    found = []
    for part in FORMAT.slices(index, count, bucket="lake", key="p.gz", index_at="lake/i"):
        with part.open(lake) as file:
            found.append(file.buffer.read())
            assert len(io.BytesIO(found[-1]).readlines()) == part.data["records"]
    assert b"".join(found) == text.encode()


@pytest.mark.parametrize("packed", [gzip.compress(READS), bgzip(READS, 65_280)])
def test_fastq_is_cut_between_reads(lake: Any, packed: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "APART", 30_000)
    source = lake.put("r.fastq.gz", packed)
    assert lake.describe("gzip", source)["reads"] == 20_000
    parts = lake.cut("gzip", source, 9)
    texts = read(lake, source, 9)
    assert len(texts) == 9
    for part, text in zip(parts, texts, strict=True):
        assert text.startswith(f"@read {part.data['first']}\n")
        assert text.count("\n") == 4 * part.data["records"]
    assert "".join(texts).encode() == READS


def test_the_index_stays_small_and_does_not_depend_on_the_chunks(lake: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "APART", 1 << 14)
    monkeypatch.setattr(module, "FREE", 60_000)
    source = lake.put("s.gz", gzip.compress(TEXT))
    scan = lake.scan("gzip", source, 1 << 20)
    other = lake.scan("gzip", source, 10_007)
    for point in scan["points"] + other["points"]:
        assert point.pop(5) >= point[0]  # how far to read may depend on the chunks
    assert scan == other
    assert len(lake.index("gzip", source).encode()) < 70_000 + source.size // 300
    assert len(scan["points"]) > 3


def test_what_is_no_text_is_described_but_not_cut(lake: Any) -> None:
    source = lake.put("x.tar.gz", gzip.compress(bytes(range(256)) * 1000))
    assert lake.describe("gzip", source) == {
        "content": "binary",
        "length": 256_000,
        "members": 1,
        "unsliceable": "what it holds is no text in UTF-8 or Latin-1",
    }
    assert lake.index("gzip", source) is None
    assert lake.index("gzip", lake.put("e.gz", gzip.compress(b""))) is None


def test_damage_is_found_and_named(lake: Any) -> None:
    packed = gzip.compress(TEXT)
    with pytest.raises(Broken, match="cut off: the gzip member that byte"):
        lake.describe("gzip", lake.put("b.gz", packed[:-5]))
    with pytest.raises(Broken, match=r"at byte \d+ the gzip stream is damaged: incorrect data check"):
        lake.describe("gzip", lake.put("b.gz", packed[:-8] + bytes(4) + packed[-4:]))
    with pytest.raises(Broken, match=r"damaged"):
        lake.describe("gzip", lake.put("b.gz", packed[:5000] + b"\xff" * 50 + packed[5050:]))
    with pytest.raises(Broken, match="no whole number of FASTQ reads"):
        lake.describe("gzip", lake.put("b.gz", gzip.compress(READS[:-3] + b"\n@x\nACGT")))
    with pytest.raises(Broken, match=r"is damaged: incorrect header check|is no gzip member"):
        lake.describe("gzip", lake.put("b.gz", packed + b"garbage"))
    assert lake.describe("gzip", lake.put("z.gz", packed + bytes(1000)))["lines"] == len(LINES)


def test_a_changed_object_is_refused(lake: Any) -> None:
    source = lake.put("c.gz", gzip.compress(TEXT))
    (part,) = lake.cut("gzip", source, 1)
    lake.put("c.gz", gzip.compress(TEXT, 1))
    with pytest.raises(Changed), part.open(lake) as file:
        file.read()


@pytest.mark.parametrize("whole", [0, 1 << 24])
@pytest.mark.parametrize("count", [1, 3, 7, 100])
def test_a_table_is_cut_at_records_and_every_slice_has_its_columns(lake: Any, monkeypatch: Any, whole: int, count: int) -> None:
    monkeypatch.setattr(module, "APART", 20_000)
    monkeypatch.setattr(gzip_table, "WHOLE", whole)
    monkeypatch.setattr(gzip_table, "SAMPLE", 1 << 12)
    rows = [(number, f"first\nsecond, {number}", number / 2) for number in range(20_000)]
    text = "\ufeff# by hand\nn,t,x\n" + "".join(f'{n},"{t}",{x}\n' for n, t, x in rows)
    source = lake.put("t.csv.gz", gzip.compress(text.replace("# by hand\n", "").encode()))
    told = lake.describe("gzip", source)
    assert (told["content"], told["columns"]) == ("csv", {"n": "int64", "t": "string", "x": "double"})
    assert (told["rows"], told["header"]) == (20_000, True)
    found: list[Any] = []
    for part in lake.cut("gzip", source, count):
        with part.open(lake) as table:
            assert (table.schema.names, part.data["first_row"]) == (["n", "t", "x"], len(found))
            found += [tuple(row.values()) for row in table.to_pylist()]
    assert found == rows
    with lake.cut("gzip", source, count)[-1].open(lake, columns=["x"], where=[("n", ">=", 19_998)]) as table:
        assert table.to_pydict() == {"x": [9999.0, 9999.5]}


def test_a_table_whose_rows_are_not_told_apart_is_refused(lake: Any) -> None:
    source = lake.put("one.csv.gz", gzip.compress(b'name\n"a\nb"\nc\n' * 9))
    assert "named" not in lake.describe("gzip", source)
    assert "its name says that it is a table" in lake.describe("gzip", source)["unsliceable"]
    assert lake.index("gzip", source) is None


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_sequences_stay_whole(lake: Any, monkeypatch: Any, count: int) -> None:
    monkeypatch.setattr(module, "APART", 20_000)
    text = ";comment\n" + "".join(f">s{number}\n{'ACGT' * 15}\n{'AC' * (number % 30)}A\n" for number in range(5000))
    source = lake.put("s.fa.gz", bgzip(text.encode(), 9999))
    assert lake.describe("gzip", source)["sequences"] == 5000
    texts = read(lake, source, count)
    assert "".join(texts) == text
    assert all(one.startswith(">") for one in texts[1:])
    assert [part.data["records"] for part in lake.cut("gzip", source, count)] == [one.count(">") for one in texts]


@pytest.mark.parametrize("before", [b"", b"@r\nACGT\n+\nIIII\n" * 40_000])
def test_wrapped_reads_are_refused(lake: Any, monkeypatch: Any, before: bytes) -> None:
    monkeypatch.setattr(module, "APART", 20_000)
    source = lake.put("w.fq.gz", bgzip(before + b"@r\nACGT\nACGT\n+\nIIII\nIIII\n" * 30_001, 65_280))
    told = lake.describe("gzip", source)
    assert (told["content"], "wrapped" in told["unsliceable"]) == ("fastq", True)
    assert lake.index("gzip", source) is None


def test_long_reads_stay_whole(lake: Any) -> None:
    text = "".join(f"@r{number}\n{'ACGT' * 300_000}\n+\n{'@III' * 300_000}\n" for number in range(3))
    source = lake.put("nano.gz", gzip.compress(text.encode(), 1))
    texts = read(lake, source, 3)
    assert (len(texts) > 1, "".join(texts)) == (True, text)
    assert all(one.startswith("@r") for one in texts)


def test_a_byte_order_mark_is_no_part_of_the_text(lake: Any) -> None:
    assert read(lake, lake.put("b.gz", gzip.compress(b"\xef\xbb\xbfa\nb\n")), 2) == ["a\nb\n"]
