"""Real Lithops on localhost over real CSV objects in an S3 server: planned, learnt, failing, unplanned and plain maps."""

from __future__ import annotations

import gzip
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events.errors import Reject
from events.ports import Entry, Query
from events.types import PlanReady, PlanRequested
from functions.formats.csv import CSV
from functions.formats.source import Source
from functions.metadata import index_key
from infra.config import Config, Objects, Planner
from infra.demo.measurement_set import Observation, write
from infra.objects.door import Door
from infra.objects.s3 import S3Store
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planned_map import PlannedMap
from infra.runtime.planner_client import Ports
from tests.conftest import eventually, serving

ROWS = 20_000
CONTENT = b"a,b,c\n" + b"".join(b'%d,%d,"text, with\nlines %d"\n' % (row, row % 97, row) for row in range(ROWS))
ACCESS, SECRET = "test-access", "test-secret"  # the door's, see conftest.py
LIMITS = Planner(max_workers=2, memory_mb=[512, 1024])


def total(table: Any, scale: int = 1) -> int:
    return int(sum(table.column("b").to_pylist())) * scale


def fails_late(table: Any) -> int:
    if 7 in table.column("a").to_pylist():
        raise ValueError("seven is not allowed")
    return 0


class Doubled:
    """A class that only this module has."""

    def __init__(self, value: int) -> None:
        self.value = 2 * value


def doubled(table: Any, scale: int) -> Doubled:
    return Doubled(scale * table.num_rows)


class MemoryCatalog:
    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}

    def get(self, bucket: str, key: str) -> Entry | None:
        return self.entries.get((bucket, key))

    def search(self, query: Query) -> list[Entry]:
        found = [entry for entry in self.entries.values() if entry.key.startswith(query.prefix)]
        return sorted((entry for entry in found if f"{entry.bucket}/{entry.key}" > query.after), key=lambda entry: entry.key)

    def upsert(self, entry: Entry) -> bool:
        self.entries[entry.bucket, entry.key] = entry
        return True


class MemoryProfiles:
    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        return self.documents.get(key)

    def put(self, key: str, profile: dict[str, Any]) -> None:
        self.documents[key] = profile

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.documents if key.startswith(prefix))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    """One door for all tests of a file."""
    door = Door(tmp_path_factory.mktemp("door"), {ACCESS: SECRET})
    with serving(door.app) as url:
        store = S3Store(url, ACCESS, SECRET)
        yield store
        store.close()
    door.close()


@pytest.fixture(scope="module")
def catalog(objects: S3Store) -> MemoryCatalog:
    catalog = MemoryCatalog()
    objects.ensure("data")
    objects.ensure("sluice")
    for key in ("one.csv", "more/two.csv"):
        info = objects.write("data", key, CONTENT)
        scanner = CSV().scanner()
        for chunk in objects.stream("data", key):
            scanner.feed(chunk)
        index = CSV().index(Source(objects, "data", key, info.size, info.etag), scanner.result())
        assert index is not None
        at = index_key("data", key, info.etag)
        objects.write("sluice", at, index.encode())
        catalog.upsert(
            Entry(
                bucket="data", key=key, etag=info.etag, size=info.size, format="csv", index=at, metadata={"units": index.units}
            )
        )
    return catalog


@pytest.fixture(scope="module")
def known() -> MemoryProfiles:
    return MemoryProfiles()


@pytest.fixture
def profiles(known: MemoryProfiles) -> MemoryProfiles:
    """Empty for each test."""
    known.documents.clear()
    return known


@pytest.fixture(scope="module")
def started(
    objects: S3Store, catalog: MemoryCatalog, known: MemoryProfiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SluiceExecutor]:
    """One executor for all tests of a file: also after workers were killed, and their parents."""
    config = configured(objects, tmp_path_factory.mktemp("lake"))
    with SluiceExecutor(
        sluice=config, config={}, ports=Ports(catalog, known, objects, config.settings), progress=False
    ) as executor:
        yield executor


@pytest.fixture
def executor(started: SluiceExecutor, profiles: MemoryProfiles) -> SluiceExecutor:
    return started


def configured(objects: S3Store, folder: Path) -> Config:
    where = Objects(endpoint=objects.endpoint, access_key=ACCESS, secret_key=SECRET)
    return Config(data=str(folder), objects=where, planner=LIMITS)


WHOLE = sum(number % 97 for number in range(ROWS))


def test_a_map_probes_learns_and_is_planned_from_its_profile(executor: SluiceExecutor, profiles: MemoryProfiles) -> None:
    first = executor.map(total, "s3://data/one.csv", slices=4)
    assert isinstance(first, PlannedMap)
    assert first.plan.basis == "none"
    assert "will be measured" in first.plan.explanation
    assert sum(executor.get_result(first)) == WHOLE
    assert len(first.result()) == 4
    assert first.plan.basis == "probe"
    assert first.statistics is not None
    assert [wave.slices for wave in first.statistics.waves] == [2, 2]
    assert sum(wave.bytes for wave in first.statistics.waves) <= first.plan.bytes
    for wave in first.statistics.waves:
        assert wave.failed == 0
        assert wave.seconds >= wave.start_s > 0
        assert wave.bytes_read >= wave.bytes
        assert wave.peak_mb >= wave.base_mb > 0
        assert wave.cpu_s > 0
    (key,) = profiles.keys("total@")
    assert key.endswith("/csv/localhost")

    second = executor.map(total, "s3://data/one.csv")
    assert second.plan.basis == "profile"
    assert second.plan.runs == 1
    assert second.plan.time_s
    assert sum(executor.get_result()) == WHOLE
    assert executor.plan == second.plan
    assert second.statistics is not None
    assert len(second.statistics.waves) == 1
    assert second.statistics.predicted_s == second.plan.time_s.value
    assert len(profiles.documents[key]["runs"]) == 2


@pytest.mark.parametrize("times", [0.25, 1, 3])
def test_the_rest_is_cut_anew_by_what_the_first_wave_showed(
    executor: SluiceExecutor, monkeypatch: pytest.MonkeyPatch, times: float
) -> None:
    ask, asked, wanted = executor.ask, list[PlanRequested](), list[int]()

    def other(request: PlanRequested) -> PlanReady | None:
        """The plan, but for how many slices there are in the end."""
        plan = ask(request)
        assert plan is not None
        asked.append(request)
        if request.measured:
            wanted.append(max(round(times * (planned_first.slices - 2)), 1))
            return msgspec.structs.replace(plan, slices=wanted[0])
        return msgspec.structs.replace(plan, slices=16, objects=[msgspec.structs.replace(plan.objects[0], slices=16)])

    monkeypatch.setattr(executor, "ask", other)
    planned: Any = executor.map(total, "s3://data/one.csv")
    planned_first = planned.plan
    assert sum(planned.result()) == WHOLE
    first, second = asked
    assert first.slices == second.slices == 0, "how many is left to the planner both times"
    assert 0 < second.done < 0.5
    assert sum(part.units for part in planned.slices) == ROWS
    ran = planned.statistics
    left = sum(wave.slices for wave in ran.waves[2:])
    assert 0 < ran.predicted_s - planned.plan.time_s.value <= ran.seconds - ran.waves[2].seconds, "the first wave, once"
    assert planned.plan.slices == left
    assert (left < 10) if times < 1 else (left >= 25) if times > 1 else (13 <= left <= 18)


def runs_a_program(table: Any) -> int:
    import subprocess
    import sys

    program = "import time; taken = bytearray(300_000_000); time.sleep(0.3)"
    subprocess.run([sys.executable, "-S", "-c", program], check=True)
    return int(table.num_rows)


def test_the_memory_of_programs_that_a_task_runs_is_planned_for(executor: SluiceExecutor) -> None:
    first = executor.map(runs_a_program, "s3://data/one.csv", slices=2, memory=512)
    assert sum(first.result()) == ROWS
    assert first.statistics is not None
    for wave in first.statistics.waves:
        assert wave.peak_mb >= 300 + wave.base_mb
    second = executor.map(runs_a_program, "s3://data/one.csv", slices=2)
    assert second.plan.peak_mb is not None
    assert second.plan.peak_mb.value >= 350
    assert second.plan.memory_mb >= second.plan.peak_mb.high
    second.wait()


def test_results_stand_in_the_order_of_slices_and_objects(executor: SluiceExecutor) -> None:
    def first_row(table: Any) -> int:
        return int(table.column("a")[0].as_py())

    starts = executor.map(first_row, ["s3://data/one.csv", "s3://data/more/two.csv"], slices=4).result()
    half = len(starts) // 2
    assert len(starts) == 4
    assert starts[:half] == starts[half:] == sorted(starts[:half])
    assert starts[0] == 0


def test_a_query_names_the_objects(executor: SluiceExecutor) -> None:
    planned = executor.map(total, Query(bucket="data", prefix="more/"), slices=2)
    assert sum(planned) == WHOLE
    assert planned.statistics is not None, "who has iterated over all results is at its end"
    assert sum(planned.result()) == WHOLE
    assert [part.key for part in planned.plan.objects] == ["more/two.csv"]


def test_extra_arguments_and_classes_of_the_user_travel(executor: SluiceExecutor) -> None:
    results = executor.map(doubled, "s3://data/one.csv", slices=2, extra_args=[10]).result()
    assert all(isinstance(result, Doubled) for result in results)
    assert sum(result.value for result in results) == 20 * ROWS


def test_a_failing_function_raises_its_own_exception_and_names_the_slice(
    executor: SluiceExecutor, profiles: MemoryProfiles
) -> None:
    planned = executor.map(fails_late, "s3://data/one.csv", slices=2)
    with pytest.raises(ValueError, match="seven is not allowed") as caught:
        planned.result()
    assert "slice 0 of 2" in caught.value.__notes__[0]
    assert "s3://data/one.csv" in caught.value.__notes__[0]
    assert planned.statistics is not None
    assert planned.statistics.error.startswith("ValueError")
    assert planned.statistics.waves[0].failed == 1
    assert planned.statistics.waves[0].bytes_read > 0
    again = executor.map(fails_late, "s3://data/one.csv", slices=2)
    assert again.plan.basis == "none", "a failed run must not teach a duration"
    again.wait()


def test_a_dying_worker_is_reported(executor: SluiceExecutor) -> None:
    def dies(table: Any) -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    planned = executor.map(dies, "s3://data/one.csv", slices=1)
    with pytest.raises(MemoryError, match="SIGKILL"):
        planned.result()


def test_plain_lithops_arguments_pass_through(executor: SluiceExecutor) -> None:
    executor.map(lambda x: x + 1, [1, 2, 3], include_modules=None)
    assert executor.get_result() == [2, 3, 4]
    futures = executor.map(lambda x, y: x * y, [(1, 2), (3, 4)])
    assert executor.get_result(futures) == [2, 12]
    with pytest.raises(TypeError, match="objective"):
        executor.map(total, [1], objective="cost")


def test_lithops_own_arguments_are_constraints(executor: SluiceExecutor) -> None:
    def greeting(table: Any) -> str | None:
        import os

        return os.environ.get("GREETING")

    assert len(executor.map(total, "s3://data/one.csv", obj_chunk_number=3).result()) == 3
    assert len(executor.map(total, "s3://data/one.csv", obj_chunk_size=len(CONTENT) // 4 + 1).result()) == 4
    own: dict[str, Any] = {"chunksize": 2, "extra_env": {"GREETING": "hello"}, "runtime_memory": 1024}
    planned = executor.map(greeting, "s3://data/one.csv", slices=5, workers=1, **own)
    assert planned.result() == ["hello"] * 5
    assert planned.plan.memory_mb == 1024
    assert planned.statistics is not None
    assert max(ran.slices for ran in planned.statistics.ran) == 2


def test_an_unknown_object_is_an_error_that_says_so(executor: SluiceExecutor) -> None:
    with pytest.raises(Reject, match="s3://data/nothing is not in the catalogue"):
        executor.map(total, "s3://data/nothing")


def test_without_a_planner_the_map_runs_unplanned(
    objects: S3Store, catalog: MemoryCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done: list[tuple[int, int]] = []
        with (
            caplog.at_level(logging.WARNING, "sluice"),
            SluiceExecutor(
                sluice=configured(objects, tmp_path), config={}, url=url, progress=lambda *now: done.append(now)
            ) as executor,
        ):
            planned = executor.map(total, "s3://data/one.csv")
            assert planned.plan.basis == "unplanned"
            assert sum(planned.result()) == WHOLE
            assert done[-1] == (len(planned), len(planned))
    assert "runs unplanned" in caplog.text
    assert "was not published" in caplog.text
    assert SECRET not in caplog.text


def counted(text: Any) -> int:
    return sum(1 for _ in text)


def test_without_a_planner_workers_find_the_index_that_their_format_needs(objects: S3Store, tmp_path: Path) -> None:
    text = b"".join(b"line %d %s\n" % (i, os.urandom(30).hex().encode()) for i in range(60_000))
    objects.ensure("data")
    objects.write("data", "notes.txt.gz", gzip.compress(text))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        before = {info.key for info in objects.list("sluice", "index/")}
        with SluiceExecutor(sluice=configured(objects, tmp_path), config={}, url=url, progress=False) as executor:
            planned = executor.map(counted, "s3://data/notes.txt.gz", slices=3)
            assert planned.plan.basis == "unplanned"
            assert len(planned) == 3
            assert sum(planned.result()) == 60_000
        assert {info.key for info in objects.list("sluice", "index/")} == before


def test_a_running_lake_plans_and_learns_over_http(sluice: Any) -> None:
    store = sluice.store()
    store.ensure("data")
    store.write("data", "one.csv", CONTENT)
    store.close()
    eventually(lambda: sluice.settled() and sluice.get("/catalog")["entries"], what="the object to be catalogued")
    config = Config(data=str(sluice.folder), planner=LIMITS)
    with SluiceExecutor(sluice=config, config={}, progress=False) as executor:
        assert sum(executor.map(total, "s3://data/one.csv", slices=4).result()) == WHOLE
        profiles: Any = eventually(lambda: sluice.get("/profiles")["profiles"], what="the run to be learnt")
        (profile,) = profiles.values()
        assert profile["task"] == "total"
        planned = executor.map(total, "s3://data/one.csv", deadline=0.001)
        assert planned.plan.basis == "profile"
        assert not planned.plan.feasible
        assert "cannot be kept" in planned.plan.explanation
        assert sum(planned.result()) == WHOLE
        with pytest.raises(Reject, match="not in the catalogue"):
            executor.map(total, "s3://data/nothing")


def rows_of(path: Any) -> int:
    return int(path.part.data["rows"][1] - path.part.data["rows"][0])


def test_a_store_of_many_objects_is_named_by_its_prefix(executor: SluiceExecutor, objects: S3Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "obs.ms", Observation(stations=4, times=12, channels=8))
    for file in filter(Path.is_file, folder.rglob("*")):
        objects.write("data", f"obs.ms/{file.relative_to(folder)}", file.read_bytes())
    planned = executor.map(rows_of, "s3://data/obs.ms/", slices=3)
    assert planned.result() == [40, 40, 40]
    assert (planned.plan.format, planned.plan.objects[0].key) == ("measurementset", "obs.ms/")
