"""A user who follows the plans, simulated: a probe first, then run after run over data sets of other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from events.types import Wave
from functions.planner.decide import Decision, Prices, decide
from functions.planner.grid import Load, Vector
from functions.planner.probe import probe_parts
from infra.bench.planner_tasks import GB_S, REQUEST, Platform, Task, place, resized

PRICES = Prices(GB_S, REQUEST)
#: How much of the task's data each run is about, again and again.
SIZES = (0.25, 1.0, 0.5)
Runs = list[list[Wave]]


@dataclass
class Step:
    """A plan for all of the task's data after so many runs, with the truth beside it."""

    runs: int
    load: Load
    decision: Decision
    at: int
    regret: float
    died: bool


def probe(task: Task, load: Load, random: np.random.Generator) -> list[Wave]:
    """The first wave of a map that nothing is known of: a slice of each size on a worker of its own."""
    choice = decide([], load, PRICES).choice
    at = place(load, choice)
    waves = []
    for part in probe_parts(choice.workers, fixed=False):
        size = max(load.slice_bytes[at] / part, load.bytes[at] / load.slices.max())
        single = load[np.array([at])]
        single = replace(single, bytes=np.array([size]), workers=np.ones(1), slices=np.ones(1), slice_bytes=np.array([size]))
        waves.append(task.run(single, 0, random))
    return waves


def follow(
    task: Task, platform: Platform, objective: str, runs: int, seed: int, deadline: float | None = None
) -> Iterator[Runs]:
    """What is known after the probe, and after each of so many runs that follow the plans, newest first."""
    # Luck of its own for each user: with the same for all, a median over them would be one draw.
    random = np.random.default_rng([seed, crc32(f"{task.name}/{platform.name}/{objective}/{deadline}".encode())])
    history: Runs = []
    for number in range(runs):
        now = resized(task, SIZES[number % len(SIZES)])
        load = platform.grid(now.volume * 1e9, max(1, int(now.units * SIZES[number % len(SIZES)])))
        waves = probe(now, load, random) if number == 0 else []
        known = [waves, *history] if waves else history
        if number == 0:
            yield known
        choice = decide(known, load, PRICES, objective=objective, deadline=deadline).choice
        history = [[*waves, now.run(load, place(load, choice), random)], *history]
        yield history


def history(task: Task, platform: Platform, objective: str, runs: int, seed: int, deadline: float | None = None) -> Runs:
    """What is known after so many runs."""
    *_, known = follow(task, platform, objective, runs, seed, deadline)
    return known


def steps(task: Task, platform: Platform, objective: str, runs: int, seed: int) -> Iterator[Step]:
    """The plan for all of the task's data after the probe, and after each run."""
    whole = platform.grid(task.volume * 1e9, task.units)
    value = task.value(whole, objective)
    for number, known in enumerate(follow(task, platform, objective, runs, seed)):
        yield _step(number, whole, value, known, objective)


def _step(runs: int, load: Load, value: Vector, known: Runs, objective: str) -> Step:
    decision = decide(known, load, PRICES, objective=objective)
    at = place(load, decision.choice)
    died = not bool(np.isfinite(value[at]))
    return Step(runs, load, decision, at, 1.0 if died else float(value[at] / value.min() - 1), died)
