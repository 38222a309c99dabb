"""The ``Bindings`` port: which functions the bindings in the catalogue ask for, of which objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Text, bindparam, cast, func, or_, select

from events.errors import Reject
from events.marks import BINDINGS, ETAG, SOURCE, address, place_of
from events.pattern import matcher
from events.ports import NotFound
from events.tasks import task_rule
from events.types import DeliveryFailed, FunctionRequested, ObjectVersion
from functions.tables.rule import ANOTHER, rule_of, target
from infra.catalog import failures, lists, rows, schema, targets
from infra.catalog.acl import ANYONE, SYSTEM, Acl, Caller, Right
from infra.catalog.database import Database
from infra.catalog.query import Filter, FilterError, bind, fields_of, parse
from infra.catalog.resources import Binding, DataObject, object_id
from infra.catalog.store import Conflict, Store

_b = schema.binding.c
_begins = func.length(_b.prefix)
_formats = cast(_b.formats, Text)
_MAY_MATCH = (
    select(*rows.columns("binding"))
    .where(
        _b.enabled.is_(True),
        _b.function != "",
        or_(
            func.substr(cast(bindparam("key_"), Text), 1, _begins) == _b.prefix,
            func.substr(cast(bindparam("place_"), Text), 1, _begins) == _b.prefix,
        ),
        or_(_formats == "[]", _formats.like(bindparam("format_"))),
    )
    .order_by(_b.n)
)


class StoredBindings:
    """Over a transaction. A binding acts as its owners do. ``own`` is the lake's own bucket."""

    def __init__(self, database: Database, own: str) -> None:
        self._store, self._own = Store(database), own

    def requested(self, bucket: str, key: str) -> list[FunctionRequested]:
        found = self._object(bucket, key)
        if found is None:
            return []
        asked = []
        for each in self._bindings(found):
            if (request := self._request(each, found)) is not None:
                asked.append(request)
                if request.function == "preprocess":
                    self._make_place(request, found, each.acl)
        cleared = self._result(found)
        return [*asked, cleared] if cleared is not None else asked

    def current(self, request: FunctionRequested) -> FunctionRequested | None:
        found = self._binding(request.binding)
        if found is None or found.function != request.function:
            return None
        if request.result is not None:
            result = self._object(request.result.bucket, request.result.key)
            return None if result is None or result.etag != request.result.etag else self._result(result)
        object = self._object(request.bucket, request.key)
        if object is None or object.etag != request.etag or (asked := self._request(found, object)) is None:
            return None
        if asked.function == "preprocess":
            self._check_place(asked, object, found.acl)
        if asked.function == "run_task":
            targets.check(self._store.database, self._own, found.acl, task_rule(asked.parameters).place[0])
        return asked

    def failed(self, failure: DeliveryFailed) -> ObjectVersion | None:
        found, of = self._binding(failure.binding), failure.object
        if found is None or of is None:
            return None
        failures.record(self._store.database, found.id, object_id(of.bucket, of.key), failure.cause)
        place = self._waiting(found, of)
        if place is None:
            return None
        cause = f"{failure.function} of s3://{of.bucket}/{of.key}: {failure.cause}"
        self._store.transition(place.id, "fail", SYSTEM, cause=cause)
        return ObjectVersion(bucket=place.bucket, key=place.key)

    def place(self, request: FunctionRequested, bucket: str, key: str) -> None:
        """Let what will lie there be the owners' of the binding, and nobody else's, from the beginning.

        Raises ``Reject`` where they may make nothing, where somebody else has the place, or for a binding that has gone.
        """
        of = self._binding(request.binding)
        if of is None:
            raise Reject(f"{request.binding} has gone")
        targets.check(self._store.database, self._own, of.acl, bucket)
        acl = Acl(owners=of.acl.owners)  # whoever may look at a binding need not be shown what it makes
        try:
            self._store.create(DataObject(bucket=bucket, key=key, acl=acl, user={BINDINGS: of.id}), SYSTEM)
        except Conflict:
            if set(self._store.get(object_id(bucket, key), SYSTEM).acl.owners) != set(acl.owners):
                raise Reject(f"s3://{bucket}/{key} has other owners than {of.id}: let it go elsewhere") from None

    def _waiting(self, of: Binding, source: ObjectVersion) -> DataObject | None:
        """The place that this binding has made for what it makes of an object, if nothing has come there yet."""
        with suppress(Reject, NotFound):
            found = self._store.get(object_id(*target(rule_of(of.parameters), source.bucket, source.key)), SYSTEM)
            if isinstance(found, DataObject) and found.state == "NEW" and found.user.get(BINDINGS) == of.id:
                return found
        return None

    def _bindings(self, found: DataObject) -> Iterator[Binding]:
        """Those that may match: the database leaves out, before anything is made of it, what wants another place or format."""
        database = self._store.database
        place = {"key_": found.key, "place_": f"s3://{found.bucket}/{found.key}", "format_": f'%"{found.format}"%'}
        for row in database.rows(_MAY_MATCH, place):
            made = rows.resource("binding", row, lists.read(database, row["acl"]))
            if isinstance(made, Binding):
                yield made

    def _binding(self, id: str) -> Binding | None:
        with suppress(NotFound):
            found = self._store.get(id, SYSTEM)
            if isinstance(found, Binding) and found.enabled:
                return found
        return None

    def _object(self, bucket: str, key: str) -> DataObject | None:
        with suppress(NotFound):
            found = self._store.get(object_id(bucket, key), SYSTEM)
            if isinstance(found, DataObject) and found.state == "READY":
                return found
        return None

    def _request(self, of: Binding, found: DataObject) -> FunctionRequested | None:
        derived = [each for each in found.user.get(BINDINGS, "").split(",") if each]
        if of.id in derived or not _owners_may(of, "view", found) or not _matches(of, found):
            return None
        return FunctionRequested(**_version(found), **_asked(of), derived=derived)

    def _result(self, found: DataObject) -> FunctionRequested | None:
        """For the result of a binding that keeps no originals: that its original may go."""
        binding = self._binding(found.user.get(BINDINGS, "").rpartition(",")[2])
        if binding is None or binding.parameters.get("keep", True) is not False or SOURCE not in found.user:
            return None
        source = self._object(*place_of(found.user[SOURCE]))
        if source is None or source.etag != found.user.get(ETAG) or not _owners_may(binding, "delete", source):
            return None
        made = ObjectVersion(bucket=found.bucket, key=found.key, etag=found.etag, size=found.bytes, version=found.version)
        return FunctionRequested(**_version(source), **_asked(binding), result=made)

    def _check_place(self, request: FunctionRequested, found: DataObject, acl: Acl) -> None:
        """Raises ``Reject`` where the owners in ``acl``, the binding's, may make nothing, or somebody else has the place.

        So has another original of the same binding whose result is still to come: the first to ask got the place.
        """
        bucket, key = target(rule_of(request.parameters), found.bucket, found.key)
        targets.check(self._store.database, self._own, acl, bucket)
        with suppress(NotFound):
            place = self._store.get(object_id(bucket, key), SYSTEM)
            if set(place.acl.owners) != set(found.acl.owners):
                raise Reject(
                    f"s3://{bucket}/{key} has other owners than s3://{found.bucket}/{found.key}: choose another target"
                )
            if isinstance(place, DataObject) and place.state == "NEW" and self._promised(place, address(request)):
                raise Reject(f"s3://{bucket}/{key} is where what is made of another object will lie: {ANOTHER}")

    def _promised(self, place: DataObject, mine: str) -> bool:
        """Whether an original that is still there waits for its result in this place."""
        source = place.user.get(SOURCE, mine)
        return source != mine and self._object(*place_of(source)) is not None

    def _make_place(self, request: FunctionRequested, found: DataObject, acl: Acl) -> None:
        """The result is for those eyes only that may see the original, from the beginning."""
        with suppress(Reject, Conflict):  # the function tells of a rule that makes no sense
            bucket, key = target(rule_of(request.parameters), found.bucket, found.key)
            targets.check(self._store.database, self._own, acl, bucket)
            user = {BINDINGS: request.binding, SOURCE: address(request)}
            self._store.create(DataObject(bucket=bucket, key=key, acl=found.acl, user=user), SYSTEM)


def _asked(of: Binding) -> dict[str, Any]:
    return {"binding": of.id, "function": of.function, "parameters": of.parameters}


def _version(of: DataObject) -> dict[str, Any]:
    return {
        "bucket": of.bucket, "key": of.key, "etag": of.etag, "size": of.bytes, "version": of.version,
        "modified": of.modified, "content_type": of.content_type, "format": of.format, "metadata": of.metadata,
    }  # fmt: skip


def _owners_may(of: Binding, right: Right, found: DataObject) -> bool:
    return Caller(frozenset((*of.acl.owners, ANYONE))).may(right, found.acl)


def _matches(of: Binding, found: DataObject) -> bool:
    place = f"s3://{found.bucket}/{found.key}" if of.prefix.startswith("s3://") else found.key
    if not place.startswith(of.prefix) or (of.formats and found.format not in of.formats):
        return False
    if of.content_types and not matcher(of.content_types)(found.content_type):
        return False
    if not of.filter:
        return True
    filter = _filter(of.filter, of.filter_lang)
    return filter is not None and filter.predicate(msgspec.to_builtins(found)) is True


@lru_cache(1024)
def _filter(text: str, lang: str) -> Filter | None:
    try:
        return bind(parse(text, lang), fields_of("data-object"))
    except FilterError:
        return None
