"""Data sets, bindings and lineage over every log and catalogue, also when several workers share them."""

from __future__ import annotations

import threading

import msgspec
import pytest

from events.event import Event
from events.types import MetadataExtracted
from infra.catalog.acl import SYSTEM
from infra.catalog.membership import Membership
from infra.catalog.resources import Completeness, DataSet
from infra.catalog.store import Store
from infra.config import CatalogStore, Config, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store
from infra.runtime.changes import changed
from infra.runtime.lineage_reader import LineageReader
from infra.runtime.quiet import Quiet
from tests.conftest import eventually

SERVERS = [pytest.param(name, marks=pytest.mark.server) for name in ("redis", "redis and postgresql")]
COUNT = 60


@pytest.fixture(params=["sqlite", *SERVERS])
def lakes(request, tmp_path):
    """A lake, or where log and catalogue can be shared two of them, at work."""
    configs = [Config(data=str(tmp_path / "1"))]
    if request.param != "sqlite":
        log = EventLog(url=request.getfixturevalue("redis_server").url)
        shared = "postgresql" in request.param
        url = request.getfixturevalue("postgres").new() if shared else ""
        configs = [Config(data=str(tmp_path / str(i)), log=log, catalog=CatalogStore(url=url)) for i in range(1 + shared)]
    objects = S3Store("http://127.0.0.1:9", "a", "b")
    made = [Lake(config, objects) for config in configs]
    for lake in made:
        lake.worker.start()
    yield made
    for lake in made:
        lake.close()
    objects.close()


def define(lake: Lake, **more) -> str:
    def work(database):
        made = Store(database).create(DataSet(**more), SYSTEM)
        return made.id, changed(made, "created")

    return str(lake.commit(work).result(20))


def described(key: str, sequence: str = "1", **metadata) -> Event:
    data = MetadataExtracted(
        bucket="b", key=key, etag=f"e{sequence}", sequence=sequence, digest="d", format="csv", content_type="text/csv",
        metadata=metadata,
    )  # fmt: skip
    return Event(
        id=f"{key}-{sequence}", source="/t", type="dev.sluice.metadata.extracted.v1", subject=f"b/{key}",
        datacontenttype="application/json", data=msgspec.to_builtins(data),
    )  # fmt: skip


def told(lake: Lake, pattern: str) -> list[Event]:
    return [event for _, _, event in lake.log.tail(0, 10_000, pattern)]


def test_a_stream_has_every_change_once_and_in_order_whoever_works(lakes):
    first, last = lakes[0], lakes[-1]
    before = [described(f"k{i}", rows=i) for i in range(COUNT // 2)]
    first.append(before).result(20)
    id = define(last, object_filter="rows >= 0", complete=Completeness(group_by="night", count=5))
    threads = [
        threading.Thread(target=lambda lake=lake, i=i: [lake.append([described(f"k{n}", rows=n, night=n % 4)]).result(20)
                                                      for n in range(COUNT // 2 + i, COUNT, len(lakes))])
        for i, lake in enumerate(lakes)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    cursor, seen = 0, []
    for thread in threads:
        while thread.is_alive():  # a reader that comes while they write
            with last.database() as database:
                cursor, more = Membership(database, id, SYSTEM).changes(cursor, 7)
            seen += more
        thread.join()

    def all_told() -> bool:
        return len(told(first, "dev.sluice.dataset.member.added.v1")) == COUNT and first.log.counts()["waiting"] == 0

    eventually(all_told, 40)
    while True:
        with last.database() as database:
            at, more = Membership(database, id, SYSTEM).changes(cursor, 7)
        if at == cursor:
            break
        cursor = at
        seen += more
    assert len(seen) == COUNT
    assert {each.key for each in seen} == {f"k{i}" for i in range(COUNT)}
    events = told(first, "dev.sluice.dataset.member.added.v1")
    assert {event.data["cursor"] for event in events} == {each.cursor for each in seen}
    completed = told(first, "dev.sluice.dataset.completed.v1")
    assert sorted(event.data["group"] for event in completed) == ["0", "1", "2", "3"]


def test_quiet_groups_and_lineage_work_over_every_log(lakes):
    lake = lakes[0]
    define(lake, object_filter="rows = 1", complete=Completeness(quiet_s=0.01))
    lake.append([described("k", rows=1)]).result(20)
    eventually(lambda: lake.log.counts()["waiting"] == 0 and told(lake, "*member.added*"))
    quiet = [Quiet(each) for each in lakes]
    eventually(lambda: sum(each.sweep() for each in quiet))
    assert [each.sweep() for each in quiet] == [0] * len(quiet)
    eventually(lambda: len(told(lake, "dev.sluice.dataset.completed.v1")) == 1)
    readers = [LineageReader(each) for each in lakes]
    while sum(reader.step() for reader in readers):
        pass
    with lake.database() as database:
        functions = [row[0] for row in database.rows("SELECT function FROM activity ORDER BY n")]
    assert functions == ["catalog", "dataset"], "of the scan nothing was to be told"
