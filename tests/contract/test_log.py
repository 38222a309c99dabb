"""What every event log backend must do, with a worker on it: once each, in order, retried, buried, replayed, taken over."""

from __future__ import annotations

import re
import sys
import threading
import time
import types
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from events.errors import Reject, Retry
from events.event import Event
from events.ports import Catalog, Entry, ObjectStore
from events.route import on
from infra.config import Config, Delivery, EventLog
from infra.delivery.retention import Retention, payloads
from infra.lake import Lake
from infra.log.sqlite import SqliteLog
from infra.objects.s3 import S3Store
from tests.conftest import eventually

QUICK = Delivery(attempts=3, backoff_s=0.01, backoff_max_s=0.02, lease_s=0.6)


def event(number: object, subject: str = "s", kind: str = "test.work", data: object = None) -> Event:
    return Event(id=str(number), source="/t", type=kind, subject=subject, datacontenttype="application/json", data=data)


class Seen:
    """What the functions of a test were given, and what they shall do about it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.failures: dict[str, list[BaseException]] = defaultdict(list)
        self.gate = threading.Event()
        self.gate.set()

    def note(self, name: str, event: Event) -> None:
        self.calls.append((name, event.subject or "", event.id))
        if self.failures[event.id]:
            raise self.failures[event.id].pop(0)

    def of(self, name: str) -> list[str]:
        return [number for called, _, number in self.calls if called == name]


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


def settled(lake: Lake) -> bool:
    return bool(lake.status()["log"]["waiting"] == 0)


def effects(lake: Lake) -> int:
    return int(lake.status()["catalog"].get("ready", {"objects": 0})["objects"])


def test_every_event_is_worked_on_once_however_often_it_comes(make, seen):
    lake = make()
    events = [event(n, f"s{n % 7}") for n in range(200)]
    assert lake.append(events).result() == 200
    assert lake.append(events).result() == 0
    lake.worker.start()
    assert lake.append([*events[:50], event("new")]).result() == 1
    eventually(lambda: settled(lake))
    assert Counter(seen.of("quick")) == Counter(seen.of("slow")) == Counter([e.id for e in events] + ["new"])
    assert len(seen.of("test.done")) == len(set(seen.of("test.done"))) == 402
    assert effects(lake) == 201


def test_one_key_stays_in_order_even_over_failures(make, seen):
    lake = make()
    for number in (3, 10):
        seen.failures[str(number)] = [ValueError("once"), Retry("twice", 0.02)]
    lake.append([event(n, f"s{n % 2}") for n in range(40)]).result()
    lake.worker.start()
    eventually(lambda: settled(lake))
    for name in ("quick", "slow"):
        for subject in ("s0", "s1"):
            order = [int(number) for called, about, number in seen.calls if called == name and about == subject]
            assert order == sorted(order)
            assert sorted(set(order)) == [n for n in range(40) if f"s{n % 2}" == subject]


def test_a_failed_attempt_leaves_no_effect_and_no_reply(make, seen):
    lake = make()
    seen.failures["1"] = [Reject("never"), Reject("never")]
    lake.append([event(1)]).result()
    lake.worker.start()
    eventually(lambda: settled(lake))
    assert effects(lake) == 0
    assert seen.of("test.done") == []


def test_errors_are_retried_then_buried_with_their_cause_and_told(make, seen):
    lake = make()
    seen.failures["1"] = [ValueError("broken pipe")] * 6
    lake.append([event(1), event(2)]).result()
    lake.worker.start()
    eventually(lambda: settled(lake))
    assert Counter(seen.of("quick"))["1"] == Counter(seen.of("slow"))["1"] == 3
    letters = lake.log.dead_letters()
    assert {(letter.target, letter.cause, letter.attempts) for letter in letters} == {
        (name, "ValueError: broken pipe", 3) for name in ("quick", "slow")
    }
    assert len(seen.of("dev.sluice.delivery.failed.v1")) == 2
    assert Counter(seen.of("quick"))["2"] == 1


def test_a_reject_is_buried_at_once_and_replay_brings_it_back(make, seen):
    lake = make()
    seen.failures["1"] = [Reject("no"), Reject("no")]
    lake.append([event(1)]).result()
    lake.worker.start()
    eventually(lambda: lake.status()["log"]["dead"] == 2)
    assert len(seen.of("quick")) == 1
    with pytest.raises(Reject, match="999"):
        lake.replay([1, 999])
    assert lake.status()["log"]["dead"] == 2
    lake.replay([1, 2])
    eventually(lambda: settled(lake) and effects(lake) == 1)
    assert lake.status()["log"]["dead"] == 0


def test_bytes_that_never_were_an_event_are_kept(make):
    lake = make()
    lake.reject([(b"\x00garbage", "no JSON")]).result()
    assert lake.status()["log"]["dead"] == 1
    with pytest.raises(Reject):
        lake.replay([1])


def test_bytes_that_come_again_are_one_dead_letter_that_counts_them(make):
    first, second = make(), make()
    first.reject([(b"\x00garbage", "no JSON"), (b"other", "no JSON"), (b"\x00garbage", "no JSON")]).result()
    second.reject([(b"\x00garbage", "neither this nor that")]).result()
    first.reject([(b"", "empty")]).result()
    first.reject([(b"", "empty")]).result()
    letters = second.log.dead_letters()
    assert [(each.body, each.cause, each.attempts, each.event) for each in letters] == [
        (b"", "empty", 2, None), (b"other", "no JSON", 1, None), (b"\x00garbage", "no JSON", 3, None),
    ]  # fmt: skip
    assert second.log.dead_letters(number=letters[-1].id) == letters[-1:]
    assert second.status()["log"]["dead"] == 3


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("*", "12345"),
        ("a.b*", "124"),
        ("*.b", "12"),
        ("*b*", "1234"),
        ("a.b", "1"),
        ("a.b[bx]", "4"),
        ("a.?", "5"),
        ("a.[bx]", ""),
        ("A.b", ""),
        ("", ""),
    ],
)
def test_types_are_chosen_by_the_pattern_that_functions_and_subscriptions_have(make, pattern, numbers):
    lake = make()
    kinds = ["a.b", "a.b.b", "b", "a.b[bx]", "a.?"]
    lake.append([event(number, kind=kind) for number, kind in enumerate(kinds, 1)]).result()
    assert "".join(found.id for _, _, found in lake.log.tail(0, 10, pattern)) == numbers


def test_what_is_left_is_done_after_a_restart(make, seen):
    first = make()
    first.append([event(n) for n in range(20)]).result()
    second = make()
    second.worker.start()
    eventually(lambda: settled(second))
    assert effects(second) == 20


def test_a_silent_worker_is_taken_over_and_what_it_still_finishes_counts_once(make, seen):
    first, second = make(), make()
    seen.gate.clear()
    first.append([event(1, kind="test.slow")]).result()
    first.worker.start()
    eventually(lambda: seen.of("slow"))
    first.worker._renew_at = float("inf")  # it neither renews its lease nor takes new work: silent, not dead
    second.worker.start()
    eventually(lambda: len(seen.of("slow")) == 2, what="the second worker to take over")
    seen.gate.set()
    eventually(lambda: settled(second))
    assert len(seen.of("test.done")) == 1


def test_a_slow_function_does_not_hold_up_other_keys(make, seen):
    lake = make()
    seen.gate.clear()
    lake.worker.start()
    lake.append([event(1, "a", "test.slow")]).result()
    lake.append([event(n, "b") for n in range(2, 5)]).result()
    eventually(lambda: len(seen.of("quick")) == 3)
    seen.gate.set()
    eventually(lambda: settled(lake))


@pytest.mark.parametrize("subject", ["b", "a"], ids=["another key", "the same key"])
def test_how_far_a_worker_is_behind_is_not_how_long_it_works(make, seen, subject):
    lake = make(threads=1)
    seen.gate.clear()
    lake.worker.start()
    lake.append([event(1, "a", "test.slow")]).result()
    eventually(lambda: seen.of("slow") == ["1"])
    time.sleep(3 * QUICK.lease_s)
    counts = lake.log.counts()
    assert (counts["waiting"], counts["behind_s"]) == (1, 0)
    assert counts["oldest_s"] > 2 * QUICK.lease_s
    fill = [event(n, subject, "test.slow") for n in range(2, 12)]
    lake.append(fill).result()
    eventually(lambda: 0 < lake.log.counts()["behind_s"] < 3 * QUICK.lease_s)
    seen.gate.set()
    eventually(lambda: settled(lake))
    assert lake.log.counts()["behind_s"] == 0


def test_without_a_worker_everything_waits_for_one(make, seen):
    first = make()
    seen.gate.clear()
    first.append([event(1, kind="test.slow")]).result()
    eventually(lambda: first.log.counts()["behind_s"] > 0)
    first.worker.start()
    eventually(lambda: seen.of("slow"))
    first.worker._renew_at = float("inf")  # silent, as if it were dead
    if not isinstance(first.log, SqliteLog):  # there a dead worker takes what it knew with it
        eventually(lambda: first.log.counts()["behind_s"] > QUICK.lease_s)
    seen.gate.set()


def test_an_event_for_a_function_that_is_gone_waits_and_is_then_buried(make, monkeypatch):
    lake = make()
    monkeypatch.setattr(lake.log, "_targets", lambda _: ["gone"])
    lake.append([event(1, kind="x")]).result()
    monkeypatch.undo()
    lake.worker.start()
    eventually(lambda: lake.status()["log"]["dead"] == 1)


def test_a_log_knows_its_end_and_whether_something_behind_a_number_is_gone(lake: Lake) -> None:
    before = lake.log.end()
    lake.append([Event(id=str(n), source="/t", type="a.b") for n in range(3)]).result(10)
    last = lake.log.tail(before, 10)[-1][0]
    assert lake.log.end() == last
    assert all(lake.log.whole(number) for number in (before, last - 1, last))


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
