"""Groups of data sets that are complete when nobody has joined them for a while: nothing happens then, so a thread looks."""

from __future__ import annotations

import hashlib
import time

import msgspec
from sqlalchemy import bindparam, select

from events.event import Event, now
from events.types import DatasetCompleted
from infra.catalog.database import Database
from infra.catalog.groups import Groups, SetHead
from infra.catalog.resources import Completeness
from infra.catalog.schema import data_set
from infra.lake import Lake
from infra.runtime.periodic import Periodic

EVERY_SECONDS = 1.0
_c = data_set.c
_SETS = (
    select(_c.n, _c.id, _c.complete)
    .where(_c.complete.is_not(None), _c.n > bindparam("after"))
    .order_by(_c.n)
    .limit(1000)
)  # fmt: skip


class Quiet(Periodic):
    """A thread that looks for them now and then."""

    def __init__(self, lake: Lake, every_s: float = EVERY_SECONDS) -> None:
        super().__init__("quiet", every_s)
        self._lake = lake

    def step(self) -> bool:
        self.sweep()
        return False

    def sweep(self) -> int:
        """Complete every group that has been quiet for long enough; how many there were."""
        present = time.time_ns() // 1_000_000
        with self._lake.database() as database:
            heads = [head for head in _heads(database) if head.complete and head.complete.quiet_s]

        def work(database: Database) -> tuple[int, list[Event]]:
            database.one_by_one("membership")
            told = [each for head in heads for each in Groups(database).quiet(head, present)]
            return len(told), [_event(each) for each in told]

        return self._lake.commit(work).result() if heads else 0


def _heads(database: Database) -> list[SetHead]:
    found: list[SetHead] = []
    after = 0
    while page := database.rows(_SETS, {"after": after}):
        found += [SetHead(row["n"], row["id"], msgspec.convert(row["complete"], Completeness)) for row in page]
        after = page[-1]["n"]
    return found


def _event(told: DatasetCompleted) -> Event:
    name = hashlib.blake2b(f"{told.dataset}\x1f{told.group}".encode(), digest_size=12).hexdigest()
    return Event(
        id=f"quiet-{name}",
        source="/sluice/quiet",
        type="dev.sluice.dataset.completed.v1",
        subject=told.dataset,
        time=now(),
        datacontenttype="application/json",
        extensions={"partitionkey": told.dataset},
        data=msgspec.to_builtins(told),
    )
