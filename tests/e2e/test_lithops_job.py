"""Real Lithops on localhost: events through functions, partition by partition, in processes that Lithops starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from lithops import FunctionExecutor

from events.event import Event
from infra.config import Config
from infra.runtime.job import run

MODULE = """
import os
from collections.abc import Iterator
from events.errors import Reject
from events.event import Event
from events.route import on

@on("square")
def square(event: Event) -> Iterator[Event]:
    if event.data["n"] == 3:
        raise Reject("no threes")
    yield event.reply({"square": event.data["n"] ** 2, "pid": os.getpid()}, type="squared")
"""


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # files that Lithops opens and does not close
def test_lithops_runs_a_job(tmp_path, monkeypatch):
    (tmp_path / "squares.py").write_text(MODULE)
    place = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"
    monkeypatch.setenv("PYTHONPATH", place)
    settings = {
        "lithops": {"backend": "localhost", "storage": "localhost", "data_cleaner": False},
        "localhost": {"version": 1, "runtime": sys.executable, "worker_processes": 2},
    }
    events = [Event(id=str(n), source="/s", type="square", data={"n": n}) for n in range(6)]
    with FunctionExecutor(config=settings) as executor:
        done = list(run(executor, events, ["squares"], partitions=2, config=Config()))
    assert [[reply.data["square"] for reply in each.replies] for each in done] == [[0, 1, 4], [16, 25]]
    assert [(failure.event, failure.cause) for each in done for failure in each.failures] == [("3", "no threes")]
    assert os.getpid() not in {reply.data["pid"] for each in done for reply in each.replies}
