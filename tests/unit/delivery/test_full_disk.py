"""A disk that is full: senders are told why and to come again, the log has one line of it, and nothing accepted is lost."""

from __future__ import annotations

import errno
import logging
import sqlite3
import sys
import types
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from events.errors import Retry
from events.event import Event
from events.ports import Profiles
from events.route import on
from infra.complaint import Complaint
from infra.config import Config, Delivery
from infra.disk import DiskTrouble, explained
from infra.lake import Lake
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from infra.sqlite import Writer
from tests.conftest import eventually, serving

STRUCTURED = {"content-type": "application/cloudevents+json"}
LARGE = "x" * 30_000


@pytest.fixture
def module(monkeypatch: Any) -> str:
    made = types.ModuleType("noting_functions")

    @on("noted")
    def note(event: Event, profiles: Profiles) -> None:
        profiles.put(event.id, {"text": LARGE})

    note.__module__ = made.__name__
    made.note = note  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


@pytest.fixture
def lake(tmp_path: Any, objects: Any, module: str) -> Iterator[Lake]:
    made = Lake(Config(data=str(tmp_path / "data"), functions=[module], delivery=Delivery(attempts=2, backoff_s=0.01)), objects)
    yield made
    made.close()


def room(lake: Lake, pages: int) -> None:
    """Let the database grow by so many pages and no more: what SQLite says then is what it says of a full disk."""

    def limit(connection: sqlite3.Connection) -> None:
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={used + pages}")

    def done() -> bool:
        try:
            lake.write(limit).result()
        except DiskTrouble:
            return False  # it was in one transaction with what found no room
        return True

    eventually(done)


def event(number: int, kind: str = "other") -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/t", "type": kind, "data": LARGE}


def test_senders_are_told_why_and_the_log_says_it_once(lake, caplog, monkeypatch):
    monkeypatch.setattr("infra.runtime.asgi.REFUSAL_SECONDS", 0.0)
    with serving(Endpoint(lake, Api(lake, lambda: True, "http://127.0.0.1").application())) as url:
        room(lake, 2)
        with caplog.at_level(logging.INFO):
            for number in range(4):
                answer = httpx.post(url, json=event(number), headers=STRUCTURED)
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                assert "lake.db cannot be written, the disk is full" in answer.json()["error"]
        (line,) = [record for record in caplog.records if "cannot be stored" in record.getMessage()]
        assert "the disk is full" in line.getMessage()
        assert line.exc_info is None
        room(lake, 10_000)
        assert httpx.post(url, json=event(0), headers=STRUCTURED).status_code == 202
        eventually(lambda: any("over: events cannot be stored" in record.getMessage() for record in caplog.records))


def test_the_worker_waits_for_room_and_gives_nothing_up(lake, caplog, monkeypatch):
    monkeypatch.setattr("infra.runtime.worker.PAUSE_SECONDS", 0.01)
    lake.append([Event(id=str(n), source="/t", type="noted", subject=str(n)) for n in range(3)]).result()
    room(lake, 2)
    lake.worker.start()
    eventually(lambda: any("the worker cannot go on" in record.getMessage() for record in caplog.records))
    assert lake.profiles() == {}
    room(lake, 10_000)
    eventually(lambda: lake.log.counts()["waiting"] == 0)
    assert sorted(lake.profiles()) == ["0", "1", "2"]
    assert lake.log.counts()["dead"] == 0
    eventually(lambda: caplog.records[-1].getMessage() == "over: the worker cannot go on")
    lines = [record for record in caplog.records if "the worker cannot go on" in record.getMessage()]
    assert [line.getMessage().startswith("over: ") for line in lines] == [False, True]
    assert all(line.exc_info is None for line in lines)


def test_one_that_needs_no_room_is_not_refused_with_its_neighbours(tmp_path):
    writer = Writer(tmp_path / "t.db", ["CREATE TABLE t (x TEXT)"])
    writer.submit(lambda connection: connection.execute("PRAGMA max_page_count=3")).result()
    with pytest.raises(DiskTrouble, match=r"t\.db cannot be written, the disk is full"):
        writer.submit(lambda connection: connection.execute("INSERT INTO t VALUES (?)", (LARGE,))).result()
    assert writer.submit(lambda connection: connection.execute("INSERT INTO t VALUES ('x')").rowcount).result() == 1
    writer.close()


def test_the_reason_is_found_behind_what_failed_next():
    full = OSError(errno.ENOSPC, "No space left on device")
    other = ValueError("no such savepoint")
    other.__context__ = full
    assert isinstance(explained(other, "x"), Retry)
    assert explained(ValueError("no"), "x").args == ("no",)
    denied = OSError(errno.EACCES, "denied")
    assert explained(denied, "x") is denied


def test_a_complaint_is_a_line_when_it_begins_changes_and_ends(caplog):
    complaint = Complaint(logging.getLogger("sluice.test"), "nothing works")
    with caplog.at_level(logging.INFO):
        complaint.over()
        for reason in ("full", "full", "gone", "gone", "full"):
            complaint.tell(Retry(reason))
        complaint.over()
        complaint.over()
    told = [record.getMessage() for record in caplog.records]
    again = "nothing works; trying again until it works: "
    assert told == [again + "full", again + "gone", again + "full", "over: nothing works"]
