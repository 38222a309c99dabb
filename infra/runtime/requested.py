"""Requests for a function by its name: nobody else gets them."""

from __future__ import annotations

from collections.abc import Sequence

from events.errors import Reject
from events.event import Event
from events.route import Routes
from events.tasks import task_rule
from functions.tables.rule import rule_of, target
from infra.catalog import targets
from infra.catalog.database import Database
from infra.catalog.resources import Binding
from infra.config import Config
from infra.runtime.bound_tasks import unknown

REQUESTED = "dev.sluice.function.requested.v1"


def named(event: Event, functions: Sequence[str]) -> list[str]:
    """The one of the functions that the request is for. One that is not here is a target too, and ends as a dead letter."""
    name = event.data.get("function") if isinstance(event.data, dict) else None
    if name in functions:
        return [str(name)]
    return [f"function {str(name)[:100]}"]


def check(routes: Routes, wanted: Binding, database: Database, config: Config) -> None:
    """Raises ``Reject`` for a binding to a function that takes no such requests, or to a rule that makes no sense.

    Nor may its results go where its owners may make nothing; ``config`` knows the tasks and the lake's own bucket.

    One that is not enabled may be anything: that is how a binding is put aside whose function has gone.
    """
    if not wanted.enabled:
        return
    known = [handler.name for handler in routes.match(REQUESTED)]
    if wanted.function not in known:
        raise Reject(f"function: {wanted.function[:100]!r} cannot be bound; those that can are {', '.join(known)}")
    if wanted.function == "preprocess":
        rule = rule_of(wanted.parameters)
        if rule.convert in wanted.formats and not rule.target:
            raise Reject(f"the result, {rule.convert} of {rule.convert}, would replace the original: give the rule a target")
        if rule.target.startswith("s3://"):
            targets.check(database, config.bucket, wanted.acl, target(rule, "", "")[0])
    if wanted.function == "run_task":
        task = task_rule(wanted.parameters)
        if task.task not in config.tasks:
            raise Reject(unknown(task.task, config.tasks))
        targets.check(database, config.bucket, wanted.acl, task.place[0])
