"""The outbox: effects in a store that is not the log's own, and the events they cause.

The effects, the mark that they happened and those events are one transaction of that store. Then the events go to the log, in
one step with the end of the delivery. After a crash in between the delivery comes again, finds its mark, runs nothing, and only
the second half is done. The log's de-duplication makes a repeated second half harmless. So a worker that starts does it for all
that is left: a log that was lost, or that lost its last second, will not deliver again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec
from sqlalchemy import Column, Double, LargeBinary, MetaData, Table, Text, bindparam, delete, select, update

from events.event import Event
from infra.catalog.database import Database, Upsert

SCHEMA = """
CREATE TABLE outbox (mark TEXT PRIMARY KEY, at REAL NOT NULL, events BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX outbox_at ON outbox (at)
"""
#: How long a mark is kept: longer than any worker can be held up with a delivery in its hand.
KEEP_SECONDS = 7 * 86400.0
PORTION = 100
_NONE = msgspec.msgpack.encode([])
_outbox = Table("outbox", MetaData(), Column("mark", Text), Column("at", Double), Column("events", LargeBinary))
_c = _outbox.c
_FIND = select(_c.events).where(_c.mark == bindparam("mark"))
_ADD = Upsert(lambda insert: insert(_outbox).on_conflict_do_nothing())
_EMPTY = update(_outbox).where(_c.mark == bindparam("mark")).values(events=bindparam("none"))
_DROP = delete(_outbox).where(_c.mark.in_(select(_c.mark).where(_c.at < bindparam("before")).limit(PORTION)))
_LEFT = (
    select(_c.mark, _c.events)
    .where(_c.at >= bindparam("since"), _c.mark >= bindparam("prefix"), _c.mark < bindparam("beyond"))
    .where(_c.events != bindparam("none"))
    .order_by(_c.at)
    .limit(PORTION)
)
_decode = msgspec.msgpack.Decoder(list[str]).decode


def find(database: Database, mark: str) -> list[str] | None:
    """The events of a delivery whose effects are here already, in the log's form; ``None`` if they are not."""
    row = database.row(_FIND, {"mark": mark})
    return None if row is None else _decode(row["events"])


def add(database: Database, mark: str, events: list[str]) -> bool:
    """Mark a delivery's effects as done, with its events; ``False`` if another worker has done so meanwhile."""
    return database.run(_ADD, {"mark": mark, "at": time.time(), "events": msgspec.msgpack.encode(events)}) == 1


def tidy(database: Database, published: Iterable[str]) -> None:
    """Empty the marks whose events the log has, and drop some that are so old that nobody can ask for them."""
    if marks := [{"mark": mark, "none": _NONE} for mark in published]:
        database.many(_EMPTY, marks)
    database.run(_DROP, {"before": time.time() - KEEP_SECONDS})


def unpublished(database: Database, prefix: str = "", since: float = 0.0) -> list[tuple[str, list[str]]]:
    """Marks of that ``prefix`` set since a time (Unix seconds), and their events, that nobody has told the log of.

    The oldest ``PORTION``: once those are told of, ask again.
    """
    rows = database.rows(_LEFT, {"prefix": prefix, "beyond": prefix + "\x7f", "since": since, "none": _NONE})
    return [(row["mark"], _decode(row["events"])) for row in rows]


def mark_of(id: str, target: str, event: Event) -> str:
    """The name of a delivery's mark. The event is in it, because a new log begins to count its deliveries from 1 again."""
    return f"{id}/{target}/{event.key}"
