"""Invocations that told of nothing, as activities: with what they used, and nothing that they generated.

There are several for each event, so one row has all of an event that were done at the same time, and they are forgotten when
the event log forgets its events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from infra.catalog.database import Database
from infra.catalog.schema import silent

_s = silent.c
_PUT = insert(silent).values({name: bindparam(name) for name in ("entity", "cause", "used", "functions", "ended")})
_OF = (
    select(_s.cause, _s.used, _s.functions)
    .where(_s.entity == bindparam("entity"))
    .order_by(_s.n.desc())
    .limit(bindparam("limit"))
)
_OLDEST = select(_s.n, _s.ended).order_by(_s.n).limit(bindparam("limit"))
_FORGET = delete(silent).where(_s.n <= bindparam("to"), _s.ended < bindparam("before"))


class SilentInvocation(msgspec.Struct, frozen=True):
    """Of ``function``, because of the event ``cause``. Times in ms; ``used`` are entities and their versions."""

    function: str
    cause: str
    started: int
    ended: int
    used: frozenset[tuple[str, str]]


def record(database: Database, invocations: Iterable[SilentInvocation]) -> None:
    """Store them."""
    by_cause = sorted((each for each in invocations if each.used), key=lambda each: each.cause)
    rows: list[dict[str, Any]] = []
    for cause, group in groupby(by_cause, lambda each: each.cause):
        found = list(group)
        used = sorted({one for each in found for one in each.used})
        told = {
            "cause": cause,
            "used": [list(each) for each in used],
            "functions": [[each.function, each.started, each.ended] for each in found],
            "ended": max(each.ended for each in found),
        }
        rows += ({**told, "entity": entity} for entity in {entity for entity, _ in used})
    rows.sort(key=lambda row: row["ended"])
    if rows:
        database.many(_PUT, rows)


def using(database: Database, entity: str, limit: int) -> Iterator[SilentInvocation]:
    """Those that used an entity, the newest first, of at most so many events."""
    for row in database.rows(_OF, {"entity": entity, "limit": limit}):
        used = frozenset((name, version) for name, version in row["used"])
        for function, started, ended in row["functions"]:
            yield SilentInvocation(function, row["cause"], started, ended, used)


def forget(database: Database, before: int, limit: int) -> bool:
    """Remove some of those that ended before a moment (ms); whether there may be more."""
    rows = database.rows(_OLDEST, {"limit": limit})
    old = [row["n"] for row in rows if row["ended"] < before]
    if old:
        database.run(_FORGET, {"to": max(old), "before": before})
    return len(old) == limit
