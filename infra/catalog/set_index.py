"""The filters of all data sets in one predicate index a process, kept up with what transactions of any process have defined.

Definitions are rows of ``membership`` under data set 0: ``resource`` is the data set's id, ``grp`` its number and when its
groups are complete. Membership is computed by one transaction at a time, so whoever asks has seen every definition whose scan
has begun.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import bindparam, select

from infra.catalog.database import Database
from infra.catalog.query import Filter, FilterError, bind, fields_of
from infra.catalog.query.predicate_index import PredicateIndex
from infra.catalog.registry import Registry
from infra.catalog.schema import data_set, membership

#: kind of resource -> the column of its filter
FILTERS = {"data-object": "objects", "data-record": "records"}
_m, _s = membership.c, data_set.c
_LAST = select(_m.cursor, _m.cause).where(_m.data_set == 0).order_by(_m.cursor.desc()).limit(1)
_AT = select(_m.cause).where(_m.data_set == 0, _m.cursor == bindparam("cursor"))
_SINCE = (
    select(_m.cursor, _m.grp)
    .where(_m.data_set == 0, _m.cursor > bindparam("cursor"))
    .order_by(_m.cursor)
)  # fmt: skip
_ALL = select(_s.n, _s.objects, _s.records).where(_s.n > bindparam("after")).order_by(_s.n).limit(1000)
_ONE = select(_s.n, _s.objects, _s.records).where(_s.n == bindparam("n"))
#: Where the log of definitions ends: a cursor and the cause of its row, which tells it from another that was undone.
Mark = tuple[int, str]


class SetIndex:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_kind: dict[str, PredicateIndex] = {}
        self._mark: Mark | None = None

    def match(self, database: Database, kind: str, document: dict[str, Any]) -> set[int]:
        """The numbers of the data sets whose filter is true for a resource's JSON, as this transaction sees them."""
        with self._lock:
            self._refresh(database)
            return cast(set[int], self._by_kind[kind].match(document))

    def _refresh(self, database: Database) -> None:
        row = database.row(_LAST)
        mark = (int(row[0]), str(row[1])) if row else (0, "")
        if mark == self._mark:
            return
        known = self._mark
        self._mark = None  # unless this ends well, the next one begins anew
        if known is not None and (known[0] == 0 or _same(database, known)):
            for n in {number_of(each[1]) for each in database.rows(_SINCE, {"cursor": known[0]})}:
                for index in self._by_kind.values():
                    index.remove(n)
                self._enter(database, database.rows(_ONE, {"n": n}))
        else:
            self._by_kind = {kind: PredicateIndex() for kind in FILTERS}
            after = 0
            while page := database.rows(_ALL, {"after": after}):
                self._enter(database, page)
                after = page[-1]["n"]
        self._mark = mark

    def _enter(self, database: Database, found: Iterable[Any]) -> None:
        for row in found:
            for kind, column in FILTERS.items():
                if row[column] is not None and (filter := bound(database, kind, row[column])) is not None:
                    self._by_kind[kind].add(row["n"], filter)


def _same(database: Database, mark: Mark) -> bool:
    row = database.row(_AT, {"cursor": mark[0]})
    return row is not None and row[0] == mark[1]


def number_of(definition: str) -> int:
    """The number of the data set that a definition is of: what stands first in its ``grp``."""
    return int(definition.partition(" ")[0])


def bound(database: Database, kind: str, ast: Any) -> Filter | None:
    """A stored filter; ``None`` for one that makes no sense any more because a key was declared since."""
    for declared in (Registry(database).declared(kind), {}):
        try:
            return bind(ast, fields_of(kind, declared))
        except FilterError:
            continue
    return None
