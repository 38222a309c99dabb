"""What an event log forgets: old events and payloads that nothing needs any more."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from events.errors import Reject, Retry
from events.event import Event
from infra.config import EventLog
from infra.delivery.retention import Retention, payloads
from infra.lake import Lake
from tests.conftest import eventually
from tests.contract.worked import QUICK, event

#: Redis trims its streams by itself, by number.
ON_SQLITE = pytest.mark.parametrize("settings", [EventLog()], ids=["sqlite"])


def age(lake: Lake, days: float, *numbers: int) -> None:
    """Make these events so many days older."""
    values = [(days * 86400, number) for number in numbers]
    lake.write(lambda found: found.executemany("UPDATE event SET recorded = recorded - ? WHERE seq = ?", values)).result()


def kept(lake: Lake) -> list[str]:
    return [event.id for _, _, event in lake.log.tail(0, 10_000, "test.*") if event.type != "test.done"]


@ON_SQLITE
def test_old_events_are_forgotten_unless_something_needs_them(make, seen):
    lake = make()
    seen.failures["dead"] = [Reject("no")]
    seen.failures["waits"] = [Retry("not yet", 3600)]
    lake.append([event(name, name, "test.slow") for name in ("done", "dead", "waits", "young")]).result()
    lake.worker.start()
    eventually(lambda: lake.status()["log"]["retrying"] == lake.status()["log"]["waiting"] == 1)
    age(lake, 31, 1, 2, 3)
    age(lake, 29, 4)
    Retention(30).step(lake.log)
    assert kept(lake) == ["dead", "waits", "young"]
    lake.replay([1])  # its event is still there
    eventually(lambda: seen.of("slow").count("dead") == 2)


@ON_SQLITE
def test_all_is_forgotten_in_small_steps_and_nothing_without_a_limit(make):
    lake = make()
    lake.append([event(n, kind="test.other") for n in range(1200)]).result()
    age(lake, 31, *range(1, 1201))
    Retention(0).step(lake.log)
    assert len(kept(lake)) == 1200
    gradual = Retention(30)
    left = []
    for _ in range(4):
        gradual.step(lake.log)
        left.append(len(kept(lake)))
    assert left == [700, 200, 0, 0]


def claim(lake: Lake, day: str, number: object, kind: str) -> tuple[Event, str]:
    """An event whose payload was deposited on a day long ago, and the key of that."""
    made = lake.claims.deposit(event(number, str(number), kind, "x" * 70_000 + str(number)))
    reference = str(made.extensions["dataref"])
    old = re.sub(r"claims/[0-9-]+/", f"claims/{day}/", reference)
    key = reference.removeprefix("s3://sluice/")
    body = lake.objects.read("sluice", key, 0, lake.objects.head("sluice", key).size)
    lake.objects.write("sluice", old.removeprefix("s3://sluice/"), body)
    lake.objects.delete("sluice", key)
    return msgspec.structs.replace(made, extensions={**made.extensions, "dataref": old}), old.removeprefix("s3://sluice/")


def test_payloads_are_removed_once_no_event_may_need_them(make, seen, objects):
    lake = make(objects, msgspec.structs.replace(QUICK, retain_days=0))
    seen.failures["dead"] = [Reject("no")]
    done, dead = claim(lake, "2020-01-01", "done", "test.slow"), claim(lake, "2020-01-02", "dead", "test.slow")
    today = lake.claims.deposit(event("today", "today", "test.slow", "y" * 70_000))
    lake.append([done[0], dead[0], today]).result()
    lake.worker.start()
    eventually(lambda: lake.status()["log"]["waiting"] == 0 and lake.status()["log"]["dead"] == 1)
    assert payloads(lake.log, lake.claims, 86400.0) == 1
    kept = [each.key for each in lake.objects.list("sluice", "claims/")]
    assert kept == [dead[1], str(today.extensions["dataref"]).removeprefix("s3://sluice/")]
    (letter,) = [each.id for each in lake.log.dead_letters() if each.target == "slow"]
    lake.replay([letter])
    eventually(lambda: seen.of("slow").count("dead") == 2)
    eventually(lambda: payloads(lake.log, lake.claims, 86400.0) == 1)
    assert len(list(lake.objects.list("sluice", "claims/"))) == 1


def test_payloads_are_kept_while_anything_so_old_waits(make, seen, objects):
    lake = make(objects, msgspec.structs.replace(QUICK, retain_days=0))
    made = claim(lake, f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}", 1, "test.slow")
    lake.append([made[0]]).result()
    waiting = lake.log.counts

    def long() -> dict[str, float]:
        return {**waiting(), "oldest_s": 5 * 86400.0}

    lake.log.counts = long
    assert payloads(lake.log, lake.claims, 86400.0) == 0
    lake.log.counts = waiting
    assert payloads(lake.log, lake.claims, 86400.0) == 1


@ON_SQLITE
def test_a_worker_forgets(make):
    lake = make()
    lake.append([event(1, kind="test.other"), event(2, kind="test.other")]).result()
    age(lake, 31, 1)
    lake.worker.start()
    eventually(lambda: kept(lake) == ["2"])
