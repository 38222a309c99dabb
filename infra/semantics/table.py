"""The tables of what is known.

statement    what is said of each topic: ``ordered`` is when (it compares as text), ``body`` the triples, ``change`` the number
             of the change that said it, 0 where nothing is inferred
fact_change  the newest changes, each with a token of its own: by these a reasoner knows whether it is at the present
graph_write  changes of the graph store that it has not been told of
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, bindparam, delete, func, insert, select

from events.types import Triple
from infra.catalog.database import Database, Upsert

#: How many changes are remembered: as far behind may a worker be without having to read the whole state again.
REMEMBERED = 10_000
_statement = Table(
    "statement",
    MetaData(),
    Column("topic", Text),
    Column("ordered", Text),
    Column("change", BigInteger),
    Column("body", LargeBinary),
)
_change = Table("fact_change", MetaData(), Column("change", BigInteger), Column("token", Text))
_write = Table("graph_write", MetaData(), Column("seq", BigInteger, primary_key=True), Column("body", LargeBinary))
_reader = Table("reader", MetaData(), Column("name", Text), Column("position", BigInteger))
_s, _c, _w = _statement.c, _change.c, _write.c
_FIND = select(_s.ordered, _s.body).where(_s.topic == bindparam("t"))
_SINCE = select(_s.topic, _s.ordered, _s.body).where(_s.change > bindparam("c")).order_by(_s.change)
_ALL = select(_s.body)
_SAY = Upsert(
    lambda insert: (made := insert(_statement)).on_conflict_do_update(
        index_elements=["topic"],
        set_={"ordered": made.excluded.ordered, "change": made.excluded.change, "body": made.excluded.body},
    )
)
_LAST = select(_c.change, _c.token).order_by(_c.change.desc()).limit(1)
_TOKEN = select(_c.token).where(_c.change == bindparam("c"))
_CHANGED = insert(_change).values(change=bindparam("number"), token=bindparam("mark")).inline()
_PRUNE = delete(_change).where(_c.change <= bindparam("until"))
_WRITE = insert(_write).values(body=bindparam("content")).inline()
_OLDEST = select(_w.seq, _w.body).order_by(_w.seq).limit(bindparam("most"))
_WRITTEN = delete(_write).where(_w.seq <= bindparam("until"))
_POSITION = select(_reader.c.position).where(_reader.c.name == "graph")
_MOVED = Upsert(
    lambda insert: (made := insert(_reader)).on_conflict_do_update(
        index_elements=["name"], set_={"position": made.excluded.position}
    )
)
_WAITING = select(func.count()).select_from(_write)


class Said(NamedTuple):
    """What is said of a topic, since ``order``; of ``evidence`` nothing is inferred."""

    order: str = ""
    triples: tuple[Triple, ...] = ()
    evidence: tuple[Triple, ...] = ()


class Write(msgspec.Struct, frozen=True, array_like=True):
    """A change of one graph."""

    graph: str
    remove: list[Triple] = []
    add: list[Triple] = []


_body = msgspec.msgpack.Decoder(tuple[tuple[Triple, ...], tuple[Triple, ...]]).decode
_writes = msgspec.msgpack.Decoder(list[Write]).decode
_encode = msgspec.msgpack.Encoder().encode


def find(database: Database, topic: str) -> Said | None:
    """What is said of a topic."""
    row = database.row(_FIND, {"t": topic})
    return Said(row["ordered"], *_body(row["body"])) if row else None


def since(database: Database, change: int) -> list[tuple[str, Said]]:
    """What was said after a change, of each topic the last; in order."""
    return [(row["topic"], Said(row["ordered"], *_body(row["body"]))) for row in database.rows(_SINCE, {"c": change})]


def everything(database: Database) -> Iterator[Triple]:
    """All triples of the state."""
    for row in database.rows(_ALL):
        for triples in _body(row["body"]):
            yield from triples


def say(database: Database, topic: str, said: Said, change: int) -> None:
    """Replace what is said of a topic."""
    body = _encode((said.triples, said.evidence))
    database.run(_SAY, {"topic": topic, "ordered": said.order, "change": change, "body": body})


def last(database: Database) -> tuple[int, str]:
    """The number and token of the last change; 0 and nothing before the first."""
    row = database.row(_LAST)
    return (row["change"], row["token"]) if row else (0, "")


def token(database: Database, change: int) -> str | None:
    """The token of a change, unless it is forgotten or was never made."""
    row = database.row(_TOKEN, {"c": change})
    return None if row is None else str(row["token"])


def changed(database: Database, change: int, mark: str) -> None:
    """Number a change, and forget some that are long gone."""
    database.run(_CHANGED, {"number": change, "mark": mark})
    if change % 1000 == 0:
        database.run(_PRUNE, {"until": change - REMEMBERED})


def write(database: Database, writes: Iterable[Write]) -> None:
    """Keep changes for the graph store."""
    database.run(_WRITE, {"content": _encode(list(writes))})


def waiting(database: Database, most: int) -> tuple[int, list[Write]] | None:
    """The oldest changes that wait for the graph store, in order, and the number of the last; ``None`` if none waits."""
    rows = database.rows(_OLDEST, {"most": most})
    return (rows[-1]["seq"], [write for row in rows for write in _writes(row["body"])]) if rows else None


def moved(database: Database, until: int) -> None:
    """The graph store has the changes up to this number."""
    database.run(_WRITTEN, {"until": until})
    database.run(_MOVED, {"name": "graph", "position": until})


def position(database: Database) -> int:
    """The number of the last change that the graph store was told of."""
    row = database.row(_POSITION)
    return int(row["position"]) if row else 0


def backlog(database: Database) -> int:
    """How many changes wait for the graph store."""
    return int(database.row(_WAITING)[0])
