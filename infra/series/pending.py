"""Observations on their way from the event log into the series.

No store of series can join a transaction of the lake's database. So what a function records is kept in that database first, in
one transaction with the end of its delivery; the process that has the series open moves it there. A crash in between moves
a point twice, which leaves it as it is.
"""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, bindparam, delete, insert, select

from events.errors import Reject
from infra.catalog.database import Database
from infra.series.batch import Batch, series
from infra.series.lines import join
from infra.series.retention import Retention

SCHEMA = "CREATE TABLE observation (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"
_table = Table("observation", MetaData(), Column("seq", BigInteger, primary_key=True), Column("body", LargeBinary))
_c = _table.c
#: Most points moved at once.
PORTION = 5000
_ADD = insert(_table).values(body=bindparam("points")).inline()
_OLDEST = select(_c.seq, _c.body).order_by(_c.seq).limit(PORTION)
_MOVED = delete(_table).where(_c.seq <= bindparam("until"))


class PendingSeries:
    """The ``Series`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database, self._retention = database, retention

    def record(self, metric: str, tags: dict[str, str], time: datetime, value: float) -> None:
        bounds, at = self._retention.bounds(_now()), int(time.timestamp() * 1000)
        if not math.isfinite(value):
            raise Reject(f"the value of {metric!r} at {time} is no finite number: {value}")
        if not bounds.oldest <= at <= bounds.newest:
            raise Reject(f"the point of {metric!r} at {time} is older than what is kept, or too far in the future")
        body = Batch.of([(series(metric, tags), at, value)]).encode()
        self._database.one_by_one("observation")  # numbers must be seen in their order
        self._database.run(_ADD, {"points": body})


def oldest(database: Database) -> tuple[int, Batch] | None:
    """The oldest points that wait, and the number of the last of them; ``None`` if none waits."""
    rows: list[Any] = database.rows(_OLDEST)
    return (rows[-1]["seq"], join([Batch.decode(row["body"]) for row in rows])) if rows else None


def moved(database: Database, until: int) -> None:
    """Forget the points up to this number: the series have them."""
    database.run(_MOVED, {"until": until})


def _now() -> int:
    return time.time_ns() // 1_000_000
