"""A task of the operator's runs over an object that matches a binding; its results belong to the binding's owners.

The map's own results lie in the lake's bucket, where nobody looks. From there each goes to a key that follows from the
original's, to a place that the catalogue has by then, so that nobody else sees it for a moment. A repetition writes the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from events.bindings import Bindings
from events.errors import Reject, Retry
from events.event import Event
from events.marks import BINDINGS, SOURCE, address, marks
from events.ports import Changed, NotFound, ObjectInfo, ObjectStore, Stopping
from events.route import on
from events.tasks import TaskRule, Tasks, task_rule
from events.types import FunctionRequested, ObjectDerived, ObjectVersion


@on("dev.sluice.function.requested.v1")
def run_task(
    event: Event, data: FunctionRequested, objects: ObjectStore, bindings: Bindings, tasks: Tasks, stopping: Stopping
) -> Iterator[Event]:
    """Run it, and put the results where they belong. Raises ``Reject`` for a task that cannot be, or fails."""
    request = bindings.current(data)
    if request is None or request.result is not None:
        return
    rule = task_rule(request.parameters)
    try:
        with tasks.run(request, stopping) as made:
            results = [_put(objects, tasks, request, rule, number, one, stopping) for number, one in enumerate(made)]
    except (NotFound, Changed, Reject) as error:
        if _gone(objects, request):
            return  # removed or overwritten since: that change has an event of its own
        if isinstance(error, Reject):
            raise
        raise Reject(f"the task {rule.task}: {error}") from error
    if results:
        _tidy(objects, request, rule, {one.key for one in results})
    of = ObjectVersion(bucket=request.bucket, key=request.key, etag=request.etag, size=request.size, version=request.version)
    for one in results:
        result = ObjectVersion(bucket=one.bucket, key=one.key, etag=one.etag, size=one.size, version=one.version)
        derived = ObjectDerived(of=of, result=result, function="run_task", binding=request.binding)
        yield event.reply(derived, subject=f"{one.bucket}/{one.key}")


def _put(
    objects: ObjectStore,
    tasks: Tasks,
    request: FunctionRequested,
    rule: TaskRule,
    number: int,
    made: ObjectInfo,
    stopping: Stopping,
) -> ObjectInfo:
    """Copy a result to its place."""
    if stopping.is_set():
        raise Retry("this process is about to end")
    bucket, key = rule.place[0], rule.key(request.key, number, made.key)
    found = _there(objects, bucket, key)
    if found is not None and not _ours(found, request):
        raise Reject(f"s3://{bucket}/{key} exists, and {request.binding} did not make it of this object: let it go elsewhere")
    tasks.place(request, bucket, key)
    with tempfile.NamedTemporaryFile(prefix="sluice-") as file:
        for chunk in objects.stream(made.bucket, made.key, etag=made.etag):
            file.write(chunk)
        file.flush()
        return objects.upload(bucket, key, Path(file.name), content_type=made.content_type, user=marks(request))


def _tidy(objects: ObjectStore, request: FunctionRequested, rule: TaskRule, made: set[str]) -> None:
    """Remove what an earlier version of the object, or an attempt that was cut otherwise, had more of."""
    bucket = rule.place[0]
    for one in list(objects.list(bucket, rule.results(request.key))):
        if one.key not in made and (found := _there(objects, bucket, one.key)) is not None and _ours(found, request):
            objects.delete(bucket, one.key)


def _ours(found: ObjectInfo, request: FunctionRequested) -> bool:
    """Whether this binding has made it of this object."""
    return found.user.get(BINDINGS, "").rpartition(",")[2] == request.binding and found.user.get(SOURCE) == address(request)


def _gone(objects: ObjectStore, request: FunctionRequested) -> bool:
    found = _there(objects, request.bucket, request.key)
    return found is None or found.etag != request.etag


def _there(objects: ObjectStore, bucket: str, key: str) -> ObjectInfo | None:
    try:
        return objects.head(bucket, key)
    except NotFound:
        return None
