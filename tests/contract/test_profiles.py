"""Profiles under two planners at once: a thousand updates, doubled and reordered, end in the one profile there can be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from events.types import TaskExecuted, Wave
from functions.planner.history import History, fold
from infra.config import Config, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store
from tests.conftest import eventually

ROOT = Path(__file__).parents[2]
RUNS = 1000
WORK = """
import random, sys
import msgspec
from events.event import Event
from events.types import TaskExecuted
from events.types import WorkerSize
from functions.planner.decide import Prices, decide
from functions.planner.grid import configurations
from functions.planner.history import find, read_history
from infra.config import Config, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store
from tests.contract.test_profiles import RUNS, executed

name, data, url = sys.argv[1:]
lake = Lake(Config(data=data, log=EventLog(url=url)), S3Store("http://127.0.0.1:9", "a", "b"))
numbers = list(range(RUNS))
random.Random(name).shuffle(numbers)
events = [
    Event(id=f"{name}-{number}", source="/t", type="dev.sluice.task.executed.v1", subject="count",
          data=msgspec.to_builtins(executed(number)))
    for number in numbers
]
lake.worker.start()
for start in range(0, RUNS, 100):
    lake.append(events[start:start + 100]).result()
    for profile in lake.profiles("count@").values():
        load = configurations([WorkerSize(memory_mb=512, max_workers=8)], volume=10**6, units=100)
        assert decide(read_history(profile).waves, load, Prices(1e-5, 1e-7)).choice.workers > 0
print("appended", flush=True)
sys.stdin.read()
lake.close()
"""


def executed(number: int) -> TaskExecuted:
    """A run; every fifth failed."""
    wave = Wave(workers=2, slices=4, bytes=1000 + number, seconds=1.0 + number % 7, failed=int(number % 5 == 0))
    finished = f"2026-01-{1 + number // 500:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"
    return TaskExecuted(
        run=f"run-{number}",
        task="count",
        code="c0de",
        format="csv",
        backend="k8s",
        image="lab:1",
        finished=finished,
        waves=[wave],
    )


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("redis_server").url) if request.param == "redis" else ""


def test_two_planners_and_a_thousand_doubled_reordered_updates_end_in_one_profile(tmp_path: Path, url: str) -> None:
    expected: History | None = None
    for number in range(RUNS):
        expected = fold(expected, executed(number))
    store = S3Store("http://127.0.0.1:9", "a", "b")
    lake = Lake(Config(data=str(tmp_path), log=EventLog(url=url)), store)  # reads only
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, name, str(tmp_path), url],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    key = "count@c0de/csv/k8s/lab:1"

    def told() -> bool:
        return lake.profiles("count@") == {key: msgspec.to_builtins(expected)}

    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"appended\n"
        eventually(lambda: lake.status()["log"].get("waiting", 0) == 0 and told(), 90, "all updates to be folded in")
        for worker in workers:
            worker.communicate(timeout=60)
            assert worker.returncode == 0
        assert told()
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.communicate()
        lake.close()
        store.close()
