"""A lake over each event log, with functions that do as they are told."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from events.event import Event
from events.ports import Catalog, Entry, ObjectStore
from events.route import on
from infra.config import Config, Delivery, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store
from tests.contract.worked import QUICK, Seen


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def module(seen, monkeypatch):
    made = types.ModuleType("functions_under_test")

    @on("test.work")
    def quick(event: Event, catalog: Catalog) -> Iterator[Event]:
        catalog.upsert(Entry(bucket="effects", key=f"{event.subject}/{event.id}", sequence="1"))
        yield event.reply({"n": 1}, type="test.done")
        seen.note("quick", event)

    @on("test.work", "test.slow")
    def slow(event: Event, objects: ObjectStore) -> Iterator[Event]:
        seen.note("slow", event)
        seen.gate.wait(10)
        yield event.reply({"n": 1}, type="test.done")

    @on("test.done", "dev.sluice.delivery.failed.v1")
    def end(event: Event) -> None:
        seen.note(event.type, event)

    for function in (quick, slow, end):
        function.__module__ = made.__name__
        setattr(made, function.__name__, function)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.server)])
def settings(request):
    if request.param == "sqlite":
        return EventLog()
    return EventLog(url=request.getfixturevalue("redis_server").url)


@pytest.fixture
def make(tmp_path, module, settings):
    made: list[tuple[Lake, S3Store]] = []

    def build(objects: S3Store | None = None, delivery: Delivery = QUICK, **more) -> Lake:
        store = S3Store("http://127.0.0.1:9", "a", "b")
        lake = Lake(Config(data=str(tmp_path), functions=[module], delivery=delivery, log=settings, **more), objects or store)
        made.append((lake, store))
        return lake

    yield build
    for lake, store in made:
        lake.close()
        store.close()
