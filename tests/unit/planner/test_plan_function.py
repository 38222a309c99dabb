"""The plan function over ports in memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.event import Event
from events.ports import Entry, NotFound, ObjectInfo, Query, Settings
from events.types import PlanReady, PlanRequested, TaskExecuted, Wave, WorkerSize
from functions.formats.format import Index
from functions.plan import plan
from functions.planner.coverage import Coverage
from functions.planner.dataset import share_out
from functions.profile import profile

SIZES = [WorkerSize(memory_mb=mb, vcpus=1, max_workers=8) for mb in (512, 2048)]
SETTINGS = Settings(workers=SIZES, cores=8, price_per_gb_s=1e-5, price_per_request=1e-7)
GIGABYTE = 10**9
SLOW = WorkerSize(memory_mb=1024, vcpus=1, max_workers=8, deploy_s=60)


class Ports:
    """Catalogue, profiles and objects in memory."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.content: dict[str, bytes] = {}

    def add(self, key: str, size: int = GIGABYTE, units: int = 1000, **more: Any) -> None:
        index = Index(format="csv", size=size, etag="e", units=units, unit="rows")
        self.content[f"index/{key}"] = index.encode()
        entry = Entry(bucket="b", key=key, etag="e", size=size, format="csv", index=f"index/{key}")
        self.entries["b", key] = msgspec.structs.replace(entry, **more)

    def get(self, *key: str) -> Any:
        return self.entries.get((key[0], key[1])) if len(key) == 2 else self.documents.get(key[0])

    def put(self, key: str, document: dict[str, Any]) -> None:
        self.documents[key] = document

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.documents if key.startswith(prefix)]

    def search(self, query: Query) -> list[Entry]:
        found = sorted(self.entries.values(), key=lambda entry: entry.key)
        return [entry for entry in found if f"b/{entry.key}" > query.after and entry.key.startswith(query.prefix)][
            : query.limit
        ]

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        if key not in self.content:
            raise NotFound(key)
        return ObjectInfo(bucket=bucket, key=key, size=len(self.content[key]), etag="i")

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        return self.content[key][start:end]

    def ask(self, **fields: Any) -> PlanReady:
        request = PlanRequested(**{"task": "count", "code": "1", "backend": "localhost", **fields})
        ports: Any = self
        event = Event(id="1", source="/test", type="dev.sluice.plan.requested.v1", data=msgspec.to_builtins(request))
        (reply,) = plan(event, request, ports, ports, ports, SETTINGS)
        assert reply.type == "dev.sluice.plan.ready.v1"
        return reply.read(PlanReady)

    def teach(self, seconds: float = 20.0, runs: int = 1, volume: int = GIGABYTE) -> None:
        for number in range(runs):
            wave = Wave(
                workers=2, slices=2, bytes=volume, seconds=seconds, memory_mb=2048, cores=8, start_s=seconds / 20,
                read_s=seconds / 10, compute_s=1.8 * seconds, peak_mb=600, base_mb=100, slice_bytes=volume // 2,
            )  # fmt: skip
            data = TaskExecuted(
                run=str(number), task="count", code="1", format="csv", backend="localhost", finished="2026-01-01T00:00:00Z",
                waves=[wave],
            )  # fmt: skip
            ports: Any = self
            list(profile(Event(id="1", source="/test", type="dev.sluice.task.executed.v1"), data, ports))


@pytest.fixture
def ports() -> Ports:
    made = Ports()
    made.add("one.csv")
    return made


def test_without_a_history_the_plan_says_that_it_will_measure(ports: Ports) -> None:
    ready = ports.ask(objects=["s3://b/one.csv"])
    assert ready.basis == "none"
    assert ready.time_s is None
    assert "first wave will be measured" in ready.explanation
    assert ready.objects[0].units == 1000
    assert ready.bytes == GIGABYTE


def test_a_profile_predicts_and_says_of_how_many_runs(ports: Ports) -> None:
    ports.teach(runs=3)
    ready = ports.ask(objects=["s3://b/one.csv"], objective="time")
    assert (ready.basis, ready.runs) == ("profile", 3)
    assert ready.workers == 8
    assert ready.time_s is not None
    assert ready.time_s.low < ready.time_s.value < ready.time_s.high
    assert ready.time_s.value == pytest.approx(1 + 38 / 8, rel=0.2)
    assert ready.front
    assert "3 earlier runs" in ready.explanation


def test_what_the_next_plan_needs_is_imported_meanwhile() -> None:
    """In a process of its own: here it has been imported long ago."""
    program = (
        "import sys, threading\n"
        "from tests.unit.planner.test_plan_function import Ports\n"
        "ports = Ports(); ports.add('one.csv')\n"
        "assert 'scipy.optimize' not in sys.modules\n"
        "ports.ask(objects=['s3://b/one.csv'])\n"
        "[each.join() for each in threading.enumerate() if each.name == 'fit']\n"
        "assert 'scipy.optimize' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_runs_over_a_tiny_file_do_not_tell_what_a_large_one_takes(ports: Ports) -> None:
    ports.add("tiny.csv", size=9000, units=400)
    ports.teach(runs=3, seconds=1.0, volume=9000)
    assert ports.ask(objects=["s3://b/tiny.csv"]).basis == "profile"
    ready = ports.ask(objects=["s3://b/one.csv"])
    assert (ready.basis, ready.runs, ready.time_s, ready.feasible) == ("none", 0, None, True)
    assert ready.probe
    assert "nothing is known of 'count' on such data yet (3 runs over far less data cannot tell), so" in ready.explanation
    wave = Wave(workers=2, slices=2, bytes=GIGABYTE // 10, seconds=5, start_s=1, compute_s=8, peak_mb=200, base_mb=100)
    assert ports.ask(objects=["s3://b/one.csv"], measured=[wave], done=0.1, slices=18).basis == "probe"


def test_measured_waves_are_the_basis_where_there_is_no_profile(ports: Ports) -> None:
    wave = Wave(workers=2, slices=2, bytes=GIGABYTE // 10, seconds=5, start_s=1, compute_s=8, peak_mb=200, base_mb=100)
    ready = ports.ask(objects=["s3://b/one.csv"], measured=[wave], done=0.1, slices=18)
    assert ready.basis == "probe"
    assert ready.slices == 18
    assert ready.time_s is not None


def test_an_impossible_deadline_is_flagged(ports: Ports) -> None:
    ports.teach()
    ready = ports.ask(objects=["s3://b/one.csv"], deadline_s=0.1)
    assert not ready.feasible
    assert "cannot be kept" in ready.explanation
    assert ports.ask(objects=["s3://b/one.csv"], deadline_s=1000).feasible


@pytest.mark.parametrize(
    ("deadline", "more"), [(0.001, {}), (5.0, {"before_s": 100.0}), (1.0, {"sizes": [SLOW]}), (0.06, {"workers": 1})]
)
def test_a_deadline_that_no_task_can_keep_is_flagged_without_a_history(ports: Ports, deadline: float, more: Any) -> None:
    ready = ports.ask(objects=["s3://b/one.csv"], deadline_s=deadline, **more)
    assert ready.basis == "none"
    assert not ready.feasible
    assert not ready.sure
    assert "cannot be kept" in ready.explanation


def test_whether_another_deadline_is_kept_is_not_known_without_a_history(ports: Ports) -> None:
    ready = ports.ask(objects=["s3://b/one.csv"], deadline_s=150.0, before_s=100.0)
    assert (ready.feasible, ready.sure) == (True, False)
    assert "not known before" in ready.explanation
    assert ports.ask(objects=["s3://b/one.csv"]).sure
    two = ports.ask(objects=["s3://b/one.csv"], deadline_s=10.0, sizes=[SLOW, SIZES[1]])
    assert (two.feasible, two.memory_mb) == (True, 2048), "the size that is there already"


def test_feasible_is_by_the_upper_bound_and_sure_by_more(ports: Ports) -> None:
    ports.teach(runs=8)
    told = []
    for deadline in np.geomspace(1, 300, 60):
        ready = ports.ask(objects=["s3://b/one.csv"], deadline_s=float(deadline), objective="time")
        assert ready.time_s is not None
        assert ready.feasible == (ready.time_s.high <= deadline)
        assert ready.sure <= ready.feasible
        told.append((ready.feasible, ready.sure, ready.explanation))
    assert [feasible + sure for feasible, sure, _ in told] == sorted(feasible + sure for feasible, sure, _ in told)
    assert {(feasible, sure) for feasible, sure, _ in told} == {(False, False), (True, False), (True, True)}
    for feasible, sure, text in told:
        assert ("cannot be kept" in text) == (not feasible)
        assert ("not sure to be" in text) == (feasible and not sure)
    assert any("only with luck" in text for _, _, text in told)


def test_constraints_are_kept(ports: Ports) -> None:
    ports.teach()
    ready = ports.ask(objects=["s3://b/one.csv"], workers=3, slices=9, memory_mb=700)
    assert (ready.workers, ready.slices, ready.memory_mb) == (3, 9, 700)


def test_slices_are_shared_out_by_size_and_every_object_gets_one(ports: Ports) -> None:
    ports.add("small.csv", size=1000, units=3)
    ports.add("empty.csv", size=0, units=0)
    ready = ports.ask(objects=["s3://b/one.csv", "s3://b/small.csv", "s3://b/empty.csv"], slices=16)
    assert [part.slices for part in ready.objects] == [14, 1, 1]
    assert ready.slices == 16


@pytest.mark.parametrize("runs", [0, 3])
@pytest.mark.parametrize(
    ("sizes", "asked", "expected"),
    [
        ([(150, 100)] * 6, 9, [2, 2, 2, 1, 1, 1]),  # each would be one and a half
        ([(240, 100), (250, 100), (260, 100), (250, 100)], 10, [2, 3, 3, 2]),
        ([(1, 100)] * 7 + [(993, 100)], 9, [1] * 7 + [2]),
        ([(900, 2), (50, 100), (50, 100)], 10, [2, 4, 4]),  # what one cannot take the others do, by their bytes
        ([(1000, 2), (30, 100), (10, 100)], 10, [2, 6, 2]),
        ([(100, 3), (100, 1)], 50, [3, 1]),
        ([(100, 9), (100, 9), (5, 9)], 2, [1, 1, 1]),
        ([(10**15, 10**9), (1, 1)], 9, [8, 1]),
    ],
)
def test_as_many_slices_as_asked_for_are_given_and_told(
    ports: Ports, runs: int, sizes: list[tuple[int, int]], asked: int, expected: list[int]
) -> None:
    ports.teach(runs=runs, volume=1000)
    for number, (size, units) in enumerate(sizes):
        ports.add(f"{number}.csv", size=size, units=units)
    ready = ports.ask(objects=[f"s3://b/{number}.csv" for number in range(len(sizes))], slices=asked)
    assert [part.slices for part in ready.objects] == expected
    assert ready.slices == sum(expected)
    assert f" for {sum(expected)} slices" in ready.explanation


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 10**6)), min_size=1, max_size=30), st.integers(0, 10**6))
def test_slices_are_shared_out_within_bounds_and_larger_objects_get_no_fewer(sizes: list[tuple[int, int]], asked: int) -> None:
    found = [Entry(bucket="b", key=str(number), etag="e", size=size) for number, (size, _) in enumerate(sizes)]
    cuts = [Coverage(units, size, 1.0) for size, units in sizes]
    counts = [part.slices for part in share_out(found, cuts, asked)]
    assert sum(counts) == max(len(cuts), min(asked, sum(one.units for one in cuts)))
    assert all(1 <= count <= one.units for count, one in zip(counts, cuts, strict=True))
    ordered = sorted(zip(cuts, counts, strict=True), key=lambda pair: pair[0].bytes)
    for (small, few), (large, many) in pairwise(ordered):
        assert many >= min(few, large.units) - (small.bytes == large.bytes)


def test_a_query_pages_through_the_catalogue(ports: Ports) -> None:
    for number in range(1500):
        ports.add(f"many/{number:04}.csv", size=10, metadata={"units": 1})
    assert len(ports.ask(query={"prefix": "many/"}).objects) == 1500
    assert len(ports.ask(query={"prefix": "many/", "limit": 7}).objects) == 7


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"objects": ["s3://b/none"]}, "s3://b/none is not in the catalogue"),
        ({"objects": ["b/one.csv"]}, "write s3://bucket/key"),
        ({"objects": ["s3://b"]}, "write s3://bucket/key"),
        ({}, "either objects"),
        ({"objects": ["s3://b/one.csv"], "query": {"bucket": "b"}}, "not both"),
        ({"query": {"prefix": "nothing"}}, "no object in the catalogue matches"),
        ({"query": {"limit": "x"}}, "does not fit"),
        ({"objects": ["s3://b/one.csv"], "objective": "fun"}, "time, cost, balanced"),
        ({"objects": ["s3://b/one.csv"], "deadline_s": -1.0}, "more than 0"),
        ({"objects": ["s3://b/one.csv"], "workers": -1}, "must not be negative"),
        ({"objects": ["s3://b/broken.fits"]}, "it is broken: truncated"),
        ({"objects": ["s3://b/blob"]}, "has no slice index, .*: its format is not one that is cut"),
        ({"objects": ["s3://b/rows.npy"], "slices": 3}, r"rows.npy \(format fixed\) has no .*: it is in Fortran order"),
        ({"objects": ["s3://b/gone.csv"]}, "was removed"),
        ({"objects": ["s3://b/lost.csv"]}, "index of s3://b/lost.csv is missing"),
    ],
)
def test_requests_without_sense_are_rejected_with_a_reason(ports: Ports, request_: dict[str, Any], text: str) -> None:
    ports.add("broken.fits", state="failed", cause="truncated")
    ports.add("blob", index="", format="opaque")
    ports.add("rows.npy", index="", format="fixed", metadata={"unsliceable": "it is in Fortran order"})
    ports.add("gone.csv", state="removed")
    ports.add("lost.csv")
    del ports.content["index/lost.csv"]
    with pytest.raises(Reject, match=text):
        ports.ask(**request_)
