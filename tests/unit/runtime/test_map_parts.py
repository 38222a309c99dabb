"""The parts of a planned map by themselves: capacity, dealing, splitting, stragglers, progress, the journal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from events.types import PlanReady
from functions.formats.format import Index, Slice, cut
from functions.formats.parquet import Parquet
from infra.config import Planner, cores
from infra.runtime import capacity, measure
from infra.runtime.board import Board
from infra.runtime.dealing import partition, split
from infra.runtime.journal import Began, Journal, Measured, Outcome, alive, began
from infra.runtime.measure import Submitted, Worker
from infra.runtime.progress import Progress, seconds_left
from infra.runtime.recut import recut
from infra.runtime.straggler import Paces
from tests.conftest import eventually


def test_capacities_of_the_back_ends() -> None:
    planner = Planner(memory_mb=[512, 1769])
    local = capacity.sizes("localhost", "localhost", {"worker_processes": 3, "max_workers": 1}, planner)
    assert [(size.memory_mb, size.max_workers) for size in local] == [(512, 3), (1769, 3)]
    k8s = capacity.sizes("k8s", "serverless", {"max_workers": 100, "worker_processes": 2, "runtime_cpu": 0.5}, planner)
    assert [(size.memory_mb, size.vcpus, size.max_workers) for size in k8s] == [(512, 0.5, 200), (1769, 0.5, 200)]
    aws = capacity.sizes("aws_lambda", "serverless", {"max_workers": 1000}, Planner(memory_mb=[1769], max_workers=50))
    assert [(size.vcpus, size.max_workers) for size in aws] == [(1.0, 50)]
    (alone,) = capacity.sizes("aws_ec2", "standalone", {"max_workers": 4, "worker_processes": "AUTO"}, planner)
    assert (alone.memory_mb, alone.max_workers) == (1769, 4)
    (batch,) = capacity.sizes("aws_batch", "serverless", {"max_workers": 4, "runtime_memory": 900}, planner)
    assert batch.memory_mb == 900
    assert capacity.cluster_cores("localhost", planner) == cores()
    assert capacity.cluster_cores("serverless", planner) == 0


def pieces(count: int, units: int) -> tuple[list[Slice], Index]:
    data = {"groups": [(n * 10, n * 10 + 10) for n in range(units)], "rows": [5] * units, "footer": units * 10}
    index = Index(format="parquet", size=units * 10 + 8, etag="e", units=units, unit="row groups", data=data)
    return Parquet().slices(index, count, bucket="b", key="k"), index


@pytest.mark.parametrize(("count", "units"), [(1, 2), (3, 7), (5, 11), (2, 100), (7, 7)])
@pytest.mark.parametrize("ways", [2, 4])
def test_the_pieces_of_a_slice_hold_what_it_held(count: int, units: int, ways: int) -> None:
    parts, index = pieces(count, units)
    for part in parts:
        made = split(part, index, ways)
        groups = [group for piece in made for group in range(*piece.data["groups"])]
        assert groups == list(range(*part.data["groups"]))
        assert len(made) >= ways or made == [part]
        if count * ways * 2 <= units:
            assert len(made) >= ways


@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 8, 12, 16, 40, 100])
@pytest.mark.parametrize(("count", "taken"), [(12, [0, 5]), (8, [3]), (7, [0]), (16, [1, 2, 15]), (1, [])])
def test_slices_that_are_cut_anew_hold_what_is_left_in_its_order(count: int, taken: list[int], wanted: int) -> None:
    parts, index = pieces(count, 100)
    board = Board(parts)
    for number in taken:
        board.answer((number,), Outcome(0, (number,)))
    done, rest = board.share, [place for place in board.order if place[0] not in taken]
    groups = [group for place in rest for group in range(*board.parts[place].data["groups"])]
    made = recut(board, rest, wanted, lambda _: index)
    assert [group for place in made for group in range(*board.parts[place].data["groups"])] == groups
    assert sorted([*made, *((number,) for number in taken)]) == board.order
    every = [group for place in board.order for group in range(*board.parts[place].data["groups"])]
    assert every == list(range(100))
    assert board.share == pytest.approx(done, rel=0.3)  # but for a footer a slice
    if 1.5 * len(rest) <= wanted <= 40:
        assert wanted * 0.6 <= len(made) <= wanted * 2
    elif len(rest) < 1.5 * wanted:
        assert made == rest or wanted == 100
    elif count in (12, 8, 16):
        assert len(made) < len(rest)


def test_pieces_of_several_objects_are_merged_each_for_itself() -> None:
    parts, index = pieces(4, 8)
    both = [*parts, *(msgspec.structs.replace(part, key="other") for part in parts)]
    board = Board(both)
    made = recut(board, board.order, 2, lambda _: index)
    assert [(board.parts[place].key, board.parts[place].data["groups"]) for place in made] == [("k", [0, 8]), ("other", [0, 8])]


def test_slices_are_dealt_by_size_and_no_worker_gets_more_than_it_may() -> None:
    index = Index(format="x", size=100, etag="e", units=9, unit="u")
    from functions.formats.format import Part

    parts = cut(index, [Part([(0, size)], 1) for size in (9, 1, 1, 1, 3, 3, 3, 3, 3)], bucket="b", key="k")
    placed = [((n,), part) for n, part in enumerate(parts)]
    dealt = partition(placed, 3)
    assert sorted(place for part in dealt for place, _ in part) == [(n,) for n in range(9)]
    assert sorted(sum(one.bytes for _, one in part) for part in dealt) == [9, 9, 9]
    assert all(part == sorted(part, key=lambda one: one[0]) for part in dealt)
    few = partition(placed, 2, most=2)
    assert len(few) == 5
    assert max(map(len, few)) == 2


def test_a_slice_is_late_by_those_that_ended_or_by_the_plan() -> None:
    done = Paces([(100, 1.2), (200, 2.0), (100, 1.0)])
    assert not done.late(5.0, 100)
    assert done.late(5.7, 100)
    assert not done.late(20.0, 1000), "a larger slice may take longer"
    assert not Paces().late(1e9, 100), "nothing is known"
    assert Paces().late(40.0, 100, prior=10.0)


def test_the_time_left_goes_from_the_prediction_to_what_was_measured(capsys: Any) -> None:
    assert seconds_left(0.0, 2.0, None) is None
    assert seconds_left(0.0, 2.0, 10.0) == 8.0
    assert seconds_left(0.5, 10.0, None) == 10.0
    assert seconds_left(0.5, 10.0, 12.0) == pytest.approx(6.0)
    told = list[tuple[int, int]]()
    with Progress(lambda *now: told.append(now), "t") as progress:
        progress.update(1, 2, 3.0)
    with Progress(None, "t") as progress:
        progress.update(1, 2, 3.4)
        progress.update(2, 2, 0.0)
    assert told == [(1, 2)]
    assert capsys.readouterr().err.splitlines() == ["map t: 1 of 2 slices, about 3 s left", "map t: 2 of 2 slices"]


class Files:
    """Lithops' storage as far as the journal needs it, and how much was asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked = Counter[str]()

    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        self.asked["put"] += 1
        self.objects[key] = body

    def get_object(self, bucket: str, key: str) -> bytes:
        self.asked["get"] += 1
        return self.objects[key]

    def list_keys(self, bucket: str, prefix: str) -> list[str]:
        found = sorted(key for key in self.objects if key.startswith(prefix))
        self.asked["listed"] += len(found)
        return found

    def delete_objects(self, bucket: str, keys: list[str]) -> None:
        self.asked["deleted"] += len(keys)
        for key in keys:
            del self.objects[key]


def outcome(number: int) -> Outcome:
    return Outcome(0, (number,), result=b"r")


def test_the_journal_tells_each_entry_once_and_not_before_it_is_whole() -> None:
    files = Files()
    journal = Journal(files, "b", "p")
    journal.begin()
    with journal.writer(0, 0.0) as worker:
        worker.tell(began(0))
        worker.tell(outcome(3))
        whole = files.objects["p/000000-000001"]
        files.objects["p/000000-000001"] = whole[: len(whole) // 2]
        (first,) = journal.news()
        assert isinstance(first, Began)
        files.objects["p/000000-000001"] = whole
        assert journal.news() == [outcome(3)]
        assert journal.news() == []
    journal.remove()
    assert not files.objects


@pytest.mark.parametrize("count", [100, 1000])
def test_a_journal_that_is_looked_at_often_costs_the_same_for_each_slice(count: int) -> None:
    files = Files()
    journal = Journal(files, "b", "p")
    journal.begin()
    told: list[Any] = []
    with journal.writer(0, 0.0) as worker:  # nothing waits for another: the most objects that there can be
        for number in range(count):
            worker.tell(outcome(number))
            told += journal.news()
    assert told == [outcome(number) for number in range(count)]
    assert files.asked == {"put": count + 1, "get": count, "deleted": count, "listed": count * 2}, "each time with the mark"


def test_what_is_told_in_one_moment_is_one_object() -> None:
    files = Files()
    journal = Journal(files, "b", "p")
    with journal.writer(0, 3600.0) as worker:
        worker.tell(began(0))
        assert len(journal.news()) == 1, "after a silence it is told at once"
        for number in range(500):
            worker.tell(outcome(number))
        assert journal.news() == []
    assert journal.news() == [outcome(number) for number in range(500)]
    assert files.asked["put"] == 2


def test_what_waits_is_told_though_the_worker_is_busy() -> None:
    files = Files()
    journal = Journal(files, "b", "p")
    with journal.writer(0, 0.02) as worker:
        for number in range(3):
            worker.tell(outcome(number))
        found = list[Any]()

        def told() -> bool:
            found.extend(journal.news())
            return len(found) == 3

        eventually(told, what="the answers to be told")
    assert found == [outcome(number) for number in range(3)]


def test_an_answer_that_could_not_be_stored_is_stored_with_the_next() -> None:
    files = Files()
    journal = Journal(files, "b", "p")
    put = files.put_object
    with journal.writer(0, 0.0) as worker:
        files.put_object = lambda *_: (_ for _ in ()).throw(OSError("no network"))  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no network"):
            worker.tell(outcome(1))
        files.put_object = put  # type: ignore[method-assign]
        worker.tell(outcome(2))
    assert journal.news() == [outcome(1), outcome(2)]


def test_a_board_keeps_the_order_when_slices_are_cut() -> None:
    parts, _ = pieces(3, 9)
    board = Board(parts)
    assert [board.after(()), board.after((0,)), board.after((2,))] == [(0,), (1,), None]
    board.answer((0,), outcome(0))
    assert board.share == pytest.approx(1 / 3)
    assert board.replace((1,), pieces(2, 3)[0]) == [(1, 0), (1, 1)]
    assert board.order == [(0,), (1, 0), (1, 1), (2,)]
    assert board.after((0,)) == (1, 0)
    assert [board.waits(place) for place in ((0,), (1,), (1, 0), (2,))] == [False, False, True, True]
    for place in ((1, 0), (1, 1), (2,)):
        assert not board.complete
        board.answer(place, outcome(0))
    assert board.complete
    assert board.share == 1.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell of processes")
def test_a_worker_is_alive_as_long_as_its_very_process_is() -> None:
    entry = began(0)
    assert entry.pid == os.getpid()
    assert alive(entry)
    assert not alive(Began(0, 0.0, entry.pid, entry.ticks + 1)), "a later process of the same id"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not alive(Began(0, 0.0, child.pid, 1))


@pytest.mark.parametrize(("basis", "told"), [("none", [(1, 10, 3.0), (2, 80, 1.0)]), ("profile", [(3, 90, 3.0)])])
def test_a_probe_tells_its_sizes_apart(basis: str, told: list[tuple[int, int, float]]) -> None:
    (whole,), _ = pieces(1, 1)
    sizes: dict[tuple[int, ...], int] = {(0, 0): 10, (1, 0): 40, (2, 0): 40}
    plan = PlanReady(
        task="t", basis=basis, workers=3, memory_mb=512, vcpus=1.0, slices=3, bytes=90, objects=[], explanation=""
    )  # fmt: skip

    def worker(number: int, place: Any, size: int) -> Worker:
        part = msgspec.structs.replace(whole, ranges=[(0, size)])
        return Worker(number, 0, [(place, part)], SimpleNamespace(stats={}))

    workers = [worker(number, place, size) for number, (place, size) in enumerate(sizes.items())]
    outcomes: dict[tuple[int, ...], Outcome] = {
        place: Outcome(number, place, measured=Measured(started=0.0, ended=3.0 if number == 0 else 1.0))
        for number, place in enumerate(sizes)
    }
    waves = measure.waves([Submitted(plan, workers, 0.0)], outcomes, sizes, 2.0)
    assert [(wave.slices, wave.bytes, wave.seconds) for wave in waves] == told
