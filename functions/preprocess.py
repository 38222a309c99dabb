"""Preprocessing at ingest: rows and columns are chosen, tables converted and compressed, as the rule of a binding says.

The result lies under a key that follows from the rule and the original's; its user metadata names the original. That is only
removed, where the rule says so, once the result is in the catalogue.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from events.bindings import Bindings
from events.errors import Reject
from events.event import Event
from events.marks import BINDINGS, ETAG, SOURCE, address, marks
from events.ports import Changed, NotFound, ObjectInfo, ObjectStore
from events.route import on
from events.types import FunctionRequested, ObjectDerived, ObjectVersion
from functions.tables.convert import convert
from functions.tables.rule import ANOTHER, Rule, content_type, rule_of, target


@on("dev.sluice.function.requested.v1")
def preprocess(event: Event, data: FunctionRequested, objects: ObjectStore, bindings: Bindings) -> Iterator[Event]:
    """Make the result, or, when that has been catalogued, remove the original. Raises ``Reject`` for a rule that cannot be."""
    request = bindings.current(data)
    if request is None:
        return
    rule = rule_of(request.parameters)
    bucket, key = target(rule, request.bucket, request.key)
    if request.result is not None:
        _remove(request, rule, (bucket, key), objects)
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        source, result = Path(folder, "source"), Path(folder, "result")
        try:
            with source.open("wb") as file:
                for chunk in objects.stream(request.bucket, request.key, etag=request.etag):
                    file.write(chunk)
        except (NotFound, Changed):
            return  # removed or overwritten since: that change has an event of its own
        convert(rule, source, result, request)
        found = _there(objects, bucket, key)
        if found is not None:
            _check(found, request)
        made = objects.upload(bucket, key, result, content_type=content_type(rule, request), user=marks(request))
    of = ObjectVersion(bucket=request.bucket, key=request.key, etag=request.etag, size=request.size, version=request.version)
    result_version = ObjectVersion(bucket=bucket, key=key, etag=made.etag, size=made.size, version=made.version)
    derived = ObjectDerived(of=of, result=result_version, function="preprocess", binding=request.binding)
    yield event.reply(derived, subject=f"{bucket}/{key}")


def _check(found: ObjectInfo, request: FunctionRequested) -> None:
    """Raises ``Reject`` unless what is there is an earlier result of this rule, of this original."""
    place = f"s3://{found.bucket}/{found.key}"
    if found.user.get(BINDINGS, "").rpartition(",")[2] != request.binding:
        raise Reject(f"{place} exists, and is no result of {request.binding}: choose another target")
    if found.user.get(SOURCE) != address(request):  # whose, not everybody may know who sees this
        raise Reject(f"{place} is what {request.binding} made of another object: {ANOTHER}")


def _remove(request: FunctionRequested, rule: Rule, place: tuple[str, str], objects: ObjectStore) -> None:
    """Remove the original, if the result is what this rule makes of this version of it."""
    made = request.result
    if rule.keep or made is None or (made.bucket, made.key) != place:
        return
    found, original = _there(objects, *place), _there(objects, request.bucket, request.key)
    if found is None or found.etag != made.etag or original is None or original.etag != request.etag:
        return
    if found.user.get(SOURCE) == address(request) and found.user.get(ETAG) == request.etag:
        objects.delete(request.bucket, request.key)


def _there(objects: ObjectStore, bucket: str, key: str) -> ObjectInfo | None:
    try:
        return objects.head(bucket, key)
    except NotFound:
        return None
