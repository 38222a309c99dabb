"""Uploads, deletions and late notifications in thousands of interleavings: in the end the catalogue tells what the store has.

Requests are the API's own coroutines, each held at every transaction and every call of the store, so that any two steps of any
two may follow each other. The store is a dict; its notifications wait in a bag, and come in any order, late, and twice. The
lake's own functions work on them. When all have come to their end, a plain model says what must be.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.ports import Entry
from infra.catalog.acl import SYSTEM, Acl
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.home import open_sqlite
from infra.catalog.migrations import upgrade
from infra.catalog.resources import DataObject
from infra.catalog.store import Conflict, Store
from infra.postgres import PostgresWriter
from infra.runtime import uploads_api
from infra.sqlite import Writer
from tests.contract.catalog_world import BUCKET, ID, KEY, World

#: About half a minute.
EXAMPLES = 2000


@pytest.fixture
def template(tmp_path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "catalog.db"
    upgrade(lambda: open_sqlite(path))
    connection = open_sqlite(path)
    connection.execute("PRAGMA synchronous=OFF")
    yield connection
    connection.close()


@pytest.mark.timeout(400)
def test_any_interleaving_ends_in_what_the_store_has(template, monkeypatch):
    for name in ("read", "commit", "run_in_threadpool"):
        monkeypatch.setattr(uploads_api, name, None)  # is put back in the end

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 719), min_size=20, max_size=80), st.randoms(use_true_random=False))
    def interleave(choices, random):
        template.execute("DELETE FROM data_object")
        template.execute("DELETE FROM tombstone")
        left = list(choices)

        def pick(n: int) -> int:
            return int(left.pop() % n if left else random.randrange(n))

        world = World(template, pick)
        world.start(world.create())
        try:
            while left:
                world.step()
            world.settle()
            world.check()
        finally:
            world.end()

    interleave()


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_two_writers_on_one_object_leave_what_one_would(request, tmp_path, store):
    """A person who edits, deletes and makes anew, against notifications: who is late is told so, and nothing is half done."""
    if store == "sqlite":
        path = tmp_path / "catalog.db"
        upgrade(lambda: open_sqlite(path))
        writers: list[Any] = [Writer(path, (), open_sqlite) for _ in range(2)]
    else:
        url = request.getfixturevalue("postgres").new(request.getfixturevalue("postgres_template"))
        writers = [PostgresWriter(url) for _ in range(2)]
    edited, told = [0], [0]
    failures: list[BaseException] = []

    def people() -> None:
        def work(connection: Any) -> bool:
            found = Store(Database(connection)).get(ID, SYSTEM)
            Store(Database(connection)).edit(ID, {"name": str(int(found.name or 0) + 1)}, SYSTEM, f'"{found.revision}"')
            return True

        while edited[0] < 60:
            with suppress(Conflict):
                edited[0] += writers[0].submit(work).result()

    def store_tells() -> None:
        for number in range(60):
            entry = Entry(bucket=BUCKET, key=KEY, sequence=f"{number:04x}", etag=str(number), digest="b:1")
            told[0] += writers[1].submit(lambda connection, entry=entry: Entries(Database(connection)).upsert(entry)).result()

    def tried(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    made = DataObject(bucket=BUCKET, key=KEY, acl=Acl(owners=["user/ann"]))
    writers[0].submit(lambda connection: Store(Database(connection)).create(made, SYSTEM)).result()
    threads = [threading.Thread(target=tried, args=(each,)) for each in (people, store_tells)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = writers[0].submit(lambda connection: Store(Database(connection)).get(ID, SYSTEM)).result()
    for each in writers:
        each.close()
    assert failures == []
    assert isinstance(found, DataObject)
    assert (found.name, found.etag, found.state, found.acl) == ("60", "59", "READY", Acl(owners=["user/ann"]))
    assert found.revision == 1 + edited[0] + told[0]
