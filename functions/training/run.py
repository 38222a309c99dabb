"""The process that trains: ``python -m functions.training.run FOLDER``. All it knows is what it finds there.

request.json    agent, parameters, what goes into the model's metadata, the number of data files
data.0 ...      what it learns from
checkpoint      where it begins, if there is one; also where it writes the next
model.onnx      what came of it

It prints one JSON object a line: ``{"steps", "success", "loss"}``, ``{"checkpoint": true}``, at last ``{"metrics": {...}}``, or
``{"error": "..."}``. It ends when its standard input does: with whoever started it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from events.errors import Reject, SluiceError
from functions.training import ray_way
from functions.training.export import export
from functions.training.flood import FloodLearner
from functions.training.learner import Learner, alone
from functions.training.parallel import Company, single
from functions.training.ppo import EvacuationLearner
from functions.training.settings import Evacuation, Flood, Settings, settings_of

CHECKPOINT, MODEL, REQUEST = "checkpoint", "model.onnx", "request.json"


def learner_of(settings: Settings, data: list[bytes], rank: int, company: Company | None) -> Learner:
    """A process's learner."""
    average = company.average if company else alone
    if isinstance(settings, Evacuation):
        return EvacuationLearner(settings, data, rank, average)
    if isinstance(settings, Flood):
        return FloodLearner(settings, data, rank, average)
    raise TypeError(f"nobody learns with {type(settings).__name__}")


def learn(settings: Settings, data: list[bytes], checkpoint: bytes, company: Company | None) -> Iterator[dict[str, Any]]:
    """Learn to the end: points of the curve, every ``settings.every`` rounds a ``checkpoint``, and at last the ``learner``.

    Every process of a ``company`` runs this; only what the first one yields counts.
    """
    rank = company.rank if company else 0
    learner = learner_of(settings, data, rank, company)
    if checkpoint:
        learner.restore(opened(checkpoint)[rank])
    for number, point in enumerate(learner.rounds(), 1):
        yield point
        if number % settings.every == 0:
            states = company.gather(learner.state) if company else [learner.state]
            if states is not None:
                yield {"checkpoint": closed(states)}
    yield {"learner": learner}


def closed(states: list[dict[str, Any]]) -> bytes:
    """The states of all processes as bytes that hold tensors and plain values only."""
    made = io.BytesIO()
    torch.save([_tensors(state) for state in states], made)
    return made.getvalue()


def opened(checkpoint: bytes) -> list[dict[str, Any]]:
    """What ``closed`` made. Nothing in it can run: a pickle of anything else is refused. Raises ``Reject``."""
    try:
        found: list[dict[str, Any]] = torch.load(io.BytesIO(checkpoint), weights_only=True)
    except Exception as error:  # torch says it in many ways
        raise Reject(f"the checkpoint cannot be read ({str(error)[:200]}): remove it, and the training begins anew") from error
    return found


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tensors(each) for name, each in value.items()}
    return torch.from_numpy(value.copy()) if type(value).__module__ == "numpy" and value.ndim else value


def main(folder: Path, rank: int = 0) -> None:
    """Train what the folder asks for. ``rank`` is not 0 in the processes that help the first."""
    single()
    request = json.loads((folder / REQUEST).read_bytes())
    settings = settings_of(request["agent"], request["parameters"])
    data = [(folder / f"data.{number}").read_bytes() for number in range(request["data"])]
    checkpoint = (folder / CHECKPOINT).read_bytes() if (folder / CHECKPOINT).exists() else b""
    if settings.way == "ray" and settings.processes > 1:
        course = ray_way.learn(request["agent"], request["parameters"], data, checkpoint)
        _follow(course, settings, request, folder)
        return
    with _company(settings, folder, rank) as company:
        course = learn(settings, data, checkpoint, company)
        if rank:
            for _ in course:
                pass
        else:
            _follow(course, settings, request, folder)


def _follow(course: Iterator[dict[str, Any]], settings: Settings, request: dict[str, Any], folder: Path) -> None:
    for found in course:
        if "checkpoint" in found:
            _write(folder / CHECKPOINT, found["checkpoint"])
            _say({"checkpoint": True})
        elif "learner" in found:
            exam = found["learner"].exam()
            content = export(exam, request["told"])
            metrics = exam.measure(content)
            told = {**request["told"], **{f"sluice.{name}": f"{value:.4f}" for name, value in metrics.items()}}
            _write(folder / MODEL, export(exam, told))
            _say({"metrics": metrics})
        else:
            _say(found)


@contextmanager
def _company(settings: Settings, folder: Path, rank: int) -> Iterator[Company | None]:
    """The other processes, started by the first one and ended with it."""
    if settings.processes == 1:
        yield None
        return
    command = [sys.executable, "-P", "-m", "functions.training.run", str(folder)]
    others = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for number in (range(1, settings.processes) if rank == 0 else ())
    ]
    company = None
    try:
        company = Company(settings.processes, rank, f"file://{folder}/meeting")
        yield company
    finally:
        if company:
            company.close()
        for each in others:
            if each.stdin:
                each.stdin.close()  # it ends by that, if it has not yet
            each.wait()


def _write(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(content)
    part.replace(file)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _watch() -> None:
    """End this process at once when whoever started it is gone."""
    while os.read(0, 1):
        pass
    os._exit(3)


if __name__ == "__main__":
    threading.Thread(target=_watch, daemon=True).start()
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    except Exception as error:
        text = str(error) if isinstance(error, SluiceError) else f"{type(error).__name__}: {error}"
        _say({"error": " ".join(text.split())[:1000], "reject": isinstance(error, Reject)})
        raise
