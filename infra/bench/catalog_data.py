"""The objects and records of the catalogue's benchmark, and how they come into a store: in portions, all indexes live."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from infra.catalog.acl import OPEN, SYSTEM, Acl
from infra.catalog.database import Database
from infra.catalog.home import Home
from infra.catalog.indexes import Indexes
from infra.catalog.resources import DataObject, DataRecord, Key, object_id
from infra.catalog.store import Store

PORTION = 5_000
#: Seconds between two lines that tell how far the import is.
TELL = 10
WORDS = [f"{a}{b}" for a in ("wave", "tide", "flood", "salt", "wind", "lagoon", "canal", "bridge") for b in range(50)]
START, SPAN = 1_735_689_600_000, 365 * 86_400_000
MINE = Acl(owners=["user/ann"])
DECLARED = {"serial": "string", "site": "string", "cloud": "number"}


def attributes(i: int, number: random.Random) -> dict[str, Any]:
    """Seven attributes: one unique, one of fifty, numbers, and some that are not declared."""
    return {
        "serial": f"s{i:08d}", "site": f"site{number.randrange(50)}", "cloud": round(number.random() * 100, 1),
        "gain": number.randrange(1000), "run": f"r{i // 100}", "level": number.choice(("L0", "L1", "L2")),
        "note": " ".join(number.choices(WORDS, k=6)),
    }  # fmt: skip


def objects(count: int) -> Iterator[DataObject]:
    """Objects over a year and the whole globe; one in ten is a user's own."""
    number = random.Random(7)
    for i in range(count):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((START + number.randrange(SPAN)) / 1000))
        place = [round(number.uniform(-180, 180), 4), round(number.uniform(-85, 85), 4)]
        yield DataObject(
            bucket="bench", key=f"raw/{i % 997}/{i:08d}.fits", state="READY", bytes=number.randrange(10**9), format="fits",
            content_type="application/fits", modified=at, geometry={"type": "Point", "coordinates": place},
            metadata=attributes(i, number), acl=MINE if i % 10 == 0 else OPEN,
        )  # fmt: skip


def records(count: int) -> Iterator[DataRecord]:
    """One record on each of the first objects."""
    number = random.Random(8)
    for i in range(count):
        yield DataRecord(object=object_id("bench", f"raw/{i % 997}/{i:08d}.fits"), metadata=attributes(i, number), acl=OPEN)


def declare(home: Home) -> None:
    """Register the keys of ``DECLARED`` and build their indexes."""

    def work(connection: Any) -> None:
        store = Store(Database(connection))
        for name, type_ in DECLARED.items():
            store.create(Key(key=name, type=type_, queryable=True), SYSTEM)  # type: ignore[arg-type]  # one of its types

    home.writer.submit(work).result()
    Indexes(home).step()


def fill(home: Home, name: str, many: Iterable[Any]) -> tuple[int, float]:
    """Import all, a commit a portion, and tell how far it is; how many, and in how many seconds, making them not counted."""
    count, seconds, told = 0, 0.0, time.perf_counter()
    for portion in portions(many):
        begun = time.perf_counter()
        count += home.writer.submit(partial(_import, portion)).result()
        ended = time.perf_counter()
        seconds += ended - begun
        if ended - told >= TELL:
            told = ended
            print(f"{name}: {count:,} rows, {count / seconds:,.0f} rows/s", file=sys.stderr, flush=True)
    return count, seconds


def portions(everything: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of ``PORTION``."""
    found: list[Any] = []
    for each in everything:
        found.append(each)
        if len(found) == PORTION:
            yield found
            found = []
    if found:
        yield found


def _import(portion: list[Any], connection: Any) -> int:
    return Store(Database(connection)).import_many(portion, SYSTEM)
