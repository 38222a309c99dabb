"""Pipelines: stages of planned maps, each over what earlier ones made, within one deadline.

    rebinned = Stage(partial(rebin, timestep=8), "s3://lake/rebinned/")
    images = Stage(image, "s3://lake/images/", options={"slices": 1})
    run = Pipeline([rebinned, images]).run(executor, "s3://lake/observation.ms.zip", deadline=600)

A stage's task is called with an opened slice and ``to``, the place of its results; it writes them and returns what it made of
what (``infra.runtime.derived``). Each stage is planned when its inputs are there. What later ones will take is
predicted before: their volume by how much larger results were than what they were made of, so far; their time by the planner.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from events.errors import Reject
from events.ports import ObjectStore, Query
from events.types import Interval, ObjectDerived, ObjectVersion, PlanReady, PlanRequested
from infra.runtime import task_code
from infra.runtime.pipeline_lake import Lake

Gather = Callable[[ObjectStore, list[ObjectDerived], str], list[ObjectDerived]]


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a pipeline.

    Attributes:
        task: called as ``task(slice, to=to)`` for each slice; returns an ``ObjectDerived``, or a list of them.
        to: ``s3://BUCKET/PREFIX/`` of its results.
        after: the stages whose results it works on; ``None`` is the one before it, or the data set for the first.
        gather: called with the object store, what the task made and ``to``, once all slices are done; what it returns
            goes on in their place.
        options: of the map, such as ``slices``, ``workers``, ``memory``, ``objective``.
        data_set: the name of a data set to define that has the results as members.

    """

    task: Callable[..., Any]
    to: str
    after: tuple[Stage, ...] | None = None
    gather: Gather | None = None
    options: dict[str, Any] = field(default_factory=dict)
    data_set: str = ""

    @property
    def name(self) -> str:
        """The task's."""
        return task_code.task_name(self.task)


@dataclass(frozen=True)
class Forecast:
    """What a stage is expected to take: bytes to work on, and seconds, if its task has a profile."""

    bytes: int
    time_s: Interval | None


@dataclass(frozen=True)
class StageRun:
    """A stage that ran: as planned, within ``deadline_s`` seconds of its own if there was one, in ``seconds``."""

    stage: Stage
    plan: PlanReady
    forecast: Forecast
    deadline_s: float | None
    seconds: float
    made: list[ObjectDerived]

    @property
    def results(self) -> list[ObjectVersion]:
        """Each object that it made, once."""
        return list({(one.result.bucket, one.result.key): one.result for one in self.made}.values())


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline that ran."""

    stages: list[StageRun]
    seconds: float
    deadline_s: float | None

    @property
    def results(self) -> list[str]:
        """The addresses of what the last stage made."""
        return [_address(one) for one in self.stages[-1].results]

    @property
    def feasible(self) -> bool:
        """Whether the planner thought of each stage that it can keep its part of the deadline."""
        return all(stage.plan.feasible for stage in self.stages)


class Pipeline:
    """Stages that work on a data set, and on each other's results. A stage comes behind those that it works on.

    Raises ``Reject`` for stages that cannot be put in this order.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        if not stages:
            raise Reject("a pipeline needs a stage")
        self.stages = list(stages)
        self._inputs: list[list[int]] = []
        for number, stage in enumerate(self.stages):
            before = self.stages[:number]
            wanted = before[-1:] if stage.after is None else stage.after
            if missing := [one for one in wanted if one not in before]:
                raise Reject(f"the stage {stage.name} works on results of {missing[0].name}, which must come before it")
            self._inputs.append([before.index(one) for one in wanted])

    def forecast(self, executor: Any, dataset: str | list[str] | Query) -> list[Forecast]:
        """What each stage is expected to take. ``executor`` and ``dataset`` as for ``run``."""
        with executor.lake() as lake:
            return self._forecast(executor, lake, dataset, {}, 0)

    def run(self, executor: Any, dataset: str | list[str] | Query, *, deadline: float | None = None) -> PipelineRun:
        """Run all stages over a data set of a running lake; each stage's results are catalogued before the next begins.

        Args:
            executor: a ``SluiceExecutor``.
            dataset: as for its ``map``.
            deadline: seconds for the whole. What is left is dealt out to the stages that are left, by the upper bounds of
                their predicted times; where nothing is known of any, evenly.

        Raises:
            Reject: what a stage should work on cannot be sliced or was refused by the lake; likewise whatever a task raises.

        """
        begin, run = time.monotonic(), str(uuid.uuid4())
        done: dict[int, StageRun] = {}
        with executor.lake() as lake:
            for number, stage in enumerate(self.stages):
                started = time.monotonic()
                ahead = self._forecast(executor, lake, dataset, done, number)
                share = _share(ahead, deadline - (started - begin)) if deadline is not None else None
                planned = executor.map(
                    stage.task, self._data(number, dataset, done), extra_args={"to": stage.to}, deadline=share, **stage.options
                )
                made = _flat(planned.result())
                lake.told(run, made)
                if stage.gather is not None:
                    made = stage.gather(executor.objects, made, stage.to)
                    lake.told(run, made)
                took = StageRun(stage, planned.plan, ahead[0], share, 0.0, made)
                lake.catalogued(took.results)
                if stage.data_set:
                    lake.define(stage.data_set, took.results)
                done[number] = replace(took, seconds=time.monotonic() - started)
        return PipelineRun(list(done.values()), time.monotonic() - begin, deadline)

    def _data(self, number: int, dataset: Any, done: dict[int, StageRun]) -> Any:
        found = [_address(one) for each in self._inputs[number] for one in done[each].results]
        return found if self._inputs[number] else dataset

    def _forecast(self, executor: Any, lake: Lake, dataset: Any, done: dict[int, StageRun], first: int) -> list[Forecast]:
        """Of the stages from ``first`` on."""
        found: list[Forecast] = []
        out = {number: sum(one.size for one in run.results) for number, run in done.items()}
        for number in range(first, len(self.stages)):
            stage, inputs = self.stages[number], self._inputs[number]
            data = self._data(number, dataset, done) if all(each in done for each in inputs) else None
            volume = sum(out[each] for each in inputs) if inputs else 0
            plan = lake.plan(_request(executor, stage, dataset if data is None else data), volume if data is None else 0)
            volume = volume if inputs else plan.bytes
            found.append(Forecast(volume, plan.time_s))
            out[number] = round(volume * lake.growth(stage.to))
        return found


def _request(executor: Any, stage: Stage, data: Any) -> PlanRequested:
    objects = [data] if isinstance(data, str) else data if isinstance(data, list) else []
    return PlanRequested(
        task=stage.name,
        code=task_code.code_hash(stage.task, stage.options.get("columns"), stage.options.get("where", ())),
        backend=executor.backend,
        image=executor.image,
        objects=objects,
        query=msgspec.to_builtins(data) if isinstance(data, Query) else {},
        objective=stage.options.get("objective", "balanced"),
        workers=stage.options.get("workers", 0),
        slices=stage.options.get("slices", 0),
        memory_mb=stage.options.get("memory", 0),
    )


def _share(ahead: list[Forecast], left: float) -> float:
    """The next stage's part of the seconds that are left; at least a millisecond, for a deadline that has passed."""
    known = [one.time_s.high for one in ahead if one.time_s]
    usual = sum(known) / len(known) if known else 1.0
    bounds = [one.time_s.high if one.time_s else usual for one in ahead]
    return max(left * bounds[0] / sum(bounds) if sum(bounds) > 0 else left / len(bounds), 0.001)


def _flat(results: list[Any]) -> list[ObjectDerived]:
    found = [one for each in results for one in (each if isinstance(each, list | tuple) else [each])]
    if wrong := [one for one in found if not isinstance(one, ObjectDerived)]:
        raise Reject(f"a stage's task must return ObjectDerived, or a list of them, not {type(wrong[0]).__name__}")
    return found


def _address(of: ObjectVersion) -> str:
    return f"s3://{of.bucket}/{of.key}"
