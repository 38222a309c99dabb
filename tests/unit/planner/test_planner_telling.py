"""What was tried on a small file first: it does not tell what a large one takes, and spoils no later plan for it."""

from __future__ import annotations

import msgspec
import pytest

from events.types import Wave
from functions.planner.grid import load_of
from functions.planner.history import History, Run
from functions.planner.model import learn
from functions.planner.telling import telling
from infra.console.curve import describe
from infra.console.profile import picture

#: A file of 9 kB: half a second of imports, 40 MB of modules.
TINY = Wave(
    workers=1, slices=1, bytes=9000, seconds=1.0, start_s=0.4, read_s=0.01, compute_s=0.5, slice_bytes=9000, peak_mb=135,
    base_mb=95, memory_mb=2048, cores=2,
)  # fmt: skip
#: 200 MB of the same.
LARGE = Wave(
    workers=2, slices=8, bytes=200_000_000, seconds=5.0, start_s=0.4, read_s=0.5, compute_s=8.0, slice_bytes=25_000_000,
    peak_mb=285, base_mb=95, memory_mb=2048, cores=2,
)  # fmt: skip


def changed(wave: Wave, **fields: object) -> Wave:
    return msgspec.structs.replace(wave, **fields)


def test_small_slices_tell_of_those_up_to_some_times_as_large() -> None:
    middle = load_of([changed(LARGE, bytes=500_000, slice_bytes=60_000), LARGE])
    assert telling([[TINY], [LARGE]], middle) == [[TINY], [LARGE]]
    assert telling([[TINY], [LARGE, TINY]], load_of([LARGE])) == [[LARGE]]
    assert telling([[LARGE]], load_of([TINY])) == [[LARGE]]


def test_little_data_tells_nothing_of_very_much_more() -> None:
    megabyte = changed(TINY, bytes=10**6, slice_bytes=10**6)
    assert telling([[megabyte]], load_of([changed(LARGE, bytes=60 * 10**6, slice_bytes=10**6)])) == [[megabyte]]
    assert telling([[megabyte]], load_of([changed(LARGE, bytes=70 * 10**6, slice_bytes=10**6)])) == []


def test_small_slices_that_take_long_or_die_do_tell() -> None:
    slow, dead = changed(TINY, compute_s=9.0), changed(TINY, failed=1, out_of_memory=1)
    assert telling([[slow], [dead]], load_of([LARGE])) == [[slow], [dead]]
    silent = changed(TINY, read_s=0.0, compute_s=0.0, seconds=9.0)  # its workers measured nothing
    assert telling([[silent]], load_of([LARGE])) == [[silent]]


@pytest.mark.parametrize("size", [9000, 60_000])
def test_the_modules_of_a_task_are_not_taken_for_copies_of_its_slice(size: int) -> None:
    model = learn([[changed(TINY, bytes=size, slice_bytes=size)]] * 3)
    assert model is not None
    assert model.peak_mb(load_of([TINY]))[0] == pytest.approx(135, rel=0.1)
    assert model.memory[1] < 100, "MB a MB"


def test_copies_that_slices_of_some_megabytes_show_are_believed() -> None:
    waves = [changed(LARGE, slice_bytes=size * 10**6, peak_mb=95 + 40 * size) for size in (2, 8, 8)]
    model = learn([[wave] for wave in waves])
    assert model is not None
    assert list(model.memory) == [pytest.approx(95, rel=0.05), pytest.approx(40, rel=0.05)]
    once = learn([[waves[0]]])
    assert once is not None
    assert once.memory[1] > 30, "also of one run alone"


def test_a_picture_shows_what_tells_of_its_volume() -> None:
    runs = [
        Run(run=str(at), finished=f"2026-01-0{1 + at}T00:00:00Z", waves=[wave], seconds=wave.seconds)
        for at, wave in enumerate([TINY, TINY, LARGE])
    ]
    history = History(task="count", code="1", format="csv", backend="localhost", runs=runs)
    told = describe(history)
    assert (told["bytes"], told["learnt_from"]) == (LARGE.bytes, 1)
    assert told["measured"] == [{"workers": 2, "time_s": 5.0}]
    assert [point["time_s"] for point in told["curve"] if point["workers"] == 2] == [pytest.approx(5.0, rel=0.2)]
    fitted, measured = picture(history, told).points
    assert (len(fitted.at), measured.at) == (len(told["curve"]), [(2, 5.0)])
