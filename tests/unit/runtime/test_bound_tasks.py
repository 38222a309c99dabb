"""What the configuration may name as a task, and what is a pipeline among that."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import Reject
from events.tasks import TaskRule, task_rule
from infra.config import ConfigError
from infra.runtime.bound_pipeline import is_pipeline, pipeline_of
from infra.runtime.bound_tasks import loaded
from infra.runtime.pipeline import Pipeline, Stage

HERE = "tests.unit.runtime.test_bound_tasks"
NONE = "no function"


def plain(table: Any) -> Any:
    return table


def unclear(table: Nowhere) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821 - as under TYPE_CHECKING
    return table


ready = Pipeline([Stage(plain, "s3://a/")])


def made(count: int) -> Pipeline:
    return Pipeline([Stage(plain, "s3://a/")] * count)


def wrong() -> Pipeline:
    return "none"  # type: ignore[return-value]


def rule(**args: Any) -> TaskRule:
    return task_rule({"task": "t", "into": "s3://b/", "args": args})


def test_functions_and_pipelines_are_tasks_and_nothing_else_is() -> None:
    names = {name: f"{HERE}:{name}" for name in ("plain", "unclear", "ready", "made")}
    assert loaded(names) == {"plain": plain, "unclear": unclear, "ready": ready, "made": made}
    for place, told in ((f"{HERE}:NONE", "nor a pipeline"), (f"{HERE}:gone", "gone"), ("no_such_module:f", "no_such_module")):
        with pytest.raises(ConfigError, match=f"sluice.tasks: t is to be {place}.*{told}"):
            loaded({"t": place})


def test_a_pipeline_is_one_or_says_that_it_makes_one() -> None:
    assert [is_pipeline(task) for task in (plain, unclear, ready, made)] == [False, False, True, True]
    assert pipeline_of(plain, rule()) is None
    assert pipeline_of(ready, rule()) is ready
    made_of_it = pipeline_of(made, rule(count=1))
    assert made_of_it is not None
    assert len(made_of_it.stages) == 1
    for task, args, told in ((ready, {"a": 1}, "no args"), (made, {"many": 1}, "TypeError"), (wrong, {}, "a str was made")):
        with pytest.raises(Reject, match=told):
            pipeline_of(task, rule(**args))
