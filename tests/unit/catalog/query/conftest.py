"""Two catalogues with the same awkward resources, and those resources' JSON."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from infra.catalog.acl import SYSTEM
from infra.catalog.database import Database
from infra.catalog.home import open_sqlite
from infra.catalog.migrations import upgrade
from infra.catalog.resources import DataObject, Prefix
from infra.catalog.store import Store

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "b",
    "é",
    "É",
    "e\u0301",
    "ß",
    "ΟΔΟΣ",
    "οδος",
    "İ",
    "a%b",
    "a_b",
    "a\\b",
    "x'; DROP TABLE data_object; --",
    '"',
    "*",
    "[a]",
    "?a",
    "日本",
    "\U00010348",
    "\ue000",
    "\uffff",
    "\U0010ffff",
    "5",
    "1",
    "true",
    "null",
    "line\nbreak",
    ":f0",
    "%(f0)s",
    "{}",
]
NUMBERS = [
    0,
    -0.0,
    1,
    1.0,
    5,
    -3,
    3.5,
    0.1,
    0.30000000000000004,
    2**53,
    2**53 + 1,
    -(2**63),
    2**63 - 1,
    1e22,
    1e300,
    -1e300,
    1e-300,
    5e-324,
    123456,
]
TIMES = [
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000Z",
    "2025-12-31T23:30:00-00:30",
    "2026-03-01T12:00:00.1239Z",
    "2026-02-30",
    "2024-02-29",
    "2026-01-01T24:00:00Z",
    "2026-01-01t00:00:00z",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "20260101",
    "now",
    "1970-01-01",
]
LEGAL_TIMES = [
    one
    for one in TIMES
    if one not in ("1970-01-01", "2026-02-30", "2026-01-01T24:00:00Z", "2026-01-01t00:00:00z", "20260101", "now")
]
GEOMETRIES: list[Any] = [
    {"type": "Point", "coordinates": [0, 0]},
    {"type": "Point", "coordinates": [1, 1, 5]},
    {"type": "Point", "coordinates": [2.5, 2.5]},
    {"type": "MultiPoint", "coordinates": [[0, 0], [9, 9]]},
    {"type": "LineString", "coordinates": [[0, 0], [4, 4], [4, 0]]},
    {"type": "LineString", "coordinates": [[-1, 2], [6, 2]]},
    {"type": "MultiLineString", "coordinates": [[[0, 0], [0, 4]], [[8, 8], [9, 9]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]], [[1, 1], [1, 4], [4, 4], [4, 1], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[[1, 1], [1, 4], [4, 4], [4, 1], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3], [0, 0]]]},
    {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 3], [1, 3], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[[0.1, 0.1], [3.3, 0.7], [1.7, 2.9], [0.1, 0.1]]]},
    {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[7, 7], [9, 7], [9, 9], [7, 9], [7, 7]]]]},
]

ODD = "50% of 'x' %(f0)s ?{}$--"


def random_metadata(chance: random.Random) -> dict[str, Any]:
    """Attributes, each of any type or missing."""

    def scalar() -> Any:
        return chance.choice([chance.choice(TEXTS), chance.choice(NUMBERS), True, False, None, chance.choice(TIMES)])

    made: dict[str, Any] = {}
    for name in ("a", "b", "obs:flag", "été", ODD):
        if chance.random() < 0.8:
            made[name] = chance.choice(
                [scalar, scalar, scalar, lambda: [scalar() for _ in range(3)], lambda: {"x": scalar()}]
            )()
    if chance.random() < 0.7:
        made["n"] = {"x": scalar(), "0": scalar()}
    if chance.random() < 0.7:
        made["list"] = chance.choice([[scalar() for _ in range(chance.randrange(4))], "a", {"0": "a"}])
    return made


def awkward(count: int, seed: int = 7) -> list[DataObject]:
    """Objects as nobody wants them."""
    chance = random.Random(seed)
    made = []
    for i in range(count):
        start = chance.choice(["", *LEGAL_TIMES[1:]])
        made.append(
            DataObject(
                bucket=chance.choice(["lake", "b'", "other:bucket"]),
                key=f"{chance.choice(TEXTS)}/{i}",
                state="READY",
                bytes=chance.choice([0, 1, 5, 2**53 + 1, 2**63 - 1, 123456]),
                format=chance.choice(["csv", "fits", "", "é"]),
                content_type=chance.choice(["text/csv", "image/fits", ""]),
                name=chance.choice(TEXTS),
                description=chance.choice(["", "Größe of the STRASSE", "two words-here", "日本 words", "a1b2 5e3"]),
                tags=[chance.choice(TEXTS) for _ in range(chance.randrange(3))],
                modified=chance.choice(LEGAL_TIMES[1:]),
                timestamp=start,
                timestamp_end="9999-12-31T23:59:59Z" if start and chance.random() < 0.4 else "",
                geometry=chance.choice([None, *GEOMETRIES]),
                metadata=random_metadata(chance),
            )
        )
    return made


class Filled:
    """A database of awkward objects, and their JSON by id."""

    def __init__(self, database: Database, count: int = 150) -> None:
        self.database = database
        database.connection.execute("BEGIN")
        store = Store(database)
        store.create(Prefix(prefix="obs", uri="urn:obs"), SYSTEM)
        self.documents: dict[str, dict[str, Any]] = {}
        for one in awkward(count):
            made = store.create(one, SYSTEM)
            self.documents[made.id] = msgspec.json.decode(msgspec.json.encode(made))
        database.connection.execute("COMMIT")


@pytest.fixture(scope="module")
def sqlite_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """The awkward objects in SQLite."""
    path = tmp_path_factory.mktemp("query") / "catalog.db"
    upgrade(lambda: open_sqlite(path))
    connection = open_sqlite(path)
    yield Filled(Database(connection))
    connection.close()


@pytest.fixture(scope="module")
def postgres_filled(postgres: Any, postgres_template: str) -> Iterator[Filled]:
    """The awkward objects in PostgreSQL."""
    from infra.postgres import connect

    connection = connect(postgres.new(postgres_template))
    yield Filled(Database(connection))
    connection.close()
