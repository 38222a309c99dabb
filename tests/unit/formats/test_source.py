"""Sources: files over ranges, and over pieces, are the bytes, whatever is read ahead."""

import io
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.formats.source import Flow

DATA = bytes(range(256)) * 4
PLACES = st.tuples(st.integers(0, len(DATA)), st.integers(0, 90)).map(lambda pair: (pair[0], min(len(DATA), sum(pair))))
SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(st.lists(PLACES, max_size=5), st.lists(PLACES, max_size=8), st.integers(1, 70))
def test_a_file_is_the_object_whatever_is_read_ahead(lake: Any, ahead: Any, reads: Any, block: int) -> None:
    with lake.put("x", DATA).open(block, ahead) as file:
        for start, end in reads:
            file.seek(start)
            assert file.read(end - start) == DATA[start:end]
        file.seek(-5, io.SEEK_END)
        assert file.read() == DATA[-5:]


def test_what_was_read_ahead_costs_no_request(lake: Any) -> None:
    with lake.put("x", DATA).open(16, [(100, 200), (210, 300)]) as file:
        assert lake.reads == 1  # joined: the gap is cheaper than a request
        file.seek(100)
        assert file.read(200) == DATA[100:300]
        assert lake.reads == 1


@SETTINGS
@given(st.lists(st.binary(max_size=9)), st.lists(st.integers(0, 20)))
def test_a_flow_is_its_pieces(pieces: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(pieces)
    file = io.BufferedReader(Flow(iter(pieces)), 4)
    assert b"".join([*(file.read(size) for size in sizes), file.read()]) == whole
