"""The ``Tasks`` port: tasks of the configuration, run as planned Lithops maps for bindings.

What a task makes lies below ``tasks/`` in the lake's own bucket until the function has put it in its place: nobody sees that
bucket, and nothing in it is catalogued. Plans, and what the runs teach, are the lake's own: nothing here asks it by HTTP.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from events.errors import Reject, Retry
from events.ports import Changed, NotFound, ObjectInfo, ObjectStore, Stopping
from events.tasks import TaskRule, task_rule
from events.types import FunctionRequested
from infra.catalog.bindings import StoredBindings
from infra.catalog.database import Database
from infra.config import Config, ConfigError, Objects
from infra.delivery.retry import cause
from infra.objects.providers import Providers, split
from infra.runtime import bound_pipeline
from infra.runtime.bound_pipeline import RESULTS
from infra.runtime.lake_planner import LakePlanner

if TYPE_CHECKING:
    from infra.lake import Lake
    from infra.runtime.lithops import SluiceExecutor

#: Below this, in the lake's own bucket, lies what tasks have made and nobody may see yet.
PREFIX = "tasks/"


class BoundTasks:
    """Of ``lake``. Raises ``ConfigError`` where the configuration names what is no task."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._tasks = loaded(lake.config.tasks)

    @contextmanager
    def run(self, request: FunctionRequested, stopping: Stopping) -> Iterator[list[ObjectInfo]]:
        rule = task_rule(request.parameters)
        task = self._tasks.get(rule.task)
        if task is None:
            raise Reject(unknown(rule.task, self._tasks))
        if split(request.bucket)[0] or request.key.endswith("/"):  # workers know one store; the name of a folder is no object
            raise Reject(f"tasks run over objects of the lake's own store, and s3://{request.bucket}/{request.key} is none")
        from infra.runtime.lithops import SluiceExecutor  # a lake without tasks does not wait for it

        own = self._lake.config.bucket
        name = f"{request.binding} {request.bucket}/{request.key}"
        place = f"{PREFIX}{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}/"
        _clear(self._lake.objects, own, place)  # of an attempt that was killed
        try:
            with (
                closing(LakePlanner(self._lake)) as planner,
                SluiceExecutor(sluice=self._config(), planner=planner, progress=False) as executor,
            ):
                executor.stopping = stopping.is_set
                if (pipeline := bound_pipeline.pipeline_of(task, rule)) is not None:
                    bound_pipeline.run(pipeline, executor, request, rule, f"s3://{own}/{place}")
                else:
                    _mapped(executor, task, request, rule, f"s3://{own}/{place}{RESULTS}")
            made = list(self._lake.objects.list(own, place + RESULTS))
            yield [self._lake.objects.head(own, one.key) for one in made]
        finally:
            _clear(self._lake.objects, own, place)

    def place(self, request: FunctionRequested, bucket: str, key: str) -> None:
        own = self._lake.config.bucket

        def work(database: Database) -> tuple[None, tuple[()]]:
            StoredBindings(database, own).place(request, bucket, key)
            return None, ()

        self._lake.commit(work).result()

    def _config(self) -> Config:
        """The configuration, with the object store as this process knows it: nothing else tells before the lake has started."""
        objects, config = self._lake.objects, self._lake.config
        store: Any = objects.default if isinstance(objects, Providers) else objects
        access, secret, region = store.keys
        return msgspec.structs.replace(
            config, objects=Objects(endpoint=store.endpoint, region=region, access_key=access, secret_key=secret)
        )


def loaded(tasks: Mapping[str, str]) -> dict[str, Any]:
    """The tasks by their names. Raises ``ConfigError``."""
    found: dict[str, Any] = {}
    for name, place in tasks.items():
        module, _, attribute = place.partition(":")
        try:
            found[name] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"sluice.tasks: {name} is to be {place}, which cannot be had: {error}") from error
        if not (callable(found[name]) or bound_pipeline.is_pipeline(found[name])):
            raise ConfigError(f"sluice.tasks: {name} is to be {place}, which is no function, nor a pipeline")
    return found


def unknown(name: str, tasks: Mapping[str, Any]) -> str:
    """What whoever names a task is told that there is none of."""
    return f"task: {name[:100]!r} is none of sluice.tasks; those are {', '.join(sorted(tasks)) or 'none'}"


def _mapped(executor: SluiceExecutor, task: Callable[..., Any], request: FunctionRequested, rule: TaskRule, into: str) -> None:
    address = f"s3://{request.bucket}/{request.key}"
    try:
        planned = executor.map(
            task,
            [address],
            extra_args=rule.args,
            objective=rule.objective,
            deadline=rule.deadline_s or None,
            into=into,
            form=rule.form,
            keep=False,
        )
    except TypeError as error:  # it cannot be sent to workers
        raise Reject(f"the task {rule.task}: {error}") from error
    if any((part.bucket, part.key, part.etag) != (request.bucket, request.key, request.etag) for part in planned.slices):
        raise Changed(f"{address} is another version by now")
    planned.wait()
    try:
        planned.result()
    except (Reject, Retry, Changed, NotFound):
        raise
    except Exception as error:  # the map has tried it again already
        raise Reject(f"the task {rule.task}: {cause(error)}") from error


def _clear(objects: ObjectStore, bucket: str, prefix: str) -> None:
    with suppress(NotFound):  # there is no such bucket yet
        for one in list(objects.list(bucket, prefix)):
            objects.delete(bucket, one.key)
