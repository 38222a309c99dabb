"""The port to tasks that bindings run over objects, and what a binding says of one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec

from events.errors import Reject
from events.ports import ObjectInfo, Stopping
from events.types import FunctionRequested


class TaskRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``task`` is one of those that the configuration names, ``into`` (``s3://BUCKET/PREFIX``) where its results go.

    ``form`` is that of tables among them, ``args`` what the task is called with besides the object's slice; ``deadline_s`` (0:
    none) and ``objective`` are what its plan heeds.
    """

    task: str
    into: str
    form: Literal["parquet", "csv", "jsonl"] = "parquet"
    args: dict[str, Any] = {}
    deadline_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    objective: Literal["time", "cost", "balanced"] = "balanced"

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and prefix of the results."""
        bucket, _, prefix = self.into.removeprefix("s3://").partition("/")
        return bucket, prefix if not prefix or prefix.endswith("/") else f"{prefix}/"

    def results(self, key: str) -> str:
        """What the keys of all results of the object at ``key`` begin with."""
        return f"{self.place[1]}{key}.{self.task}-"

    def key(self, key: str, number: int, made: str) -> str:
        """The key of a result: it follows from the original's, the task and the part, so a repetition writes the same."""
        return f"{self.results(key)}{number:05}{''.join(PurePosixPath(made).suffixes)}"


def task_rule(parameters: dict[str, Any]) -> TaskRule:
    """What a binding's parameters say of a task. Raises ``Reject``."""
    try:
        rule = msgspec.convert(parameters, TaskRule)
    except msgspec.ValidationError as error:
        raise Reject(f"this is no task to run: {error}") from error
    if not rule.into.startswith("s3://") or not rule.place[0]:
        raise Reject(f"into: {rule.into[:200]!r} is no place for results: write s3://BUCKET/PREFIX/")
    return rule


@runtime_checkable
class Tasks(Protocol):
    """The tasks that the configuration names."""

    def run(self, request: FunctionRequested, stopping: Stopping) -> AbstractContextManager[Sequence[ObjectInfo]]:
        """Run the task that a binding asks for. Its results lie where nobody looks, until the context is left.

        Raises ``Reject`` for a task that there is none of, or that fails; ``NotFound`` or ``Changed`` if the object is no more
        what it was; ``Retry`` soon after it is told to stop.
        """
        ...

    def place(self, request: FunctionRequested, bucket: str, key: str) -> None:
        """Let what will lie there be the binding's owners', and nobody else's, from the beginning.

        Raises ``Reject`` where they may make nothing, or where there is something that is others'.
        """
        ...
