"""What is kept of resources that are gone: who could see them, so that the events about them are told to those and no others.

An id may come to life again (an object's is made of its place). What is told of an earlier life stays with who saw that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from infra.catalog.database import Database, Upsert
from infra.catalog.schema import tombstone

#: Most ids in one question.
PORTION = 500
_t = tombstone.c
_END = Upsert(
    lambda insert: insert(tombstone).values({name: bindparam(name) for name in ("id", "until", "acl")}).on_conflict_do_nothing()
)
_LAST = select(func.max(_t.until)).where(_t.id == bindparam("id"))


def end(database: Database, id: str, until: int, acl: int) -> None:
    """A life has ended at ``until`` (epoch ms), with this access list."""
    database.run(_END, {"id": id, "until": until, "acl": acl})


def last(database: Database, id: str) -> int:
    """When the last life before the present one ended (epoch ms); 0 if there was none."""
    row = database.row(_LAST, {"id": id})
    return int(row[0] or 0)


class Ended:
    """The ended lives of some ids."""

    def __init__(self, database: Database, ids: Sequence[str]) -> None:
        self._lives: dict[str, list[tuple[int, int]]] = {}
        for start in range(0, len(ids), PORTION):
            some = select(_t.id, _t.until, _t.acl).where(_t.id.in_(ids[start : start + PORTION])).order_by(_t.id, _t.until)
            for id, until, acl in database.rows(some):
                self._lives.setdefault(id, []).append((until, acl))

    def list_at(self, id: str, moment: int, present: int | None) -> int | None:
        """The number of the list that an id had at a moment (epoch ms); ``present`` is the one it has now, if it lives."""
        lives = self._lives.get(id, [])
        found = bisect_right(lives, moment, key=lambda life: life[0])
        if found < len(lives):
            return lives[found][1]
        return lives[-1][1] if present is None and lives else present
