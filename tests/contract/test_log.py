"""What every event log backend must do, with a worker on it: once each, in order, retried, buried, replayed, taken over."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from events.errors import Reject, Retry
from events.event import Event
from infra.lake import Lake
from infra.log.sqlite import SqliteLog
from tests.conftest import eventually
from tests.contract.worked import QUICK, effects, event, settled


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
