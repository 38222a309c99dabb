"""Lineage follows the event log: a thread reads it and records each invocation, besides the work and at little cost."""

from __future__ import annotations

import time
from functools import partial

from sqlalchemy import bindparam, select

from events.event import Event
from infra.catalog import lineage_silent
from infra.catalog.database import Database, Upsert
from infra.catalog.lineage import Invocation, record
from infra.catalog.schema import reader
from infra.delivery.provenance import Provenance, about
from infra.delivery.silent import Done
from infra.lake import Lake
from infra.runtime.periodic import Periodic

NAME, PAGE, EVERY_SECONDS, FORGET_SECONDS = "lineage", 500, 0.5, 3600.0
_AT = select(reader.c.position).where(reader.c.name == NAME)
_TO = Upsert(
    lambda insert: (
        insert(reader)
        .values(name=NAME, position=bindparam("to"))
        .on_conflict_do_update(index_elements=[reader.c.name], set_={"position": bindparam("to")})
    )
)


class LineageReader(Periodic):
    """Goes on where any process of this catalogue stopped.

    What a function did without telling of it the log does not know: those of this process's worker are recorded beside it.
    """

    def __init__(self, lake: Lake, every_s: float = EVERY_SECONDS) -> None:
        super().__init__(NAME, every_s)
        self._lake, self._provenance, self._position = lake, Provenance(lake.config.bucket), -1
        self._forget_at = 0.0

    def stop(self) -> None:
        super().stop()
        self._silent()

    def step(self) -> bool:
        """Record the next page of the log, and what was silent; whether there was such a page."""
        self._silent()
        self._forget()
        if self._position < 0:
            with self._lake.database() as database:
                self._position = position(database)
        before = self._position
        page = self._lake.log.tail(before, PAGE)
        if not page:
            return False
        found, to = self._provenance.read(page), page[-1][0]
        self._position = -1  # unless this ends well
        self._position = self._lake.commit(lambda database: (_record(database, found, before, to), list[Event]())).result()
        return True

    def _silent(self) -> None:
        while taken := self._lake.silent.take(PAGE):
            try:
                self._lake.commit(partial(_record_silent, [_silent(each) for each in taken])).result()
            except BaseException:
                self._lake.silent.give_back(taken)
                raise

    def _forget(self) -> None:
        """What is older than the events that the log still has."""
        days = self._lake.config.delivery.retain_days
        if not days or time.monotonic() < self._forget_at:
            return
        before = round((time.time() - days * 86400) * 1000)
        forget = lineage_silent.forget
        if not self._lake.commit(lambda database: (forget(database, before, PAGE), list[Event]())).result():
            self._forget_at = time.monotonic() + FORGET_SECONDS


def _silent(done: Done) -> lineage_silent.SilentInvocation:
    used = frozenset((one.entity, one.version) for one in about(done.event))
    return lineage_silent.SilentInvocation(done.function, done.event.id, done.started, done.ended, used)


def _record_silent(told: list[lineage_silent.SilentInvocation], database: Database) -> tuple[None, list[Event]]:
    lineage_silent.record(database, told)
    return None, []


def position(database: Database) -> int:
    """The number of the last event whose lineage is recorded."""
    row = database.row(_AT)
    return int(row[0]) if row else 0


def _record(database: Database, found: list[Invocation], before: int, to: int) -> int:
    database.one_by_one(NAME)
    present = position(database)
    if present != before:
        return present  # another process was quicker
    record(database, found)
    database.run(_TO, {"to": to})
    return to
