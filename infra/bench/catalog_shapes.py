"""The shapes of question of the catalogue's benchmark: as one asks the store, and as a careful person would write the SQL.

Both sides get the same values in the same form (a time is text) and give the same answer: a page, newest first, of what the
access lists let the caller view, and where the next page begins.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from infra.bench.catalog_data import SPAN, START, WORDS
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.search import Search
from infra.catalog.store import Store

CALLER = Caller(frozenset(("user/ann", "group/anyone")))
#: The caller as the questions by hand are given it.
WHO = {"p0": "group/anyone", "p1": "user/ann"}
_DIALECTS = ("sqlite", "postgresql")
_MAY = {
    "sqlite": "state <> 'REMOVED' AND acl IN (SELECT acl FROM acl_view WHERE principal IN ({p0}, {p1}))",
    "postgresql": "state <> 'REMOVED' AND acl = ANY (ARRAY(SELECT acl FROM acl_view WHERE principal IN ({p0}, {p1})))",
}
_SITE = {"sqlite": "json_extract(metadata, '$.site') = {site}", "postgresql": "metadata ->> 'site' = {site}"}
_SERIAL = {"sqlite": "json_extract(metadata, '$.serial') = {serial}", "postgresql": "metadata ->> 'serial' = {serial}"}
_CLOUD = {"sqlite": "json_extract(metadata, '$.cloud') < {cloud}", "postgresql": "(metadata ->> 'cloud')::float8 < {cloud}"}
_RUN = {
    "sqlite": "json_extract(metadata, '$.run') = {run}",
    "postgresql": "metadata @> jsonb_build_object('run', {run}::text)",
}
_MOMENTS = dict.fromkeys(_DIALECTS, "t BETWEEN {low} AND {high}")
#: Both indexes of boxes only come near: SQLite's is of floats of 32 bits.
_EXACTLY = " AND west <= {east} AND east >= {west} AND south <= {north} AND north >= {south}"
_BOX = {
    "sqlite": "n IN (SELECT n FROM data_object_box "
    "WHERE west <= {east} AND east >= {west} AND south <= {north} AND north >= {south})" + _EXACTLY,
    "postgresql": "west IS NOT NULL AND box(point(west, south), point(east, north)) && "
    "box(point({west}::float8, {south}::float8), point({east}::float8, {north}::float8))" + _EXACTLY,
}
_WORDED = {
    "sqlite": "n IN (SELECT rowid FROM data_object_words WHERE data_object_words MATCH {words})",
    "postgresql": "to_tsvector('simple', words) @@ plainto_tsquery('simple', {words})",
}
Question = tuple[dict[str, Any], dict[str, Any]]
_NAMES = ("serial", "site", "cloud", "run", "low", "high", "west", "south", "east", "north", "words", "p0", "p1", "limit")


class Shape(NamedTuple):
    """A shape of question. ``make`` gives a filter, and its values by name for the SQL by hand (``tests``)."""

    name: str
    indexed: bool
    make: Callable[[random.Random], Question]
    tests: Sequence[Mapping[str, str]]
    limit: int = 20
    counts: bool = False

    def ask(self, store: Store, filter: dict[str, Any]) -> Any:
        """The page, or the count, of the store."""
        wanted = Search(filter=filter, limit=self.limit, select=["id", "key"])
        if self.counts:
            return store.aggregate("data-object", wanted, CALLER)["count"]
        page = store.search("data-object", wanted, CALLER)
        return page.items, bool(page.next)

    def sql(self, dialect: str) -> str:
        """The question by hand."""
        mark = (":{}" if dialect == "sqlite" else "%({})s").format
        where = " AND ".join((*(test[dialect] for test in self.tests), _MAY[dialect]))
        what, end = ("count(*)", "") if self.counts else ("id, key, t, n", " ORDER BY t DESC, n DESC LIMIT {limit}")
        return f"SELECT {what} FROM data_object WHERE {where}{end}".format(**{name: mark(name) for name in _NAMES})

    def by_hand(self, database: Database, sql: str, values: dict[str, Any]) -> Any:
        """The same, by hand."""
        bound = {**values, **WHO}
        if "low" in bound:
            bound["low"], bound["high"] = (_ms(bound[name]) for name in ("low", "high"))
        if "words" in bound and database.dialect == "sqlite":
            bound["words"] = " ".join(f'"{word}"' for word in bound["words"].split())
        if self.counts:
            return database.connection.execute(sql, bound).fetchone()[0]
        bound["limit"] = self.limit + 1
        rows = database.connection.execute(sql, bound).fetchall()
        next_ = ""
        if len(rows) > self.limit:
            rows.pop()
            next_ = f"{rows[-1][2]}.{rows[-1][3]}"
        return [{"id": row[0], "key": row[1]} for row in rows], bool(next_)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _equal(name: str, value: Any) -> dict[str, Any]:
    return {"op": "=", "args": [{"property": name}, value]}


def _both(*tests: dict[str, Any]) -> dict[str, Any]:
    return {"op": "and", "args": list(tests)}


def _site(number: random.Random) -> Question:
    value = f"site{number.randrange(50)}"
    return _equal("site", value), {"site": value}


def _box(number: random.Random, size: float) -> Question:
    west, south = number.uniform(-180, 179 - size), number.uniform(-84, 84 - size)
    box = {"west": west, "south": south, "east": west + size, "north": south + size}
    return {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": list(box.values())}]}, box


def _within(number: random.Random, ms: int) -> Question:
    low = START + number.randrange(SPAN - ms)
    moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // 1000)) for moment in (low, low + ms)]
    args = [{"property": "time"}, *({"timestamp": one} for one in moments)]
    return {"op": "between", "args": args}, dict(zip(("low", "high"), moments, strict=True))


def _words(number: random.Random) -> Question:
    value = " ".join(number.choices(WORDS, k=3))
    return {"op": "fulltext", "args": [value]}, {"words": value}


def _three(number: random.Random) -> Question:
    (site, value), (span, moments), (place, box) = _site(number), _within(number, 30 * 86_400_000), _box(number, 10)
    return _both(site, span, place), {**value, **moments, **box}


def _clear(number: random.Random) -> Question:
    (site, value), limit = _site(number), number.uniform(5, 15)
    return _both(site, {"op": "<", "args": [{"property": "cloud"}, limit]}), {**value, "cloud": limit}


def shapes(many: int) -> list[Shape]:
    """The shapes, for so many objects."""

    def serial(number: random.Random) -> Question:
        value = f"s{number.randrange(many):08d}"
        return _equal("serial", value), {"serial": value}

    def run(number: random.Random) -> Question:
        value = f"r{number.randrange(max(1, many // 100))}"
        return _equal("run", value), {"run": value}

    return [
        Shape("attribute =, unique", True, serial, [_SERIAL]),
        Shape("attribute =, 2 %, newest 20", True, _site, [_SITE]),
        Shape("one hour, newest 100", True, partial(_within, ms=3_600_000), [_MOMENTS], 100),
        Shape("box 1x1, newest 20", True, partial(_box, size=1), [_BOX]),
        Shape("3 words, newest 20", True, _words, [_WORDED]),
        Shape("= and 30 days and box 10x10", True, _three, [_SITE, _MOMENTS, _BOX]),
        Shape("= and number <, newest 20", True, _clear, [_SITE, _CLOUD]),
        Shape("count: attribute =, 2 %", False, _site, [_SITE], counts=True),
        Shape("count: box 10x10", False, partial(_box, size=10), [_BOX], counts=True),
        Shape("undeclared attribute =", False, run, [_RUN]),
    ]
