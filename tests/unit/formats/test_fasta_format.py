"""FASTA: slices are whole sequences, and a part of one sequence is the one asked for."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from functions.formats import by_name, records, sniff
from functions.formats.fasta import region
from functions.formats.format import Broken

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
FORMAT: Any = by_name("fasta")
LETTERS = st.text(alphabet="ACGT", max_size=40)


def written(sequences: list[str], width: int, end: str = "\n") -> str:
    rows = []
    for number, bases in enumerate(sequences):
        rows += [f">s{number} of > many", *(bases[at : at + width] for at in range(0, len(bases), width))]
    return end.join(rows) + end


def sequences_of(text: str) -> dict[str, str]:
    """As a plain reader reads it."""
    found: dict[str, str] = {}
    name = ""
    for line in io.StringIO(text):
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line.strip()
    return found


@SETTINGS
@given(
    st.lists(LETTERS, min_size=1, max_size=12), st.integers(1, 12), st.sampled_from(["\n", "\r\n"]), st.booleans(),
    st.integers(1, 60), st.integers(1, 8), st.data(),
)  # fmt: skip
def test_slices_together_are_the_file(
    lake: Any, bases: list[str], width: int, end: str, ended: bool, chunk: int, count: int, data: Any
) -> None:
    text = written(bases, width, end)
    if not ended:
        text = text.removesuffix(end)
    source = lake.put("t.fa", text.encode())
    before, records.BLOCK = records.BLOCK, 32
    try:
        scan = lake.scan("fasta", source, chunk)
    finally:
        records.BLOCK = before
    index = FORMAT.index(source, scan)
    assert index.units == len(bases)
    found = []
    for part in FORMAT.slices(index, count, bucket="lake", key="t.fa"):
        with part.open(lake) as file:
            found.append(file.buffer.read().decode())
        assert found[-1].count(">s") == part.units
    assert "".join(found) == text
    whole = sequences_of(text)
    assert FORMAT.describe(source, scan)["lengths"] == {name: len(sequence) for name, sequence in whole.items()}
    name = data.draw(st.sampled_from(sorted(whole)))
    if whole[name]:
        first = data.draw(st.integers(0, len(whole[name]) - 1))
        last = data.draw(st.integers(first + 1, len(whole[name])))
        with region(index, name, first, last, bucket="lake", key="t.fa").open(lake) as file:
            assert sequences_of(file.read()) == {f"{name}:{first + 1}-{last}": whole[name][first:last]}


@pytest.mark.parametrize(
    "body", ["ACGT\nACG\nACGT\nA\n", "ACGT\nACGTA\nAC\n", "ACGT\n\nACGT\n", "ACGT\nAC\nAC", "ACGT\nACGTACGT", "A\nAC\n"]
)
def test_uneven_lines_are_never_cut(lake: Any, body: str) -> None:
    index = lake.index("fasta", lake.put("u.fa", f">a\n{body}".encode()))
    with pytest.raises(Reject, match="differ in length"):
        region(index, "a", 0, 1, bucket="lake", key="u.fa")


def test_a_long_sequence_is_read_in_parts(lake: Any) -> None:
    bases = "".join(np.random.default_rng(2).choice(list("ACGT"), 300_000))
    source = lake.put("l.fa", written(["ACGT", bases], 70).encode())
    index = lake.index("fasta", source)
    lake.read_bytes = 0
    with region(index, "s1", 100_000, 100_500, bucket="lake", key="l.fa").open(lake) as file:
        assert sequences_of(file.read()) == {"s1:100001-100500": bases[100_000:100_500]}
    assert lake.read_bytes < 600
    with pytest.raises(Reject, match="has bases 0 to 4, not 3 to 5"):
        region(index, "s0", 3, 5, bucket="lake", key="l.fa")
    with pytest.raises(Reject, match="no measured sequence called 'x'"):
        region(index, "x", 0, 1, bucket="lake", key="l.fa")


def test_many_sequences(lake: Any) -> None:
    text = written(["ACGTACGTAC"] * 30_000, 5)
    source = lake.put("m.fa", text.encode())
    assert lake.describe("fasta", source) == {"sequences": 30_000, "lengths": {}}
    found = []
    for part in lake.cut("fasta", source, 11):
        with part.open(lake) as file:
            found.append(file.read())
    assert len(found) == 11
    assert "".join(found) == text


def test_sniff_and_broken(lake: Any) -> None:
    assert sniff(b">seq1 text\nACGTNN\nACG\n>", "x").name == "fasta"
    assert sniff(b">seq1\nMKV*-\n", "x").name == "fasta"
    assert sniff(b"", "x.fa").name == "fasta"
    assert sniff(b"> a reply 1\nhello, you\n", "x").name != "fasta"
    with pytest.raises(Broken, match="no sequence"):
        lake.describe("fasta", lake.put("e.fa", b"ACGT\n"))


@pytest.mark.parametrize("lead", ["", "\ufeff", "\n\n  \n", ";a comment\n;and more\n", "\ufeff\n;both\n"])
def test_what_comes_before_the_first_sequence_does_not_hide_it(lake: Any, lead: str) -> None:
    text = "".join(f">s{number} d\n{'ACGT' * 15}\nAC\n" for number in range(50))
    source = lake.put("x", (lead + text).encode())
    assert sniff(source.read(0, 1 << 16), "x").name == "fasta"
    for count in (1, 3, 7):
        read = []
        for part in lake.cut("fasta", source, count):
            with part.open(lake) as file:
                read.append(file.read())
        assert all(one.startswith(">") for one in read[1:])
        assert "".join(read) == lead.removeprefix("\ufeff") + text
