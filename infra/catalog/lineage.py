"""Lineage in the database: every invocation of a function as an activity, what it used and what it generated.

An entity is ``s3://BUCKET/KEY`` (its version is the ETag), the id of a resource (of a data set the version is a cursor),
``model/REPOSITORY/NAME``, ``plan/ID`` or ``event/ID``. Source: PROV-DM (W3C, 2013), section 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from events.ports import NotFound
from infra.access.visible import visible
from infra.catalog import lineage_silent, times
from infra.catalog.acl import Caller
from infra.catalog.database import Database, Upsert
from infra.catalog.resources import kind_of, object_id
from infra.catalog.schema import activity, generated, used

#: Most activities of one answer, and how many of one entity are read at once.
MOST, PAGE = 1000, 100
#: Greater than all numbers of activities.
NEWEST = 2**63 - 1
_a = activity.c


def _put(insert: Any) -> Any:
    told = ("id", "function", "agent", "started", "ended", "detail")
    made = insert(activity).values({name: bindparam(name) for name in told})
    return made.on_conflict_do_update(index_elements=[_a.id], set_={"ended": made.excluded.ended}).returning(_a.n)


_PUT = Upsert(_put)
_TABLES = {"used": used, "generated": generated}
_RELATE = {
    "used": Upsert(lambda insert: insert(used).on_conflict_do_nothing()),
    "generated": Upsert(lambda insert: insert(generated).on_conflict_do_nothing()),
}
_BY = {
    name: select(_a.n, _a.id, _a.function, _a.started, _a.ended, _a.detail)
    .join(table, table.c.activity == _a.n)
    .where(table.c.entity == bindparam("entity"), table.c.activity < bindparam("before"))
    .order_by(_a.n.desc())
    .limit(bindparam("limit"))
    for name, table in _TABLES.items()
}
_OF = {
    name: select(table.c.entity, table.c.version).where(table.c.activity == bindparam("n")).order_by(table.c.entity)
    for name, table in _TABLES.items()
}


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was used or generated, in one version."""

    entity: str
    version: str = ""


class Activity(msgspec.Struct, frozen=True):
    """One invocation of a function. Times are RFC 3339; ``failed`` is the cause of one that failed for good."""

    id: str
    function: str
    started: str
    ended: str
    used: list[Entity]
    generated: list[Entity]
    failed: str = ""


class Lineage(msgspec.Struct, frozen=True):
    """What an entity was made by (``origin``), and what was made of it (``use``); the nearest first.

    ``cut`` says that there is more of one of them than an answer holds.
    """

    entity: str
    origin: list[Activity]
    use: list[Activity]
    cut: bool = False


class Invocation(msgspec.Struct, frozen=True):
    """An activity to be recorded; times in ms. Another one of this ``id`` is the same, with more to tell."""

    id: str
    function: str
    cause: str
    started: int
    ended: int
    used: frozenset[Entity]
    generated: frozenset[Entity]
    failed: str = ""


def activity_id(function: str, cause: str, told: str | None) -> str:
    """The id of an invocation because of an event, of which ``told`` parts one reply from another."""
    name = hashlib.blake2b(f"{function}\x1f{cause}\x1f{told}".encode(), digest_size=12).hexdigest()
    return f"activity/{function}/{name}"


def record(database: Database, invocations: Iterable[Invocation]) -> None:
    """Store invocations; a repetition changes nothing."""
    for each in invocations:
        values = {"id": each.id, "function": each.function, "agent": "sluice", "detail": {"cause": each.cause}}
        if each.failed:
            values["detail"] = {"cause": each.cause, "failed": each.failed}
        n = database.row(_PUT, {**values, "started": each.started, "ended": each.ended})[0]
        for name, entities in (("used", each.used), ("generated", each.generated)):
            told = [{"activity": n, "entity": one.entity, "version": one.version} for one in entities]
            if told:
                database.many(_RELATE[name], told)


def lineage(database: Database, bucket: str, key: str, caller: Caller) -> Lineage:
    """The lineage of an object, as far as the caller may view what is in it. Raises ``NotFound``."""
    entity = f"s3://{bucket}/{key}"
    reader = _Reader(database, caller)
    origin, use = reader.walk(entity, "generated", "used"), reader.walk(entity, "used", "generated")
    if not reader.sees(entity) or not (origin or use):
        raise NotFound(f"nothing is known of how {entity} came about")
    return Lineage(entity, origin[:MOST], use[:MOST], max(len(origin), len(use)) > MOST)


class _Reader:
    """Reads activities for one caller."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database, self._caller = database, caller
        self._seen: dict[str, bool] = {}

    def sees(self, entity: str) -> bool:
        """Whether the caller may view the resource that an entity is."""
        if entity not in self._seen:
            id = object_id(*entity.removeprefix("s3://").split("/", 1)) if entity.startswith("s3://") else entity
            self._seen[entity] = not kind_of(id) or id in visible(self._database, [id], self._caller)
        return self._seen[entity]

    def walk(self, entity: str, there: str, on: str) -> list[Activity]:
        """The activities that have an entity in ``there``, then those that have what is in their ``on``, and so forth."""
        found: dict[int | str, Activity] = {}
        done, waiting = {entity}, [entity]
        while waiting and len(found) <= MOST:
            visited = waiting.pop(0)
            told: set[tuple[str, str]] = set()
            for row in self._rows(there, visited):
                if "failed" not in row["detail"]:
                    told.add((row["function"], row["detail"]["cause"]))
                if row["n"] in found:
                    continue
                if len(found) > MOST:
                    break
                made = self._activity(row)
                if made is None:
                    continue
                found[row["n"]] = made
                for one in made.used if on == "used" else made.generated:
                    if one.entity not in done:
                        done.add(one.entity)
                        waiting.append(one.entity)
            if there == "used":
                found |= self._silent(visited, told)
        return list(found.values())

    def _silent(self, entity: str, told: set[tuple[str, str]]) -> dict[int | str, Activity]:
        """Those that used an entity and generated nothing.

        One that ran again, after a conflict, may be recorded as it was before: it is none of ``told``, (function, cause).
        """
        found: dict[int | str, Activity] = {}
        for each in lineage_silent.using(self._database, entity, MOST):
            if (each.function, each.cause) not in told and all(self.sees(name) for name, _ in each.used):
                id, used = activity_id(each.function, each.cause, ""), [Entity(*one) for one in sorted(each.used)]
                found[id] = Activity(id, each.function, times.text(each.started), times.text(each.ended), used, [])
        return found

    def _rows(self, there: str, entity: str) -> Iterator[Any]:
        """All activities that have an entity, the newest first, as many as are asked for."""
        before = NEWEST
        while page := self._database.rows(_BY[there], {"entity": entity, "before": before, "limit": PAGE}):
            yield from page
            before = page[-1]["n"]

    def _activity(self, row: Any) -> Activity | None:
        """The activity, if the caller may view everything in it: what is left of it would tell that there was more."""
        related = {
            name: [Entity(*each) for each in self._database.rows(statement, {"n": row["n"]})] for name, statement in _OF.items()
        }
        if not all(self.sees(one.entity) for entities in related.values() for one in entities):
            return None
        failed = str(row["detail"].get("failed", ""))
        return Activity(
            row["id"], row["function"], times.text(row["started"]), times.text(row["ended"]), **related, failed=failed
        )
