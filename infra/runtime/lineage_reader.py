"""Lineage follows the event log: a thread reads it and records each invocation, besides the work and at little cost."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from events.event import Event
from infra.catalog.database import Database, Upsert
from infra.catalog.lineage import Invocation, record
from infra.catalog.schema import reader
from infra.delivery.provenance import Provenance
from infra.lake import Lake
from infra.runtime.periodic import Periodic

NAME, PAGE, EVERY_SECONDS = "lineage", 500, 0.5
_AT = select(reader.c.position).where(reader.c.name == NAME)
_TO = Upsert(
    lambda insert: (
        insert(reader)
        .values(name=NAME, position=bindparam("to"))
        .on_conflict_do_update(index_elements=[reader.c.name], set_={"position": bindparam("to")})
    )
)


class LineageReader(Periodic):
    """Goes on where any process of this catalogue stopped."""

    def __init__(self, lake: Lake, every_s: float = EVERY_SECONDS) -> None:
        super().__init__(NAME, every_s)
        self._lake, self._provenance, self._position = lake, Provenance(lake.config.bucket), -1

    def step(self) -> bool:
        """Record the next page of the log; whether there was one."""
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
