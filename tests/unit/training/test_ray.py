"""Training by Ray, for real: the same steps and the same model as without it. Only a laptop may do without Ray."""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from functions.training.process import Process
from tests.conftest import missing


@pytest.fixture(autouse=True, scope="module")
def installed() -> None:
    if not all(map(importlib.util.find_spec, ("ray", "torch"))):
        missing("needs the Python packages ray and torch (the extra ray has them)")


LITTLE = {"steps": 64, "batch": 8, "side": 16, "trials": 4, "processes": 2, "every": 2}


def request(folder: Path, **parameters: Any) -> Process:
    folder.mkdir()
    asked = {"agent": "flood", "parameters": parameters, "told": {}, "data": 0}
    (folder / "request.json").write_bytes(msgspec.json.encode(asked))
    return Process(folder)


@pytest.mark.timeout(300)
def test_tasks_of_ray_learn_what_processes_do(tmp_path: Path) -> None:
    found = {}
    for way in ("processes", "ray"):
        with request(tmp_path / way, way=way, **LITTLE) as process:
            found[way] = list(process.lines(threading.Event()))
    assert found["ray"] == found["processes"]
    assert [each["steps"] for each in found["ray"] if "loss" in each] == list(range(8, 65, 8))
    assert (tmp_path / "ray" / "model.onnx").read_bytes() == (tmp_path / "processes" / "model.onnx").read_bytes()


@pytest.mark.timeout(400)
def test_nothing_of_ray_stays_when_its_training_is_killed(tmp_path: Path) -> None:
    with request(tmp_path / "killed", way="ray", **{**LITTLE, "steps": 10**9}) as process:
        lines = process.lines(threading.Event())
        assert "loss" in next(lines)
        running = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
        (child,) = [each for each in running if "functions.training.run" in each.cmdline()]
        family = child.children(recursive=True)
        assert len(family) > 2
        child.send_signal(signal.SIGKILL)
        with pytest.raises(RuntimeError, match="ended with -9"):
            list(lines)
    end = time.monotonic() + 200  # Ray's own agents look only now and then whether they are still needed
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family):
        assert time.monotonic() < end, [each.name() for each in family if each.is_running()]
        time.sleep(0.2)
