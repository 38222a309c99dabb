"""Which events a caller may see: those about resources that it may view, each of them.

What is gone is seen by those who could see it last, and what is told of an earlier life of an id by those who could then. An
object that the catalogue does not know yet is seen by whom it will be shown to. That a group is complete is seen by those who
may view all that has been in it. What is about no resource (a plan, the times of a task, the pages of a scan, an event of
somebody's own) and what cannot be told (a payload that was put aside) only administrators see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import bindparam, select

from events.event import Event
from events.s3.record import TYPE_PREFIX
from infra.catalog import times
from infra.catalog.acl import OPEN, Caller
from infra.catalog.database import Database
from infra.catalog.resources import kind_of, object_id
from infra.catalog.schema import KINDS, acl_view, data_set, member, membership
from infra.catalog.tombstones import PORTION, Ended

OURS = "dev.sluice."
COMPLETED, SCANNED = "dev.sluice.dataset.completed.v1", "dev.sluice.dataset.scanned.v1"
#: Where an event's data names a further object.
VERSIONS = frozenset({"object", "of", "result"})
#: Later than everything: how things are now.
PRESENT = 1 << 62
_l, _m = membership.c, member.c
_SET = select(data_set.c.n).where(data_set.c.id == bindparam("id_"))
_LOGGED = select(_l.acl).distinct().where(_l.data_set == bindparam("n_"), _l.cursor <= bindparam("cursor_"))
_LOGGED_IN_GROUP = _LOGGED.where(_l.grp != "", _l.grp == bindparam("grp_"))
_IN_GROUP = (
    select(_l.acl)
    .distinct()
    .select_from(member.join(membership, _l.cursor == _m.cursor))
    .where(_m.data_set == bindparam("n_"), _m.grp == bindparam("grp_"))
)


class Visible:
    """``reading`` opens the catalogue's database; ``own`` is the lake's own bucket, which is nobody's to see."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Database]], own: str = "") -> None:
        self._reading, self._own = reading, own

    def event(self, event: Event, caller: Caller) -> bool:
        """Whether the caller may see it."""
        return bool(self.events([event], caller))

    def events(self, events: Sequence[Event], caller: Caller) -> list[Event]:
        """Those of the events that the caller may see."""
        if caller.admin:
            return list(events)
        told = [(event, about(event, self._own)) for event in events]
        with self._reading() as database:
            eyes = _Eyes(database, caller, {id for _, ids in told for id in ids})
            return [event for event, ids in told if ids and eyes.see(event, ids)]


def visible(database: Database, ids: Sequence[str], caller: Caller) -> frozenset[str]:
    """Those of the ids of resources that the caller may view; objects nobody has heard of count by the list they will have."""
    if caller.admin:
        return frozenset(ids)
    eyes = _Eyes(database, caller, ids)
    return frozenset(id for id in ids if eyes.on(id, PRESENT))


class _Eyes:
    """What a caller may see of some resources."""

    def __init__(self, database: Database, caller: Caller, ids: Iterable[str]) -> None:
        self._database = database
        mine = select(acl_view.c.acl).where(acl_view.c.principal.in_(sorted(caller.principals)))
        self._mine = {row[0] for row in database.rows(mine)}
        self._new = caller.may("view", OPEN)
        self._lists: dict[str, int] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), PORTION):
            some = wanted[start : start + PORTION]
            for kind in {kind_of(id) for id in some} & KINDS.keys():
                table = KINDS[kind]
                asked = select(table.c.id, table.c.acl).where(table.c.id.in_(some))
                self._lists |= {row[0]: row[1] for row in database.rows(asked)}
        self._ended = Ended(database, wanted)

    def see(self, event: Event, ids: Iterable[str]) -> bool:
        """Whether an event about these is for the caller."""
        moment = times.ms(event.time or "") or 0
        return all(self.on(id, moment) for id in ids) and (event.type != COMPLETED or self._group(event.data))

    def on(self, id: str, moment: int) -> bool:
        """Whether the caller may view what had this id at a moment."""
        acl = self._ended.list_at(id, moment, self._lists.get(id))
        return self._new and kind_of(id) == "data-object" if acl is None else acl in self._mine

    def _group(self, data: dict[str, Any]) -> bool:
        """Whether all that has been in a group until it was complete may be viewed: it is counted there."""
        found = self._database.row(_SET, {"id_": data["dataset"]})
        if found is None:
            return False
        values = {"n_": found[0], "cursor_": data["cursor"], "grp_": data.get("group", "")}
        logged = _LOGGED_IN_GROUP if values["grp_"] else _LOGGED
        return all(row[0] in self._mine for asked in (logged, _IN_GROUP) for row in self._database.rows(asked, values))


def about(event: Event, own: str = "") -> frozenset[str]:
    """The ids of the resources that an event tells of; none if that cannot be said, or it is of the bucket ``own``."""
    data = event.data
    if not isinstance(data, dict) or event.type == SCANNED:
        return frozenset()
    try:
        if event.type.startswith(TYPE_PREFIX):
            bucket = data["s3"]["bucket"]["name"]
            return frozenset({object_id(bucket, data["s3"]["object"]["key"])} if bucket != own else ())
        return frozenset(_named(data)) if event.type.startswith(OURS) else frozenset()
    except (KeyError, TypeError):
        return frozenset()


def _named(data: dict[str, Any]) -> list[str]:
    """Objects by bucket and key, others by their ids, also in lists of them and in the versions of objects that data names."""
    found = [object_id(data["bucket"], data["key"])] if "bucket" in data and "key" in data else []
    for name, value in data.items():
        if isinstance(value, dict) and name in VERSIONS:
            found += _named(value)
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found += [text for text in texts if isinstance(text, str) and kind_of(text)]
    return found
