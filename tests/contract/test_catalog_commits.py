"""What a request changes and the events that tell of it, and indexes on declared keys: over every log and catalogue."""

from __future__ import annotations

import threading
import uuid

import httpx
import msgspec
import pytest

from events.errors import Reject
from events.event import Event
from infra.catalog.acl import SYSTEM
from infra.catalog.indexes import name_of
from infra.catalog.resources import DataObject, DataRecord, Key
from infra.catalog.search import Search
from infra.catalog.store import Conflict, Store
from infra.config import CatalogStore, Config, ConfigError, EventLog
from infra.delivery.subscription import parse
from infra.lake import Lake
from infra.objects.s3 import S3Store
from tests.conftest import eventually, serving

SERVERS = [pytest.param(name, marks=pytest.mark.server) for name in ("redis", "redis and postgresql")]


@pytest.fixture(params=["sqlite", *SERVERS])
def config(request, tmp_path) -> Config:
    if request.param == "sqlite":
        return Config(data=str(tmp_path))
    log = EventLog(url=request.getfixturevalue("redis_server").url)
    url = request.getfixturevalue("postgres").new() if "postgresql" in request.param else ""
    return Config(data=str(tmp_path), log=log, catalog=CatalogStore(url=url))


@pytest.fixture
def start(config):
    started: list[Lake] = []
    objects = S3Store("http://127.0.0.1:9", "a", "b")

    def made() -> Lake:
        started.append(Lake(config, objects))
        return started[-1]

    yield made
    for lake in started:
        lake.close()
    objects.close()


def told(lake: Lake) -> list[str]:
    return [event.id for _, _, event in lake.log.tail(0, 100)]


def change(id: str):
    def work(database):
        made = Store(database).create(DataObject(bucket="b", key=id), SYSTEM)
        return made.id, [Event(id=id, source="/t", type="t")]

    return work


def count(lake: Lake) -> int:
    with lake.database() as database:
        return int(Store(database).aggregate("data-object", Search(), SYSTEM)["count"])


def test_effects_and_events_are_committed_together(start):
    lake = start()
    assert lake.commit(change("one")).result().startswith("data-object/")
    eventually(lambda: told(lake) == ["one"])

    def broken(database):
        change("two")(database)
        raise Reject("no")

    with pytest.raises(Reject):
        lake.commit(broken).result()
    assert count(lake) == 1
    assert lake.commit(lambda database: (5, [])).result() == 5
    assert told(lake) == ["one"]


def test_events_that_a_crash_held_up_are_told_at_the_next_start(start, config, monkeypatch):
    if not config.log.url:
        pytest.skip("the embedded log is in the same transaction")
    lake = start()
    monkeypatch.setattr(lake._commits, "_publish", lambda mark, events: None)  # it dies before it can
    lake.commit(change("held")).result()
    lake.close()
    again = start()
    assert count(again) == 1
    eventually(lambda: told(again) == ["held"])


def test_a_declared_key_gets_its_index_while_others_write(start):
    lake = start()

    def fill(database):
        many = [DataRecord(metadata={"site": f"s{i % 7}", "n": i}) for i in range(2000)]
        return Store(database).import_many(many, SYSTEM), []

    assert lake.commit(fill).result() == 2000
    key = lake.commit(
        lambda d: (Store(d).create(Key(key="site", kind="data-record", type="string", queryable=True), SYSTEM), [])
    )
    id = key.result().id
    stop = threading.Event()
    written = []

    def write() -> None:
        while not stop.is_set():
            written.append(lake.commit(fill).result())

    writer = threading.Thread(target=write)
    writer.start()
    assert lake.index_keys().result() == 1
    stop.set()
    writer.join()
    assert written
    with lake.database() as database:
        assert [key.index for key in Store(database).all("key") if isinstance(key, Key)] == ["ready"]
        wanted = Search(filter={"op": "=", "args": [{"property": "site"}, "s3"]}, limit=20, select=["metadata.site"])
        page = Store(database).search("data-record", wanted, SYSTEM)
        assert [item["metadata.site"] for item in page.items] == ["s3"] * 20
        assert page.scan == []
        assert plan(database, wanted).count(name_of("data-record", "site", "string"))
    with pytest.raises(Conflict, match="used"):
        lake.commit(lambda d: (Store(d).delete(id, SYSTEM), [])).result()
    lake.commit(lambda d: (Store(d).edit(id, {"queryable": False}, SYSTEM), [])).result()
    assert lake.index_keys().result() == 1
    with lake.database() as database:
        assert page.items == Store(database).search("data-record", wanted, SYSTEM).items
        assert not plan(database, wanted).count(name_of("data-record", "site", "string"))


def plan(database, wanted: Search) -> str:
    """How the database goes about the last question."""
    found: list[str] = []
    run = database._run

    def explained(statement, values):
        if isinstance(statement, str) and "data_record" in statement:
            how = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
            how += f" /* {uuid.uuid4()} */ "  # SQLite does not look whether an EXPLAIN that it has kept still holds
            found.extend(str(tuple(row)) for row in run(how + statement, values).fetchall())
        return run(statement, values)

    database._run = explained
    Store(database).search("data-record", wanted, SYSTEM)
    return "\n".join(found)


def test_postgresql_without_redis_is_a_mistake_of_the_configuration(tmp_path):
    store = S3Store("http://127.0.0.1:9", "a", "b")
    with pytest.raises(ConfigError, match=r"log\.url"):
        Lake(Config(data=str(tmp_path), catalog=CatalogStore(url="postgresql://127.0.0.1:9/x")), store)
    store.close()


@pytest.mark.server
def test_a_catalogue_that_cannot_be_reached_is_told_without_its_password(tmp_path, redis_server):
    store = S3Store("http://127.0.0.1:9", "a", "b")
    url = "postgresql://sluice:hush@127.0.0.1:9/x"
    with pytest.raises(ConfigError, match="cannot be reached") as failed:
        Lake(Config(data=str(tmp_path), log=EventLog(url=redis_server.url), catalog=CatalogStore(url=url)), store)
    assert "hush" not in str(failed.value)
    store.close()


@pytest.mark.server
def test_every_machine_of_a_lake_has_the_same_subscriptions(redis_server, postgres, tmp_path):
    posted: list[str] = []

    async def sink(scope, receive, send) -> None:
        posted.append(msgspec.json.decode((await receive())["body"])["id"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    log, place = EventLog(url=redis_server.url), CatalogStore(url=postgres.new())
    objects, lakes = S3Store("http://127.0.0.1:9", "a", "b"), list[Lake]()
    with serving(sink) as url, httpx.Client() as client:
        try:
            for name in ("one", "two"):
                lakes.append(Lake(Config(data=str(tmp_path / name), log=log, catalog=place), objects))
            one, two = lakes
            one.subscribe(parse({"sink": url, "id": "s", "types": ["t"], "protocolsettings": {"mode": "structured"}}))
            two.subscriptions.post(client, "subscription/s", Event(id="by hand", source="/t", type="t"))
            assert posted == ["by hand"], "it has done nothing yet by which it could have heard of it"
            two.worker.start()
            two.append([Event(id="e", source="/t", type="t")]).result()
            eventually(lambda: posted == ["by hand", "e"])
            assert two.unsubscribe("s")
            one.append([Event(id="f", source="/t", type="t")]).result()
            eventually(lambda: one.log.counts()["waiting"] == 0)
            assert (posted, one.subscriptions.all()) == (["by hand", "e"], [])
        finally:
            for lake in lakes:
                lake.close()
            objects.close()


@pytest.mark.server
def test_subscriptions_that_an_earlier_version_kept_in_the_folder_go_to_the_catalogue(redis_server, postgres, tmp_path):
    log, place = EventLog(url=redis_server.url), CatalogStore(url=postgres.new())
    objects = S3Store("http://127.0.0.1:9", "a", "b")
    before = Lake(Config(data=str(tmp_path), log=log), objects)
    before.subscribe(parse({"sink": "http://127.0.0.1:9/", "id": "s"}))
    before.close()
    for folder in (tmp_path, tmp_path / "other", tmp_path):
        lake = Lake(Config(data=str(folder), log=log, catalog=place), objects)
        assert [each.id for each in lake.subscriptions.all()] == ["s"]
        lake.close()
    lake = Lake(Config(data=str(tmp_path), log=log, catalog=place), objects)
    assert lake.unsubscribe("s")
    lake.close()
    lake = Lake(Config(data=str(tmp_path), log=log, catalog=place), objects)
    assert lake.subscriptions.all() == [], "it does not come back"
    lake.close()
    objects.close()
