"""A configured pipeline, run for a binding: all of its stages write where nobody looks, and only what the last made goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_type_hints

from events.errors import Reject, Retry
from events.ports import Changed, NotFound
from events.tasks import TaskRule
from events.types import FunctionRequested, ObjectDerived, ObjectVersion, PlanReady, PlanRequested
from infra.delivery.retry import cause
from infra.runtime.pipeline_lake import Lake

if TYPE_CHECKING:
    from infra.runtime.lithops import SluiceExecutor
    from infra.runtime.pipeline import Pipeline, Stage

#: Below the place that nobody looks at: what goes on from there.
RESULTS = "results/"


class Unseen(Lake):
    """What a pipeline asks of a lake that is not to know of its intermediate results: plans are ``executor``'s."""

    def __init__(self, executor: SluiceExecutor) -> None:
        self._executor = executor

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: PlanRequested) -> PlanReady:
        plan = self._executor.ask(request)
        if plan is None:
            raise Retry("the planner does not answer")
        return plan

    def growth(self, to: str) -> float:
        """Nothing is left of earlier runs there."""
        return 1.0

    def told(self, run: str, made: Sequence[ObjectDerived]) -> None:
        """The lineage is from the object to the last stage's results, and told with these."""

    def catalogued(self, results: Sequence[ObjectVersion]) -> None:
        """They will not be."""


def is_pipeline(task: Any) -> bool:
    """Whether it is a pipeline, or a function that says that it returns one."""
    from infra.runtime.pipeline import Pipeline

    if isinstance(task, Pipeline):
        return True
    try:
        return get_type_hints(task).get("return") is Pipeline
    except (NameError, TypeError):  # a task may name types that are not there, or be no function
        return False


def pipeline_of(task: Any, rule: TaskRule) -> Pipeline | None:
    """The pipeline that a configured task is, or makes of a binding's arguments; ``None`` for a plain task.

    Raises ``Reject`` for arguments that it does not take.
    """
    from infra.runtime.pipeline import Pipeline

    if not is_pipeline(task):
        return None
    if isinstance(task, Pipeline):
        if rule.args:
            raise Reject(f"the pipeline {rule.task} takes no args")
        return task
    try:
        made = task(**rule.args)
    except Exception as error:
        raise Reject(f"the pipeline {rule.task}: {cause(error)}") from error
    if not isinstance(made, Pipeline):
        raise Reject(f"the pipeline {rule.task}: a {type(made).__name__} was made for it")
    return made


def run(pipeline: Pipeline, executor: SluiceExecutor, request: FunctionRequested, rule: TaskRule, place: str) -> None:
    """Run it below ``place``. Raises ``Reject`` for what a task of it raises, and likewise as that says."""
    executor.lake = lambda: Unseen(executor)
    address = f"s3://{request.bucket}/{request.key}"
    objective = {"objective": rule.objective}
    try:
        ran = _moved(pipeline, place, objective).run(executor, address, deadline=rule.deadline_s or None)
    except (Reject, Retry, Changed, NotFound):
        raise
    except Exception as error:
        if not getattr(error, "__notes__", ()):  # of which slice it was: no task raised it
            raise
        raise Reject(f"the task {rule.task}: {cause(error)}") from error
    wanted = {(part.bucket, part.key, part.etag) for part in ran.stages[0].plan.objects}
    if wanted != {(request.bucket, request.key, request.etag)}:
        raise Changed(f"{address} is another version by now")


def _moved(pipeline: Pipeline, place: str, options: dict[str, Any]) -> Pipeline:
    """The same stages, with all that they make below ``place``. A data set of it would be of what is removed at once."""
    from infra.runtime.pipeline import Pipeline

    moved: dict[Stage, Stage] = {}
    for number, stage in enumerate(pipeline.stages):
        below = RESULTS if stage is pipeline.stages[-1] else f"stage-{number}/"
        after = None if stage.after is None else tuple(moved[one] for one in stage.after)
        moved[stage] = replace(stage, to=place + below, after=after, data_set="", options={**options, **stage.options})
    return Pipeline(list(moved.values()))
