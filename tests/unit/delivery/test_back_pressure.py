"""Back-pressure over HTTP: a lake that is behind asks its senders to wait, and then has the events of all of them."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from events.event import Event
from events.ports import ObjectStore
from events.route import on
from infra.config import Config, Delivery
from infra.delivery.subscription import parse
from infra.lake import Lake
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from tests.conftest import eventually, serving

STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.fixture
def gate() -> threading.Event:
    """Closed, the receiving lake's function does not end."""
    return threading.Event()


@pytest.fixture
def behind(tmp_path: Any, objects: Any, gate: threading.Event, monkeypatch: Any) -> Iterator[tuple[Lake, str]]:
    """A lake whose work is more than a second old, and its URL."""
    module = types.ModuleType("held_functions")

    @on("held")
    def held(event: Event, objects: ObjectStore) -> None:
        gate.wait(30)

    held.__module__ = module.__name__
    module.held = held  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings = Delivery(most_age_s=0.5)
    lake = Lake(Config(data=str(tmp_path / "behind"), functions=[module.__name__], delivery=settings, threads=1), objects)
    lake.append([Event(id=str(n), source="/first", type="held", subject=str(n)) for n in range(3)]).result()
    lake.worker.start()
    try:
        with serving(Endpoint(lake, Api(lake, lambda: True, "http://127.0.0.1").application())) as url:
            eventually(lambda: lake.pressure.retry_after() is not None)
            yield lake, url
    finally:
        gate.set()
        lake.close()


def send(url: str, number: int, sender: str) -> httpx.Response:
    body = {"specversion": "1.0", "id": str(number), "source": sender, "type": "t"}
    return httpx.post(url, json=body, headers=STRUCTURED)


def taken(lake: Lake, sender: str) -> int:
    return sum(event.source == sender for _, _, event in lake.log.tail(0, 10_000, "t"))


def test_a_lake_that_is_behind_loses_nothing_of_another_that_sends_to_it(behind, gate, tmp_path, objects):
    lake, url = behind
    sender = Lake(Config(data=str(tmp_path / "sender"), delivery=Delivery(sink_attempts=1)), objects)
    sender.subscribe(parse({"sink": url, "types": ["t"]}))
    sender.append([Event(id=str(n), source="/lake", type="t", subject=str(n)) for n in range(5)]).result()
    sender.worker.start()
    try:
        eventually(lambda: sender.log.counts()["retrying"] == 5)
        assert taken(lake, "/lake") == 0
        gate.set()
        eventually(lambda: sender.log.counts()["waiting"] == 0)
        assert (taken(lake, "/lake"), sender.log.counts()["dead"]) == (5, 0)
    finally:
        sender.close()


def test_who_does_not_wait_starves_nobody(behind, gate):
    lake, url = behind
    told = send(url, 0, "/patient")
    assert told.status_code == 429
    assert int(told.headers["retry-after"]) >= 1
    stop = threading.Event()
    answers: list[int] = []

    def hammer() -> None:
        while not stop.is_set():
            answers.append(send(url, len(answers), "/rude").status_code)

    rude = threading.Thread(target=hammer)
    rude.start()
    try:
        eventually(lambda: len(answers) > 20)
        assert set(answers) == {429}
        gate.set()
        eventually(lambda: send(url, 0, "/patient").status_code == 202)
    finally:
        stop.set()
        rude.join()
    assert taken(lake, "/patient") == 1
