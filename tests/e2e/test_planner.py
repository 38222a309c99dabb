"""One plan, four ways to ask for it; and what the command line draws of plans and profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import msgspec
import pytest

from events.errors import Reject
from events.types import PlanReady, PlanRequested, TaskExecuted, Wave
from infra.config import Config
from infra.demo.measurement_set import Observation, write
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planner_client import HttpPlanner
from infra.runtime.task_code import code_hash
from tests.conftest import Sluice, eventually

ROWS = 3000


def rows(table: Any) -> int:
    return int(table.num_rows)


@pytest.fixture
def lake(sluice: Sluice, tmp_path: Path) -> Sluice:
    """A lake with one object and a profile of a task."""
    with closing(sluice.store()) as store:
        store.ensure("lake")
        store.write("lake", "numbers.csv", b"n,square\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(ROWS)))
    eventually(sluice.settled, 60, "the object to be ingested")
    planner = HttpPlanner(sluice.endpoints["http"])
    for number in range(3):
        wave = Wave(
            workers=1 + number % 2, slices=4, bytes=30_000, seconds=4.0 / (1 + number % 2), memory_mb=512, cores=2, start_s=0.5,
            read_s=0.2, compute_s=3.5, cpu_s=3.4, peak_mb=90, base_mb=80,
        )  # fmt: skip
        planner.publish(
            TaskExecuted(
                run=f"r{number}",
                task="rows",
                code=code_hash(rows),
                format="csv",
                backend="localhost",
                waves=[wave],
                finished=f"2026-01-01T00:00:0{number}Z",
                predicted_s=4.4,
            )
        )
    eventually(sluice.settled, 60, "the runs to be learnt")
    return sluice


def test_an_event_http_python_and_a_lithops_map_get_the_same_plan(lake: Sluice, monkeypatch: pytest.MonkeyPatch) -> None:
    url = lake.endpoints["http"]
    asked: list[PlanRequested] = []
    answers: list[PlanReady | None] = []
    monkeypatch.setenv("SLUICE_DATA", str(lake.folder))
    with SluiceExecutor(sluice=Config(data=str(lake.folder)), config={}, url=url, progress=False) as executor:
        ask = executor.ask

        def both(request: PlanRequested) -> PlanReady | None:
            """The map teaches the profile, so the others are asked before it runs."""
            asked.append(request)
            answers.extend([ask(request), HttpPlanner(url).plan(request)])
            return answers[0]

        monkeypatch.setattr(executor, "ask", both)
        run = executor.map(rows, "s3://lake/numbers.csv", objective="time=1,cost=1", deadline=500.0)
        mapped = run.plan
        assert sum(run.result()) == ROWS
    request = msgspec.json.encode(asked[0])
    eventually(lake.settled, 60, "the map to be learnt")
    python = HttpPlanner(url).plan(asked[0])
    answered = msgspec.json.decode(httpx.post(f"{url}/plan", content=request).content, type=PlanReady)
    event = {
        "specversion": "1.0",
        "id": "ask",
        "source": "/t",
        "type": "dev.sluice.plan.requested.v1",
        "data": json.loads(request),
    }
    httpx.post(url, json=event, headers={"content-type": "application/cloudevents+json"}).raise_for_status()

    def told() -> PlanReady | None:
        found = list(lake.get("/events", type="dev.sluice.plan.ready.v1")["events"])
        return msgspec.convert(found[-1]["event"]["data"], PlanReady) if found else None

    assert eventually(told, 30, "the plan's event") == answered == python
    assert answers[0] == answers[1] == mapped
    assert python.basis == mapped.basis == "profile"
    assert python.runs == mapped.runs + 1
    assert mapped.slices_per_worker == -(-mapped.slices // mapped.workers)
    assert "time=1,cost=1" in mapped.explanation


def test_plans_and_profiles_are_drawn(lake: Sluice, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        environment = {**os.environ, "SLUICE_DATA": str(lake.folder)}
        command = [sys.executable, "-m", "infra.cli", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert done.returncode == (1 if arguments[1] == "nothing" else 0), done.stderr
        return done.stdout + done.stderr

    drawn = call("plan", "rows", "s3://lake/numbers.csv", "--plot", "--svg", "plan.svg")
    assert "# plan" in drawn
    assert "o front" in drawn
    assert ElementTree.parse(tmp_path / "plan.svg").getroot().tag.endswith("svg")
    shown = call("profile", "rows", "--plot", "profile.svg")
    assert "3 runs, 3 of them to learn from; median error" in shown
    assert ". fitted" in shown
    assert "polyline" in (tmp_path / "profile.svg").read_text()
    (told,) = json.loads(call("profile", "rows", "--json"))["profiles"]
    assert [point["workers"] for point in told["curve"]][:2] == [1, 2]
    assert len(told["runs"]) == 3
    assert "rows" in call("profile", "")
    assert "there is no profile of 'nothing'" in call("profile", "nothing")


def steps(path: Any) -> int:
    return int(path.part.data["times"][1] - path.part.data["times"][0])


def test_a_store_of_many_objects_is_planned_and_mapped_by_its_prefix(lake: Sluice, tmp_path: Path) -> None:
    folder = write(tmp_path / "obs.ms", Observation(stations=4, times=12, channels=8))
    with closing(lake.store()) as store:
        for file in filter(Path.is_file, folder.rglob("*")):
            store.write("lake", f"night/obs.ms/{file.relative_to(folder)}", file.read_bytes())
    environment = {**os.environ, "SLUICE_DATA": str(lake.folder)}
    command = [sys.executable, "-m", "infra.cli", "plan", "steps", "s3://lake/night/obs.ms/", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (planned,) = json.loads(done.stdout)["objects"]
    assert (planned["key"], planned["format"], planned["units"]) == ("night/obs.ms/", "measurementset", 12)
    config, url = Config(data=str(lake.folder)), lake.endpoints["http"]
    with SluiceExecutor(sluice=config, config={}, url=url, progress=False) as executor:
        run = executor.map(steps, "s3://lake/night/obs.ms/", slices=3)
        assert run.result() == [4, 4, 4]
        assert run.plan.basis != "unplanned"
        with pytest.raises(Reject, match="s3://lake/night/ is no store of many objects"):
            executor.map(steps, "s3://lake/night/")
