"""Pages while others write: no row comes twice, and none that was there all the time is missed, on every database."""

from __future__ import annotations

import random
from typing import Any

import pytest

from infra.catalog.acl import SYSTEM
from infra.catalog.resources import DataRecord
from infra.catalog.search import Search
from infra.catalog.store import Store

ORDERS: list[list[tuple[str, bool]]] = [
    [],
    [("timestamp", False)],
    [("rows", False)],
    [("rows", True), ("name", False)],
    [("name", True)],
    [("id", False)],
]


def some(chance: random.Random) -> DataRecord:
    """A record that lies anywhere in each order, often beside equal ones, or without a value."""
    metadata: dict[str, Any] = {"rows": chance.choice([chance.randrange(9), str(chance.randrange(9))])}
    return DataRecord(
        name=chance.choice(["", "a", "b", f"n{chance.randrange(40)}"]),
        metadata=metadata if chance.random() < 0.8 else {},
        timestamp=chance.choice(["", f"2026-01-{chance.randrange(1, 29):02d}"]),
    )


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_pages_join_while_rows_come_and_go(database, order: list[tuple[str, bool]], seed: int) -> None:
    chance, store = random.Random(seed), Store(database)
    stays = {store.create(some(chance), SYSTEM).id for _ in range(60)}
    goes = [store.create(some(chance), SYSTEM).id for _ in range(60)]
    seen: list[str] = []
    after = ""
    while True:
        page = store.search("data-record", Search(orderby=order, limit=7, after=after, select=["id"]), SYSTEM)
        seen += [item["id"] for item in page.items]
        after = page.next
        if not after:
            break
        for _ in range(5):
            if goes and chance.random() < 0.7:
                store.delete(goes.pop(chance.randrange(len(goes))), SYSTEM)
            goes.append(store.create(some(chance), SYSTEM).id)
        last = page.items[-1]["id"]
        if last in goes and chance.random() < 0.5:  # the very row that the next page begins behind
            store.delete(goes.pop(goes.index(last)), SYSTEM)
        assert len(seen) < 2000
    assert len(seen) == len(set(seen)), "a row came twice"
    assert stays <= set(seen), "a row that was there all the time was missed"
